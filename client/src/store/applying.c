/*
 * applying.c
 *	  A transaction in which rows of the server's are written.
 */
#include <string.h>

#include "store/applying.h"
#include "store/emptied.h"
#include "store/keys.h"
#include "store/rows.h"
#include "store/settings.h"
#include "store/sql.h"
#include "wire/time.h"

/* no clock is so far behind */
#define MOST_AHEAD_MS (INT64_C(366) * 24 * 60 * 60 * 1000)

static bool
count_dirty(Store *store)
{
	int			i;

	for (i = 0; i < store->ntypes; i++)
	{
		EntityType *type = &store->types[i];

		if (!sql_number(store, &type->dirty_count, "SELECT EXISTS (SELECT 1 FROM \"%w\")"
						" + EXISTS (SELECT 1 FROM \"%w\")", type->dirty_table, type->base_table))
			return false;
	}
	return true;
}

bool
applying_begin(Applying *a, Store *store, int64_t now)
{
	memset(a, 0, sizeof(*a));
	a->store = store;
	a->at = now;
	time_format(now, a->now);
	if (!sql_begin_unenforced(store, &a->foreign_keys))
		return false;
	if (sql_run(store, "UPDATE tide_state SET applying = 1") && count_dirty(store) &&
		sql_number(store, &a->refused, "SELECT count(*) FROM tide_refused"))
		return true;
	return sql_end_unenforced(store, false, a->foreign_keys);
}

static bool
tell_changes(Applying *a)
{
	Buffer		names = {0};
	bool		good;
	int			i;

	if (a->changed.count == 0)
		return true;
	names_append_json(&a->changed, &names);
	good = names.failed ? failure_memory(&a->store->failure) :
		sql_run(a->store, "UPDATE tide_state SET change_seq = change_seq + 1;"
				"UPDATE tide_types SET changed_seq = (SELECT change_seq FROM tide_state)"
				" WHERE table_name IN (SELECT value FROM json_each(%Q))", names.data);
	buffer_free(&names);
	for (i = 0; good && i < a->changed.count; i++)
		good = names_add(a->store, &a->store->changed, a->changed.names[i]);
	return good;
}

bool
applying_end(Applying *a, bool good)
{
	Store	   *store = a->store;

	good = good && tell_changes(a) && emptied_end(store) &&
		sql_run(store, "UPDATE tide_state SET applying = 0");
	good = sql_end_unenforced(store, good, a->foreign_keys);
	names_free(&a->changed);
	return good;
}

bool
applying_note(Applying *a, EntityType *type)
{
	a->rows++;
	return names_add(a->store, &a->changed, type->table);
}

/* Keep what the app's own rules refused; later pulls try it again. */
static bool
keep_refused(Applying *a, EntityType *type, const Json *json, const JsonNode *row,
			 bool deleted, const char *message)
{
	Buffer		text = {0};
	char	   *key = row_key_text(type, json, row);
	bool		good;

	json_raw(json, row, &text);
	if (key == NULL || text.failed)
		good = failure_memory(&a->store->failure);
	else
		good = sql_run(a->store, "INSERT INTO tide_refused VALUES (%Q, %Q, %d, %Q, %Q)"
					   " ON CONFLICT DO UPDATE SET deleted = excluded.deleted,"
					   " row = excluded.row, message = excluded.message",
					   type->name, key, deleted, text.data, message);
	a->refused++;
	sqlite3_free(key);
	buffer_free(&text);
	return good;
}

/* An older version that was refused must not come back over this one. */
static bool
forget_refused(Applying *a, EntityType *type, const Json *json, const JsonNode *row)
{
	char	   *key = row_key_text(type, json, row);
	bool		good = key ? sql_run(a->store, "DELETE FROM tide_refused WHERE"
									 " entity_type = %Q AND key = %Q", type->name, key) :
		failure_memory(&a->store->failure);

	sqlite3_free(key);
	return good;
}

static bool
settle(Applying *a, EntityType *type, const Json *json, const JsonNode *row,
	   bool deleted, RowResult result, char *message)
{
	bool		good = true;

	if (result == ROW_ERROR)
		good = false;
	else if (result == ROW_REFUSED)
		good = keep_refused(a, type, json, row, deleted, message);
	else if (result == ROW_CHANGED)
		good = applying_note(a, type);
	if (good && a->refused > 0 && result != ROW_REFUSED)
		good = forget_refused(a, type, json, row);
	sqlite3_free(message);
	return good;
}

bool
applying_store(Applying *a, EntityType *type, const Json *json, const JsonNode *row)
{
	char	   *message;
	RowResult	result;

	if (type->dirty_count > 0 &&
		!row_run(a->store, type, STATEMENT_DROP_BASE, json, row))
		return false;
	result = row_store(a->store, type, json, row, a->now, &message);
	return settle(a, type, json, row, false, result, message);
}

bool
applying_remove(Applying *a, EntityType *type, const Json *json, const JsonNode *row)
{
	char	   *message;
	RowResult	result;

	if (type->dirty_count > 0 &&
		!row_run(a->store, type, STATEMENT_DROP_BASE, json, row))
		return false;
	result = row_remove(a->store, type, json, row, &message);
	return settle(a, type, json, row, true, result, message);
}

/* The keys of the rows for which a condition on t holds, a JSON array. */
static bool
keys_of(Store *store, EntityType *type, const char *condition, Buffer *keys)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	int			rc = -1;

	buffer_text(&sql, "SELECT ");
	key_append(&sql, type, "t.", KEY_NAMED);
	buffer_text(&sql, " FROM ");
	buffer_identifier(&sql, type->table);
	buffer_text(&sql, " AS t WHERE ");
	buffer_text(&sql, condition);
	stmt = sql_prepare_buffer(store, &sql);
	buffer_char(keys, '[');
	while (stmt && (rc = sql_step(store, stmt)) == SQLITE_ROW)
	{
		buffer_text(keys, keys->length > 1 ? "," : "");
		(void) row_append_key(type, stmt, keys);
	}
	sqlite3_finalize(stmt);
	buffer_char(keys, ']');
	return rc != -1 && (!keys->failed || failure_memory(&store->failure));
}

/* Row by row: a rule of the app's keeps at least one of them. */
static bool
drop_each(Applying *a, EntityType *type, const char *condition)
{
	Buffer		keys = {0};
	Json		json = {0};
	const JsonNode *key;
	bool		good = keys_of(a->store, type, condition, &keys) &&
		(json_parse(&json, keys.data, keys.length) || failure_memory(&a->store->failure));

	for (key = good ? json_first(&json, json.nodes) : NULL; good && key;
		 key = json_next(&json, json.nodes, key))
		good = applying_remove(a, type, &json, key);
	json_free(&json);
	buffer_free(&keys);
	return good;
}

/*
 * A version that was kept for a row that was not edited after all (INSERT OR
 * IGNORE keeps one) must not stay behind: it would be taken for that of a row
 * which is made anew under the key.
 */
static bool
drop_bases(Applying *a, EntityType *type)
{
	Buffer		sql = {0};

	if (type->dirty_count == 0)
		return true;
	buffer_text(&sql, "DELETE FROM ");
	buffer_identifier(&sql, type->base_table);
	buffer_text(&sql, " AS b WHERE NOT ");
	key_append_exists(&sql, type, type->dirty_table, "d", "b.", KEY_NAMED);
	buffer_text(&sql, " AND NOT ");
	key_append_exists(&sql, type, type->table, "t", "b.", KEY_NAMED);
	return sql_run_buffer(a->store, &sql);
}

bool
applying_drop(Applying *a, EntityType *type, Buffer *condition)
{
	Buffer		sql = {0};
	bool		good;
	int			rc;

	buffer_text(&sql, "DELETE FROM ");
	buffer_identifier(&sql, type->table);
	buffer_text(&sql, " AS t WHERE ");
	buffer_text(&sql, condition->failed ? "0" : condition->data);
	if (sql.failed || condition->failed)
		good = failure_memory(&a->store->failure);
	else if ((rc = sqlite3_exec(a->store->db, sql.data, NULL, NULL, NULL)) == SQLITE_OK)
		good = sqlite3_changes(a->store->db) == 0 || applying_note(a, type);
	else if ((rc & 0xff) == SQLITE_CONSTRAINT && !sqlite3_get_autocommit(a->store->db))
		good = drop_each(a, type, condition->data);
	else
		good = sql_failed(a->store);
	buffer_free(&sql);
	buffer_free(condition);
	return good && drop_bases(a, type);
}

bool
applying_lost(Applying *a, const EntityType *type, const char *key, const char *mine,
			  const char *theirs)
{
	a->lost++;
	return sql_run(a->store, "INSERT INTO tide_lost_rows (entity_type, key, mine, theirs, at)"
				   " VALUES (%Q, %Q, %Q, %Q, %Q)", type->name, key, mine, theirs, a->now);
}

bool
applying_lost_to(Applying *a, const EntityType *type, const Json *json, const JsonNode *row,
				 Buffer *mine)
{
	char	   *key = row_key_text(type, json, row);
	Buffer		theirs = {0};
	bool		good;

	json_raw(json, row, &theirs);
	good = key && !mine->failed && !theirs.failed ?
		applying_lost(a, type, key, mine->data, theirs.data) : failure_memory(&a->store->failure);
	sqlite3_free(key);
	buffer_free(&theirs);
	buffer_free(mine);
	return good;
}

bool
applying_note_deletion(Applying *a, const Json *json, const JsonNode *row)
{
	int64_t		at,
				seq;

	/* a time of no use stays one */
	if (!json_time(json, json_member(json, row, "deletedAt"), &at) || at / 1000 < a->at ||
		at / 1000 - a->at > MOST_AHEAD_MS ||
		at / 1000 <= setting_number(a->store, "latest_deletion"))
		return a->store->failure.result == TIDE_OK;
	return sql_number(a->store, &seq, "SELECT seq FROM tide_state") &&
		setting_set_number(a->store, "latest_deletion", at / 1000) &&
		setting_set_number(a->store, "latest_deletion_seq", seq);
}
