/*
 * commands.c
 *	  What a user decides about edits: retry, discard.
 */
#include <stdio.h>
#include <string.h>

#include "store/applying.h"
#include "store/commands.h"
#include "store/keys.h"
#include "store/parked.h"
#include "store/rows.h"
#include "store/settings.h"
#include "store/sql.h"

/* a type and a parsed key */
typedef struct Target
{
	EntityType *type;
	Buffer		text;
	Json		key;
} Target;

static void
free_target(Target *t)
{
	json_free(&t->key);
	buffer_free(&t->text);
}

static bool
not_found(Store *store, const char *type, const char *key)
{
	return failure_set(&store->failure, TIDE_USAGE, "not_found",
					   "there is no edit of %s \"%s\"", type, key ? key : "");
}

static bool
find_target(Store *store, const char *type, const char *key, Target *t)
{
	memset(t, 0, sizeof(*t));
	t->type = store_type(store, type, strlen(type));
	if (t->type == NULL)
		return failure_set(&store->failure, TIDE_USAGE, "unknown_entity_type",
						   "there is no entity type \"%s\" in this file", type);
	if (key == NULL)
		return failure_set(&store->failure, TIDE_USAGE, "no_key",
						   "a key is needed with an entity type");
	if (!row_key_json(t->type, key, &t->text))
		return failure_memory(&store->failure);
	if (!json_parse(&t->key, t->text.data, t->text.length))
	{
		free_target(t);
		return failure_set(&store->failure, TIDE_USAGE, "bad_key",
						   "the key of %s is a JSON object of its columns", type);
	}
	return true;
}

static bool
queue_row(Store *store, Target *t, bool *found)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	bool		good;

	buffer_text(&sql, "UPDATE ");
	buffer_identifier(&sql, t->type->dirty_table);
	buffer_text(&sql, " SET state = 'queued', next_try_at = 0");
	buffer_text(&sql, " WHERE ");
	key_append_match(&sql, t->type, KEY_NUMBERED, 1);
	stmt = sql_prepare_buffer(store, &sql);
	good = stmt && row_bind_key(store, t->type, stmt, 1, &t->key, t->key.nodes) &&
		sql_execute(store, stmt);
	*found = good && sqlite3_changes(store->db) > 0;
	sqlite3_finalize(stmt);
	return good;
}

static bool
retry_one(Store *store, const char *type, const char *key)
{
	Target		t;
	bool		queued = false,
				parked = false,
				good;

	if (!find_target(store, type, key, &t))
		return false;
	good = parked_put_back(store, t.type, &t.key, t.key.nodes, &parked) &&
		(parked || queue_row(store, &t, &queued));
	free_target(&t);
	if (good && !queued && !parked)
		return not_found(store, type, key);
	return good;
}

/* The keys of a type's parked table, a JSON array. */
static bool
parked_keys(Store *store, EntityType *type, Buffer *keys)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	bool		first = true;
	int			k,
				rc = -1;

	for (k = 0; k < type->nkeys; k++)
	{
		buffer_text(&sql, k > 0 ? ", " : "SELECT ");
		buffer_identifier(&sql, type->columns[type->keys[k]].local);
	}
	buffer_text(&sql, " FROM ");
	buffer_identifier(&sql, type->parked_table);
	stmt = sql_prepare_buffer(store, &sql);
	buffer_char(keys, '[');
	while (stmt && (rc = sql_step(store, stmt)) == SQLITE_ROW)
	{
		buffer_text(keys, first ? "" : ",");
		row_append_key(type, stmt, keys);
		first = false;
	}
	sqlite3_finalize(stmt);
	buffer_char(keys, ']');
	return rc != -1 && (!keys->failed || failure_memory(&store->failure));
}

static bool
put_all_back(Store *store, EntityType *type)
{
	Buffer		keys = {0};
	Json		json;
	const JsonNode *key;
	bool		found,
				good;

	if (!parked_keys(store, type, &keys))
	{
		buffer_free(&keys);
		return false;
	}
	good = json_parse(&json, keys.data, keys.length) || failure_memory(&store->failure);
	for (key = good ? json_first(&json, json.nodes) : NULL; key && good;
		 key = json_next(&json, json.nodes, key))
	{
		good = parked_put_back(store, type, &json, key, &found);
		if (!good && strcmp(store->failure.code, PARKED_REFUSED) == 0)
		{
			failure_clear(&store->failure);
			good = true;
		}
	}
	json_free(&json);
	buffer_free(&keys);
	return good;
}

static bool
retry_all(Store *store)
{
	int			i;

	for (i = 0; i < store->ntypes; i++)
	{
		EntityType *type = &store->types[i];

		if (!put_all_back(store, type) ||
			!sql_run(store, "UPDATE \"%w\" SET state = 'queued', next_try_at = 0"
					 " WHERE state <> 'queued'", type->dirty_table))
			return false;
	}
	return true;
}

/* one row of tide_command */
typedef struct Command
{
	int64_t		id;
	char	   *command;
	char	   *type;
	char	   *key;
} Command;

/*
 * What a command of the table does, and that it was done, are one transaction: it
 * must not be carried out again upon a later edit of the row.
 */
static bool
end_command(Store *store, const Command *c, const char *outcome)
{
	char		text[640];

	if (c == NULL)
		return true;
	snprintf(text, sizeof(text), "%.60s: %s", c->command, outcome);
	return sql_run(store, "DELETE FROM tide_command WHERE id = %lld", (sqlite3_int64) c->id) &&
		setting_set(store, "last_command", text);
}

static bool
retry(Store *store, const char *type, const char *key, const Command *c)
{
	if (!sql_begin(store))
		return false;
	return sql_end(store, (type ? retry_one(store, type, key) : retry_all(store)) &&
				   end_command(store, c, "done"));
}

bool
command_retry(Store *store, const char *type, const char *key)
{
	return retry(store, type, key, NULL);
}

/* The server's version that comes back: *row is JSON to be freed, or NULL. */
static bool
version_to_restore(Store *store, Target *t, char **row)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	const char *theirs;
	int			rc;
	bool		deleted = false;

	*row = NULL;
	buffer_text(&sql, "SELECT theirs, theirs_deleted FROM ");
	buffer_identifier(&sql, t->type->dirty_table);
	buffer_text(&sql, " WHERE ");
	key_append_match(&sql, t->type, KEY_NUMBERED, 1);
	stmt = sql_prepare_buffer(store, &sql);
	if (stmt == NULL)
		return false;
	rc = row_bind_key(store, t->type, stmt, 1, &t->key, t->key.nodes) ?
		sql_step(store, stmt) : -1;
	if (rc == SQLITE_ROW)
	{
		theirs = (const char *) sqlite3_column_text(stmt, 0);
		deleted = sqlite3_column_int(stmt, 1) != 0;
		if (theirs && (*row = text_copy(theirs)) == NULL)
			failure_memory(&store->failure);
	}
	sqlite3_finalize(stmt);
	if (rc == -1 || *row != NULL || deleted || store->failure.result != TIDE_OK)
		return store->failure.result == TIDE_OK;
	return row_read_json(store, t->type, STATEMENT_READ_BASE, &t->key, t->key.nodes, row);
}

static bool
restore(Applying *a, Target *t)
{
	Store	   *store = a->store;
	char	   *row;
	Json		json;
	bool		good;

	if (!version_to_restore(store, t, &row) ||
		!row_run(store, t->type, STATEMENT_CLEAN, &t->key, t->key.nodes))
	{
		sqlite3_free(row);
		return false;
	}
	if (row == NULL)
		return applying_remove(a, t->type, &t->key, t->key.nodes);
	good = json_parse(&json, row, strlen(row)) || failure_memory(&store->failure);
	good = good && applying_store(a, t->type, &json, json.nodes);
	json_free(&json);
	sqlite3_free(row);
	return good;
}

static bool
discard(Applying *a, const char *type, const char *key)
{
	Target		t;
	Dirty		dirty;
	bool		parked = false;
	bool		good;

	if (!find_target(a->store, type, key, &t))
		return false;
	good = row_dirty(a->store, t.type, &t.key, t.key.nodes, &dirty) &&
		(dirty.found ? restore(a, &t) :
		 parked_discard(a->store, t.type, &t.key, t.key.nodes, &parked));
	free_target(&t);
	if (good && !dirty.found && !parked)
		return not_found(a->store, type, key);
	return good;
}

static bool
discard_now(Store *store, const char *type, const char *key, int64_t now, const Command *c)
{
	Applying	a;

	return applying_begin(&a, store, now) &&
		applying_end(&a, discard(&a, type, key) && end_command(store, c, "done"));
}

bool
command_discard(Store *store, const char *type, const char *key, int64_t now)
{
	return discard_now(store, type, key, now, NULL);
}

static bool
next_command(Store *store, Command *c, bool *found)
{
	sqlite3_stmt *stmt = sql_prepare(store, "SELECT id, command, entity_type, key"
									 " FROM tide_command ORDER BY id LIMIT 1");
	char	  **texts[3] = {&c->command, &c->type, &c->key};
	int			i,
				rc;

	memset(c, 0, sizeof(*c));
	*found = false;
	if (stmt == NULL)
		return false;
	rc = sql_step(store, stmt);
	*found = rc == SQLITE_ROW;
	if (*found)
	{
		c->id = sqlite3_column_int64(stmt, 0);
		for (i = 0; i < 3; i++)
		{
			const char *text = (const char *) sqlite3_column_text(stmt, i + 1);

			if (text && (*texts[i] = text_copy(text)) == NULL)
				failure_memory(&store->failure);
		}
	}
	sqlite3_finalize(stmt);
	return rc != -1 && store->failure.result == TIDE_OK;
}

static void
free_command(Command *c)
{
	sqlite3_free(c->command);
	sqlite3_free(c->type);
	sqlite3_free(c->key);
}

/* End a command that has no effect of its own upon rows. */
static bool
only_end(Store *store, const Command *c, const char *outcome)
{
	return sql_begin(store) && sql_end(store, end_command(store, c, outcome));
}

static bool
run_command(Store *store, const Command *c, int64_t now, bool *sync)
{
	if (strcmp(c->command, "sync") == 0)
	{
		*sync = true;
		return only_end(store, c, "done");
	}
	if (strcmp(c->command, "retry") == 0)
	{
		*sync = true;
		return retry(store, c->type, c->key, c);
	}
	if (strcmp(c->command, "discard") == 0 && c->type)
		return discard_now(store, c->type, c->key, now, c);
	return failure_set(&store->failure, TIDE_USAGE, "unknown_command",
					   "the command is not sync, retry or discard with an entity type");
}

static bool
take_command(Store *store, const Command *c, int64_t now, bool *sync)
{
	Failure		why;

	if (run_command(store, c, now, sync))
		return true;
	/* a command of no use is told about; trouble with the file stops us */
	why = store->failure;
	if (why.result != TIDE_USAGE && strcmp(why.code, PARKED_REFUSED) != 0)
		return false;
	failure_clear(&store->failure);
	return only_end(store, c, why.message);
}

bool
command_run_table(Store *store, int64_t now, bool *sync)
{
	Command		c;
	bool		found,
				good;

	*sync = false;
	for (;;)
	{
		if (!next_command(store, &c, &found))
		{
			free_command(&c);
			return false;
		}
		/* any id will do: 0 is one like others */
		good = !found || take_command(store, &c, now, sync);
		free_command(&c);
		if (!good || !found)
			return good;
	}
}
