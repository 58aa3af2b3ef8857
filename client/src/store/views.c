/*
 * views.c
 *	  The views that any tool may look at: tide_status, tide_pending, tide_lost,
 *	  tide_changed.
 */
#include <string.h>

#include "store/keys.h"
#include "store/settings.h"
#include "store/sql.h"
#include "store/views.h"

/*
 * A key's column as its bare text, or as JSON.  Not by json_quote() and its
 * like, which a view may not call where trusted_schema is off.
 */
static void
append_key_text(Buffer *sql, const EntityType *type, int k, bool of_dirty, bool as_json)
{
	Buffer		name = {0};

	if (of_dirty)
		buffer_format(&name, "key%d", k + 1);
	else
		buffer_identifier(&name, type->columns[type->keys[k]].local);
	if (name.failed)
		sql->failed = true;
	else if (type->columns[type->keys[k]].kind == VALUE_BLOB)
		buffer_format(sql, as_json ? "'\"\\\\x' || lower(hex(%s)) || '\"'" :
					  "'\\x' || lower(hex(%s))", name.data);
	else if (as_json)
		buffer_format(sql, "CASE WHEN typeof(%s) IN ('integer', 'real') THEN %s ELSE '\"' ||"
					  " replace(replace(replace(replace(%s, '\\', '\\\\'), '\"', '\\\"'),"
					  " char(10), '\\n'), char(9), '\\t') || '\"' END",
					  name.data, name.data, name.data);
	else
		buffer_text(sql, name.data);
	buffer_free(&name);
}

/* The bare text of a key, for several columns the wire's JSON object. */
static void
append_key_expression(Buffer *sql, const EntityType *type, bool of_dirty)
{
	int			k;

	if (type->nkeys == 1)
	{
		buffer_text(sql, "CAST(");
		append_key_text(sql, type, 0, of_dirty, false);
		buffer_text(sql, " AS TEXT)");
		return;
	}
	for (k = 0; k < type->nkeys; k++)
	{
		const char *wire = type->columns[type->keys[k]].wire;
		Buffer		name = {0};

		buffer_char(&name, k > 0 ? ',' : '{');
		json_string(&name, wire, strlen(wire));
		buffer_char(&name, ':');
		if (name.failed)
			sql->failed = true;
		else
			buffer_literal(sql, name.data);
		buffer_free(&name);
		buffer_text(sql, " || ");
		append_key_text(sql, type, k, of_dirty, true);
		buffer_text(sql, k + 1 < type->nkeys ? " || " : " || '}'");
	}
}

/*
 * SQLite takes no more than 500 terms in one compound: groups of them, of which
 * the first begins a query.  LIMIT keeps a group from being taken apart again.
 */
#define GROUP 200

static void
append_between(Buffer *sql, int *terms, const char *operator)
{
	if (*terms > 0 && *terms % GROUP == 0)
		buffer_format(sql, " LIMIT -1) %s SELECT * FROM (", operator);
	else if (*terms > 0)
	{
		buffer_char(sql, ' ');
		buffer_text(sql, operator);
		buffer_char(sql, ' ');
	}
	(*terms)++;
}

#define ISO_TIME "strftime('%%Y-%%m-%%dT%%H:%%M:%%fZ', %s / 1000.0, 'unixepoch')"

#define NOT_SERVED "(SELECT NOT available FROM tide_types AS s WHERE s.entity_type = of_type)"

/* The setting is a JSON array; why is told by the warning of tide_status. */
static void
append_left_out(Buffer *sql, const EntityType *type)
{
	Buffer		name = {0};

	json_string(&name, type->name, strlen(type->name));
	buffer_text(sql, "instr((SELECT value FROM tide_settings WHERE name = 'left_out'), ");
	buffer_literal(sql, name.data ? name.data : "");
	buffer_text(sql, ") > 0");
	sql->failed = sql->failed || name.failed;
	buffer_free(&name);
}

static void
append_pending(Buffer *sql, const EntityType *type, int *terms)
{
	append_between(sql, terms, "UNION ALL");
	buffer_text(sql, "SELECT ");
	buffer_literal(sql, type->name);
	buffer_text(sql, " AS entity_type, ");
	append_key_expression(sql, type, true);
	buffer_text(sql, " AS \"key\", CASE WHEN operation = 'delete' THEN 'delete'"
				" WHEN ");
	key_append_exists(sql, type, type->base_table, "b", "d.", KEY_NUMBERED);
	buffer_text(sql, " THEN 'update' ELSE 'create' END AS operation, ");
	buffer_format(sql, ISO_TIME " AS edited_at, state, tries,"
				  " CASE WHEN state = 'retry' THEN " ISO_TIME
				  " END AS next_try_at, ", "edited_at", "next_try_at");
	/* what is not served waits, and was not refused */
	buffer_text(sql, "coalesce(code, CASE WHEN " NOT_SERVED " THEN 'not_available' END) AS code,"
				" coalesce(message, CASE WHEN " NOT_SERVED " THEN CASE WHEN ");
	append_left_out(sql, type);
	buffer_text(sql, " THEN 'the entity type is left out, for the file cannot have what the server has of it'"
				" ELSE 'the server does not have this entity type any more' END END) AS message"
				" FROM (SELECT *, ");
	buffer_literal(sql, type->name);
	buffer_text(sql, " AS of_type FROM ");
	buffer_identifier(sql, type->dirty_table);
	buffer_text(sql, ") AS d");
	append_between(sql, terms, "UNION ALL");
	buffer_text(sql, "SELECT ");
	buffer_literal(sql, type->name);
	buffer_text(sql, " AS entity_type, ");
	append_key_expression(sql, type, false);
	buffer_format(sql, " AS \"key\", tide_operation AS operation, " ISO_TIME
				  " AS edited_at, 'parked' AS state, 1 AS tries, NULL AS next_try_at,"
				  " tide_code AS code, tide_message AS message FROM ", "tide_edited_at");
	buffer_identifier(sql, type->parked_table);
}

static void
append_count(Buffer *sql, Store *store, bool parked_only)
{
	int			i;

	/* an expression may be 1000 deep */
	buffer_text(sql, "(0");
	for (i = 0; i < store->ntypes; i++)
	{
		buffer_text(sql, i > 0 && i % GROUP == 0 ? ") + (0" : "");
		buffer_text(sql, " + (SELECT count(*) FROM ");
		buffer_identifier(sql, store->types[i].dirty_table);
		buffer_text(sql, parked_only ? " WHERE state = 'parked'" : "");
		buffer_text(sql, ") + (SELECT count(*) FROM ");
		buffer_identifier(sql, store->types[i].parked_table);
		buffer_char(sql, ')');
	}
	buffer_char(sql, ')');
}

static void
append_setting(Buffer *sql, const char *setting, const char *name)
{
	buffer_format(sql, ", (SELECT value FROM tide_settings WHERE name = '%s') AS %s",
				  setting, name);
}

#define CHANGES_ROWS "'the trigger ' || name || ' on ' || tbl_name ||" \
	" ' changes rows while they are pulled'"

static void
append_status(Buffer *sql, Store *store)
{
	buffer_text(sql, "CREATE VIEW tide_status AS SELECT"
				" coalesce((SELECT value FROM tide_settings WHERE name = 'state'), 'idle') AS state, ");
	append_count(sql, store, false);
	buffer_text(sql, " AS pending, ");
	append_count(sql, store, true);
	buffer_text(sql, " AS parked, (SELECT count(*) FROM tide_lost_rows) AS lost");
	append_setting(sql, "last_sync_at", "last_sync_at");
	append_setting(sql, "last_error", "last_error");
	append_setting(sql, "server", "server");
	append_setting(sql, "user", "user");
	append_setting(sql, "client_id", "client_id");
	append_setting(sql, "first_sync", "first_sync");
	append_setting(sql, "last_command", "last_command");
	buffer_text(sql, ", (SELECT change_seq FROM tide_state) AS change_seq");
	buffer_text(sql, ", nullif(coalesce((SELECT group_concat(value, '; ') FROM tide_settings"
				" WHERE name IN ('warning', 'left_out_why')), '')"
				" || coalesce((SELECT group_concat(" CHANGES_ROWS ", '; ') FROM tide_foreign_triggers), '')"
				" || coalesce((SELECT value FROM tide_settings WHERE name = 'temp_triggers'), '')"
				" || coalesce((SELECT group_concat(entity_type || ' ' || \"key\" ||"
				" ' refers to a row of ' || parent || ' that is not there', '; ')"
				" FROM (SELECT * FROM tide_orphans LIMIT 5)), ''), '') AS warning;");
}

/*
 * Triggers of the app's that fire when rows are pulled, and then write synced
 * tables, which nobody notes, or have SQLite skip rows.  They are found by their
 * text: what names such a table only in passing is not meant.
 */
#define WRITES(what) \
	" OR x.body LIKE '%" what " ' || s.table_name || ' %'" \
	" OR x.body LIKE '%" what " ' || s.table_name || '(%'" \
	" OR x.body LIKE '%" what " ' || s.table_name || ';%'"
#define FOREIGN_IN(schema) \
	"SELECT x.name, x.tbl_name FROM" \
	" (SELECT name, tbl_name, replace(replace(replace(replace(replace(replace(" \
	"substr(sql, instr(upper(sql), 'BEGIN')), '\"', ''), '[', ''), ']', ''), char(10), ' ')," \
	" char(9), ' '), '  ', ' ') AS body FROM " schema " WHERE type = 'trigger'" \
	" AND substr(name, 1, 5) <> 'tide_'" \
	" AND tbl_name COLLATE NOCASE IN (SELECT table_name FROM tide_types)) AS x" \
	" WHERE x.body LIKE '%RAISE%IGNORE%' OR EXISTS (SELECT 1 FROM tide_types AS s" \
	" WHERE s.table_name IS NOT NULL AND (0" WRITES("UPDATE") WRITES("INTO") \
	WRITES("DELETE FROM") WRITES("UPDATE OR IGNORE") WRITES("UPDATE OR REPLACE") "))"
#define FOREIGN_TRIGGERS \
	"CREATE VIEW tide_foreign_triggers AS " FOREIGN_IN("sqlite_schema") ";"

/*
 * Rows that refer to a row that is not there: edited here, so that a pull left
 * them, or children of a row that was deleted here.  All from what is dirty, so
 * that it costs nothing to look.
 */
static void
append_edited_orphans(Buffer *sql, const EntityType *child, const Reference *ref,
					  const EntityType *parent)
{
	int			i;

	buffer_text(sql, " FROM ");
	buffer_identifier(sql, child->dirty_table);
	buffer_text(sql, " AS d WHERE operation = 'put' AND EXISTS (SELECT 1 FROM ");
	buffer_identifier(sql, child->table);
	buffer_text(sql, " AS c WHERE ");
	key_append_same(sql, child, "c.", KEY_NAMED, "d.", KEY_NUMBERED);
	for (i = 0; i < ref->ncolumns; i++)
	{
		buffer_text(sql, " AND c.");
		buffer_identifier(sql, child->columns[ref->columns[i]].local);
		buffer_text(sql, " IS NOT NULL");
	}
	buffer_text(sql, " AND NOT EXISTS (SELECT 1 FROM ");
	buffer_identifier(sql, parent->table);
	buffer_text(sql, " AS p WHERE ");
	for (i = 0; i < ref->ncolumns; i++)
	{
		buffer_text(sql, i > 0 ? " AND p." : "p.");
		buffer_identifier(sql, parent->columns[ref->parent_columns[i]].local);
		buffer_text(sql, " = c.");
		buffer_identifier(sql, child->columns[ref->columns[i]].local);
	}
	buffer_text(sql, "))");
}

static void
append_left_orphans(Buffer *sql, const EntityType *child, const Reference *ref,
					const EntityType *parent)
{
	int			i,
				k;

	buffer_text(sql, " FROM ");
	buffer_identifier(sql, child->table);
	buffer_text(sql, " WHERE (");
	for (i = 0; i < ref->ncolumns; i++)
	{
		buffer_text(sql, i > 0 ? ", " : "");
		buffer_identifier(sql, child->columns[ref->columns[i]].local);
	}
	buffer_text(sql, ") IN (SELECT ");
	for (i = 0; i < ref->ncolumns; i++)
	{
		for (k = 0; k < parent->nkeys && parent->keys[k] != ref->parent_columns[i]; k++)
			;
		buffer_format(sql, "%skey%d", i > 0 ? ", " : "", k + 1);
	}
	buffer_text(sql, " FROM ");
	buffer_identifier(sql, parent->dirty_table);
	buffer_text(sql, " WHERE operation = 'delete')");
}

static bool
refers_to_key(const Reference *ref, const EntityType *parent)
{
	int			i,
				k;

	for (i = 0; i < ref->ncolumns; i++)
	{
		for (k = 0; k < parent->nkeys && parent->keys[k] != ref->parent_columns[i]; k++)
			;
		if (k == parent->nkeys)
			return false;
	}
	return true;
}

static void
append_orphan_head(Buffer *sql, const EntityType *child, const EntityType *parent,
				   bool of_dirty, int *terms)
{
	append_between(sql, terms, "UNION");
	buffer_text(sql, "SELECT ");
	buffer_literal(sql, child->name);
	buffer_text(sql, " AS entity_type, ");
	append_key_expression(sql, child, of_dirty);
	buffer_text(sql, " AS \"key\", ");
	buffer_literal(sql, parent->name);
	buffer_text(sql, " AS parent");
}

static void
append_orphans(Buffer *sql, const Store *store)
{
	int			terms = 1;
	int			i,
				r;

	buffer_text(sql, "CREATE VIEW tide_orphans AS SELECT * FROM (SELECT NULL AS entity_type,"
				" NULL AS \"key\", NULL AS parent WHERE 0");
	for (i = 0; i < store->ntypes && !store->lacking; i++)
	{
		const EntityType *child = &store->types[i];

		for (r = 0; r < child->nreferences; r++)
		{
			const Reference *ref = &child->references[r];
			const EntityType *parent = &store->types[ref->parent];

			append_orphan_head(sql, child, parent, true, &terms);
			append_edited_orphans(sql, child, ref, parent);

			/*
			 * what an app's own table lacks, an index say, is the app's
			 * business
			 */
			if (child->attached || !refers_to_key(ref, parent))
				continue;
			append_orphan_head(sql, child, parent, false, &terms);
			append_left_orphans(sql, child, ref, parent);
		}
	}
	buffer_text(sql, " LIMIT -1);");
}

static void
append_views(Buffer *sql, Store *store)
{
	int			terms = 0;
	int			i;

	buffer_text(sql, FOREIGN_TRIGGERS
				"CREATE VIEW tide_changed AS SELECT table_name, changed_seq AS change_seq"
				" FROM tide_types WHERE table_name IS NOT NULL;"
				"CREATE VIEW tide_lost AS SELECT entity_type, \"key\", mine, theirs, at"
				" FROM tide_lost_rows;");
	append_orphans(sql, store);
	append_status(sql, store);
	buffer_text(sql, "CREATE VIEW tide_pending AS SELECT * FROM (");
	for (i = 0; i < store->ntypes; i++)
		append_pending(sql, &store->types[i], &terms);
	if (store->ntypes == 0)
		buffer_text(sql, "SELECT NULL AS entity_type, NULL AS \"key\", NULL AS operation,"
					" NULL AS edited_at, NULL AS state, NULL AS tries, NULL AS next_try_at,"
					" NULL AS code, NULL AS message WHERE 0");
	buffer_text(sql, " LIMIT -1);");
}

bool
views_note_temp_triggers(Store *store)
{
	char	   *before;
	char	   *found = NULL;
	bool		good = setting_get(store, "temp_triggers", &before) &&
		sql_text(store, &found, "SELECT group_concat(%s, '; ') FROM (%s)",
				 CHANGES_ROWS, FOREIGN_IN("sqlite_temp_schema"));

	if (good && strcmp(before ? before : "", found ? found : "") != 0)
		good = setting_set(store, "temp_triggers", found);
	sqlite3_free(before);
	sqlite3_free(found);
	return good;
}

#define DROP_VIEWS \
	"DROP VIEW IF EXISTS tide_status;" \
	"DROP VIEW IF EXISTS tide_pending;" \
	"DROP VIEW IF EXISTS tide_lost;" \
	"DROP VIEW IF EXISTS tide_changed;" \
	"DROP VIEW IF EXISTS tide_foreign_triggers;" \
	"DROP VIEW IF EXISTS tide_orphans;"

bool
views_drop(Store *store)
{
	return sql_run(store, "%s", DROP_VIEWS);
}

bool
views_make(Store *store)
{
	Buffer		sql = {0};

	buffer_text(&sql, DROP_VIEWS);
	append_views(&sql, store);
	return sql_run_buffer(store, &sql);
}

/* As with triggers, SQLite keeps the text of each, but for the semicolon. */
bool
views_are_there(Store *store, bool *there)
{
	Buffer		wanted = {0};
	char	   *found;
	bool		good;

	append_views(&wanted, store);
	good = sql_text(store, &found, "SELECT group_concat(sql, ';') || ';' FROM (SELECT sql FROM sqlite_schema"
					" WHERE type = 'view' AND name IN ('tide_status', 'tide_pending', 'tide_lost',"
					" 'tide_changed', 'tide_foreign_triggers', 'tide_orphans') ORDER BY rowid)") &&
		(!wanted.failed || failure_memory(&store->failure));
	*there = good && found && strcmp(found, wanted.data) == 0;
	sqlite3_free(found);
	buffer_free(&wanted);
	return good;
}
