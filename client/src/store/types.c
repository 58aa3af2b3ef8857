/*
 * types.c
 *	  Entity types as /sync/schema describes them, and their local names.
 */
#include <ctype.h>
#include <string.h>

#include "store/attach.h"
#include "store/names.h"
#include "store/settings.h"
#include "store/sql.h"
#include "store/types.h"

static void free_type(EntityType *type);

/* what reading a schema needs to know */
typedef struct Reading
{
	Store	   *store;
	Json		json;
	Json		wanted;			/* the setting entity_types */
	Json		map;			/* the setting map, of attached tables */
	bool		snake;
	bool		status_columns;
	bool		number_keys;	/* a device may make them, too */
} Reading;

EntityType *
store_type(Store *store, const char *name, size_t length)
{
	int			i;

	for (i = 0; i < store->ntypes; i++)
	{
		const char *other = store->types[i].name;

		if (strlen(other) == length && memcmp(other, name, length) == 0)
			return &store->types[i];
	}
	return NULL;
}

int
type_column(const EntityType *type, const char *wire, size_t length)
{
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		const char *other = type->columns[i].wire;

		if (strlen(other) == length && memcmp(other, wire, length) == 0)
			return i;
	}
	return -1;
}

/* begins a word: aB, a1B, and the last capital of an acronym, HTTPServer */
static bool
begins_word(const char *name, size_t i)
{
	if (i == 0 || !isupper((unsigned char) name[i]) || name[i - 1] == '_')
		return false;
	return !isupper((unsigned char) name[i - 1]) ||
		islower((unsigned char) name[i + 1]);
}

char *
snake_name(const char *name)
{
	Buffer		out = {0};
	size_t		i;

	for (i = 0; name[i]; i++)
	{
		if (begins_word(name, i))
			buffer_char(&out, '_');
		buffer_char(&out, (char) tolower((unsigned char) name[i]));
	}
	if (out.failed)
		buffer_free(&out);
	return out.data;
}

static bool
local_name(Reading *r, const char *wire, char **local)
{
	*local = r->snake ? snake_name(wire) : text_copy(wire);
	return *local != NULL || failure_memory(&r->store->failure);
}

static bool
make_name(Reading *r, char **name, const char *prefix, const char *table)
{
	*name = sqlite3_mprintf("%s%s", prefix, table);
	return *name != NULL || failure_memory(&r->store->failure);
}

static bool
is_strict_true(const Json *json, const JsonNode *object, const char *member)
{
	return json_is_true(json_member(json, object, member));
}

/*
 * A server that does not say whether a column has a default: then every column
 * may have one.
 */
static bool
may_be_filled(const Json *json, const JsonNode *object)
{
	const JsonNode *has_default = json_member(json, object, "default");
	const JsonNode *identity = json_member(json, object, "identity");

	if (has_default == NULL)
		return true;
	return (has_default->kind != JSON_FALSE && has_default->kind != JSON_NULL) ||
		(identity && identity->kind != JSON_FALSE && identity->kind != JSON_NULL);
}

static bool
read_column(Reading *r, EntityType *type, const JsonNode *object)
{
	const Json *json = &r->json;
	Column	   *c = &type->columns[type->ncolumns];
	char	   *sql_type;
	int			i;

	memset(c, 0, sizeof(*c));
	c->wire = json_text(json, json_member(json, object, "name"));
	sql_type = json_text(json, json_member(json, object, "type"));
	if (c->wire == NULL || sql_type == NULL)
	{
		sqlite3_free(sql_type);
		sqlite3_free(c->wire);
		return failure_set(&r->store->failure, TIDE_REFUSED, "bad_schema",
						   "the server's schema has a column without name or type");
	}
	type->ncolumns++;
	c->kind = is_strict_true(json, object, "composite") ? VALUE_JSON : value_kind(sql_type);
	c->scale = value_scale(sql_type);
	sqlite3_free(sql_type);
	c->nullable = is_strict_true(json, object, "nullable");
	c->writable = is_strict_true(json, object, "writable");
	c->filled = may_be_filled(json, object);
	if (!local_name(r, c->wire, &c->local))
		return false;
	for (i = 0; i < type->ncolumns - 1; i++)
	{
		if (sqlite3_stricmp(type->columns[i].local, c->local) == 0)
			return failure_set(&r->store->failure, TIDE_LOCAL, "name_taken",
							   "columns \"%s\" and \"%s\" of \"%s\" have the same name in SQLite",
							   type->columns[i].wire, c->wire, type->name);
	}
	return true;
}

static int
named_column(Reading *r, EntityType *type, const JsonNode *object, const char *member)
{
	const JsonNode *name = json_member(&r->json, object, member);
	char	   *text = json_text(&r->json, name);
	int			i = text ? type_column(type, text, strlen(text)) : -1;

	sqlite3_free(text);
	return i;
}

static bool
read_columns(Reading *r, EntityType *type, const JsonNode *object)
{
	const JsonNode *columns = json_member(&r->json, object, "columns");
	const JsonNode *at;
	int			i;

	type->columns = sqlite3_malloc64(sizeof(Column) * (json_count(&r->json, columns) + 1));
	if (type->columns == NULL)
		return failure_memory(&r->store->failure);
	for (at = json_first(&r->json, columns); at; at = json_next(&r->json, columns, at))
	{
		if (!read_column(r, type, at))
			return false;
	}
	type->scope = named_column(r, type, object, "scope");
	type->modified_at = named_column(r, type, object, "modifiedAt");
	type->client_id = named_column(r, type, object, "clientId");
	type->version = named_column(r, type, object, "version");
	type->deleted_at = named_column(r, type, object, "deletedAt");
	for (i = 0; i < type->ncolumns; i++)
	{
		Column	   *c = &type->columns[i];

		c->is_stamp = i == type->modified_at || i == type->client_id || i == type->version;
		if (c->is_stamp || i == type->scope || !c->writable)
			c->filled = true;
	}
	return true;
}

/* the object that describes a column */
static const JsonNode *
column_object(Reading *r, const JsonNode *object, int column)
{
	const JsonNode *columns = json_member(&r->json, object, "columns");
	const JsonNode *at = json_first(&r->json, columns);

	while (at && column-- > 0)
		at = json_next(&r->json, columns, at);
	return at;
}

static bool
says(Reading *r, const JsonNode *object, const char *member)
{
	const JsonNode *value = json_member(&r->json, object, member);

	return value && value->kind != JSON_FALSE && value->kind != JSON_NULL;
}

/*
 * Who makes a key of one column: the server, where it numbers rows; the device,
 * where it is a uuid that the server would make, or does not say.
 */
static void
read_key_source(Reading *r, EntityType *type, const JsonNode *object)
{
	const JsonNode *column = column_object(r, object, type->keys[0]);
	bool		is_default = says(r, column, "default");

	type->numbered = !r->number_keys && type->columns[type->keys[0]].kind == VALUE_INTEGER &&
		(is_default || says(r, column, "identity"));
	type->key_default = json_is(&r->json, json_member(&r->json, column, "type"), "uuid") &&
		(is_default || json_member(&r->json, column, "default") == NULL);
}

static bool
read_key(Reading *r, EntityType *type, const JsonNode *object)
{
	const JsonNode *key = json_member(&r->json, object, "key");
	const JsonNode *at;

	type->keys = sqlite3_malloc64(sizeof(int) * (json_count(&r->json, key) + 1));
	if (type->keys == NULL)
		return failure_memory(&r->store->failure);
	for (at = json_first(&r->json, key); at; at = json_next(&r->json, key, at))
	{
		char	   *name = json_text(&r->json, at);
		int			i = name ? type_column(type, name, strlen(name)) : -1;

		sqlite3_free(name);
		if (i < 0)
			break;
		type->columns[i].is_key = true;
		type->keys[type->nkeys++] = i;
	}
	if (at != NULL || type->nkeys == 0)
		return failure_set(&r->store->failure, TIDE_REFUSED, "bad_schema",
						   "the server's schema has no key for \"%s\"", type->name);
	if (type->nkeys == 1)
		read_key_source(r, type, object);
	return true;
}

static bool
read_parents(Reading *r, EntityType *type, const JsonNode *object)
{
	const JsonNode *parents = json_member(&r->json, object, "parents");
	const JsonNode *at;

	type->parents = sqlite3_malloc64(sizeof(char *) * (json_count(&r->json, parents) + 1));
	if (type->parents == NULL)
		return failure_memory(&r->store->failure);
	for (at = json_first(&r->json, parents); at; at = json_next(&r->json, parents, at))
	{
		if ((type->parents[type->nparents] = json_text(&r->json, at)) == NULL)
			return failure_memory(&r->store->failure);
		type->nparents++;
	}
	return true;
}

/* Names that SQLite or we have taken cannot be a table's. */
static bool
check_table_name(Reading *r, EntityType *type)
{
	int			i;

	if (sqlite3_strnicmp(type->table, "tide_", 5) == 0 ||
		sqlite3_strnicmp(type->table, "sqlite_", 7) == 0)
		return failure_set(&r->store->failure, TIDE_LOCAL, "name_taken",
						   "entity type \"%s\" cannot be a table of the device: names with this beginning are taken",
						   type->name);
	for (i = 0; i < r->store->ntypes; i++)
	{
		EntityType *other = &r->store->types[i];

		if (other != type && sqlite3_stricmp(other->table, type->table) == 0)
			return failure_set(&r->store->failure, TIDE_LOCAL, "name_taken",
							   "entity types \"%s\" and \"%s\" have the same name in SQLite",
							   other->name, type->name);
	}
	return true;
}

/*
 * A policy that combines two versions column by column wants to know which
 * columns were edited.
 */
static bool
is_by_column(const Json *json, const JsonNode *conflict)
{
	return conflict != NULL && conflict->kind == JSON_STRING &&
		!json_is(json, conflict, "last_write_wins") &&
		!json_is(json, conflict, "client_wins") &&
		!json_is(json, conflict, "server_wins");
}

static bool
name_tables(Reading *r, EntityType *type)
{
	return check_table_name(r, type) &&
		make_name(r, &type->base_table, "tide_base_", type->table) &&
		make_name(r, &type->dirty_table, "tide_dirty_", type->table) &&
		make_name(r, &type->parked_table, "tide_parked_", type->table);
}

static bool
read_type(Reading *r, EntityType *type, const JsonNode *name, const JsonNode *object)
{
	type->name = json_text(&r->json, name);
	if (type->name == NULL)
		return failure_memory(&r->store->failure);
	type->available = true;
	type->by_column = is_by_column(&r->json, json_member(&r->json, object, "conflict"));
	if (r->status_columns)
	{
		type->is_dirty = text_copy(r->snake ? "is_dirty" : "isDirty");
		type->synced_at = text_copy(r->snake ? "last_synced_at" : "lastSyncedAt");
		if (type->is_dirty == NULL || type->synced_at == NULL)
			return failure_memory(&r->store->failure);
	}
	return local_name(r, type->name, &type->table) &&
		read_columns(r, type, object) &&
		read_key(r, type, object) &&
		read_parents(r, type, object) &&
		(!r->store->attached || attach_find(r->store, type, &r->map)) &&
		(type->table == NULL || name_tables(r, type));
}

static bool
is_wanted(Reading *r, const JsonNode *name)
{
	const JsonNode *list = r->wanted.count > 0 ? &r->wanted.nodes[0] : NULL;
	const JsonNode *at;
	char	   *text;
	bool		wanted = false;

	if (list == NULL)
		return true;
	text = json_text(&r->json, name);
	for (at = json_first(&r->wanted, list); text && at; at = json_next(&r->wanted, list, at))
		wanted = wanted || json_is(&r->wanted, at, text);
	sqlite3_free(text);
	return wanted;
}

static bool
parents_are_before(Store *store, int before, const EntityType *type)
{
	int			p,
				i;

	for (p = 0; p < type->nparents; p++)
	{
		for (i = before; i < store->ntypes; i++)
		{
			if (&store->types[i] != type &&
				strcmp(store->types[i].name, type->parents[p]) == 0)
				return false;
		}
	}
	return true;
}

/* Parents first; types that refer to each other in a circle as they come. */
static void
sort_types(Store *store)
{
	int			done,
				i;

	for (done = 0; done < store->ntypes; done++)
	{
		for (i = done; i < store->ntypes; i++)
		{
			if (parents_are_before(store, done, &store->types[i]))
				break;
		}
		if (i < store->ntypes && i > done)
		{
			EntityType	type = store->types[i];

			memmove(&store->types[done + 1], &store->types[done],
					sizeof(EntityType) * (size_t) (i - done));
			store->types[done] = type;
		}
	}
}

static DeleteAction
delete_action(const Json *json, const JsonNode *node)
{
	if (json_is(json, node, "cascade") || json_is(json, node, "CASCADE"))
		return DELETE_CASCADE;
	if (json_is(json, node, "set null") || json_is(json, node, "SET NULL") ||
		json_is(json, node, "set_null"))
		return DELETE_SET_NULL;
	if (json_is(json, node, "set default") || json_is(json, node, "SET DEFAULT") ||
		json_is(json, node, "set_default"))
		return DELETE_SET_DEFAULT;
	return DELETE_NO_ACTION;
}

/* indexes of named columns; -1 if one is not there */
static int
column_list(Reading *r, const EntityType *type, const JsonNode *names, int **columns)
{
	const JsonNode *at;
	int			n = 0;

	*columns = sqlite3_malloc64(sizeof(int) * (json_count(&r->json, names) + 1));
	if (*columns == NULL)
		return -1;
	for (at = json_first(&r->json, names); at; at = json_next(&r->json, names, at))
	{
		char	   *name = json_text(&r->json, at);
		int			i = name ? type_column(type, name, strlen(name)) : -1;

		sqlite3_free(name);
		if (i < 0)
			return -1;
		(*columns)[n++] = i;
	}
	return n;
}

/* Which columns an action sets: those that are named, else all. */
static uint32_t
emptied_columns(const Json *json, const EntityType *type, const Reference *ref,
				const JsonNode *names)
{
	const JsonNode *at;
	uint32_t	emptied = 0;
	int			i;

	/* PostgreSQL has no key of more than 32 columns */
	for (i = 0; i < ref->ncolumns && i < 32; i++)
	{
		for (at = json_first(json, names); at; at = json_next(json, names, at))
		{
			if (json_is(json, at, type->columns[ref->columns[i]].wire))
				break;
		}
		if (names == NULL || at != NULL)
			emptied |= UINT32_C(1) << i;
	}
	return emptied;
}

/* Columns of the app's tables, that is. */
static bool
refers_to_columns(const EntityType *type, const EntityType *parent, const Reference *ref)
{
	int			i;

	for (i = 0; i < ref->ncolumns; i++)
	{
		if (type->columns[ref->columns[i]].beside ||
			parent->columns[ref->parent_columns[i]].beside)
			return false;
	}
	return true;
}

static bool
read_reference(Reading *r, EntityType *type, const JsonNode *object)
{
	const Json *json = &r->json;
	Reference  *ref = &type->references[type->nreferences];
	char	   *parent_name = json_text(json, json_member(json, object, "entityType"));
	EntityType *parent = NULL;
	int			nparent;

	if (parent_name)
		parent = store_type(r->store, parent_name, strlen(parent_name));
	sqlite3_free(parent_name);
	/* a parent that was not cloned: the column is one like any other */
	if (parent == NULL)
		return true;
	memset(ref, 0, sizeof(*ref));
	type->nreferences++;
	ref->parent = (int) (parent - r->store->types);
	ref->on_delete = delete_action(json, json_member(json, object, "onDelete"));
	ref->ncolumns = column_list(r, type, json_member(json, object, "columns"), &ref->columns);
	nparent = column_list(r, parent, json_member(json, object, "refColumns"),
						  &ref->parent_columns);
	if (ref->columns == NULL || ref->parent_columns == NULL)
		return failure_memory(&r->store->failure);
	ref->emptied = emptied_columns(json, type, ref, json_member(json, object, "onDeleteColumns"));
	if (ref->ncolumns > 0 && nparent == ref->ncolumns && refers_to_columns(type, parent, ref))
		return true;
	/* columns that are not synced: nothing that the device could keep true */
	sqlite3_free(ref->columns);
	sqlite3_free(ref->parent_columns);
	type->nreferences--;
	return true;
}

/* Once all types are known, and in their order. */
static bool
read_references(Reading *r, const JsonNode *entity_types)
{
	int			i;

	for (i = 0; i < r->store->ntypes; i++)
	{
		EntityType *type = &r->store->types[i];
		const JsonNode *object = json_member(&r->json, entity_types, type->name);
		const JsonNode *list = json_member(&r->json, object, "references");
		const JsonNode *at;

		type->references = sqlite3_malloc64(sizeof(Reference) * (json_count(&r->json, list) + 1));
		if (type->references == NULL)
			return failure_memory(&r->store->failure);
		for (at = json_first(&r->json, list); at; at = json_next(&r->json, list, at))
		{
			if (!read_reference(r, type, at))
				return false;
		}
	}
	return true;
}

bool
type_at_fault(Store *store, const char *name)
{
	sqlite3_free(store->at_fault);
	store->at_fault = name ? text_copy(name) : NULL;
	return false;
}

static bool
read_types(Reading *r)
{
	Store	   *store = r->store;
	const JsonNode *types = json_member(&r->json, r->json.nodes, "entityTypes");
	const JsonNode *at;

	if (types == NULL || types->kind != JSON_OBJECT)
		return failure_set(&store->failure, TIDE_REFUSED, "bad_schema",
						   "the server's schema has no entity types");
	store->types = sqlite3_malloc64(sizeof(EntityType) * (json_count(&r->json, types) + 1));
	if (store->types == NULL)
		return failure_memory(&store->failure);
	for (at = json_first_name(&r->json, types); at; at = json_next_name(&r->json, types, at))
	{
		EntityType *type = &store->types[store->ntypes];

		if (!is_wanted(r, at))
			continue;
		memset(type, 0, sizeof(*type));
		store->ntypes++;
		if (!read_type(r, type, at, at + 1))
			return type_at_fault(store, type->name);
		/* an app without a table for it */
		if (type->table == NULL)
		{
			free_type(type);
			store->ntypes--;
		}
	}
	sort_types(store);
	return read_references(r, types);
}

bool
types_read(Store *store, const char *schema, size_t length)
{
	Reading		r = {.store = store};
	char	   *wanted = NULL;
	char	   *map = NULL;
	bool		good = false;

	types_free(store);
	r.snake = setting_is(store, "naming", "snake");
	r.status_columns = setting_is(store, "status_columns", "1");
	r.number_keys = setting_is(store, "number_keys", "1");
	store->attached = setting_is(store, "attach", "1");
	if (store->failure.result == TIDE_OK &&
		setting_get(store, "entity_types", &wanted) && setting_get(store, "map", &map))
	{
		if (wanted != NULL && !json_parse(&r.wanted, wanted, strlen(wanted)))
			failure_set(&store->failure, TIDE_LOCAL, "bad_settings",
						"the file's list of entity types is not JSON");
		else if (map != NULL && (!json_parse(&r.map, map, strlen(map)) ||
								 r.map.nodes->kind != JSON_OBJECT))
			failure_set(&store->failure, TIDE_USAGE, "bad_map", "the map is not a JSON object");
		else if (!json_parse(&r.json, schema, length))
			failure_set(&store->failure, TIDE_REFUSED, "bad_schema",
						"the server's schema is not JSON");
		else
			good = read_types(&r);
	}
	if (r.json.no_memory || r.wanted.no_memory || r.map.no_memory)
		good = failure_memory(&store->failure);
	json_free(&r.wanted);
	json_free(&r.map);
	json_free(&r.json);
	sqlite3_free(wanted);
	sqlite3_free(map);
	if (!good)
		types_free(store);
	return good;
}

void
types_forget_statements(Store *store)
{
	int			i,
				s;

	for (i = 0; i < store->ntypes; i++)
	{
		for (s = 0; s < STATEMENT_COUNT; s++)
		{
			sqlite3_finalize(store->types[i].statements[s]);
			store->types[i].statements[s] = NULL;
		}
	}
}

static void
free_type(EntityType *type)
{
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		sqlite3_free(type->columns[i].wire);
		sqlite3_free(type->columns[i].local);
	}
	for (i = 0; i < type->nparents; i++)
		sqlite3_free(type->parents[i]);
	for (i = 0; i < type->nreferences; i++)
	{
		sqlite3_free(type->references[i].columns);
		sqlite3_free(type->references[i].parent_columns);
	}
	sqlite3_free(type->columns);
	sqlite3_free(type->keys);
	sqlite3_free(type->parents);
	sqlite3_free(type->references);
	sqlite3_free(type->name);
	sqlite3_free(type->table);
	sqlite3_free(type->base_table);
	sqlite3_free(type->dirty_table);
	sqlite3_free(type->parked_table);
	sqlite3_free(type->row_table);
	sqlite3_free(type->is_dirty);
	sqlite3_free(type->synced_at);
}

void
types_free(Store *store)
{
	int			i;

	types_forget_statements(store);
	names_free(&store->left_out);
	for (i = 0; i < store->ntypes; i++)
		free_type(&store->types[i]);
	sqlite3_free(store->types);
	store->types = NULL;
	store->ntypes = 0;
}
