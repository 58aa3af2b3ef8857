/*
 * stage.c
 *	  Rows that wait in tide_stage for the last page, and what a pull that is
 *	  complete has not brought again.
 */
#include <string.h>

#include "store/incoming.h"
#include "store/keys.h"
#include "store/parked.h"
#include "store/recheck.h"
#include "store/rows.h"
#include "store/sql.h"
#include "store/stage.h"

bool
stage_put(Pull *pull, EntityType *type, const Json *json, const JsonNode *row, bool deleted)
{
	Buffer		text = {0};
	bool		good;

	json_raw(json, row, &text);
	good = text.failed ? failure_memory(&pull->store->failure) :
		sql_run(pull->store, "INSERT INTO tide_stage (entity_type, deleted, row)"
				" VALUES (%Q, %d, %Q)", type->name, deleted, text.data);
	buffer_free(&text);
	return good;
}

/*
 * A type that came in part and is not there any more: what has come of it waits
 * for the rest, since only then is it known what has not come.
 */
static bool
waits(const Pull *pull, const EntityType *type)
{
	return !type->available && incoming_comes_anew(pull, type);
}

bool
stage_list_waiting(Pull *pull, Names *names)
{
	bool		good = true;
	int			i;

	for (i = 0; good && i < pull->store->ntypes; i++)
	{
		if (waits(pull, &pull->store->types[i]))
			good = names_add(pull->store, names, pull->store->types[i].name);
	}
	return good;
}

/* What does not wait is in the tables now. */
static bool
empty_stage(Pull *pull)
{
	Names		kept = {0};
	Buffer		names = {0};
	bool		good = stage_list_waiting(pull, &kept);

	names_append_json(&kept, &names);
	if (good)
		good = names.failed ? failure_memory(&pull->store->failure) :
			sql_run(pull->store, "DELETE FROM tide_stage WHERE entity_type NOT IN"
					" (SELECT value FROM json_each(%Q))", names.data);
	names_free(&kept);
	buffer_free(&names);
	return good;
}

/*
 * A row as it was staged.  An earlier version took what has no key; or the key
 * has become another one since.
 */
static bool
apply_staged(Pull *pull, EntityType *type, sqlite3_stmt * stmt)
{
	const char *text = (const char *) sqlite3_column_text(stmt, 2);
	bool		fits;

	if (text == NULL)
		return failure_memory(&pull->store->failure);
	if (!incoming_apply_kept(pull, type, text, (size_t) sqlite3_column_bytes(stmt, 2),
							 sqlite3_column_int(stmt, 1) != 0, &fits))
		return false;
	pull->spoiled = !fits;
	return fits;
}

bool
stage_apply(Pull *pull)
{
	sqlite3_stmt *stmt = sql_prepare(pull->store, "SELECT entity_type, deleted, row"
									 " FROM tide_stage ORDER BY id");
	bool		good = stmt != NULL;
	int			rc = SQLITE_DONE;

	while (good && (rc = sql_step(pull->store, stmt)) == SQLITE_ROW)
	{
		const char *name = (const char *) sqlite3_column_text(stmt, 0);
		EntityType *type = name ? store_type(pull->store, name, strlen(name)) : NULL;

		if (type != NULL && !waits(pull, type))
			good = apply_staged(pull, type, stmt);
	}
	sqlite3_finalize(stmt);
	return good && rc != -1 && empty_stage(pull);
}

/*
 * Tables for the keys that come, of types that come in full.  They are of this
 * connection alone, and hold nothing outside of the applying transaction.
 */
bool
stage_prepare_came(Pull *pull)
{
	int			i;

	for (i = 0; i < pull->store->ntypes; i++)
	{
		EntityType *type = &pull->store->types[i];
		Buffer		sql = {0};
		Buffer		name = {0};

		if (!incoming_is_counted(pull, type))
			continue;
		/* what comes in full says itself which rows there are */
		if (type->available &&
			!sql_run(pull->store, "DELETE FROM tide_refused WHERE entity_type = %Q", type->name))
			return false;
		buffer_format(&name, "tide_came_%s", type->table);
		if (name.failed)
			return failure_memory(&pull->store->failure);
		buffer_text(&sql, "CREATE TEMP TABLE IF NOT EXISTS ");
		buffer_identifier(&sql, name.data);
		buffer_text(&sql, " (");
		key_append_declared(&sql, type);
		buffer_text(&sql, ", PRIMARY KEY (");
		key_append(&sql, type, "", KEY_NUMBERED);
		buffer_text(&sql, ")) WITHOUT ROWID; DELETE FROM temp.");
		buffer_identifier(&sql, name.data);
		buffer_free(&name);
		if (!sql_run_buffer(pull->store, &sql))
			return false;
	}
	return true;
}

/* Drop the clean rows of a type that a reset has not brought again. */
static bool
sweep_type(Pull *pull, EntityType *type)
{
	Buffer		sql = {0};
	Buffer		came = {0};
	bool		good;

	buffer_format(&came, "tide_came_%s", type->table);
	if (came.failed)
		return failure_memory(&pull->store->failure);
	/* what the edits leave behind goes with the rows, which are dropped then */
	if ((names_has(&pull->recheck, type->name) &&
		 !recheck_rest(&pull->applying, type, came.data, names_has(&pull->attaching, type->name) ||
					   !incoming_comes_anew(pull, type))) ||
		!parked_take_gone(&pull->applying, type, came.data))
	{
		buffer_free(&came);
		return false;
	}
	buffer_text(&sql, "NOT ");
	key_append_exists(&sql, type, came.data, "d", "t.", KEY_NAMED);
	buffer_text(&sql, " AND NOT ");
	key_append_exists(&sql, type, type->dirty_table, "d", "t.", KEY_NAMED);
	good = applying_drop(&pull->applying, type, &sql) && row_forget_orphans(pull->store, type);
	if (good)
	{
		buffer_text(&sql, "DELETE FROM temp.");
		buffer_identifier(&sql, came.data);
		good = sql_run_buffer(pull->store, &sql);
	}
	buffer_free(&came);
	return good;
}

bool
stage_sweep(Pull *pull)
{
	int			i;

	for (i = 0; i < pull->store->ntypes; i++)
	{
		EntityType *type = &pull->store->types[i];

		if (incoming_is_counted(pull, type) && type->available && !sweep_type(pull, type))
			return false;
	}
	return true;
}
