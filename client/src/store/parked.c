/*
 * parked.c
 *	  Edits that have no place in their table any more.
 */
#include <string.h>

#include "store/columns.h"
#include "store/keys.h"
#include "store/parked.h"
#include "store/rows.h"
#include "store/sql.h"

/*
 * Copy the edits for which `condition` holds of d (the note) and r (the row,
 * of a delete the base), take them out of the table, and forget their notes.
 */
static bool
take(Applying *a, EntityType *type, const char *operation, const char *from,
	 const char *condition, const char *code, const char *message)
{
	Buffer		sql = {0};
	int			i;

	buffer_text(&sql, "INSERT INTO ");
	buffer_identifier(&sql, type->parked_table);
	buffer_text(&sql, " (");
	columns_append(&sql, type, "");
	buffer_text(&sql, ", tide_operation, tide_edited_at, tide_code, tide_message) SELECT ");
	for (i = 0; i < type->ncolumns; i++)
	{
		buffer_text(&sql, i > 0 ? ", " : "");
		if (from == type->table)
			column_append_wire(&sql, type, i, "r.");
		else
		{
			buffer_text(&sql, "r.");
			buffer_identifier(&sql, type->columns[i].local);
		}
	}
	buffer_text(&sql, ", CASE WHEN d.operation = 'delete' THEN 'delete' WHEN ");
	key_append_exists(&sql, type, type->base_table, "b", "d.", KEY_NUMBERED);
	buffer_text(&sql, " THEN 'update' ELSE 'create' END, d.edited_at, ");
	buffer_literal(&sql, code);
	buffer_text(&sql, ", ");
	buffer_literal(&sql, message);
	buffer_text(&sql, " FROM ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_text(&sql, " AS d JOIN ");
	buffer_identifier(&sql, from);
	buffer_text(&sql, " AS r ON ");
	key_append_same(&sql, type, "d.", KEY_NUMBERED, "r.", KEY_NAMED);
	buffer_format(&sql, " WHERE d.operation = '%s' AND ", operation);
	buffer_text(&sql, condition);
	buffer_text(&sql, " ON CONFLICT DO NOTHING");
	return sql_run_buffer(a->store, &sql);
}

/* Forget the notes, bases and rows of what was taken. */
static bool
forget_taken(Applying *a, EntityType *type)
{
	const char *tables[3] = {type->base_table, type->table, type->dirty_table};
	Buffer		sql = {0};
	int			i;

	for (i = 0; i < 3; i++)
	{
		buffer_text(&sql, "DELETE FROM ");
		buffer_identifier(&sql, tables[i]);
		buffer_text(&sql, " AS d WHERE ");
		key_append_exists(&sql, type, type->parked_table, "p", "d.", key_style(type, tables[i]));
		/* the row of a key that was made anew since is no part of it */
		if (i < 2)
		{
			buffer_text(&sql, " AND ");
			key_append_exists(&sql, type, type->dirty_table, "n", "d.", KEY_NAMED);
		}
		buffer_char(&sql, ';');
	}
	return sql_run_buffer(a->store, &sql) && applying_note(a, type);
}

static bool
take_both(Applying *a, EntityType *type, Buffer *condition, const char *code,
		  const char *message)
{
	bool		good = !condition->failed;

	if (!good)
		failure_memory(&a->store->failure);
	good = good && take(a, type, "put", type->table, condition->data, code, message) &&
		take(a, type, "delete", type->base_table, condition->data, code, message) &&
		forget_taken(a, type);
	buffer_free(condition);
	return good;
}

bool
parked_take_gone(Applying *a, EntityType *type, const char *came)
{
	Buffer		gone = {0};
	Buffer		sql = {0};
	bool		good;

	if (type->dirty_count == 0)
		return true;
	/* the server had the row: there is a base; it has it no more */
	key_append_exists(&gone, type, type->base_table, "b", "d.", KEY_NUMBERED);
	buffer_text(&gone, " AND NOT ");
	key_append_exists(&gone, type, came, "c", "d.", KEY_NUMBERED);
	if (gone.failed)
	{
		buffer_free(&gone);
		return failure_memory(&a->store->failure);
	}
	/* of a delete there is nothing left to do */
	buffer_text(&sql, "DELETE FROM ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_text(&sql, " AS d WHERE operation = 'delete' AND ");
	buffer_text(&sql, gone.data);
	good = sql_run_buffer(a->store, &sql);
	if (!good)
		buffer_free(&gone);
	return good && take_both(a, type, &gone, "resync_required",
							 "the server no longer has the row that was edited");
}

/*
 * The scope of a row r, which is of the table or of the bases.  Where the table
 * has no such column, it is kept beside the row, also of one that is deleted.
 */
static void
append_scope(Buffer *condition, EntityType *type)
{
	column_append_wire(condition, type, type->scope, "r.");
}

bool
parked_take_scope(Applying *a, EntityType *type, const char *scope)
{
	Buffer		condition = {0};

	if (type->dirty_count == 0)
		return true;
	append_scope(&condition, type);
	buffer_text(&condition, " = ");
	buffer_literal(&condition, scope);
	return take_both(a, type, &condition, "scope_not_allowed",
					 "the scope of the row may be synced no longer");
}

bool
parked_take_row(Applying *a, EntityType *type, const Json *json, const JsonNode *key,
				const char *code, const char *message)
{
	Buffer		condition = {0};
	Buffer		values = {0};
	sqlite3_stmt *stmt;
	int			k;

	/* bind the key to get its values as SQL, then as a condition */
	for (k = 0; k < type->nkeys; k++)
		buffer_format(&values, "%squote(CAST(?%d AS %s))", k > 0 ? ", " : "SELECT ", k + 1,
					  *value_declared_type(type->columns[type->keys[k]].kind) ?
					  value_declared_type(type->columns[type->keys[k]].kind) : "BLOB");
	stmt = sql_prepare_buffer(a->store, &values);
	if (stmt == NULL)
		return false;
	if (!row_bind_key(a->store, type, stmt, 1, json, key) ||
		sql_step(a->store, stmt) != SQLITE_ROW)
	{
		sqlite3_finalize(stmt);
		return false;
	}
	for (k = 0; k < type->nkeys; k++)
	{
		const char *value = (const char *) sqlite3_column_text(stmt, k);

		buffer_format(&condition, "%sd.key%d = ", k > 0 ? " AND " : "", k + 1);
		buffer_text(&condition, value ? value : "NULL");
	}
	sqlite3_finalize(stmt);
	return take_both(a, type, &condition, code, message);
}

static bool
delete_parked(Store *store, EntityType *type, const Json *json, const JsonNode *key)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	bool		good;
	int			k;

	buffer_text(&sql, "DELETE FROM ");
	buffer_identifier(&sql, type->parked_table);
	for (k = 0; k < type->nkeys; k++)
	{
		buffer_text(&sql, k > 0 ? " AND " : " WHERE ");
		buffer_identifier(&sql, type->columns[type->keys[k]].local);
		buffer_format(&sql, " = ?%d", k + 1);
	}
	stmt = sql_prepare_buffer(store, &sql);
	good = stmt && row_bind_key(store, type, stmt, 1, json, key) && sql_execute(store, stmt);
	sqlite3_finalize(stmt);
	return good;
}

static bool
find_parked(Store *store, EntityType *type, const Json *json, const JsonNode *key,
			bool *found, bool *is_delete)
{
	sqlite3_stmt *stmt = row_statement(store, type, STATEMENT_READ_PARKED);
	const char *operation;
	int			rc;

	*found = false;
	*is_delete = false;
	if (stmt == NULL || !row_bind_key(store, type, stmt, 1, json, key))
		return false;
	rc = sql_step(store, stmt);
	if (rc == SQLITE_ROW)
	{
		*found = true;
		operation = (const char *) sqlite3_column_text(stmt, type->ncolumns);
		*is_delete = operation && strcmp(operation, "delete") == 0;
		sqlite3_reset(stmt);
	}
	return rc != -1;
}

/* A rule of the app's does not let the row in: it stays parked. */
static bool
refuse_back(Store *store, const EntityType *type)
{
	Failure		why = store->failure;

	failure_clear(&store->failure);
	return failure_set(&store->failure, TIDE_LOCAL, PARKED_REFUSED,
					   "the table \"%s\" does not take a parked row back: %s", type->table,
					   why.message);
}

bool
parked_put_back(Store *store, EntityType *type, const Json *json, const JsonNode *key,
				bool *found)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	Buffer		name = {0};
	bool		is_delete,
				refused,
				good;
	int			i,
				k,
				written;

	if (!find_parked(store, type, json, key, found, &is_delete))
		return false;
	if (!*found)
		return true;
	if (is_delete)
		good = row_run(store, type, STATEMENT_DELETE, json, key);
	else
	{
		/* an edit like any other: the triggers note it */
		buffer_text(&sql, "INSERT INTO ");
		buffer_identifier(&sql, type->table);
		buffer_text(&sql, " (");
		for (i = 0, written = 0; i < type->ncolumns; i++)
		{
			if (type->columns[i].beside)
				continue;
			buffer_text(&sql, written++ > 0 ? ", " : "");
			buffer_identifier(&sql, type->columns[i].local);
		}
		buffer_text(&sql, ") SELECT ");
		for (i = 0, written = 0; i < type->ncolumns; i++)
		{
			if (type->columns[i].beside)
				continue;
			buffer_text(&sql, written++ > 0 ? ", " : "");
			buffer_identifier(&name, type->columns[i].local);
			column_append_held(&sql, &type->columns[i], name.data ? name.data : "NULL");
			sql.failed = sql.failed || name.failed;
			buffer_reset(&name);
		}
		buffer_text(&sql, " FROM ");
		buffer_identifier(&sql, type->parked_table);
		for (k = 0; k < type->nkeys; k++)
		{
			buffer_text(&sql, k > 0 ? " AND " : " WHERE ");
			buffer_identifier(&sql, type->columns[type->keys[k]].local);
			buffer_format(&sql, " = ?%d", k + 1);
		}
		buffer_text(&sql, " ON CONFLICT DO UPDATE SET ");
		for (i = 0, written = 0; i < type->ncolumns; i++)
		{
			if (type->columns[i].beside)
				continue;
			buffer_text(&sql, written++ > 0 ? ", " : "");
			buffer_identifier(&sql, type->columns[i].local);
			buffer_text(&sql, " = excluded.");
			buffer_identifier(&sql, type->columns[i].local);
		}
		buffer_free(&name);
		stmt = sql_prepare_buffer(store, &sql);
		good = stmt && row_bind_key(store, type, stmt, 1, json, key) &&
			sql_execute(store, stmt);
		refused = stmt && !good && (sqlite3_errcode(store->db) & 0xff) == SQLITE_CONSTRAINT &&
			!sqlite3_get_autocommit(store->db);
		sqlite3_finalize(stmt);
		if (refused)
			return refuse_back(store, type);
	}
	return good && delete_parked(store, type, json, key);
}

bool
parked_discard(Store *store, EntityType *type, const Json *json, const JsonNode *key,
			   bool *found)
{
	bool		is_delete;

	return find_parked(store, type, json, key, found, &is_delete) &&
		(!*found || delete_parked(store, type, json, key));
}
