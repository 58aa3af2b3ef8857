/*
 * rows.c
 *	  One row at a time: into the device's table, out of it, and its key.
 */
#include <string.h>

#include "store/columns.h"
#include "store/keys.h"
#include "store/rows.h"
#include "store/sql.h"

/* A key's value of a column: of a row, or of the key alone, which may be that value. */
static const JsonNode *
key_value(const Json *json, const JsonNode *row, const Column *c)
{
	return row && row->kind == JSON_OBJECT ? json_member(json, row, c->wire) : row;
}

bool
row_bind_key(Store *store, const EntityType *type, sqlite3_stmt * stmt, int first,
			 const Json *json, const JsonNode *row)
{
	int			k;

	for (k = 0; k < type->nkeys; k++)
	{
		const Column *c = &type->columns[type->keys[k]];

		if (!value_bind(stmt, first + k, c->kind, json, key_value(json, row, c)))
			return failure_memory(&store->failure);
	}
	return true;
}

bool
row_members(const EntityType *type, const Json *json, const JsonNode *row,
			const JsonNode **members)
{
	const JsonNode *name;
	bool		known = true;
	int			next = 0;
	int			i;

	for (i = 0; i < type->ncolumns; i++)
		members[i] = NULL;
	for (name = json_first_name(json, row); name; name = json_next_name(json, row, name))
	{
		/* rows have their columns in the schema's order, nearly always */
		for (i = 0; i < type->ncolumns; i++)
		{
			if (json_is(json, name, type->columns[(next + i) % type->ncolumns].wire))
				break;
		}
		if (i == type->ncolumns)
		{
			known = false;
			continue;
		}
		i = (next + i) % type->ncolumns;
		members[i] = name + 1;
		next = i + 1;
	}
	return known;
}

/* After a statement that failed: was it the row, or the database? */
static RowResult
refused(Store *store, char **message)
{
	int			code = sqlite3_errcode(store->db) & 0xff;

	if (code != SQLITE_CONSTRAINT && code != SQLITE_MISMATCH &&
		code != SQLITE_ERROR && code != SQLITE_TOOBIG)
	{
		sql_failed(store);
		return ROW_ERROR;
	}
	if (sqlite3_get_autocommit(store->db))
	{
		failure_set(&store->failure, TIDE_LOCAL, "rolled_back",
					"a trigger of the app rolled the transaction back: %s",
					sqlite3_errmsg(store->db));
		return ROW_ERROR;
	}
	*message = text_copy(sqlite3_errmsg(store->db));
	if (*message == NULL)
	{
		failure_memory(&store->failure);
		return ROW_ERROR;
	}
	return ROW_REFUSED;
}

/* Bind the columns that are there, each at its number. */
static bool
bind_members(Store *store, const EntityType *type, sqlite3_stmt * stmt, const Json *json,
			 const JsonNode **members)
{
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		if (row_is_written(type, i, members) &&
			!column_bind(stmt, i + 1, &type->columns[i], json, members[i]))
			return failure_memory(&store->failure);
	}
	return true;
}

/* Is the row there, with just these values? */
static RowResult
look_again(Store *store, EntityType *type, const Json *json, const JsonNode **members,
		   char **message)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	int			i,
				rc;

	buffer_text(&sql, "SELECT 1 FROM ");
	buffer_identifier(&sql, type->table);
	buffer_text(&sql, " WHERE 1");
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!row_is_written(type, i, members))
			continue;
		buffer_text(&sql, " AND ");
		buffer_identifier(&sql, type->columns[i].local);
		buffer_format(&sql, " IS ?%d", i + 1);
	}
	stmt = sql_prepare_buffer(store, &sql);
	if (stmt == NULL)
		return ROW_ERROR;
	rc = bind_members(store, type, stmt, json, members) ? sql_step(store, stmt) : -1;
	sqlite3_finalize(stmt);
	if (rc == SQLITE_ROW)
		return ROW_UNCHANGED;
	if (rc == -1)
		return ROW_ERROR;
	*message = text_copy("a trigger of the app ignored the row");
	if (*message == NULL)
	{
		failure_memory(&store->failure);
		return ROW_ERROR;
	}
	return ROW_REFUSED;
}

static RowResult
run_upsert(Store *store, EntityType *type, sqlite3_stmt * stmt, const Json *json,
		   const JsonNode **members, const char *synced_at, char **message)
{
	if (!bind_members(store, type, stmt, json, members))
		return ROW_ERROR;
	if (type->synced_at &&
		!column_bind_time(stmt, type->ncolumns + 1, type->form, synced_at))
	{
		failure_memory(&store->failure);
		return ROW_ERROR;
	}
	if (sqlite3_step(stmt) != SQLITE_DONE)
	{
		RowResult	result = refused(store, message);

		sqlite3_reset(stmt);
		return result;
	}
	sqlite3_reset(stmt);
	if (sqlite3_changes(store->db) > 0)
		return ROW_CHANGED;
	return look_again(store, type, json, members, message);
}

/* What the table could not hold, exactly as it came. */
static bool
keep_beside(Store *store, EntityType *type, const Json *json, const JsonNode **members)
{
	sqlite3_stmt *stmt = row_statement(store, type, STATEMENT_KEEP);
	int			i;

	if (stmt == NULL)
		return false;
	for (i = 0; i < type->ncolumns; i++)
	{
		if ((column_is_kept(&type->columns[i]) || type->columns[i].is_key) &&
			!value_bind(stmt, i + 1, type->columns[i].kind, json, members[i]))
			return failure_memory(&store->failure);
	}
	return sql_execute(store, stmt);
}

static bool
all_there(const EntityType *type, const JsonNode **members)
{
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		if (members[i] == NULL)
			return false;
	}
	return true;
}

RowResult
row_store(Store *store, EntityType *type, const Json *json, const JsonNode *row,
		  const char *synced_at, char **message)
{
	const JsonNode **members = sqlite3_malloc64(sizeof(JsonNode *) * (size_t) type->ncolumns);
	sqlite3_stmt *stmt;
	Buffer		sql = {0};
	RowResult	result = ROW_ERROR;

	*message = NULL;
	if (members == NULL)
	{
		failure_memory(&store->failure);
		return ROW_ERROR;
	}
	row_members(type, json, row, members);
	if (all_there(type, members))
	{
		stmt = row_statement(store, type, STATEMENT_UPSERT);
		if (stmt)
			result = run_upsert(store, type, stmt, json, members, synced_at, message);
	}
	else
	{
		row_append_upsert(&sql, type, members);
		stmt = sql_prepare_buffer(store, &sql);
		if (stmt)
			result = run_upsert(store, type, stmt, json, members, synced_at, message);
		sqlite3_finalize(stmt);
	}
	if (type->row_table && (result == ROW_CHANGED || result == ROW_UNCHANGED) &&
		!keep_beside(store, type, json, members))
		result = ROW_ERROR;
	sqlite3_free(members);
	return result;
}

RowResult
row_remove(Store *store, EntityType *type, const Json *json, const JsonNode *row,
		   char **message)
{
	sqlite3_stmt *stmt = row_statement(store, type, STATEMENT_DELETE);
	bool		changed;

	*message = NULL;
	if (stmt == NULL || !row_bind_key(store, type, stmt, 1, json, row))
		return ROW_ERROR;
	if (sqlite3_step(stmt) != SQLITE_DONE)
	{
		RowResult	result = refused(store, message);

		sqlite3_reset(stmt);
		return result;
	}
	sqlite3_reset(stmt);
	changed = sqlite3_changes(store->db) > 0;
	if (type->row_table && !row_run(store, type, STATEMENT_FORGET, json, row))
		return ROW_ERROR;
	return changed ? ROW_CHANGED : ROW_UNCHANGED;
}

bool
row_forget_orphans(Store *store, EntityType *type)
{
	Buffer		sql = {0};

	if (type->row_table == NULL)
		return true;
	buffer_text(&sql, "DELETE FROM ");
	buffer_identifier(&sql, type->row_table);
	buffer_text(&sql, " AS s WHERE NOT ");
	key_append_exists(&sql, type, type->table, "t", "s.", KEY_NUMBERED);
	buffer_text(&sql, " AND NOT ");
	key_append_exists(&sql, type, type->dirty_table, "t", "s.", KEY_NUMBERED);
	return sql_run_buffer(store, &sql);
}

bool
row_save_base(Store *store, EntityType *type, const Json *json, const JsonNode *key,
			  const JsonNode *row)
{
	sqlite3_stmt *stmt = row_statement(store, type, STATEMENT_SAVE_BASE);
	int			i;

	if (stmt == NULL)
		return false;
	for (i = 0; i < type->ncolumns; i++)
	{
		const Column *c = &type->columns[i];

		if (!value_bind(stmt, i + 1, c->kind, json,
						c->is_key ? key_value(json, key, c) : json_member(json, row, c->wire)))
			return failure_memory(&store->failure);
	}
	return sql_execute(store, stmt);
}

bool
row_keep_theirs(Store *store, EntityType *type, const Json *json, const JsonNode *key,
				const JsonNode *row, bool deleted)
{
	sqlite3_stmt *stmt = row_statement(store, type, STATEMENT_THEIRS);
	Buffer		text = {0};
	bool		good;

	if (stmt == NULL)
		return false;
	if (row)
		json_raw(json, row, &text);
	good = (!text.failed && sql_bind_text(stmt, 1, text.data) &&
			sqlite3_bind_int(stmt, 2, deleted) == SQLITE_OK) || failure_memory(&store->failure);
	good = good && row_bind_key(store, type, stmt, 3, json, key) && sql_execute(store, stmt);
	buffer_free(&text);
	return good;
}

bool
row_is_base(Store *store, EntityType *type, const Json *json, const JsonNode *row, bool *is)
{
	sqlite3_stmt *stmt;
	const char *stamp;
	char	   *incoming;

	*is = false;
	if (type->modified_at < 0)
		return true;
	if (!row_read(store, type, STATEMENT_READ_BASE, json, row, &stmt))
		return false;
	if (stmt == NULL)
		return true;
	stamp = (const char *) sqlite3_column_text(stmt, type->modified_at);
	incoming = json_text(json, json_member(json, row, type->columns[type->modified_at].wire));
	*is = stamp && incoming ? strcmp(stamp, incoming) == 0 :
		stamp == NULL && incoming == NULL;
	sqlite3_free(incoming);
	sqlite3_reset(stmt);
	return true;
}

bool
row_run(Store *store, EntityType *type, StatementName name, const Json *json,
		const JsonNode *row)
{
	sqlite3_stmt *stmt = row_statement(store, type, name);

	return stmt && row_bind_key(store, type, stmt, 1, json, row) &&
		sql_execute(store, stmt);
}

bool
row_read(Store *store, EntityType *type, StatementName name, const Json *json,
		 const JsonNode *row, sqlite3_stmt * *stmt)
{
	sqlite3_stmt *found = row_statement(store, type, name);
	int			rc = found && row_bind_key(store, type, found, 1, json, row) ?
		sql_step(store, found) : -1;

	*stmt = rc == SQLITE_ROW ? found : NULL;
	return rc != -1;
}

bool
row_dirty(Store *store, EntityType *type, const Json *json, const JsonNode *row,
		  Dirty *dirty)
{
	sqlite3_stmt *stmt;

	memset(dirty, 0, sizeof(*dirty));
	if (!row_read(store, type, STATEMENT_DIRTY, json, row, &stmt))
		return false;
	if (stmt)
	{
		const char *operation = (const char *) sqlite3_column_text(stmt, 0);

		dirty->found = true;
		dirty->is_delete = operation && strcmp(operation, "delete") == 0;
		dirty->batch = sqlite3_column_int64(stmt, 1);
		dirty->edited = sqlite3_column_int(stmt, 2) != 0;
		dirty->tries = sqlite3_column_int64(stmt, 3);
		dirty->edited_at = sqlite3_column_int64(stmt, 4);
		sqlite3_reset(stmt);
	}
	return true;
}

bool
row_append_json(const EntityType *type, sqlite3_stmt * stmt, Buffer *out)
{
	bool		good = true;
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		const Column *c = &type->columns[i];

		buffer_char(out, i > 0 ? ',' : '{');
		json_string(out, c->wire, strlen(c->wire));
		buffer_char(out, ':');
		if (!value_append(out, c->kind, sqlite3_column_value(stmt, i)))
		{
			buffer_text(out, "null");
			good = false;
		}
	}
	buffer_char(out, '}');
	return good;
}

bool
row_read_json(Store *store, EntityType *type, StatementName name, const Json *json,
			  const JsonNode *row, char **text)
{
	sqlite3_stmt *stmt;
	Buffer		out = {0};

	*text = NULL;
	if (!row_read(store, type, name, json, row, &stmt))
		return false;
	if (stmt == NULL)
		return true;
	row_append_json(type, stmt, &out);
	sqlite3_reset(stmt);
	if (out.failed)
	{
		buffer_free(&out);
		return failure_memory(&store->failure);
	}
	*text = out.data;
	return true;
}

char *
row_key_text(const EntityType *type, const Json *json, const JsonNode *row)
{
	Buffer		out = {0};
	int			k;

	if (type->nkeys == 1)
	{
		const Column *c = &type->columns[type->keys[0]];

		return json_text(json, row->kind == JSON_OBJECT ?
						 json_member(json, row, c->wire) : row);
	}
	for (k = 0; k < type->nkeys; k++)
	{
		const char *name = type->columns[type->keys[k]].wire;
		const JsonNode *value = json_member(json, row, name);

		buffer_char(&out, k > 0 ? ',' : '{');
		json_string(&out, name, strlen(name));
		buffer_char(&out, ':');
		if (value)
			json_raw(json, value, &out);
		else
			buffer_text(&out, "null");
	}
	buffer_char(&out, '}');
	if (out.failed)
		buffer_free(&out);
	return out.data;
}

bool
row_key_json(const EntityType *type, const char *text, Buffer *out)
{
	if (type->nkeys == 1)
		json_string(out, text, strlen(text));
	else
		buffer_text(out, text);
	return !out->failed;
}

/* In the form that the server shows, by which it is compared: 1.50, not 1.5. */
static bool
append_key_value(const Column *c, sqlite3_value * value, Buffer *out)
{
	if (c->scale < 0 || sqlite3_value_type(value) != SQLITE_FLOAT)
		return value_append(out, c->kind, value);
	value_append_fixed(out, sqlite3_value_double(value), c->scale);
	return true;
}

bool
row_append_key(const EntityType *type, sqlite3_stmt * stmt, Buffer *out)
{
	bool		good = true;
	int			k;

	for (k = 0; k < type->nkeys; k++)
	{
		const Column *c = &type->columns[type->keys[k]];

		buffer_char(out, k > 0 ? ',' : '{');
		json_string(out, c->wire, strlen(c->wire));
		buffer_char(out, ':');
		if (!append_key_value(c, sqlite3_column_value(stmt, k), out))
		{
			buffer_text(out, "null");
			good = false;
		}
	}
	buffer_char(out, '}');
	return good;
}
