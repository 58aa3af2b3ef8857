/*
 * recheck.c
 *	  Edits that were made while a table had no triggers.
 */
#include <string.h>

#include "store/recheck.h"
#include "store/rows.h"
#include "store/sql.h"

/* Do the device's value and the wire's say the same? */
static bool
same_value(ValueKind kind, sqlite3_value *local, const Json *json, const JsonNode *wire)
{
	Buffer		ours = {0};
	Buffer		theirs = {0};
	bool		same;

	if (wire == NULL)
		return true;
	json_raw(json, wire, &theirs);
	same = value_append(&ours, kind, local) && !ours.failed && !theirs.failed &&
		strcmp(ours.data, theirs.data) == 0;
	buffer_free(&ours);
	buffer_free(&theirs);
	return same;
}

/*
 * Texts of one value may differ, 1.50 and 1.5: what tells is the value as the
 * device would store it.
 */
static bool
differs(Store *store, EntityType *type, const Json *json, const JsonNode *row,
		sqlite3_stmt *local, bool *edited)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	int			i,
				rc;

	*edited = false;
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!type->columns[i].is_stamp &&
			!same_value(type->columns[i].kind, sqlite3_column_value(local, i), json,
						json_member(json, row, type->columns[i].wire)))
			break;
	}
	if (i == type->ncolumns)
		return true;
	buffer_text(&sql, "SELECT 1 FROM ");
	buffer_identifier(&sql, type->table);
	buffer_text(&sql, " WHERE 1");
	for (i = 0; i < type->ncolumns; i++)
	{
		if (type->columns[i].is_stamp)
			continue;
		buffer_text(&sql, " AND ");
		buffer_identifier(&sql, type->columns[i].local);
		buffer_format(&sql, " IS ?%d", i + 1);
	}
	stmt = sql_prepare_buffer(store, &sql);
	if (stmt == NULL)
		return false;
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!type->columns[i].is_stamp &&
			!value_bind(stmt, i + 1, type->columns[i].kind, json,
						json_member(json, row, type->columns[i].wire)))
			failure_memory(&store->failure);
	}
	rc = store->failure.result == TIDE_OK ? sql_step(store, stmt) : -1;
	sqlite3_finalize(stmt);
	*edited = rc == SQLITE_DONE;
	return rc != -1;
}

/* Note rows of the table for which a condition on t holds as edited now. */
static bool
note_rows(Applying *a, EntityType *type, const char *condition, const Json *json,
		  const JsonNode *key)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	bool		good;
	int			k;

	if (!sql_run(a->store, "UPDATE tide_state SET seq = seq + 1"))
		return false;
	buffer_text(&sql, "INSERT INTO ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_text(&sql, " (");
	for (k = 0; k < type->nkeys; k++)
		buffer_format(&sql, "key%d, ", k + 1);
	buffer_text(&sql, "operation, edited_at, seq) SELECT ");
	for (k = 0; k < type->nkeys; k++)
	{
		buffer_text(&sql, "t.");
		buffer_identifier(&sql, type->columns[type->keys[k]].local);
		buffer_text(&sql, ", ");
	}
	buffer_text(&sql, "'put', CAST(strftime('%s', 'now') AS INTEGER) * 1000,"
				" (SELECT seq FROM tide_state) FROM ");
	buffer_identifier(&sql, type->table);
	buffer_text(&sql, " AS t WHERE ");
	buffer_text(&sql, condition);
	buffer_text(&sql, " ON CONFLICT DO NOTHING");
	stmt = sql_prepare_buffer(a->store, &sql);
	good = stmt && (key == NULL || row_bind_key(a->store, type, stmt, 1, json, key)) &&
		sql_execute(a->store, stmt);
	sqlite3_finalize(stmt);
	if (good && type->is_dirty && sqlite3_changes(a->store->db) > 0)
		good = sql_run(a->store, "UPDATE \"%w\" SET \"%w\" = 1 WHERE \"%w\" IN"
					   " (SELECT key1 FROM \"%w\") AND \"%w\" IS NOT 1", type->table,
					   type->is_dirty, type->columns[type->keys[0]].local,
					   type->dirty_table, type->is_dirty);
	return good;
}

static bool
note_row(Applying *a, EntityType *type, const Json *json, const JsonNode *row)
{
	Buffer		condition = {0};
	bool		good;
	int			k;

	for (k = 0; k < type->nkeys; k++)
	{
		buffer_text(&condition, k > 0 ? " AND t." : "t.");
		buffer_identifier(&condition, type->columns[type->keys[k]].local);
		buffer_format(&condition, " = ?%d", k + 1);
	}
	good = condition.failed ? failure_memory(&a->store->failure) :
		row_save_base(a->store, type, json, row) &&
		note_rows(a, type, condition.data, json, row);
	buffer_free(&condition);
	return good;
}

bool
recheck_row(Applying *a, EntityType *type, const Json *json, const JsonNode *row,
			bool *edited)
{
	sqlite3_stmt *local = row_statement(a->store, type, STATEMENT_READ);
	int			rc;
	bool		good = true;

	*edited = false;
	if (local == NULL || !row_bind_key(a->store, type, local, 1, json, row))
		return false;
	rc = sql_step(a->store, local);
	if (rc != SQLITE_ROW)
		return rc != -1;
	/* of another stamp: the server's has changed, and stands */
	if (type->modified_at < 0 ||
		same_value(VALUE_TEXT, sqlite3_column_value(local, type->modified_at), json,
				   json_member(json, row, type->columns[type->modified_at].wire)))
		good = differs(a->store, type, json, row, local, edited);
	sqlite3_reset(local);
	return good && (!*edited || note_row(a, type, json, row));
}

bool
recheck_rest(Applying *a, EntityType *type, const char *came)
{
	Buffer		condition = {0};
	bool		good;
	int			k;

	buffer_text(&condition, "NOT EXISTS (SELECT 1 FROM temp.");
	buffer_identifier(&condition, came);
	buffer_text(&condition, " AS c WHERE ");
	for (k = 0; k < type->nkeys; k++)
	{
		buffer_format(&condition, "%sc.key%d = t.", k > 0 ? " AND " : "", k + 1);
		buffer_identifier(&condition, type->columns[type->keys[k]].local);
	}
	buffer_char(&condition, ')');
	good = condition.failed ? failure_memory(&a->store->failure) :
		note_rows(a, type, condition.data, NULL, NULL);
	buffer_free(&condition);
	return good;
}
