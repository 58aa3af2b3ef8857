/*
 * verify.c
 *	  Rows of the file against the server's.
 */
#include <string.h>

#include "store/place.h"
#include "store/recheck.h"
#include "store/rows.h"
#include "store/sql.h"
#include "store/verify.h"

bool
verify_begin(Store *store)
{
	return sql_run(store, "CREATE TEMP TABLE IF NOT EXISTS tide_suspects"
				   " (entity_type TEXT, key TEXT, PRIMARY KEY (entity_type, key)) WITHOUT ROWID;"
				   "CREATE TEMP TABLE IF NOT EXISTS tide_here"
				   " (key TEXT PRIMARY KEY, rest TEXT) WITHOUT ROWID;"
				   "CREATE TEMP TABLE IF NOT EXISTS tide_shown"
				   " (entity_type TEXT, key TEXT, PRIMARY KEY (entity_type, key)) WITHOUT ROWID;"
				   "DELETE FROM temp.tide_suspects; DELETE FROM temp.tide_here;"
				   "DELETE FROM temp.tide_shown");
}

/* The key's columns of a row, as JSON of one form. */
static bool
append_key(Buffer *out, const EntityType *type, const Json *json, const JsonNode *row)
{
	int			k;

	for (k = 0; k < type->nkeys; k++)
	{
		const char *wire = type->columns[type->keys[k]].wire;
		const JsonNode *value = row->kind == JSON_OBJECT ? json_member(json, row, wire) : row;

		buffer_char(out, k > 0 ? ',' : '{');
		json_string(out, wire, strlen(wire));
		buffer_char(out, ':');
		if (value == NULL)
			buffer_text(out, "null");
		else if (value->kind == JSON_STRING)
		{
			/* escaped as we would */
			Buffer		text = {0};

			json_decode(json, value, &text);
			json_string(out, text.data ? text.data : "", text.length);
			out->failed = out->failed || text.failed;
			buffer_free(&text);
		}
		else
			json_raw(json, value, out);
	}
	buffer_char(out, '}');
	return !out->failed;
}

/* Stamp and clientId, to be compared. */
static void
append_rest(Buffer *out, const EntityType *type, const Json *json, const JsonNode *row)
{
	int			columns[2] = {type->modified_at, type->client_id};
	int			i;

	for (i = 0; i < 2; i++)
	{
		char	   *text = columns[i] < 0 ? NULL :
			json_text(json, json_member(json, row, type->columns[columns[i]].wire));

		buffer_text(out, text ? text : "");
		buffer_char(out, text ? '\x1f' : '\x1e');
		sqlite3_free(text);
	}
}

/* Run a statement with two texts. */
static bool
run(Store *store, const char *sql, const char *first, const char *second)
{
	sqlite3_stmt *stmt = sql_prepare(store, sql);
	bool		good = stmt != NULL;

	if (good && (!sql_bind_text(stmt, 1, first) || !sql_bind_text(stmt, 2, second)))
		good = failure_memory(&store->failure);
	good = good && sql_execute(store, stmt);
	sqlite3_finalize(stmt);
	return good;
}

static bool
suspect(Store *store, const EntityType *type, const char *key)
{
	return run(store, "INSERT INTO temp.tide_suspects VALUES (?1, ?2) ON CONFLICT DO NOTHING",
			   type->name, key);
}

/* what collecting the file's rows needs */
typedef struct Here
{
	Store	   *store;
	EntityType *type;
	const bool *buckets;
} Here;

static bool
note_here(void *arg, int bucket, const Json *json)
{
	Here	   *here = arg;
	Buffer		key = {0};
	Buffer		rest = {0};
	bool		good;

	if (!here->buckets[bucket])
		return true;
	append_rest(&rest, here->type, json, json->nodes);
	good = append_key(&key, here->type, json, json->nodes) && !rest.failed ?
		run(here->store, "INSERT INTO temp.tide_here VALUES (?1, ?2) ON CONFLICT DO NOTHING",
			key.data, rest.data) : failure_memory(&here->store->failure);
	buffer_free(&key);
	buffer_free(&rest);
	return good;
}

/* One of the server's: what is named alike is out of the way. */
static bool
compare_key(Store *store, EntityType *type, const Json *json, const JsonNode *row)
{
	Buffer		key = {0};
	Buffer		rest = {0};
	bool		good;

	append_rest(&rest, type, json, row);
	good = (append_key(&key, type, json, row) && !rest.failed) ||
		failure_memory(&store->failure);
	good = good && run(store, "DELETE FROM temp.tide_here WHERE key = ?1 AND rest = ?2",
					   key.data, rest.data) &&
		(sqlite3_changes(store->db) > 0 || suspect(store, type, key.data));
	buffer_free(&key);
	buffer_free(&rest);
	return good;
}

bool
verify_keys(Store *store, EntityType *type, const bool *buckets, const Json *json,
			const JsonNode *rows)
{
	Here		here = {.store = store, .type = type, .buckets = buckets};
	const JsonNode *row;

	if (!sql_run(store, "DELETE FROM temp.tide_here") ||
		!digest_rows(store, type, note_here, &here))
		return false;
	for (row = json_first(json, rows); row; row = json_next(json, rows, row))
	{
		if (!compare_key(store, type, json, row))
			return false;
	}
	return run(store, "INSERT INTO temp.tide_suspects SELECT ?1, key FROM temp.tide_here"
			   " WHERE ?2 IS NULL ON CONFLICT DO NOTHING", type->name, NULL);
}

/* Is the row of the key edited here, and if not, is it this one? */
static bool
look(Store *store, EntityType *type, const Json *json, const JsonNode *row, bool *here,
	 bool *same)
{
	Dirty		dirty;

	*here = *same = true;
	return row_dirty(store, type, json, row, &dirty) &&
		(dirty.found || recheck_compare(store, type, json, row, here, same));
}

bool
verify_row(Store *store, EntityType *type, const Json *json, const JsonNode *row)
{
	Buffer		key = {0};
	bool		here,
				same,
				good;

	good = (append_key(&key, type, json, row) || failure_memory(&store->failure)) &&
		run(store, "INSERT INTO temp.tide_shown VALUES (?1, ?2) ON CONFLICT DO NOTHING",
			type->name, key.data) &&
		look(store, type, json, row, &here, &same) &&
		((here && same) || suspect(store, type, key.data));
	buffer_free(&key);
	return good;
}

static bool
suspect_unshown(void *arg, int bucket, const Json *json)
{
	Here	   *here = arg;
	Buffer		key = {0};
	bool		good;

	(void) bucket;
	good = append_key(&key, here->type, json, json->nodes) ?
		run(here->store, "INSERT INTO temp.tide_suspects SELECT ?1, ?2 WHERE NOT EXISTS"
			" (SELECT 1 FROM temp.tide_shown WHERE entity_type = ?1 AND key = ?2)"
			" ON CONFLICT DO NOTHING", here->type->name, key.data) :
		failure_memory(&here->store->failure);
	buffer_free(&key);
	return good;
}

bool
verify_rest(Store *store, EntityType *type)
{
	Here		here = {.store = store, .type = type};

	return digest_rows(store, type, suspect_unshown, &here);
}

bool
verify_append_suspects(Store *store, Buffer *out, int most, int64_t *n)
{
	sqlite3_stmt *stmt = sql_prepare(store, "SELECT entity_type, key FROM temp.tide_suspects"
									 " ORDER BY entity_type, key LIMIT ?1");
	char	   *type = NULL;
	bool		good = stmt && sqlite3_bind_int(stmt, 1, most) == SQLITE_OK;
	int			rc = SQLITE_DONE;

	*n = 0;
	buffer_char(out, '{');
	while (good && (rc = sql_step(store, stmt)) == SQLITE_ROW)
	{
		const char *name = (const char *) sqlite3_column_text(stmt, 0);
		const char *key = (const char *) sqlite3_column_text(stmt, 1);

		if (name == NULL || key == NULL)
			good = failure_memory(&store->failure);
		else if (type == NULL || strcmp(type, name) != 0)
		{
			buffer_text(out, type ? "]," : "");
			sqlite3_free(type);
			type = text_copy(name);
			good = type || failure_memory(&store->failure);
			json_string(out, name, strlen(name));
			buffer_text(out, ":[");
		}
		else
			buffer_char(out, ',');
		if (good)
			buffer_text(out, key);
		(*n)++;
	}
	buffer_text(out, type ? "]}" : "}");
	sqlite3_free(type);
	sqlite3_finalize(stmt);
	if (out->failed)
		good = failure_memory(&store->failure);
	return good && rc != -1;
}

static bool
forget(Store *store, const EntityType *type, const Json *json, const JsonNode *row)
{
	Buffer		key = {0};
	bool		good = append_key(&key, type, json, row) ?
		run(store, "DELETE FROM temp.tide_suspects WHERE entity_type = ?1 AND key = ?2",
			type->name, key.data) : failure_memory(&store->failure);

	buffer_free(&key);
	return good;
}

static bool
tell(Store *store, EntityType *type, const Json *json, const JsonNode *row,
	 const char *difference, VerifyFound found, void *arg)
{
	char	   *key = row_key_text(type, json, row);
	bool		good = key ? found(arg, type->name, key, difference) :
		failure_memory(&store->failure);

	sqlite3_free(key);
	return good;
}

bool
verify_enter(Store *store)
{
	/* reading only: writers need not wait */
	return sql_run(store, "BEGIN") && (place_check(store) || sql_end(store, false));
}

bool
verify_leave(Store *store, bool good)
{
	return sql_end(store, good);
}

bool
verify_settle(Store *store, EntityType *type, const Json *json, const JsonNode *row,
			  VerifyFound found, void *arg)
{
	bool		here,
				same;

	if (!look(store, type, json, row, &here, &same) || !forget(store, type, json, row))
		return false;
	return (here && same) ||
		tell(store, type, json, row, here ? "differs" : "missing", found, arg);
}

/* A row that the server does not have, or no longer for this user. */
static bool
settle_unknown(Store *store, EntityType *type, const Json *json, const JsonNode *key,
			   VerifyFound found, void *arg)
{
	Buffer		text = {0};
	sqlite3_stmt *row;
	Dirty		dirty;
	int64_t		suspected = 0;
	bool		good = append_key(&text, type, json, key);

	good = good ? sql_number(store, &suspected, "SELECT count(*) FROM temp.tide_suspects"
							 " WHERE entity_type = %Q AND key = %Q", type->name, text.data) :
		failure_memory(&store->failure);
	buffer_free(&text);
	if (!good || suspected == 0)
		return good;
	if (!forget(store, type, json, key) || !row_dirty(store, type, json, key, &dirty))
		return false;
	if (dirty.found)
		return true;
	if (!row_read(store, type, STATEMENT_READ, json, key, &row))
		return false;
	sqlite3_reset(row);
	return row == NULL || tell(store, type, json, key, "extra", found, arg);
}

bool
verify_settle_rest(Store *store, const Json *keys, VerifyFound found, void *arg)
{
	const JsonNode *name,
			   *key;

	for (name = json_first_name(keys, keys->nodes); name;
		 name = json_next_name(keys, keys->nodes, name))
	{
		char	   *text = json_text(keys, name);
		EntityType *type = text ? store_type(store, text, strlen(text)) : NULL;

		if (text == NULL)
			return failure_memory(&store->failure);
		sqlite3_free(text);
		for (key = json_first(keys, name + 1); type && key; key = json_next(keys, name + 1, key))
		{
			if (!settle_unknown(store, type, keys, key, found, arg))
				return false;
		}
	}
	return true;
}
