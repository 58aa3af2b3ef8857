/*
 * edits.c
 *	  Edits as they are noted, and the keys that they go by.
 */
#include <string.h>

#include "store/edits.h"
#include "store/keys.h"
#include "store/rows.h"
#include "store/sql.h"

static sqlite3_stmt *
prepare_edits(Store *store, EntityType *type, const EditChoice *choice)
{
	Buffer		sql = {0};

	buffer_text(&sql, "SELECT ");
	key_append(&sql, type, "", KEY_NUMBERED);
	buffer_text(&sql, ", edited_at, app_stamp, seq FROM ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_format(&sql, " WHERE batch IS NULL AND operation = '%s'", choice->operation);
	if (choice->retries)
		buffer_format(&sql, " AND state = 'retry' AND (next_try_at <= %lld OR next_try_at > %lld)"
					  " AND tried_in IS NOT %lld", (long long) choice->now,
					  (long long) choice->latest_retry, (long long) choice->run);
	else
		buffer_text(&sql, " AND state = 'queued'");
	buffer_format(&sql, " ORDER BY seq LIMIT %lld", (long long) choice->limit);
	return sql_prepare_buffer(store, &sql);
}

/* A note by its key twice: as it is stored, and as the wire would say it. */
static sqlite3_stmt *
prepare_named(Store *store, EntityType *type)
{
	Buffer		sql = {0};

	buffer_text(&sql, "SELECT 1 FROM ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_text(&sql, " WHERE ");
	key_append_match(&sql, type, KEY_NUMBERED, 1);
	buffer_text(&sql, " AND ");
	key_append_match(&sql, type, KEY_NUMBERED, type->nkeys + 1);
	return sql_prepare_buffer(store, &sql);
}

/*
 * Does the JSON name the row whose key it was made of?  Not where the key is
 * not UTF-8, or of another class: a BLOB in a column of texts.
 */
static bool
is_named(Store *store, EntityType *type, sqlite3_stmt * named, sqlite3_stmt * edits,
		 const Edit *edit, bool *is)
{
	Json		key;
	int			k;
	bool		good = json_parse(&key, edit->key, strlen(edit->key)) ||
		failure_memory(&store->failure);

	for (k = 0; good && k < type->nkeys; k++)
		good = sqlite3_bind_value(named, k + 1, sqlite3_column_value(edits, k)) == SQLITE_OK ||
			failure_memory(&store->failure);
	if (good && row_bind_key(store, type, named, type->nkeys + 1, &key, key.nodes))
		*is = sql_step(store, named) == SQLITE_ROW;
	sqlite3_reset(named);
	json_free(&key);
	return store->failure.result == TIDE_OK;
}

static bool
keep_stored(Store *store, const EntityType *type, sqlite3_stmt * edits, Edit *edit)
{
	int			k;

	edit->stored = sqlite3_malloc64(sizeof(sqlite3_value *) * (size_t) type->nkeys);
	if (edit->stored == NULL)
		return failure_memory(&store->failure);
	for (k = 0; k < type->nkeys; k++)
		edit->stored[k] = sqlite3_value_dup(sqlite3_column_value(edits, k));
	for (k = 0; k < type->nkeys; k++)
	{
		if (edit->stored[k] == NULL)
			return failure_memory(&store->failure);
	}
	return true;
}

static void
free_edit(const EntityType *type, Edit *edit)
{
	int			k;

	for (k = 0; edit->stored && k < type->nkeys; k++)
		sqlite3_value_free(edit->stored[k]);
	sqlite3_free(edit->stored);
	sqlite3_free(edit->key);
	sqlite3_free(edit->app_stamp);
}

static bool
read_edit(Store *store, EntityType *type, sqlite3_stmt * edits, sqlite3_stmt * named,
		  const EditChoice *choice, Edit *edit)
{
	const char *stamp = (const char *) sqlite3_column_text(edits, type->nkeys + 1);
	Buffer		key = {0};
	bool		is = row_append_key(type, edits, &key);

	memset(edit, 0, sizeof(*edit));
	edit->key = key.data;
	edit->edited_at = sqlite3_column_int64(edits, type->nkeys);
	edit->seq = sqlite3_column_int64(edits, type->nkeys + 2);
	edit->app_stamp = stamp ? text_copy(stamp) : NULL;
	edit->is_delete = strcmp(choice->operation, "delete") == 0;
	if (key.failed || (stamp && edit->app_stamp == NULL))
		return failure_memory(&store->failure);
	if (is && !is_named(store, type, named, edits, edit, &is))
		return false;
	return is || keep_stored(store, type, edits, edit);
}

bool
edits_read(Store *store, EntityType *type, const EditChoice *choice, Edit **edits, int *n)
{
	sqlite3_stmt *stmt = prepare_edits(store, type, choice);
	sqlite3_stmt *named = prepare_named(store, type);
	int			rc = -1;
	int			capacity = 0;

	*edits = NULL;
	*n = 0;
	while (stmt && named && (rc = sql_step(store, stmt)) == SQLITE_ROW)
	{
		if (*n == capacity)
		{
			Edit	   *more;

			capacity = capacity ? capacity * 2 : 64;
			more = sqlite3_realloc64(*edits, sizeof(Edit) * (size_t) capacity);
			if (more == NULL)
			{
				rc = -1;
				failure_memory(&store->failure);
				break;
			}
			*edits = more;
		}
		if (!read_edit(store, type, stmt, named, choice, &(*edits)[(*n)++]))
		{
			rc = -1;
			break;
		}
	}
	sqlite3_finalize(stmt);
	sqlite3_finalize(named);
	return rc != -1;
}

void
edits_free(const EntityType *type, Edit *edits, int n)
{
	int			i;

	for (i = 0; i < n; i++)
		free_edit(type, &edits[i]);
	sqlite3_free(edits);
}
