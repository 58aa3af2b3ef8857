/*
 * recheck.c
 *	  Edits that were made while a table had no triggers.
 */
#include <string.h>

#include "store/columns.h"
#include "store/keys.h"
#include "store/recheck.h"
#include "store/rows.h"
#include "store/sql.h"
#include "wire/time.h"

/* Do the device's value and the wire's say the same? */
static bool
same_value(ValueKind kind, sqlite3_value * local, const Json *json, const JsonNode *wire)
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
		sqlite3_stmt * local, bool *edited)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	int			i,
				rc;

	*edited = false;
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!type->columns[i].is_stamp && !type->columns[i].beside &&
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
		if (type->columns[i].is_stamp || type->columns[i].beside)
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
		if (!type->columns[i].is_stamp && !type->columns[i].beside &&
			!column_bind(stmt, i + 1, &type->columns[i], json,
						 json_member(json, row, type->columns[i].wire)))
			failure_memory(&store->failure);
	}
	rc = store->failure.result == TIDE_OK ? sql_step(store, stmt) : -1;
	sqlite3_finalize(stmt);
	*edited = rc == SQLITE_DONE;
	return rc != -1;
}

/* The status column of rows that are noted. */
static bool
mark_dirty_rows(Applying *a, EntityType *type)
{
	Buffer		sql = {0};

	buffer_text(&sql, "UPDATE ");
	buffer_identifier(&sql, type->table);
	buffer_text(&sql, " AS t SET ");
	buffer_identifier(&sql, type->is_dirty);
	buffer_text(&sql, " = 1 WHERE ");
	buffer_identifier(&sql, type->is_dirty);
	buffer_text(&sql, " IS NOT 1 AND ");
	key_append_exists(&sql, type, type->dirty_table, "d", "t.", KEY_NAMED);
	return sql_run_buffer(a->store, &sql);
}

/*
 * When a row of an app's own was edited, only the app knows.  Elsewhere the
 * stamp is that of the version before.
 */
static void
append_app_stamp(Buffer *sql, const EntityType *type)
{
	if (type->attached && type->modified_at >= 0 && !type->columns[type->modified_at].beside)
		column_append_wire(sql, type, type->modified_at, "t.");
	else
		buffer_text(sql, "NULL");
}

/* Note rows of the table for which a condition on t holds as edited now. */
static bool
note_rows(Applying *a, EntityType *type, const char *condition, const Json *json,
		  const JsonNode *key)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	bool		good;

	if (!sql_run(a->store, "UPDATE tide_state SET seq = seq + 1"))
		return false;
	buffer_text(&sql, "INSERT INTO ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_text(&sql, " (");
	key_append(&sql, type, "", KEY_NUMBERED);
	buffer_text(&sql, ", operation, edited_at, seq, app_stamp) SELECT ");
	key_append(&sql, type, "t.", KEY_NAMED);
	buffer_format(&sql, ", 'put', %lld, (SELECT seq FROM tide_state), ", (long long) a->at);
	append_app_stamp(&sql, type);
	buffer_text(&sql, " FROM ");
	buffer_identifier(&sql, type->table);
	buffer_text(&sql, " AS t WHERE ");
	buffer_text(&sql, condition);
	buffer_text(&sql, " ON CONFLICT DO NOTHING");
	stmt = sql_prepare_buffer(a->store, &sql);
	good = stmt && (key == NULL || row_bind_key(a->store, type, stmt, 1, json, key)) &&
		sql_execute(a->store, stmt);
	/* a later version of the row in this pull finds it */
	type->dirty_count++;
	sqlite3_finalize(stmt);
	return good && (type->is_dirty == NULL || sqlite3_changes(a->store->db) == 0 ||
					mark_dirty_rows(a, type));
}

static bool
note_edit(Applying *a, EntityType *type, const Json *json, const JsonNode *row, bool has_base)
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
		(!has_base || row_save_base(a->store, type, json, row, row)) &&
		note_rows(a, type, condition.data, json, row);
	buffer_free(&condition);
	return good;
}

/* Does the status column of the key's row say dirty? */
static bool
is_marked(Store *store, EntityType *type, const Json *json, const JsonNode *row, bool *marked)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	int			rc;

	*marked = false;
	if (type->is_dirty == NULL)
		return true;
	buffer_text(&sql, "SELECT 1 FROM ");
	buffer_identifier(&sql, type->table);
	buffer_text(&sql, " WHERE ");
	buffer_identifier(&sql, type->is_dirty);
	buffer_text(&sql, " <> 0 AND ");
	key_append_match(&sql, type, KEY_NAMED, 1);
	stmt = sql_prepare_buffer(store, &sql);
	rc = stmt && row_bind_key(store, type, stmt, 1, json, row) ? sql_step(store, stmt) : -1;
	sqlite3_finalize(stmt);
	*marked = rc == SQLITE_ROW;
	return rc != -1;
}

/* Is the device's stamp later than the server's? */
static bool
is_later(EntityType *type, const Json *json, const JsonNode *row, sqlite3_stmt * local)
{
	const char *ours = (const char *) sqlite3_column_text(local, type->modified_at);
	const JsonNode *theirs = json_member(json, row, type->columns[type->modified_at].wire);
	int64_t		here,
				there;

	return ours && time_parse(ours, strlen(ours), &here) &&
		(theirs == NULL || theirs->kind == JSON_NULL || (json_time(json, theirs, &there) && here > there));
}

/*
 * Of the server's stamp, the row is the version that the edit was made upon.  Of
 * another one, the server's has changed and stands; but an app that stamps what it
 * edits, or marks it as dirty, has edited it, and upon what nobody knows.
 */
static bool
may_be_edited(Applying *a, EntityType *type, const Json *json, const JsonNode *row,
			  sqlite3_stmt * local, bool *may, bool *is_base)
{
	*is_base = type->modified_at < 0 ||
		same_value(VALUE_TEXT, sqlite3_column_value(local, type->modified_at), json,
				   json_member(json, row, type->columns[type->modified_at].wire));
	*may = *is_base || is_later(type, json, row, local);
	return *may || is_marked(a->store, type, json, row, may);
}

bool
recheck_row(Applying *a, EntityType *type, const Json *json, const JsonNode *row,
			bool *edited, bool *is_base)
{
	sqlite3_stmt *local;
	bool		may;
	bool		good;

	*edited = *is_base = false;
	if (!row_read(a->store, type, STATEMENT_READ, json, row, &local))
		return false;
	if (local == NULL)
		return true;
	good = may_be_edited(a, type, json, row, local, &may, is_base) &&
		(!may || differs(a->store, type, json, row, local, edited));
	sqlite3_reset(local);
	return good && (!*edited || note_edit(a, type, json, row, *is_base));
}

static bool
lose_local(Applying *a, EntityType *type, const Json *json, const JsonNode *row,
		   sqlite3_stmt * local)
{
	Buffer		mine = {0};

	row_append_json(type, local, &mine);
	return applying_lost_to(a, type, json, row, &mine);
}

bool
recheck_attached(Applying *a, EntityType *type, const Json *json, const JsonNode *row,
				 bool *edited)
{
	sqlite3_stmt *local;
	bool		other = false;
	bool		good;

	*edited = false;
	if (!row_read(a->store, type, STATEMENT_READ, json, row, &local))
		return false;
	if (local == NULL)
		return true;
	good = differs(a->store, type, json, row, local, &other) &&
		(!other || is_marked(a->store, type, json, row, edited));
	if (good && other && !*edited)
		good = lose_local(a, type, json, row, local);
	sqlite3_reset(local);
	return good && (!*edited || note_edit(a, type, json, row, false));
}

/* Stamps, and what is kept beside the row, are texts. */
static bool
same_kept(EntityType *type, const Json *json, const JsonNode *row, sqlite3_stmt * local)
{
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		const Column *c = &type->columns[i];

		if ((c->is_stamp || c->beside) &&
			!same_value(c->kind, sqlite3_column_value(local, i), json,
						json_member(json, row, c->wire)))
			return false;
	}
	return true;
}

bool
recheck_compare(Store *store, EntityType *type, const Json *json, const JsonNode *row,
				bool *here, bool *same)
{
	sqlite3_stmt *local;
	bool		other = true;
	bool		good = true;

	*here = *same = false;
	if (!row_read(store, type, STATEMENT_READ, json, row, &local))
		return false;
	if (local == NULL)
		return true;
	*here = true;
	if (same_kept(type, json, row, local))
		good = differs(store, type, json, row, local, &other);
	*same = !other;
	sqlite3_reset(local);
	return good;
}

bool
recheck_base(Applying *a, EntityType *type, const Json *json, const JsonNode *row,
			 bool attaching)
{
	bool		is;

	/* of an app's own table no version is the server's yet */
	if (attaching)
		return row_run(a->store, type, STATEMENT_DROP_BASE, json, row);
	return row_is_base(a->store, type, json, row, &is) &&
		(!is || row_save_base(a->store, type, json, row, row));
}

/*
 * A row that nobody has but this device, edited or deleted once the triggers were
 * there: what they kept of it is no version of the server's.
 */
static bool
forget_unseen(Applying *a, EntityType *type, const char *came)
{
	Buffer		sql = {0};

	buffer_text(&sql, "DELETE FROM ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_text(&sql, " AS d WHERE operation = 'delete' AND ");
	key_append_exists(&sql, type, type->base_table, "b", "d.", KEY_NUMBERED);
	buffer_text(&sql, " AND NOT ");
	key_append_exists(&sql, type, came, "c", "d.", KEY_NUMBERED);
	buffer_text(&sql, "; DELETE FROM ");
	buffer_identifier(&sql, type->base_table);
	buffer_text(&sql, " AS b WHERE NOT ");
	key_append_exists(&sql, type, came, "c", "b.", KEY_NAMED);
	return sql_run_buffer(a->store, &sql);
}

bool
recheck_rest(Applying *a, EntityType *type, const char *came, bool unseen)
{
	Buffer		condition = {0};
	bool		good;

	buffer_text(&condition, "NOT ");
	key_append_exists(&condition, type, came, "c", "t.", KEY_NAMED);
	good = condition.failed ? failure_memory(&a->store->failure) :
		(!unseen || forget_unseen(a, type, came)) &&
		note_rows(a, type, condition.data, NULL, NULL);
	buffer_free(&condition);
	return good;
}
