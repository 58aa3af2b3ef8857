/*
 * digest.c
 *	  What the file holds, as the server sums up what it has.
 */
#include <string.h>

#include <openssl/evp.h>

#include "store/columns.h"
#include "store/keys.h"
#include "store/digest.h"
#include "store/rows.h"
#include "store/sql.h"

/* between the parts of what is hashed; NULL is a byte of its own */
#define SEPARATOR '\x1f'

/* key, stamp and clientId of a row, of an alias or of a table with its dot */
static void
append_parts(Buffer *sql, const EntityType *type, const char *row, bool of_table)
{
	int			columns[2] = {type->modified_at, type->client_id};
	int			i;

	for (i = 0; i < type->nkeys; i++)
	{
		buffer_text(sql, i > 0 ? ", " : "");
		buffer_text(sql, row);
		buffer_identifier(sql, type->columns[type->keys[i]].local);
	}
	for (i = 0; i < 2; i++)
	{
		buffer_text(sql, ", ");
		if (columns[i] < 0)
			buffer_text(sql, "NULL");
		else if (of_table)
			column_append_wire(sql, type, columns[i], row);
		else
		{
			buffer_text(sql, row);
			buffer_identifier(sql, type->columns[columns[i]].local);
		}
	}
}

/*
 * Rows of the table that are as the server showed them, then those that are kept
 * as it did; what it has shown since of a row that is dirty is JSON.
 */
static sqlite3_stmt *
prepare_rows(Store *store, const EntityType *type)
{
	Buffer		sql = {0};

	buffer_text(&sql, "SELECT ");
	append_parts(&sql, type, "t.", true);
	buffer_text(&sql, " FROM ");
	buffer_identifier(&sql, type->table);
	buffer_text(&sql, " AS t WHERE NOT ");
	key_append_exists(&sql, type, type->dirty_table, "d", "t.", KEY_NAMED);
	buffer_text(&sql, " AND NOT ");
	key_append_exists(&sql, type, type->base_table, "d", "t.", KEY_NAMED);
	buffer_text(&sql, " UNION ALL SELECT ");
	append_parts(&sql, type, "t.", false);
	buffer_text(&sql, " FROM ");
	buffer_identifier(&sql, type->base_table);
	buffer_text(&sql, " AS t WHERE NOT EXISTS (SELECT 1 FROM ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_text(&sql, " AS d WHERE ");
	key_append_same(&sql, type, "d.", KEY_NUMBERED, "t.", KEY_NAMED);
	buffer_text(&sql, " AND (d.theirs IS NOT NULL OR d.theirs_deleted))");
	return sql_prepare_buffer(store, &sql);
}

/* The parts as JSON, so that they are the texts that the wire has. */
static void
append_row(const EntityType *type, sqlite3_stmt * stmt, Buffer *out)
{
	int			columns[2] = {type->modified_at, type->client_id};
	int			i;

	row_append_key(type, stmt, out);
	out->length--;				/* the closing brace */
	for (i = 0; i < 2; i++)
	{
		const char *wire;

		if (columns[i] < 0)
			continue;
		wire = type->columns[columns[i]].wire;
		buffer_char(out, ',');
		json_string(out, wire, strlen(wire));
		buffer_char(out, ':');
		if (!value_append(out, type->columns[columns[i]].kind,
						  sqlite3_column_value(stmt, type->nkeys + i)))
			buffer_text(out, "null");
	}
	buffer_char(out, '}');
}

static void
append_text(Buffer *out, const Json *json, const JsonNode *node)
{
	if (node == NULL || node->kind == JSON_NULL)
		buffer_char(out, '\0');
	else if (node->kind == JSON_STRING)
		json_decode(json, node, out);
	else
		json_raw(json, node, out);
}

static void
append_key(Buffer *out, const EntityType *type, const Json *json)
{
	int			k;

	for (k = 0; k < type->nkeys; k++)
	{
		if (k > 0)
			buffer_char(out, SEPARATOR);
		append_text(out, json, json_member(json, json->nodes,
										   type->columns[type->keys[k]].wire));
	}
}

static bool
hash(const Buffer *text, unsigned char digest[32])
{
	return !text->failed &&
		EVP_Digest(text->data ? text->data : "", text->length, digest, NULL,
				   EVP_sha256(), NULL) == 1;
}

static bool
take_row(Store *store, EntityType *type, const char *text, size_t length, DigestRow take,
		 void *arg)
{
	unsigned char digest[32];
	Buffer		key = {0};
	Json		json;
	bool		good = json_parse(&json, text, length);

	if (good)
		append_key(&key, type, &json);
	good = good && hash(&key, digest);
	if (!good)
		failure_memory(&store->failure);
	good = good && take(arg, digest[0], &json);
	buffer_free(&key);
	json_free(&json);
	return good;
}

/* What the server has shown since the edit. */
static bool
each_of_theirs(Store *store, EntityType *type, DigestRow take, void *arg)
{
	char	   *sql = sqlite3_mprintf("SELECT theirs FROM \"%w\" WHERE theirs IS NOT NULL",
									  type->dirty_table);
	sqlite3_stmt *stmt = sql ? sql_prepare(store, sql) : NULL;
	bool		good = stmt != NULL || (sql == NULL && failure_memory(&store->failure));
	int			rc = SQLITE_DONE;

	sqlite3_free(sql);
	while (good && (rc = sql_step(store, stmt)) == SQLITE_ROW)
	{
		const char *text = (const char *) sqlite3_column_text(stmt, 0);

		good = text ? take_row(store, type, text, strlen(text), take, arg) :
			failure_memory(&store->failure);
	}
	sqlite3_finalize(stmt);
	return good && rc != -1;
}

bool
digest_rows(Store *store, EntityType *type, DigestRow take, void *arg)
{
	sqlite3_stmt *stmt = prepare_rows(store, type);
	Buffer		row = {0};
	bool		good = stmt != NULL;
	int			rc = SQLITE_DONE;

	while (good && (rc = sql_step(store, stmt)) == SQLITE_ROW)
	{
		buffer_reset(&row);
		append_row(type, stmt, &row);
		good = row.failed ? failure_memory(&store->failure) :
			take_row(store, type, row.data, row.length, take, arg);
	}
	sqlite3_finalize(stmt);
	buffer_free(&row);
	return good && rc != -1 && each_of_theirs(store, type, take, arg);
}

/* what adding a row needs */
typedef struct Adding
{
	Store	   *store;
	EntityType *type;
	Digest	   *digest;
	Buffer		text;
} Adding;

static bool
add_row(void *arg, int bucket, const Json *json)
{
	Adding	   *a = arg;
	const EntityType *type = a->type;
	unsigned char digest[32];
	uint64_t	value = 0;
	int			i;

	buffer_reset(&a->text);
	append_key(&a->text, type, json);
	buffer_char(&a->text, SEPARATOR);
	append_text(&a->text, json, type->modified_at < 0 ? NULL :
				json_member(json, json->nodes, type->columns[type->modified_at].wire));
	buffer_char(&a->text, SEPARATOR);
	append_text(&a->text, json, type->client_id < 0 ? NULL :
				json_member(json, json->nodes, type->columns[type->client_id].wire));
	if (!hash(&a->text, digest))
		return failure_memory(&a->store->failure);
	for (i = 0; i < 8; i++)
		value = value << 8 | digest[i];
	a->digest->counts[bucket]++;
	a->digest->sums[bucket] += value;
	return true;
}

bool
digest_make(Store *store, EntityType *type, Digest *digest)
{
	Adding		adding = {.store = store, .type = type, .digest = digest};
	bool		good;

	memset(digest, 0, sizeof(*digest));
	good = digest_rows(store, type, add_row, &adding);
	buffer_free(&adding.text);
	return good;
}
