/*
 * file.c
 *	  A file of ours as a whole: made, opened, checked, grown.
 */
#include <string.h>

#include "store/file.h"
#include "store/gone.h"
#include "store/names.h"
#include "store/place.h"
#include "store/settings.h"
#include "store/sql.h"
#include "store/tables.h"
#include "store/triggers.h"
#include "store/types.h"
#include "store/unfit.h"
#include "store/views.h"
#include "util/lock.h"
#include "util/random.h"

#define OLDEST_SQLITE 3035000
#define PROTOCOL "1"
#define FILE_FORMAT "1"

/* what an app did to its tables, that a sync cannot go on with */
#define TABLE_MISSING "table_missing"
#define COLUMN_MISSING "column_missing"
#define UNIQUE_INDEX "unique_index"

static bool
schema_version(Store *store, int *version)
{
	int64_t		n;

	if (!sql_number(store, &n, "PRAGMA schema_version"))
		return false;
	*version = (int) n;
	return true;
}

/* The types as we know them, those that the server left out since included. */
static bool
load_types(Store *store)
{
	char	   *schema = NULL;
	int			i;
	bool		good;

	good = sql_text(store, &schema, "SELECT '{\"entityTypes\":{' ||"
					" coalesce(group_concat(name || ':' || definition, ','), '') || '}}'"
					" FROM (SELECT json_quote(entity_type) AS name, definition"
					" FROM tide_types ORDER BY rowid)") &&
		schema != NULL && types_read(store, schema, strlen(schema));
	sqlite3_free(schema);
	for (i = 0; good && i < store->ntypes; i++)
	{
		int64_t		available;

		good = sql_number(store, &available, "SELECT available FROM tide_types"
						  " WHERE entity_type = %Q", store->types[i].name);
		store->types[i].in_schema = store->types[i].available = available != 0;
	}
	return good && names_load(store, &store->left_out, "left_out");
}

static bool
check_format(Store *store)
{
	if (setting_is(store, "format", FILE_FORMAT))
		return true;
	return failure_set(&store->failure, TIDE_LOCAL, "file_format",
					   "the file was made by another version of tide");
}

static bool
is_lacking(const Store *store)
{
	return strcmp(store->failure.code, TABLE_MISSING) == 0 ||
		strcmp(store->failure.code, COLUMN_MISSING) == 0 ||
		strcmp(store->failure.code, UNIQUE_INDEX) == 0;
}

bool
file_open(Store *store, sqlite3 * db, bool *ours)
{
	store->db = db;
	if (sqlite3_libversion_number() < OLDEST_SQLITE)
		return failure_set(&store->failure, TIDE_LOCAL, "sqlite_too_old",
						   "SQLite %s is too old: 3.35 is the oldest that does",
						   sqlite3_libversion());
	if (!tables_are_there(store, ours))
		return false;
	if (!*ours)
		return true;
	if (!check_format(store))
		return false;
	if (file_check(store))
		return true;
	/* who looks at the file sees what there is; a sync says what is missing */
	if (!is_lacking(store))
		return false;
	failure_clear(&store->failure);
	return true;
}

void
file_close(Store *store)
{
	types_free(store);
	type_at_fault(store, NULL);
	names_free(&store->changed);
	sqlite3_free(store->place);
	store->place = NULL;
	store->db = NULL;
}

static bool
write_settings(Store *store, const FileOptions *options)
{
	char		client_id[UUID_SIZE];

	random_uuid(client_id);
	return setting_set(store, "client_id", client_id) &&
		setting_set(store, "server", options->server) &&
		setting_set(store, "entity_types", options->entity_types) &&
		setting_set(store, "scopes", options->scopes) &&
		setting_set(store, "naming", options->snake ? "snake" : "as_is") &&
		setting_set(store, "status_columns", options->status_columns ? "1" : NULL) &&
		setting_set(store, "number_keys", options->number_keys ? "1" : NULL) &&
		setting_set(store, "attach", options->attach ? "1" : NULL) &&
		setting_set(store, "map", options->map) &&
		setting_set(store, "first_sync", "running");
}

bool
file_create(Store *store, const FileOptions *options)
{
	return sql_begin(store) &&
		sql_end(store, tables_make_bookkeeping(store) &&
				write_settings(store, options) && views_make(store));
}

bool
file_undo(Store *store, bool *undone)
{
	int64_t		begun;
	bool		good;

	*undone = false;
	if (!sql_begin(store))
		return false;
	good = sql_number(store, &begun, "SELECT EXISTS (SELECT 1 FROM tide_types) OR EXISTS (SELECT 1"
					  " FROM tide_settings WHERE name = 'first_sync' AND value = 'done')");
	*undone = good && !begun;
	if (*undone)
		good = views_drop(store) && tables_drop_bookkeeping(store);
	good = sql_end(store, good);
	*undone = *undone && good;
	return good;
}

/* Write down what the server says of each type that the file does not go without. */
static bool
keep_definitions(Store *store, const Json *json, const Names *left)
{
	const JsonNode *types = json_member(json, json->nodes, "entityTypes");
	const JsonNode *name;

	if (types == NULL || types->kind != JSON_OBJECT)
		return failure_set(&store->failure, TIDE_REFUSED, "bad_schema",
						   "the server's schema has no entity types");
	if (!sql_run(store, "UPDATE tide_types SET available = 0"))
		return false;
	for (name = json_first_name(json, types); name; name = json_next_name(json, types, name))
	{
		char	   *text = json_text(json, name);
		Buffer		definition = {0};
		bool		good;

		json_raw(json, name + 1, &definition);
		if (text == NULL || definition.failed)
			good = failure_memory(&store->failure);
		else
			good = names_has(left, text) ||
				sql_run(store, "INSERT INTO tide_types (entity_type, definition, available)"
						   " VALUES (%Q, %Q, 1) ON CONFLICT DO UPDATE SET"
						   " definition = excluded.definition, available = 1",
						   text, definition.data);
		sqlite3_free(text);
		buffer_free(&definition);
		if (!good)
			return false;
	}
	return true;
}

/* All types that a file was asked for must be there. */
static bool
check_wanted(Store *store, const Names *left)
{
	Names		wanted;
	bool		good = names_load(store, &wanted, "entity_types");
	int			i;

	for (i = 0; good && i < wanted.count; i++)
	{
		if (store_type(store, wanted.names[i], strlen(wanted.names[i])) == NULL &&
			!names_has(left, wanted.names[i]))
			good = failure_set(&store->failure, TIDE_REFUSED, "unknown_entity_type",
							   "the server has no entity type \"%s\"", wanted.names[i]);
	}
	names_free(&wanted);
	return good;
}

/* Rows of an app's that are there already are compared with the server's. */
static bool
note_attached(Store *store, const EntityType *type)
{
	Names		recheck,
				attaching = {0};
	bool		good = names_load(store, &recheck, "recheck") &&
		names_load(store, &attaching, "attaching") &&
		names_add(store, &recheck, type->name) && names_add(store, &attaching, type->name) &&
		names_save(store, &recheck, "recheck") && names_save(store, &attaching, "attaching");

	names_free(&recheck);
	names_free(&attaching);
	return good;
}

/* Tables, triggers and views; types whose tables grew are to be read anew. */
static bool
make_tables(Store *store)
{
	Names		refresh,
				was_out = {0};
	bool		grown,
				back,
				good = names_load(store, &refresh, "refresh") &&
		names_load(store, &was_out, "left_out");
	int			i;

	if (good && store->attached && store->ntypes == 0)
		good = failure_set(&store->failure, TIDE_LOCAL, "no_table",
						   "no table of the file has the name of an entity type of the server");
	for (i = 0; good && i < store->ntypes; i++)
	{
		EntityType *type = &store->types[i];

		type_at_fault(store, type->name);
		good = unfit_check_columns(store, type) && gone_keep(store, type) &&
			gone_take_back(store, type, &back) && tables_make_type(store, type, &grown) &&
			(!type->is_new || note_attached(store, type)) &&
			(!(grown || back || type->is_new || names_has(&was_out, type->name)) ||
			 names_add(store, &refresh, type->name));
	}
	for (i = 0; good && i < store->ntypes; i++)
	{
		type_at_fault(store, store->types[i].name);
		good = triggers_make(store, &store->types[i]) &&
			sql_run(store, "UPDATE tide_types SET table_name = %Q WHERE entity_type = %Q",
					store->types[i].table, store->types[i].name);
	}
	if (good)
		type_at_fault(store, NULL);
	good = good && names_save(store, &refresh, "refresh") && views_make(store);
	names_free(&refresh);
	names_free(&was_out);
	return good;
}

static bool
check_protocol(Store *store, const Json *json)
{
	char	   *protocol = json_text(json, json_member(json, json->nodes, "protocol"));
	bool		same = protocol == NULL || strcmp(protocol, PROTOCOL) == 0;

	if (!same)
		failure_set(&store->failure, TIDE_REFUSED, "other_protocol",
					"the server speaks version %s of the protocol, this client version %s",
					protocol, PROTOCOL);
	sqlite3_free(protocol);
	return same;
}

/* All of a schema, but for some types. */
static bool
take_all_but(Store *store, const Json *json, const Names *left, const Buffer *why,
			 const char *etag)
{
	bool		enforced,
				good;

	type_at_fault(store, NULL);
	types_forget_statements(store);
	/* a table that is made anew is dropped first */
	good = check_protocol(store, json) && sql_begin_unenforced(store, &enforced) &&
		sql_end_unenforced(store, place_check(store) && keep_definitions(store, json, left) &&
						   load_types(store) && check_wanted(store, left) && make_tables(store) &&
						   names_save(store, left, "left_out") &&
						   setting_set(store, "left_out_why", why->data) &&
						   setting_set(store, "schema_etag", etag), enforced);
	if (good)
	{
		names_free(&store->left_out);
		good = names_load(store, &store->left_out, "left_out");
	}
	/* what was read within a transaction that failed is not in the file */
	if (!good)
		types_free(store);
	return good;
}

bool
file_take_schema(Store *store, const char *schema, size_t length, const char *etag)
{
	Json		json;
	Names		left = {0};
	Buffer		why = {0};
	bool		good;

	if (!json_parse(&json, schema, length))
	{
		good = json.no_memory ? failure_memory(&store->failure) :
			failure_set(&store->failure, TIDE_REFUSED, "bad_reply",
						"the server's answer is not JSON");
		json_free(&json);
		return good;
	}
	do
		good = take_all_but(store, &json, &left, &why, etag);
	while (!good && unfit_leave_out(store, &json, &left, &why));
	if (json.no_memory)
		good = failure_memory(&store->failure);
	json_free(&json);
	names_free(&left);
	buffer_free(&why);
	/* what is in the way may be an edit, which leaves no trace in the schema */
	if (good)
		store->look_again = store->left_out.count > 0;
	return good && schema_version(store, &store->schema_version);
}

/* A table that the app dropped or renamed. */
static bool
check_tables(Store *store)
{
	char	   *name;
	bool		good = sql_text(store, &name, "SELECT table_name FROM tide_types WHERE table_name IS NOT NULL"
								" AND NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE type IN ('table', 'view')"
								" AND name = table_name COLLATE NOCASE) LIMIT 1");

	if (good && name)
	{
		good = failure_set(&store->failure, TIDE_LOCAL, TABLE_MISSING,
						   "the table \"%s\", which is synced, is no longer in the file", name);
		failure_hint(&store->failure, "Rename it back, or make it again with the same columns:"
					 " its rows come with the next sync.");
	}
	sqlite3_free(name);
	return good;
}

/*
 * A REPLACE removes every row that a unique index has in its way, and no trigger
 * fires for that: nobody would know, and the row would never come again.
 */
static bool
check_indexes(Store *store)
{
	int			i;

	for (i = 0; i < store->ntypes; i++)
	{
		const char *table = store->types[i].table;
		char	   *name;

		if (!sql_text(store, &name, "SELECT name FROM pragma_index_list(%Q)"
					  " WHERE \"unique\" AND origin <> 'pk' LIMIT 1", table))
			return false;
		if (name == NULL)
			continue;
		failure_set(&store->failure, TIDE_LOCAL, UNIQUE_INDEX,
					"the table \"%s\", which is synced, has a UNIQUE constraint or index, \"%s\"",
					table, name);
		failure_hint(&store->failure, "The server judges what is unique; make it a plain index.");
		sqlite3_free(name);
		return false;
	}
	return true;
}

/*
 * A column that the app renamed or dropped would be sent as NULL from now on, or
 * fail in our triggers.
 */
static bool
check_columns(Store *store, EntityType *type)
{
	bool		grown;
	int			i;

	if (type->attached)
		return tables_make_type(store, type, &grown);
	for (i = 0; i < type->ncolumns; i++)
	{
		bool		there;

		if (!tables_have_column(store, type->table, type->columns[i].local, &there))
			return false;
		if (there)
			continue;
		failure_set(&store->failure, TIDE_LOCAL, COLUMN_MISSING,
					"the table \"%s\" has lost its column \"%s\", which is synced",
					type->table, type->columns[i].local);
		return failure_hint(&store->failure, "Rename it back, or add it again.");
	}
	return true;
}

/*
 * Make the triggers that are missing or not ours, and note whose they were; and
 * the views, which an earlier version may have made.
 */
static bool
mend_triggers(Store *store)
{
	Names		refresh,
				recheck = {0};
	bool		there,
				good = names_load(store, &refresh, "refresh") &&
		names_load(store, &recheck, "recheck");
	int			i;

	for (i = 0; good && i < store->ntypes; i++)
	{
		EntityType *type = &store->types[i];

		good = triggers_are_there(store, type, &there);
		if (good && !there)
			good = check_columns(store, type);
		if (good && !there)
			good = triggers_make(store, type) && names_add(store, &refresh, type->name) &&
				names_add(store, &recheck, type->name);
	}
	good = good && names_save(store, &refresh, "refresh") &&
		names_save(store, &recheck, "recheck") && views_make(store);
	names_free(&refresh);
	names_free(&recheck);
	return good;
}

/* Reading only: a look at a file must not wait for who writes it. */
static bool
all_is_there(Store *store, bool *there)
{
	int			i;

	if (!views_are_there(store, there))
		return false;
	for (i = 0; i < store->ntypes && *there; i++)
	{
		if (!triggers_are_there(store, &store->types[i], there))
			return false;
	}
	return true;
}

/* A temporary table of the host's would get what is meant for ours. */
static bool
check_names(Store *store)
{
	char	   *name;
	bool		good = sql_text(store, &name, "SELECT name FROM sqlite_temp_schema WHERE type IN ('table', 'view')"
								" AND lower(name) IN (SELECT lower(name) FROM sqlite_schema WHERE name LIKE 'tide\\_%%'"
								" ESCAPE '\\' UNION ALL SELECT lower(table_name) FROM tide_types) LIMIT 1");

	if (good && name)
	{
		good = failure_set(&store->failure, TIDE_LOCAL, "name_taken",
						   "a temporary table has the name of the file's table \"%s\"", name);
		failure_hint(&store->failure, "Drop it, or sync on another connection.");
	}
	sqlite3_free(name);
	return good;
}

/* What was wrong remains to be told; false, for `return`. */
static bool
keep_looking(Store *store)
{
	Failure		why = store->failure;
	bool		there;

	if (!is_lacking(store))
		return false;
	failure_clear(&store->failure);
	store->lacking = true;
	if (views_are_there(store, &there) && !there && sql_begin(store))
		(void) sql_end(store, views_make(store));
	store->failure = why;
	return false;
}

bool
file_check(Store *store)
{
	int			version;
	bool		there;

	if (!check_names(store) || (store->ntypes == 0 && !load_types(store)))
		return false;
	if (!schema_version(store, &version))
		return false;
	if (version == store->schema_version || store->ntypes == 0)
		return true;
	types_forget_statements(store);
	store->lacking = false;
	if (!check_tables(store))
		return keep_looking(store);

	/*
	 * which column is whose may have changed, and a file that was restored
	 * may be from before its tables grew
	 */
	if (!load_types(store))
		return false;
	if (!check_indexes(store))
		return keep_looking(store);
	/* a table that was in the way may have another name by now */
	store->look_again = store->left_out.count > 0;
	if (!all_is_there(store, &there))
		return false;
	if (!there && (!sql_begin(store) || !sql_end(store, mend_triggers(store))))
		return keep_looking(store);
	return schema_version(store, &store->schema_version);
}

bool
file_check_identity(Store *store, const char *path)
{
	char		identity[LOCK_IDENTITY_SIZE];
	char		client_id[UUID_SIZE];
	char	   *before;
	bool		good = true;

	if (!lock_identity(path, identity, sizeof(identity)))
		return true;
	if (!setting_get(store, "identity", &before))
		return false;
	random_uuid(client_id);
	if (before == NULL || strcmp(before, identity) != 0)
		good = sql_begin(store) &&
			sql_end(store, setting_set(store, "identity", identity) &&
					(before == NULL || setting_set(store, "client_id", client_id)));
	sqlite3_free(before);
	return good;
}
