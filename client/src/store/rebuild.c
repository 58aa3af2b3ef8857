/*
 * rebuild.c
 *	  A table is made anew where its columns cannot become those of the server.
 */
#include <string.h>

#include "store/keys.h"
#include "store/rebuild.h"
#include "store/sql.h"

/* What keeps rows out: the server may send NULL, or nothing at all. */
#define IN_THE_WAY "\"notnull\" AND pk = 0 AND dflt_value IS NULL"

static bool
look_at_column(Rebuild *r, const Column *c)
{
	int64_t		narrow,
				other;

	/* which type a text, a number is stored as is told by these */
	if (!sql_number(r->store, &narrow, "SELECT count(*) FROM pragma_table_info(%Q) WHERE name = %Q"
					" COLLATE NOCASE AND " IN_THE_WAY, r->type->table, c->local) ||
		!sql_number(r->store, &other, "SELECT count(*) FROM pragma_table_info(%Q) WHERE name = %Q"
					" COLLATE NOCASE AND type IN ('TEXT', 'INTEGER', 'REAL', 'BLOB', '') AND type <> %Q",
					r->type->base_table, c->local, value_declared_type(c->kind)))
		return false;
	if (narrow > 0 && !c->is_key && (c->nullable || c->filled))
		r->needed = true;
	if (other > 0)
		r->needed = r->retyped = true;
	return true;
}

/* The notes name a row by its key as it was. */
static bool
has_other_key(Store *store, const EntityType *type, bool *other)
{
	Buffer		wanted = {0};
	char	   *found;
	bool		good;
	int			k;

	for (k = 0; k < type->nkeys; k++)
	{
		buffer_text(&wanted, k > 0 ? ", " : "");
		buffer_text(&wanted, type->columns[type->keys[k]].local);
	}
	good = sql_text(store, &found, "SELECT group_concat(name, ', ') FROM (SELECT name"
					" FROM pragma_table_info(%Q) WHERE pk > 0 ORDER BY pk)", type->base_table) &&
		(!wanted.failed || failure_memory(&store->failure));
	*other = good && (found == NULL || sqlite3_stricmp(found, wanted.data) != 0);
	sqlite3_free(found);
	buffer_free(&wanted);
	return good;
}

/*
 * The server has another key by now.  Rows get it; of an edit nobody knows which
 * row it would be.
 */
static bool
look_at_key(Rebuild *r)
{
	const EntityType *type = r->type;
	int64_t		edits;
	bool		other;

	if (!has_other_key(r->store, type, &other))
		return false;
	if (!other)
		return true;
	if (!sql_number(r->store, &edits, "SELECT (SELECT count(*) FROM \"%w\") + (SELECT count(*) FROM \"%w\")",
					type->dirty_table, type->parked_table))
		return false;
	r->needed = r->retyped = r->rekeyed = true;
	if (edits == 0)
		return true;
	failure_set(&r->store->failure, TIDE_LOCAL, "key_changed",
				"the key of \"%s\" is another one on the server by now, and %lld edits that name rows"
				" by the old one are not sent", type->name, (long long) edits);
	return failure_hint(&r->store->failure, "Discard them, or clone the file anew.");
}

bool
rebuild_look(Rebuild *r, Store *store, EntityType *type)
{
	Buffer		known = {0};
	int64_t		dropped = 0;
	bool		good;
	int			i;

	memset(r, 0, sizeof(*r));
	r->store = store;
	r->type = type;
	good = look_at_key(r);
	for (i = 0; good && i < type->ncolumns; i++)
		good = look_at_column(r, &type->columns[i]);
	columns_append_names(&known, type);
	/* a column that the server has dropped, and that every new row would lack */
	if (good)
		good = known.failed ? failure_memory(&store->failure) :
			sql_number(store, &dropped, "SELECT count(*) FROM pragma_table_info(%Q) WHERE "
					   IN_THE_WAY " AND name COLLATE NOCASE NOT IN (%s)", type->table, known.data);
	buffer_free(&known);
	r->needed = r->needed || dropped > 0;
	return good;
}

/* How to name the rowid, which the app's own tables may refer to. */
static const char *
rowid_of(Store *store, const char *table)
{
	static const char *const names[] = {"_rowid_", "rowid", "oid"};
	size_t		i;

	for (i = 0; i < 3; i++)
	{
		sqlite3_stmt *stmt = NULL;
		char	   *sql = sqlite3_mprintf("SELECT 1 WHERE (SELECT count(*) FROM pragma_table_info(%Q)"
										  " WHERE name = %Q COLLATE NOCASE) = 0 AND EXISTS"
										  " (SELECT 1 FROM \"%w\" WHERE %s IS NOT NULL)",
										  table, names[i], table, names[i]);
		bool		there = sql && sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) == SQLITE_OK &&
			sqlite3_step(stmt) == SQLITE_ROW;

		sqlite3_finalize(stmt);
		sqlite3_free(sql);
		if (there)
			return names[i];
	}
	return NULL;
}

/*
 * Columns as the app has declared them: SQLite's pragmas do not tell their CHECK,
 * COLLATE and REFERENCES, so that they are read from the table's own text.
 */

/* Behind the quoted name, text or comment that begins here, or the character. */
static const char *
skip(const char *at)
{
	char		quote = *at == '[' ? ']' : *at;
	const char *end;
	size_t		length = 1;

	if (strncmp(at, "--", 2) == 0)
		end = strchr(at, '\n');
	else if (strncmp(at, "/*", 2) == 0)
	{
		end = strstr(at + 2, "*/");
		length = 2;
	}
	else if (strchr("'\"`[", *at))
		end = strchr(at + 1, quote);
	else
		return at + 1;
	return end ? end + length : at + strlen(at);
}

static const char *
skip_space(const char *at)
{
	while (*at && (strchr(" \t\r\n\f", *at) || strncmp(at, "--", 2) == 0 ||
				   strncmp(at, "/*", 2) == 0))
		at = skip(at);
	return at;
}

/* Is this the definition of a column of that name? */
static bool
is_of(const char *at, const char *name)
{
	char		quote = *at == '[' ? ']' : *at;
	size_t		length = strlen(name);

	if (!strchr("'\"`[", *at))
		return sqlite3_strnicmp(at, name, (int) length) == 0 &&
			(at[length] == '\0' || strchr(" \t\r\n\f,)(/-\"'`[", at[length]));
	for (at++; *name; at++, name++)
	{
		if (sqlite3_strnicmp(at, name, 1) != 0)
			return false;
		if (*at == quote && *++at != quote)
			return false;
	}
	return at[0] == quote && at[1] != quote;
}

/* A column's definition in the text of a CREATE TABLE; NULL: it is not found. */
static char *
find_definition(const char *sql, const char *name)
{
	const char *at = sql;
	const char *begin = NULL;
	int			depth = 0;

	for (at = sql; *at; at = skip(at))
	{
		if (*at == '(' && depth++ == 0)
			begin = skip_space(at + 1);
		else if (depth == 1 && (*at == ',' || *at == ')'))
		{
			if (is_of(begin, name))
				return sqlite3_mprintf("%.*s", (int) (at - begin), begin);
			begin = skip_space(at + 1);
		}
		if (*at == ')' && --depth == 0)
			break;
	}
	return NULL;
}

/* A comment may end a definition. */
static bool
append_own(Rebuild *r, Buffer *sql, const char *table, const char *name, const char *plain)
{
	char	   *definition = find_definition(table, name);

	buffer_text(sql, "ALTER TABLE ");
	buffer_identifier(sql, r->type->table);
	buffer_text(sql, " ADD COLUMN ");
	buffer_text(sql, definition ? definition : plain);
	buffer_text(sql, "\n;");
	sqlite3_free(definition);
	return !sql->failed || failure_memory(&r->store->failure);
}

static bool
read_columns(Rebuild *r, const char *known)
{
	Buffer		sql = {0};
	char	   *query = sqlite3_mprintf("SELECT name, '\"' || replace(name, '\"', '\"\"') || '\" ' || type ||"
										" CASE WHEN \"notnull\" THEN ' NOT NULL' ELSE '' END ||"
										" coalesce(' DEFAULT (' || dflt_value || ')', ''),"
										" (SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = %Q COLLATE NOCASE)"
										" FROM pragma_table_info(%Q) WHERE NOT (" IN_THE_WAY ")"
										" AND name COLLATE NOCASE NOT IN (%s)",
										r->type->table, r->type->table, known);
	sqlite3_stmt *stmt = query ? sql_prepare(r->store, query) : NULL;
	bool		good = stmt || r->store->failure.result != TIDE_OK || failure_memory(&r->store->failure);
	int			rc = -1;

	sqlite3_free(query);
	while (good && stmt && (rc = sql_step(r->store, stmt)) == SQLITE_ROW)
	{
		const char *name = (const char *) sqlite3_column_text(stmt, 0);
		const char *plain = (const char *) sqlite3_column_text(stmt, 1);
		const char *table = (const char *) sqlite3_column_text(stmt, 2);

		good = name && plain && table ? append_own(r, &sql, table, name, plain) :
			failure_memory(&r->store->failure);
	}
	sqlite3_finalize(stmt);
	good = good && rc != -1;
	r->own = good && sql.data ? text_copy(sql.data) : NULL;
	good = good && (sql.data == NULL || r->own || failure_memory(&r->store->failure));
	buffer_free(&sql);
	return good;
}

/* The columns that the app has added, and what it has made upon the table. */
static bool
read_own(Rebuild *r)
{
	Buffer		known = {0};
	char	   *generated = NULL;
	bool		good;

	columns_append_names(&known, r->type);
	good = known.failed ? failure_memory(&r->store->failure) :
		sql_text(r->store, &generated, "SELECT name FROM pragma_table_xinfo(%Q) WHERE hidden > 1 LIMIT 1",
				 r->type->table);
	if (good && generated)
	{
		good = failure_set(&r->store->failure, TIDE_LOCAL, "generated_column",
						   "the table \"%s\" has to be made anew, for the server has changed it, and its"
						   " generated column \"%s\" is in the way", r->type->table, generated);
		failure_hint(&r->store->failure, "Drop the column, sync, and add it again.");
	}
	good = good && read_columns(r, known.data) &&
		sql_text(r->store, &r->others, "SELECT json_group_array(sql) FROM sqlite_schema"
				 " WHERE type IN ('index', 'trigger') AND tbl_name = %Q COLLATE NOCASE"
				 " AND sql IS NOT NULL AND name NOT LIKE 'tide\\_%%' ESCAPE '\\'", r->type->table);
	sqlite3_free(generated);
	buffer_free(&known);
	return good;
}

static bool
set_aside(Store *store, const char *table, const char *rowid)
{
	return sql_run(store, "CREATE TABLE \"tide_old_%w\" AS SELECT %s%s* FROM \"%w\"; DROP TABLE \"%w\"",
				   table, rowid ? rowid : "", rowid ? " AS \"tide rowid\", " : "", table, table);
}

static bool
take_back(Store *store, const char *table, const char *rowid, bool rekeyed)
{
	char	   *names;
	bool		good = sql_text(store, &names, "SELECT group_concat('\"' || replace(name, '\"', '\"\"') || '\"')"
								" FROM pragma_table_info(%Q) WHERE name IN"
								" (SELECT name FROM pragma_table_info('tide_old_' || %Q))", table, table);

	/* of clean rows that have one new key the server says which there is */
	good = good && sql_run(store, "INSERT %s INTO \"%w\" (%s%s%s) SELECT %s%s FROM \"tide_old_%w\";"
						   "DROP TABLE \"tide_old_%w\"", rekeyed ? "OR IGNORE" : "", table,
						   rowid ? rowid : "", rowid ? ", " : "",
						   names, rowid ? "\"tide rowid\", " : "", names, table, table);
	sqlite3_free(names);
	return good;
}

bool
rebuild_begin(Rebuild *r)
{
	const EntityType *type = r->type;

	r->rowid = rowid_of(r->store, type->table);
	return read_own(r) && set_aside(r->store, type->table, r->rowid) &&
		set_aside(r->store, type->base_table, NULL) &&
		set_aside(r->store, type->parked_table, NULL) &&
		set_aside(r->store, type->dirty_table, NULL);
}

/* An index on a column that is gone is gone with it. */
static bool
make_others(Rebuild *r)
{
	Json		json;
	const JsonNode *at;
	bool		good = json_parse(&json, r->others, strlen(r->others)) ||
		failure_memory(&r->store->failure);

	for (at = good ? json_first(&json, json.nodes) : NULL; good && at;
		 at = json_next(&json, json.nodes, at))
	{
		char	   *sql = json_text(&json, at);
		int			rc = sql ? sqlite3_exec(r->store->db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;

		good = rc == SQLITE_OK || rc == SQLITE_ERROR || sql_failed(r->store);
		sqlite3_free(sql);
	}
	json_free(&json);
	return good;
}

bool
rebuild_end(Rebuild *r, bool good)
{
	const EntityType *type = r->type;

	good = good && (r->own == NULL || sql_run(r->store, "%s", r->own)) &&
		take_back(r->store, type->table, r->rowid, r->rekeyed) &&
		take_back(r->store, type->base_table, NULL, r->rekeyed) &&
		take_back(r->store, type->parked_table, NULL, r->rekeyed) &&
		(r->rekeyed ? sql_run(r->store, "DROP TABLE \"tide_old_%w\"", type->dirty_table) :
		 take_back(r->store, type->dirty_table, NULL, false)) && make_others(r);
	sqlite3_free(r->own);
	sqlite3_free(r->others);
	r->own = r->others = NULL;
	return good;
}
