/*
 * incoming.c
 *	  What becomes of a row that a pull brings.
 */
#include <string.h>

#include "store/columns.h"
#include "store/incoming.h"
#include "store/keys.h"
#include "store/recheck.h"
#include "store/rows.h"
#include "store/shape.h"
#include "store/sql.h"

bool
incoming_comes_anew(const Pull *pull, const EntityType *type)
{
	return pull->reset || names_has(&pull->reset_types, type->name);
}

bool
incoming_is_counted(const Pull *pull, const EntityType *type)
{
	return incoming_comes_anew(pull, type) || names_has(&pull->recheck, type->name);
}

/*
 * A dirty row is not touched: keep the server's version aside.  There is none
 * where it is the base's, also again after another one.
 */
static bool
keep_theirs(Pull *pull, EntityType *type, const Json *json, const JsonNode *row, bool deleted)
{
	bool		same = false;

	return (deleted || row_is_base(pull->store, type, json, row, &same)) &&
		row_keep_theirs(pull->store, type, json, row, deleted || same ? NULL : row, deleted);
}

/* Where the key's row of a table has no value of a column, the server's. */
static bool
fill_column(Pull *pull, EntityType *type, const char *table, const Column *c, const Json *json,
			const JsonNode *row)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	const JsonNode *value = json_member(json, row, c->wire);
	bool		good;

	buffer_text(&sql, "UPDATE ");
	buffer_identifier(&sql, table);
	buffer_text(&sql, " SET ");
	buffer_identifier(&sql, c->local);
	buffer_text(&sql, " = ?1 WHERE ");
	buffer_identifier(&sql, c->local);
	buffer_text(&sql, " IS NULL AND ");
	key_append_match(&sql, type, KEY_NAMED, 2);
	stmt = sql_prepare_buffer(pull->store, &sql);
	if (stmt == NULL)
		return false;
	good = (table == type->table ? column_bind(stmt, 1, c, json, value) :
			value_bind(stmt, 1, c->kind, json, value)) || failure_memory(&pull->store->failure);
	good = good && row_bind_key(pull->store, type, stmt, 2, json, row) &&
		sql_execute(pull->store, stmt);
	sqlite3_finalize(stmt);
	return good;
}

/*
 * An edit from before a column came did not empty it: the row, and what the edit
 * was made upon, take the value that the server has.
 */
static bool
fill_grown(Pull *pull, EntityType *type, const Json *json, const JsonNode *row)
{
	bool		good = true;
	int			i;

	for (i = 0; good && i < type->ncolumns; i++)
	{
		const Column *c = &type->columns[i];

		if (names_has_column(&pull->grown, type, c))
			good = (c->beside || fill_column(pull, type, type->table, c, json, row)) &&
				fill_column(pull, type, type->base_table, c, json, row);
	}
	return good;
}

/* What the app had in a column of its own that the server has by now. */
static bool
lose_column(Pull *pull, EntityType *type, const Column *c, const Json *json, const JsonNode *row)
{
	const JsonNode *value = json_member(json, row, c->wire);
	Buffer		sql = {0};
	Buffer		mine = {0};
	sqlite3_stmt *stmt;
	bool		good;
	int			rc;

	buffer_text(&sql, "SELECT ");
	buffer_identifier(&sql, c->local);
	buffer_text(&sql, " FROM ");
	buffer_identifier(&sql, type->table);
	buffer_text(&sql, " WHERE ");
	buffer_identifier(&sql, c->local);
	buffer_text(&sql, " IS NOT NULL AND ");
	buffer_identifier(&sql, c->local);
	buffer_text(&sql, " COLLATE BINARY IS NOT ?1 AND ");
	key_append_match(&sql, type, KEY_NAMED, 2);
	stmt = sql_prepare_buffer(pull->store, &sql);
	if (stmt == NULL)
		return false;
	good = (column_bind(stmt, 1, c, json, value) || failure_memory(&pull->store->failure)) &&
		row_bind_key(pull->store, type, stmt, 2, json, row);
	rc = good ? sql_step(pull->store, stmt) : -1;
	if (rc == SQLITE_ROW)
	{
		buffer_char(&mine, '{');
		json_string(&mine, c->wire, strlen(c->wire));
		buffer_char(&mine, ':');
		if (!value_append(&mine, c->kind, sqlite3_column_value(stmt, 0)))
			buffer_text(&mine, "null");
		buffer_char(&mine, '}');
		good = applying_lost_to(&pull->applying, type, json, row, &mine);
	}
	sqlite3_finalize(stmt);
	return good && rc != -1;
}

static bool
lose_own(Pull *pull, EntityType *type, const Json *json, const JsonNode *row)
{
	bool		good = true;
	int			i;

	for (i = 0; good && i < type->ncolumns; i++)
	{
		const Column *c = &type->columns[i];

		if (!c->beside && names_has_column(&pull->own, type, c))
			good = lose_column(pull, type, c, json, row);
	}
	return good;
}

bool
incoming_apply(Pull *pull, EntityType *type, const Json *json, const JsonNode *row, bool deleted)
{
	Dirty		dirty = {0};
	bool		edited = false,
				is_base = false;

	if (!deleted && incoming_is_counted(pull, type) &&
		!row_run(pull->store, type, STATEMENT_CAME, json, row))
		return false;
	if (type->dirty_count > 0 && !row_dirty(pull->store, type, json, row, &dirty))
		return false;
	if (!deleted && pull->grown.count > 0 &&
		(dirty.found || names_has(&pull->recheck, type->name)) &&
		!fill_grown(pull, type, json, row))
		return false;
	if (deleted && !applying_note_deletion(&pull->applying, json, row))
		return false;
	if (dirty.found && !deleted && names_has(&pull->recheck, type->name) &&
		!recheck_base(&pull->applying, type, json, row, names_has(&pull->attaching, type->name)))
		return false;
	if (dirty.found)
		return keep_theirs(pull, type, json, row, deleted);
	if (!deleted && names_has(&pull->attaching, type->name))
	{
		if (!recheck_attached(&pull->applying, type, json, row, &edited))
			return false;
	}
	else if (!deleted && names_has(&pull->recheck, type->name) &&
			 !recheck_row(&pull->applying, type, json, row, &edited, &is_base))
		return false;
	if (edited)
		return is_base || keep_theirs(pull, type, json, row, false);
	if (!deleted && pull->own.count > 0 && !lose_own(pull, type, json, row))
		return false;
	return deleted ? applying_remove(&pull->applying, type, json, row) :
		applying_store(&pull->applying, type, json, row);
}

bool
incoming_apply_kept(Pull *pull, EntityType *type, const char *text, size_t length, bool deleted,
					bool *fits)
{
	Json		json;
	bool		good = true;

	*fits = json_parse(&json, text, length) && shape_is_row(type, &json, json.nodes, deleted);
	if (*fits)
		good = incoming_apply(pull, type, &json, json.nodes, deleted);
	if (json.no_memory)
		good = failure_memory(&pull->store->failure);
	json_free(&json);
	return good;
}
