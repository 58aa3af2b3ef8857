/*
 * rows.c
 *	  One row at a time: into the device's table, out of it, and its key.
 */
#include <string.h>

#include "store/columns.h"
#include "store/rows.h"
#include "store/sql.h"

static void
append_names(Buffer *sql, const EntityType *type)
{
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		buffer_text(sql, i > 0 ? ", " : "");
		buffer_identifier(sql, type->columns[i].local);
	}
}

static void
append_keys(Buffer *sql, const EntityType *type)
{
	int			k;

	for (k = 0; k < type->nkeys; k++)
	{
		buffer_text(sql, k > 0 ? ", " : "");
		buffer_identifier(sql, type->columns[type->keys[k]].local);
	}
}

/* "id" = ?1 AND ..., or key1 = ?1 AND ... */
static void
append_key_match(Buffer *sql, const EntityType *type, bool of_dirty, int first)
{
	int			k;

	for (k = 0; k < type->nkeys; k++)
	{
		buffer_text(sql, k > 0 ? " AND " : "");
		if (of_dirty)
			buffer_format(sql, "key%d", k + 1);
		else
			buffer_identifier(sql, type->columns[type->keys[k]].local);
		buffer_format(sql, " = ?%d", first + k);
	}
}

/* Is it a column of the table's own, and among those that are there? */
static bool
is_written(const EntityType *type, int column, const JsonNode **members)
{
	return !type->columns[column].beside && (members == NULL || members[column] != NULL);
}

static void
append_status_name(Buffer *sql, const char *column)
{
	if (column == NULL)
		return;
	buffer_text(sql, ", ");
	buffer_identifier(sql, column);
}

static void
append_status_taken(Buffer *sql, const char *column)
{
	if (column == NULL)
		return;
	append_status_name(sql, column);
	buffer_text(sql, " = excluded.");
	buffer_identifier(sql, column);
}

/*
 * An upsert of the columns that are there (NULL: all).  Never REPLACE, which
 * gives the row another rowid; and no write at all where nothing differs.
 */
static void
append_upsert(Buffer *sql, const EntityType *type, const JsonNode **members)
{
	bool		first = true;
	int			i;

	buffer_text(sql, "INSERT INTO ");
	buffer_identifier(sql, type->table);
	buffer_text(sql, " (");
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!is_written(type, i, members))
			continue;
		buffer_text(sql, first ? "" : ", ");
		buffer_identifier(sql, type->columns[i].local);
		first = false;
	}
	append_status_name(sql, type->synced_at);
	append_status_name(sql, type->is_dirty);
	buffer_text(sql, ") VALUES (");
	first = true;
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!is_written(type, i, members))
			continue;
		buffer_format(sql, "%s?%d", first ? "" : ", ", i + 1);
		first = false;
	}
	if (type->synced_at)
		buffer_format(sql, ", ?%d", type->ncolumns + 1);
	if (type->is_dirty)
		buffer_text(sql, ", 0");
	buffer_text(sql, ") ON CONFLICT (");
	append_keys(sql, type);
	buffer_text(sql, ") DO UPDATE SET ");
	first = true;
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!is_written(type, i, members))
			continue;
		buffer_text(sql, first ? "" : ", ");
		buffer_identifier(sql, type->columns[i].local);
		buffer_text(sql, " = excluded.");
		buffer_identifier(sql, type->columns[i].local);
		first = false;
	}
	append_status_taken(sql, type->synced_at);
	append_status_taken(sql, type->is_dirty);
	if (type->is_dirty || type->synced_at)
		return;
	buffer_text(sql, " WHERE 0");
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!is_written(type, i, members))
			continue;
		buffer_text(sql, " OR excluded.");
		buffer_identifier(sql, type->columns[i].local);
		buffer_text(sql, " COLLATE BINARY IS NOT ");
		buffer_identifier(sql, type->table);
		buffer_char(sql, '.');
		buffer_identifier(sql, type->columns[i].local);
	}
}

static void
append_save_base(Buffer *sql, const EntityType *type)
{
	int			i;

	buffer_text(sql, "INSERT INTO ");
	buffer_identifier(sql, type->base_table);
	buffer_text(sql, " (");
	append_names(sql, type);
	buffer_text(sql, ") VALUES (");
	for (i = 0; i < type->ncolumns; i++)
		buffer_format(sql, "%s?%d", i > 0 ? ", " : "", i + 1);
	buffer_text(sql, ") ON CONFLICT DO UPDATE SET ");
	for (i = 0; i < type->ncolumns; i++)
	{
		buffer_text(sql, i > 0 ? ", " : "");
		buffer_identifier(sql, type->columns[i].local);
		buffer_text(sql, " = excluded.");
		buffer_identifier(sql, type->columns[i].local);
	}
}

static void
append_read(Buffer *sql, const EntityType *type, const char *table, const char *extra)
{
	buffer_text(sql, "SELECT ");
	append_names(sql, type);
	buffer_text(sql, extra);
	buffer_text(sql, " FROM ");
	buffer_identifier(sql, table);
	buffer_text(sql, " WHERE ");
	append_key_match(sql, type, false, 1);
}

/* The table's row as the wire would show it. */
static void
append_read_row(Buffer *sql, const EntityType *type)
{
	int			i;

	buffer_text(sql, "SELECT ");
	for (i = 0; i < type->ncolumns; i++)
	{
		buffer_text(sql, i > 0 ? ", " : "");
		column_append_wire(sql, type, i, "t.");
	}
	buffer_text(sql, " FROM ");
	buffer_identifier(sql, type->table);
	buffer_text(sql, " AS t WHERE ");
	append_key_match(sql, type, false, 1);
}

/* "c" or "c held", of the columns of which something is kept beside the row */
static void
append_kept_names(Buffer *sql, const EntityType *type, const char *before, const char *after)
{
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		const Column *c = &type->columns[i];
		Buffer		held = {0};

		if (!column_is_kept(c))
			continue;
		buffer_text(sql, ", ");
		buffer_text(sql, before);
		buffer_identifier(sql, c->local);
		if (*after)
		{
			buffer_text(sql, after);
			buffer_identifier(sql, c->local);
		}
		if (!c->coarse)
			continue;
		buffer_format(&held, "%s held", c->local);
		buffer_text(sql, ", ");
		buffer_text(sql, before);
		buffer_identifier(sql, held.data ? held.data : "");
		if (*after)
		{
			buffer_text(sql, after);
			buffer_identifier(sql, held.data ? held.data : "");
		}
		sql->failed = sql->failed || held.failed;
		buffer_free(&held);
	}
}

/*
 * Keep what the table could not hold, with the value that it holds instead:
 * it is read back, for the column's type may have changed it once more.
 */
static void
append_keep(Buffer *sql, const EntityType *type)
{
	int			i,
				k;

	buffer_text(sql, "INSERT INTO ");
	buffer_identifier(sql, type->row_table);
	buffer_text(sql, " (");
	for (k = 0; k < type->nkeys; k++)
		buffer_format(sql, "%skey%d", k > 0 ? ", " : "", k + 1);
	append_kept_names(sql, type, "", "");
	buffer_text(sql, ") SELECT ");
	append_keys(sql, type);
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!column_is_kept(&type->columns[i]))
			continue;
		buffer_format(sql, ", ?%d", i + 1);
		if (!type->columns[i].coarse)
			continue;
		buffer_text(sql, ", ");
		buffer_identifier(sql, type->columns[i].local);
	}
	buffer_text(sql, " FROM ");
	buffer_identifier(sql, type->table);
	buffer_text(sql, " WHERE ");
	for (k = 0; k < type->nkeys; k++)
	{
		buffer_text(sql, k > 0 ? " AND " : "");
		buffer_identifier(sql, type->columns[type->keys[k]].local);
		buffer_format(sql, " = ?%d", type->keys[k] + 1);
	}
	buffer_text(sql, " ON CONFLICT DO UPDATE SET key1 = key1");
	append_kept_names(sql, type, "", " = excluded.");
}

static void
append_delete(Buffer *sql, const EntityType *type, const char *table)
{
	buffer_text(sql, "DELETE FROM ");
	buffer_identifier(sql, table);
	buffer_text(sql, " WHERE ");
	append_key_match(sql, type, table == type->dirty_table || table == type->row_table, 1);
}

/* keys that came in a pull that starts anew: temp.tide_came_<table> */
static void
append_came(Buffer *sql, const EntityType *type)
{
	Buffer		name = {0};
	int			k;

	buffer_format(&name, "tide_came_%s", type->table);
	if (name.failed)
		sql->failed = true;
	else
	{
		buffer_text(sql, "INSERT INTO temp.");
		buffer_identifier(sql, name.data);
		buffer_text(sql, " VALUES (");
		for (k = 0; k < type->nkeys; k++)
			buffer_format(sql, "%s?%d", k > 0 ? ", " : "", k + 1);
		buffer_text(sql, ") ON CONFLICT DO NOTHING");
	}
	buffer_free(&name);
}

static void
append_statement(Buffer *sql, const EntityType *type, StatementName name)
{
	switch (name)
	{
		case STATEMENT_UPSERT:
			append_upsert(sql, type, NULL);
			break;
		case STATEMENT_DELETE:
			append_delete(sql, type, type->table);
			break;
		case STATEMENT_READ:
			append_read_row(sql, type);
			break;
		case STATEMENT_KEEP:
			append_keep(sql, type);
			break;
		case STATEMENT_FORGET:
			append_delete(sql, type, type->row_table);
			break;
		case STATEMENT_READ_BASE:
			append_read(sql, type, type->base_table, "");
			break;
		case STATEMENT_READ_PARKED:
			append_read(sql, type, type->parked_table, ", tide_operation, tide_edited_at");
			break;
		case STATEMENT_SAVE_BASE:
			append_save_base(sql, type);
			break;
		case STATEMENT_DROP_BASE:
			append_delete(sql, type, type->base_table);
			break;
		case STATEMENT_DIRTY:
			buffer_text(sql, "SELECT operation, coalesce(batch, 0), seq IS NOT frozen_seq,"
						" tries, edited_at FROM ");
			buffer_identifier(sql, type->dirty_table);
			buffer_text(sql, " WHERE ");
			append_key_match(sql, type, true, 1);
			break;
		case STATEMENT_CLEAN:
			append_delete(sql, type, type->dirty_table);
			break;
		case STATEMENT_THEIRS:
			buffer_text(sql, "UPDATE ");
			buffer_identifier(sql, type->dirty_table);
			buffer_text(sql, " SET theirs = ?1, theirs_deleted = ?2 WHERE ");
			append_key_match(sql, type, true, 3);
			break;
		case STATEMENT_CAME:
			append_came(sql, type);
			break;
		case STATEMENT_COUNT:
			break;
	}
}

sqlite3_stmt *
row_statement(Store *store, EntityType *type, StatementName name)
{
	Buffer		sql = {0};

	if (type->statements[name] == NULL)
	{
		append_statement(&sql, type, name);
		type->statements[name] = sql_prepare_buffer(store, &sql);
	}
	else
		sqlite3_reset(type->statements[name]);
	return type->statements[name];
}

bool
row_bind_key(Store *store, const EntityType *type, sqlite3_stmt * stmt, int first,
			 const Json *json, const JsonNode *row)
{
	int			k;

	for (k = 0; k < type->nkeys; k++)
	{
		const Column *c = &type->columns[type->keys[k]];
		const JsonNode *value = row;

		if (row && row->kind == JSON_OBJECT)
			value = json_member(json, row, c->wire);
		if (!value_bind(stmt, first + k, c->kind, json, value))
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
	for (name = json_first(json, row); name; name = json_next_name(json, row, name))
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
		if (!is_written(type, i, members))
			continue;
		buffer_text(&sql, " AND ");
		buffer_identifier(&sql, type->columns[i].local);
		buffer_format(&sql, " IS ?%d", i + 1);
	}
	stmt = sql_prepare_buffer(store, &sql);
	if (stmt == NULL)
		return ROW_ERROR;
	for (i = 0; i < type->ncolumns; i++)
	{
		if (is_written(type, i, members) &&
			!column_bind(stmt, i + 1, &type->columns[i], json, members[i]))
			failure_memory(&store->failure);
	}
	rc = store->failure.result == TIDE_OK ? sql_step(store, stmt) : -1;
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
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		if (is_written(type, i, members) &&
			!column_bind(stmt, i + 1, &type->columns[i], json, members[i]))
		{
			failure_memory(&store->failure);
			return ROW_ERROR;
		}
	}
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
		append_upsert(&sql, type, members);
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

static void
append_not_in(Buffer *sql, const EntityType *type, const char *table)
{
	int			k;

	buffer_text(sql, "NOT EXISTS (SELECT 1 FROM ");
	buffer_identifier(sql, table);
	buffer_text(sql, " AS t WHERE ");
	for (k = 0; k < type->nkeys; k++)
	{
		buffer_text(sql, k > 0 ? " AND t." : "t.");
		if (table == type->dirty_table)
			buffer_format(sql, "key%d", k + 1);
		else
			buffer_identifier(sql, type->columns[type->keys[k]].local);
		buffer_format(sql, " = s.key%d", k + 1);
	}
	buffer_char(sql, ')');
}

bool
row_forget_orphans(Store *store, EntityType *type)
{
	Buffer		sql = {0};

	if (type->row_table == NULL)
		return true;
	buffer_text(&sql, "DELETE FROM ");
	buffer_identifier(&sql, type->row_table);
	buffer_text(&sql, " AS s WHERE ");
	append_not_in(&sql, type, type->table);
	buffer_text(&sql, " AND ");
	append_not_in(&sql, type, type->dirty_table);
	return sql_run_buffer(store, &sql);
}

bool
row_save_base(Store *store, EntityType *type, const Json *json, const JsonNode *row)
{
	sqlite3_stmt *stmt = row_statement(store, type, STATEMENT_SAVE_BASE);
	int			i;

	if (stmt == NULL)
		return false;
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!value_bind(stmt, i + 1, type->columns[i].kind, json,
						json_member(json, row, type->columns[i].wire)))
			return failure_memory(&store->failure);
	}
	return sql_execute(store, stmt);
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
row_dirty(Store *store, EntityType *type, const Json *json, const JsonNode *row,
		  Dirty *dirty)
{
	sqlite3_stmt *stmt = row_statement(store, type, STATEMENT_DIRTY);
	int			rc;

	memset(dirty, 0, sizeof(*dirty));
	if (stmt == NULL || !row_bind_key(store, type, stmt, 1, json, row))
		return false;
	rc = sql_step(store, stmt);
	if (rc == SQLITE_ROW)
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
	return rc != -1;
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
		if (!value_append(out, c->kind, sqlite3_column_value(stmt, k)))
		{
			buffer_text(out, "null");
			good = false;
		}
	}
	buffer_char(out, '}');
	return good;
}
