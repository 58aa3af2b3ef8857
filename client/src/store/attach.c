/*
 * attach.c
 *	  Tables of an app's own: which is of which entity type, and whether it fits.
 */
#include <ctype.h>
#include <string.h>

#include "store/attach.h"
#include "store/columns.h"
#include "store/emptied.h"
#include "store/keys.h"
#include "store/sql.h"

/*
 * Names
 */

/* Lower case, without underscores. */
static char *
bare_name(const char *name)
{
	Buffer		out = {0};

	buffer_text(&out, "");
	for (; *name; name++)
	{
		if (*name != '_')
			buffer_char(&out, (char) tolower((unsigned char) *name));
	}
	if (out.failed)
		buffer_free(&out);
	return out.data;
}

/* Is one the plural of the other: plan, plans; entry, entries; class, classes? */
static bool
is_plural(const char *one, const char *many)
{
	size_t		n = strlen(one);

	if (strncmp(one, many, n) == 0 &&
		(strcmp(many + n, "s") == 0 || strcmp(many + n, "es") == 0))
		return true;
	return n > 1 && one[n - 1] == 'y' && strncmp(one, many, n - 1) == 0 &&
		strcmp(many + n - 1, "ies") == 0;
}

static bool
same_name(const char *left, const char *right, bool plural, bool *same)
{
	char	   *a = bare_name(left);
	char	   *b = bare_name(right);
	bool		good = a && b;

	*same = good && (strcmp(a, b) == 0 || (plural && (is_plural(a, b) || is_plural(b, a))));
	sqlite3_free(a);
	sqlite3_free(b);
	return good;
}

static bool
set_name(Store *store, char **field, const char *name)
{
	char	   *copy = text_copy(name);

	if (copy == NULL)
		return failure_memory(&store->failure);
	sqlite3_free(*field);
	*field = copy;
	return true;
}

/*
 * The one name of a query's first column that is like this one; *found is NULL
 * if there is none.
 */
static bool
find_alike(Store *store, const char *query, const char *name, bool plural,
		   const char *what, char **found)
{
	sqlite3_stmt *stmt = sql_prepare(store, query);
	bool		good = stmt != NULL;
	int			rc = SQLITE_DONE;

	*found = NULL;
	while (good && (rc = sql_step(store, stmt)) == SQLITE_ROW)
	{
		const char *other = (const char *) sqlite3_column_text(stmt, 0);
		bool		same;

		if (other == NULL || !same_name(name, other, plural, &same))
			good = failure_memory(&store->failure);
		else if (same && *found && strcmp(name, *found) != 0)
		{
			good = failure_set(&store->failure, TIDE_LOCAL, "ambiguous_name",
							   "both \"%s\" and \"%s\" could be %s \"%s\"", *found, other,
							   what, name);
			failure_hint(&store->failure, "Say which in the map.");
		}
		else if (same && (*found == NULL || strcmp(name, other) == 0))
			good = set_name(store, found, other);
	}
	sqlite3_finalize(stmt);
	if (good && rc != -1)
		return true;
	sqlite3_free(*found);
	*found = NULL;
	return false;
}

/*
 * What the map says
 */

static const JsonNode *
map_entry(const Json *map, const EntityType *type)
{
	return map->count > 0 ? json_member(map, map->nodes, type->name) : NULL;
}

static bool
read_form(Store *store, EntityType *type, const Json *map, const JsonNode *times)
{
	if (times == NULL || json_is(map, times, "iso"))
		type->form = TIME_ISO;
	else if (json_is(map, times, "s"))
		type->form = TIME_SECONDS;
	else if (json_is(map, times, "ms"))
		type->form = TIME_MILLISECONDS;
	else
		return failure_set(&store->failure, TIDE_USAGE, "bad_map",
						   "\"times\" of \"%s\" in the map is not iso, s or ms", type->name);
	return true;
}

/* What the map has to say is in objects. */
static bool
check_kind(Store *store, const EntityType *type, const JsonNode *node, const char *what)
{
	if (node == NULL || node->kind == JSON_NULL || node->kind == JSON_OBJECT)
		return true;
	return failure_set(&store->failure, TIDE_USAGE, "bad_map",
					   "%s \"%s\" in the map is not an object", what, type->name);
}

/* A misspelt name in the map must not pass for one that is left out. */
static bool
check_mapped_columns(Store *store, const EntityType *type, const Json *map,
					 const JsonNode *columns)
{
	const JsonNode *name;

	if (!check_kind(store, type, columns, "\"columns\" of"))
		return false;
	for (name = json_first_name(map, columns); name; name = json_next_name(map, columns, name))
	{
		char	   *text = json_text(map, name);
		bool		known = text && type_column(type, text, strlen(text)) >= 0;

		if (text == NULL)
			return failure_memory(&store->failure);
		if (!known)
			failure_set(&store->failure, TIDE_USAGE, "bad_map",
						"the map names a column \"%s\", which \"%s\" has not", text, type->name);
		sqlite3_free(text);
		if (!known)
			return false;
	}
	return true;
}

static bool
find_table(Store *store, EntityType *type, const Json *map, const JsonNode *entry)
{
	char	   *said = json_text(map, json_member(map, entry, "table"));
	char	   *found = NULL;
	int64_t		n = 1;
	bool		good;

	if (said)
	{
		good = sql_number(store, &n, "SELECT count(*) FROM sqlite_schema WHERE name = %Q"
						  " COLLATE NOCASE AND type IN ('table', 'view')", said);
		if (good && n == 0)
			good = failure_set(&store->failure, TIDE_LOCAL, "no_table",
							   "the table \"%s\" that the map names for \"%s\" is not in the file",
							   said, type->name);
		found = said;
	}
	else
		good = find_alike(store, "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')"
						  " AND name NOT LIKE 'tide\\_%' ESCAPE '\\'"
						  " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
						  type->name, true, "the table of", &found);
	sqlite3_free(type->table);
	type->table = good ? found : NULL;
	if (!good)
		sqlite3_free(found);
	return good;
}

/*
 * Columns
 */

/* How SQLite would store a text in a column of this declared type. */
static char
affinity(const char *declared)
{
	char		upper[64];
	size_t		i;

	for (i = 0; declared[i] && i < sizeof(upper) - 1; i++)
		upper[i] = (char) toupper((unsigned char) declared[i]);
	upper[i] = '\0';
	if (strstr(upper, "INT"))
		return 'i';
	if (strstr(upper, "CHAR") || strstr(upper, "CLOB") || strstr(upper, "TEXT"))
		return 't';
	if (upper[0] == '\0' || strstr(upper, "BLOB") || strcmp(upper, "ANY") == 0)
		return 'b';
	if (strstr(upper, "REAL") || strstr(upper, "FLOA") || strstr(upper, "DOUB"))
		return 'r';
	return 'n';
}

/* The wire's value may not be what the column gives back. */
static void
set_exactness(const EntityType *type, Column *c, char kind)
{
	if (c->kind == VALUE_TIME)
	{
		c->form = type->form;
		c->coarse = c->form != TIME_ISO;
	}
	else if (c->kind == VALUE_NUMERIC)
		c->coarse = kind == 'i' || kind == 'r' || kind == 'n';
	else if (c->kind == VALUE_INTEGER)
		c->coarse = kind == 'r';
}

static bool
column_affinity(Store *store, const EntityType *type, const char *column, char *kind)
{
	char	   *declared;
	bool		good = sql_text(store, &declared, "SELECT type FROM pragma_table_xinfo(%Q)"
								" WHERE name = %Q COLLATE NOCASE", type->table, column);

	*kind = affinity(declared ? declared : "");
	sqlite3_free(declared);
	return good;
}

static bool
find_column(Store *store, EntityType *type, Column *c, const Json *map, const JsonNode *said)
{
	char	   *query = sqlite3_mprintf("SELECT name FROM pragma_table_xinfo(%Q) WHERE hidden = 0"
										" OR hidden > 1", type->table);
	char	   *wanted = said ? json_text(map, said) : NULL;
	char	   *found = NULL;
	char		kind;
	bool		good = query ? find_alike(store, query, wanted ? wanted : c->wire, false,
										  "the column", &found) :
		failure_memory(&store->failure);

	sqlite3_free(query);
	/* the map says that there is none */
	if (good && said && said->kind == JSON_NULL)
	{
		sqlite3_free(found);
		found = NULL;
	}
	else if (good && wanted && (found == NULL || sqlite3_stricmp(found, wanted) != 0))
		good = failure_set(&store->failure, TIDE_LOCAL, "no_column",
						   "the column \"%s\" that the map names for \"%s\" of \"%s\" is not in \"%s\"",
						   wanted, c->wire, type->name, type->table);
	sqlite3_free(wanted);
	c->beside = found == NULL;
	if (good && found)
	{
		good = column_affinity(store, type, found, &kind);
		set_exactness(type, c, kind);
	}
	if (good)
		good = set_name(store, &c->local, found ? found : c->wire);
	sqlite3_free(found);
	return good;
}

/* A column that no column of the wire's has: isDirty, is_dirty. */
static bool
find_status(Store *store, const EntityType *type, const char *name, char **column)
{
	char	   *query = sqlite3_mprintf("SELECT name FROM pragma_table_info(%Q)", type->table);
	bool		good = query ? find_alike(store, query, name, false, "the column", column) :
		failure_memory(&store->failure);
	int			i;

	sqlite3_free(query);
	for (i = 0; good && *column && i < type->ncolumns; i++)
	{
		if (!type->columns[i].beside && sqlite3_stricmp(type->columns[i].local, *column) == 0)
		{
			sqlite3_free(*column);
			*column = NULL;
		}
	}
	return good;
}

bool
attach_find(Store *store, EntityType *type, const Json *map)
{
	const JsonNode *entry = map_entry(map, type);
	const JsonNode *columns = json_member(map, entry, "columns");
	bool		kept = false;
	int			i;

	type->attached = true;
	if (!check_kind(store, type, entry, "what is said of") ||
		!read_form(store, type, map, json_member(map, entry, "times")) ||
		!check_mapped_columns(store, type, map, columns) ||
		!find_table(store, type, map, entry))
		return false;
	if (type->table == NULL)
		return true;
	for (i = 0; i < type->ncolumns; i++)
	{
		Column	   *c = &type->columns[i];

		if (!find_column(store, type, c, map, json_member(map, columns, c->wire)))
			return false;
		kept = kept || column_is_kept(c);
	}
	if (!find_status(store, type, "isDirty", &type->is_dirty) ||
		!find_status(store, type, "lastSyncedAt", &type->synced_at))
		return false;
	if (kept && (type->row_table = sqlite3_mprintf("tide_row_%s", type->table)) == NULL)
		return failure_memory(&store->failure);
	return true;
}

/*
 * Does it fit?
 */

/* A query of one name that must give none; the format has it as %s. */
static bool
none(Store *store, char *query, const char *format, const EntityType *type)
{
	char	   *name = NULL;
	bool		good = query ? sql_text(store, &name, "%s", query) : failure_memory(&store->failure);

	sqlite3_free(query);
	if (good && name)
	{
		char	   *message = sqlite3_mprintf(format, type->table, name);

		good = message ? failure_set(&store->failure, TIDE_LOCAL, "does_not_fit", "%s", message) :
			failure_memory(&store->failure);
		failure_hint(&store->failure, "Its entity type is \"%s\".", type->name);
		sqlite3_free(message);
	}
	sqlite3_free(name);
	return good;
}

static bool
misfit(Store *store, const EntityType *type, const Column *c, const char *why)
{
	failure_set(&store->failure, TIDE_LOCAL, "does_not_fit", "the column \"%s\" of \"%s\" %s",
				c->local, type->table, why);
	return failure_hint(&store->failure, "Its entity type is \"%s\".", type->name);
}

static bool
check_kind_of_table(Store *store, const EntityType *type)
{
	return none(store, sqlite3_mprintf("SELECT CASE WHEN type = 'view' THEN 'a view'"
									   " ELSE 'a virtual table' END FROM sqlite_schema"
									   " WHERE name = %Q COLLATE NOCASE AND (type = 'view'"
									   " OR sql LIKE 'CREATE VIRTUAL%%')", type->table),
				"\"%s\" is %s, not a table", type) &&
		none(store, sqlite3_mprintf("SELECT name FROM pragma_index_list(%Q)"
									" WHERE \"unique\" AND origin <> 'pk' LIMIT 1", type->table),
			 "\"%s\" has a UNIQUE constraint or index, \"%s\": the server judges what is"
			 " unique, a plain index will do", type) &&
		none(store, sqlite3_mprintf("SELECT x.name FROM pragma_index_list(%Q) AS l,"
									" pragma_index_xinfo(l.name) AS x WHERE l.origin = 'pk'"
									" AND x.key AND x.coll <> 'BINARY' LIMIT 1", type->table),
			 "the primary key of \"%s\" compares \"%s\" by a collation other than BINARY", type);
}

/* The table's primary key is that of the wire. */
static bool
check_key(Store *store, const EntityType *type)
{
	int64_t		n;
	int			k;
	bool		good = sql_number(store, &n, "SELECT count(*) FROM pragma_table_xinfo(%Q)"
								  " WHERE pk > 0", type->table);

	for (k = 0; good && k < type->nkeys; k++)
	{
		const Column *c = &type->columns[type->keys[k]];
		int64_t		is_key = 0;

		good = sql_number(store, &is_key, "SELECT count(*) FROM pragma_table_xinfo(%Q) WHERE pk > 0"
						  " AND name = %Q COLLATE NOCASE", type->table, c->local);
		if (good && (is_key == 0 || c->beside || n != type->nkeys))
		{
			failure_set(&store->failure, TIDE_LOCAL, "does_not_fit",
						"the primary key of \"%s\" is not that of \"%s\", which has \"%s\" in it",
						type->table, type->name, c->wire);
			good = false;
		}
	}
	return good;
}

static bool
check_column(Store *store, const EntityType *type, const Column *c)
{
	char		kind;

	if (c->beside)
		return c->nullable || c->filled || !c->writable ||
			misfit(store, type, c, "is missing, and the server needs it");
	/* several times of the server's would be one row, or one that it has not */
	if (c->is_key && c->form != TIME_ISO)
		return misfit(store, type, c, "is of the primary key, and a time in seconds or milliseconds"
					  " does not name a row exactly");
	if (!column_affinity(store, type, c->local, &kind))
		return false;
	if ((kind == 'i' || kind == 'r' || kind == 'n') &&
		(c->kind == VALUE_TEXT || c->kind == VALUE_JSON || c->kind == VALUE_BLOB))
		return misfit(store, type, c, "is declared with a type that makes numbers of texts");
	return none(store, sqlite3_mprintf("SELECT name FROM pragma_table_xinfo(%Q) WHERE hidden > 1"
									   " AND name = %Q COLLATE NOCASE", type->table, c->local),
				"the column of \"%s\" for \"%s\" is a generated one", type);
}

/* Columns of the app's alone must do without a value. */
static bool
check_rest(Store *store, const EntityType *type)
{
	Buffer		known = {0};
	char	   *query;
	bool		good;

	columns_append_names(&known, type);
	query = known.failed ? NULL :
		sqlite3_mprintf("SELECT name FROM pragma_table_info(%Q) WHERE \"notnull\" AND pk = 0"
						" AND dflt_value IS NULL AND name COLLATE NOCASE NOT IN (%s) LIMIT 1",
						type->table, known.data);
	good = none(store, query, "\"%s\" has a column \"%s\" that is NOT NULL without a default, and"
				" the server has none for it", type);
	buffer_free(&known);
	return good;
}

/* Until the server's default has come, there is none. */
static bool
check_emptied(Store *store, const EntityType *type)
{
	int			i;
	bool		good = true;

	for (i = 0; good && i < type->ncolumns; i++)
	{
		if (emptied_can_be(type, i))
			good = none(store, sqlite3_mprintf("SELECT name FROM pragma_table_info(%Q) WHERE \"notnull\""
											   " AND name = %Q COLLATE NOCASE", type->table,
											   type->columns[i].local),
						"\"%s\" has a column \"%s\" that is NOT NULL, and a delete of the row that it"
						" refers to empties it until the server's default has come", type);
	}
	return good;
}

bool
attach_check(Store *store, const EntityType *type)
{
	int			i;

	if (!check_kind_of_table(store, type) || !check_key(store, type))
		return false;
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!check_column(store, type, &type->columns[i]))
			return false;
	}
	return check_emptied(store, type) && check_rest(store, type);
}
