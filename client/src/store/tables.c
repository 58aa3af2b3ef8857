/*
 * tables.c
 *	  Tables and views on the device: those of the entity types, and tide_*.
 */
#include <string.h>

#include "store/attach.h"
#include "store/columns.h"
#include "store/keys.h"
#include "store/rebuild.h"
#include "store/names.h"
#include "store/sql.h"
#include "store/tables.h"
#include "store/triggers.h"

/* "tide" in ASCII would be the app's; the format is a row of ours */
#define FILE_FORMAT 1

/*
 * tide_state is small, for triggers write it; the schema's text and the like
 * are in tide_settings.
 */
bool
tables_make_bookkeeping(Store *store)
{
	char	   *sql = sqlite3_mprintf(
									  "CREATE TABLE tide_state ("
									  " applying INTEGER NOT NULL DEFAULT 0,"
									  " seq INTEGER NOT NULL DEFAULT 0,"
									  " change_seq INTEGER NOT NULL DEFAULT 0);"
									  "INSERT INTO tide_state DEFAULT VALUES;"
									  "CREATE TABLE tide_settings (name TEXT NOT NULL PRIMARY KEY, value TEXT) WITHOUT ROWID;"
									  "INSERT INTO tide_settings VALUES ('format', %d);"
									  "CREATE TABLE tide_types ("
									  " entity_type TEXT NOT NULL PRIMARY KEY,"
									  " definition TEXT NOT NULL,"
									  " table_name TEXT,"
									  " changed_seq INTEGER NOT NULL DEFAULT 0,"
									  " available INTEGER NOT NULL DEFAULT 1);"
									  "CREATE TABLE tide_stage ("
									  " id INTEGER PRIMARY KEY,"
									  " entity_type TEXT NOT NULL,"
									  " deleted INTEGER NOT NULL,"
									  " row TEXT NOT NULL);"
									  "CREATE TABLE tide_refused ("
									  " entity_type TEXT NOT NULL,"
									  " key TEXT NOT NULL,"
									  " deleted INTEGER NOT NULL,"
									  " row TEXT NOT NULL,"
									  " message TEXT NOT NULL,"
									  " PRIMARY KEY (entity_type, key)) WITHOUT ROWID;"
									  "CREATE TABLE tide_batch ("
									  " id INTEGER PRIMARY KEY AUTOINCREMENT,"
									  " batch_id TEXT NOT NULL,"
									  " rows INTEGER NOT NULL,"
									  " body TEXT NOT NULL);"
									  "CREATE TABLE tide_acks (id INTEGER PRIMARY KEY, ack TEXT NOT NULL);"
									  "CREATE TABLE tide_lost_rows ("
									  " id INTEGER PRIMARY KEY,"
									  " entity_type TEXT NOT NULL,"
									  " key TEXT,"
									  " mine TEXT,"
									  " theirs TEXT,"
									  " at TEXT NOT NULL);"
									  "CREATE TABLE tide_command ("
									  " id INTEGER PRIMARY KEY,"
									  " command TEXT NOT NULL,"
									  " entity_type TEXT,"
									  " key TEXT);",
									  FILE_FORMAT);
	Buffer		text = {0};

	if (sql == NULL)
		return failure_memory(&store->failure);
	buffer_text(&text, sql);
	sqlite3_free(sql);
	return sql_run_buffer(store, &text);
}

bool
tables_drop_bookkeeping(Store *store)
{
	return sql_run(store, "DROP TABLE tide_state; DROP TABLE tide_settings;"
				   "DROP TABLE tide_types; DROP TABLE tide_stage; DROP TABLE tide_refused;"
				   "DROP TABLE tide_batch; DROP TABLE tide_acks; DROP TABLE tide_lost_rows;"
				   "DROP TABLE tide_command");
}

bool
tables_are_there(Store *store, bool *there)
{
	int64_t		n;

	if (!sql_number(store, &n, "SELECT count(*) FROM sqlite_schema"
					" WHERE type = 'table' AND name = 'tide_settings'"))
		return false;
	*there = n > 0;
	return true;
}

static bool
table_exists(Store *store, const char *name, bool *exists)
{
	int64_t		n;
	bool		good = sql_number(store, &n, "SELECT count(*) FROM sqlite_schema"
								  " WHERE name = %Q COLLATE NOCASE", name);

	*exists = n > 0;
	return good;
}

/* A random (version 4) uuid, in SQL that every tool has. */
static const char uuid_default[] =
"(lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' ||"
" substr(hex(randomblob(2)), 2) || '-' ||"
" substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) ||"
" '-' || hex(randomblob(6))))";

/*
 * A key of one integer is no other name of the rowid, which SQLite would fill
 * in where it is NULL: two devices would make the same keys.  PRIMARY KEY DESC
 * is SQLite's documented way to say so.
 */
static void
append_column(Buffer *sql, const EntityType *type, const Column *c, bool is_new)
{
	buffer_identifier(sql, c->local);
	buffer_char(sql, ' ');
	buffer_text(sql, value_declared_type(c->kind));
	/* of rows that are there already some may have no value yet */
	if (c->is_key || (is_new && !c->nullable && !c->filled))
		buffer_text(sql, " NOT NULL");
	if (c->is_key && type->nkeys == 1)
	{
		buffer_text(sql, c->kind == VALUE_INTEGER ? " PRIMARY KEY DESC" : " PRIMARY KEY");
		if (type->key_default)
			buffer_format(sql, " DEFAULT %s", uuid_default);
	}
}

/* Is what a reference names the parent's key, in its order? */
static bool
refers_to_key(const Reference *ref, const EntityType *parent)
{
	int			i;

	if (ref->ncolumns != parent->nkeys)
		return false;
	for (i = 0; i < ref->ncolumns; i++)
	{
		if (ref->parent_columns[i] != parent->keys[i])
			return false;
	}
	return true;
}

static void
append_column_list(Buffer *sql, const EntityType *type, const int *columns, int n)
{
	int			i;

	for (i = 0; i < n; i++)
	{
		buffer_text(sql, i > 0 ? ", " : "");
		buffer_identifier(sql, type->columns[columns[i]].local);
	}
}

static void
append_references(Buffer *sql, Store *store, const EntityType *type)
{
	int			i;

	for (i = 0; i < type->nreferences; i++)
	{
		const Reference *ref = &type->references[i];
		const EntityType *parent = &store->types[ref->parent];

		/*
		 * SQLite refuses every write through a reference to anything else;
		 * and a soft delete, after which the row comes back, while children
		 * refer to it.
		 */
		if (!refers_to_key(ref, parent) || parent->deleted_at >= 0)
			continue;
		buffer_text(sql, ", FOREIGN KEY (");
		append_column_list(sql, type, ref->columns, ref->ncolumns);
		buffer_text(sql, ") REFERENCES ");
		buffer_identifier(sql, parent->table);
		buffer_text(sql, " (");
		append_column_list(sql, parent, ref->parent_columns, ref->ncolumns);
		buffer_text(sql, ") DEFERRABLE INITIALLY DEFERRED");
	}
}

static bool
create_table(Store *store, EntityType *type, bool is_new)
{
	Buffer		sql = {0};
	int			i;

	buffer_text(&sql, "CREATE TABLE ");
	buffer_identifier(&sql, type->table);
	buffer_text(&sql, " (");
	for (i = 0; i < type->ncolumns; i++)
	{
		buffer_text(&sql, i > 0 ? ", " : "");
		append_column(&sql, type, &type->columns[i], is_new);
	}
	if (type->is_dirty)
	{
		buffer_text(&sql, ", ");
		buffer_identifier(&sql, type->is_dirty);
		buffer_text(&sql, " INTEGER NOT NULL DEFAULT 0, ");
		buffer_identifier(&sql, type->synced_at);
		buffer_text(&sql, " TEXT");
	}
	if (type->nkeys > 1)
	{
		buffer_text(&sql, ", PRIMARY KEY (");
		key_append(&sql, type, "", KEY_NAMED);
		buffer_char(&sql, ')');
	}
	append_references(&sql, store, type);
	buffer_char(&sql, ')');
	return sql_run_buffer(store, &sql);
}

static bool
create_index(Store *store, const EntityType *type, const int *columns, int n)
{
	Buffer		sql = {0};
	Buffer		name = {0};
	bool		good;
	int			i;

	buffer_format(&name, "tide_index_%s", type->table);
	for (i = 0; i < n; i++)
		buffer_format(&name, "_%s", type->columns[columns[i]].local);
	if (name.failed)
	{
		buffer_free(&name);
		return failure_memory(&store->failure);
	}
	buffer_text(&sql, "CREATE INDEX IF NOT EXISTS ");
	buffer_identifier(&sql, name.data);
	buffer_text(&sql, " ON ");
	buffer_identifier(&sql, type->table);
	buffer_text(&sql, " (");
	append_column_list(&sql, type, columns, n);
	buffer_char(&sql, ')');
	good = sql_run_buffer(store, &sql);
	buffer_free(&name);
	return good;
}

static bool
create_indexes(Store *store, EntityType *type)
{
	int			i;

	for (i = 0; i < type->nreferences; i++)
	{
		if (!create_index(store, type, type->references[i].columns,
						  type->references[i].ncolumns))
			return false;
	}
	return type->scope < 0 || create_index(store, type, &type->scope, 1);
}

/* Typed as the type's own table, so that values keep their class. */
static void
append_shadow_columns(Buffer *sql, const EntityType *type)
{
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		buffer_text(sql, i > 0 ? ", " : "");
		buffer_identifier(sql, type->columns[i].local);
		buffer_char(sql, ' ');
		buffer_text(sql, value_declared_type(type->columns[i].kind));
	}
}

static bool
create_shadows(Store *store, EntityType *type)
{
	Buffer		sql = {0};

	buffer_text(&sql, "CREATE TABLE ");
	buffer_identifier(&sql, type->base_table);
	buffer_text(&sql, " (");
	append_shadow_columns(&sql, type);
	buffer_text(&sql, ", PRIMARY KEY (");
	key_append(&sql, type, "", KEY_NAMED);
	buffer_text(&sql, ")) WITHOUT ROWID; CREATE TABLE ");
	buffer_identifier(&sql, type->parked_table);
	buffer_text(&sql, " (");
	append_shadow_columns(&sql, type);
	buffer_text(&sql, ", tide_operation TEXT NOT NULL, tide_edited_at INTEGER NOT NULL,"
				" tide_code TEXT NOT NULL, tide_message TEXT, tide_base TEXT, PRIMARY KEY (");
	key_append(&sql, type, "", KEY_NAMED);
	buffer_text(&sql, ")) WITHOUT ROWID; CREATE TABLE ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_text(&sql, " (");
	key_append_declared(&sql, type);
	buffer_text(&sql,
				", operation TEXT NOT NULL,"	/* put, delete */
				" edited_at INTEGER NOT NULL,"
				" seq INTEGER NOT NULL,"
				" app_stamp,"	/* what the app set the stamp to, or NULL */
				" batch INTEGER,"	/* in which it is on its way */
				" frozen_seq INTEGER,"
				" sent INTEGER NOT NULL DEFAULT 0,"
				" state TEXT NOT NULL DEFAULT 'queued',"	/* retry, parked */
				" tries INTEGER NOT NULL DEFAULT 0,"
				" next_try_at INTEGER NOT NULL DEFAULT 0,"
				" tried_in INTEGER,"	/* the sync that tried it last */
				" code TEXT,"
				" message TEXT,"
				" theirs TEXT," /* what the server has meanwhile */
				" theirs_deleted INTEGER NOT NULL DEFAULT 0,"
				" PRIMARY KEY (");
	key_append(&sql, type, "", KEY_NUMBERED);
	buffer_text(&sql, ")) WITHOUT ROWID");
	return sql_run_buffer(store, &sql);
}

bool
tables_have_column(Store *store, const char *table, const char *column, bool *found)
{
	int64_t		n;
	bool		good = sql_number(store, &n, "SELECT count(*) FROM pragma_table_info(%Q)"
								  " WHERE name = %Q COLLATE NOCASE", table, column);

	*found = n > 0;
	return good;
}

/* A generated column of the app's, which tables_have_column() does not see. */
static bool
check_generated(Store *store, const char *table, const Column *c)
{
	int64_t		n;

	if (!sql_number(store, &n, "SELECT count(*) FROM pragma_table_xinfo(%Q) WHERE hidden > 1"
					" AND name = %Q COLLATE NOCASE", table, c->local))
		return false;
	if (n == 0)
		return true;
	failure_set(&store->failure, TIDE_LOCAL, "generated_column",
				"the column \"%s\" of the table \"%s\" is a generated one, and the server has"
				" a column of that name", c->local, table);
	return failure_hint(&store->failure, "Drop it, or give it another name.");
}

static bool
add_column(Store *store, const char *table, const Column *c, bool *added)
{
	bool		found;

	*added = false;
	if (!tables_have_column(store, table, c->local, &found))
		return false;
	if (found)
		return true;
	if (!check_generated(store, table, c))
		return false;
	*added = true;
	return sql_run(store, "ALTER TABLE \"%w\" ADD COLUMN \"%w\" %s",
				   table, c->local, value_declared_type(c->kind));
}

/* Is it a column of the app's alone that the server has by now? */
static bool
look_at_own(Store *store, const EntityType *type, const char *name, const char *row_table)
{
	int			i;
	bool		named,
				kept;

	for (i = 0; i < type->ncolumns; i++)
	{
		const Column *c = &type->columns[i];

		if (c->beside || sqlite3_stricmp(c->local, name) != 0)
			continue;
		/* not one that has another name here by now, or was kept beside the row */
		return tables_have_column(store, type->base_table, c->wire, &named) &&
			tables_have_column(store, row_table, c->wire, &kept) &&
			(named || kept || names_note_column(store, type, c, "own"));
	}
	return true;
}

/*
 * A column that the app had for itself becomes one of the server's, whose values
 * come over its own.
 */
static bool
note_own(Store *store, const EntityType *type)
{
	char	   *row_table = sqlite3_mprintf("tide_row_%s", type->table);
	char	   *query = sqlite3_mprintf("SELECT name FROM pragma_table_info(%Q) WHERE name COLLATE NOCASE NOT IN"
										" (SELECT name FROM pragma_table_info(%Q))",
										type->table, type->base_table);
	sqlite3_stmt *stmt = query && row_table ? sql_prepare(store, query) : NULL;
	bool		good = stmt || store->failure.result != TIDE_OK || failure_memory(&store->failure);
	int			rc = -1;

	while (good && stmt && (rc = sql_step(store, stmt)) == SQLITE_ROW)
	{
		const char *name = (const char *) sqlite3_column_text(stmt, 0);

		good = name ? look_at_own(store, type, name, row_table) :
			failure_memory(&store->failure);
	}
	sqlite3_finalize(stmt);
	sqlite3_free(query);
	sqlite3_free(row_table);
	return good && rc != -1;
}

static bool
grow_shadows(Store *store, EntityType *type, bool *grown)
{
	bool		added;
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		const Column *c = &type->columns[i];

		if (!add_column(store, type->base_table, c, &added))
			return false;
		*grown = *grown || added;
		if ((added && !names_note_column(store, type, c, "grown")) ||
			!add_column(store, type->parked_table, c, &added))
			return false;
	}
	return true;
}

/*
 * Columns of another type, or that may be NULL by now.  One that is NOT NULL here
 * and that the server has dropped would refuse every new row, and goes; one that
 * may be NULL stays, with what is in it.
 */
static bool
make_anew(Store *store, EntityType *type, bool *grown)
{
	Rebuild		rebuild;

	if (!rebuild_look(&rebuild, store, type))
		return false;
	*grown = *grown || rebuild.retyped;
	return !rebuild.needed ||
		rebuild_end(&rebuild, rebuild_begin(&rebuild) && create_table(store, type, false) &&
					create_shadows(store, type));
}

static bool
grow_type(Store *store, EntityType *type, bool *grown)
{
	bool		added;
	int			i;

	if (!note_own(store, type))
		return false;
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!add_column(store, type->table, &type->columns[i], &added))
			return false;
		*grown = *grown || added;
	}
	return grow_shadows(store, type, grown) && make_anew(store, type, grown);
}

/* What is kept beside rows of a table that cannot hold it. */
static bool
create_row_table(Store *store, const EntityType *type)
{
	Buffer		sql = {0};
	int			i;

	buffer_text(&sql, "CREATE TABLE ");
	buffer_identifier(&sql, type->row_table);
	buffer_text(&sql, " (");
	key_append_declared(&sql, type);
	buffer_text(&sql, ", PRIMARY KEY (");
	key_append(&sql, type, "", KEY_NUMBERED);
	buffer_text(&sql, ")) WITHOUT ROWID");
	if (!sql_run_buffer(store, &sql))
		return false;
	for (i = 0; i < type->ncolumns; i++)
	{
		const Column *c = &type->columns[i];
		const char *kind = value_declared_type(c->kind);

		if (!column_is_kept(c))
			continue;
		if (!sql_run(store, "ALTER TABLE \"%w\" ADD COLUMN \"%w\" %s", type->row_table, c->local, kind) ||
			(c->coarse && !sql_run(store, "ALTER TABLE \"%w\" ADD COLUMN \"%w held\"",
								   type->row_table, c->local)))
			return false;
	}
	return true;
}

/* A column may have become one of the table's, or no longer be. */
static bool
grow_row_table(Store *store, const EntityType *type)
{
	bool		there;
	int			i;

	if (type->row_table == NULL)
		return true;
	if (!table_exists(store, type->row_table, &there))
		return false;
	if (!there)
		return create_row_table(store, type);
	for (i = 0; i < type->ncolumns; i++)
	{
		Column		held = type->columns[i];
		bool		added,
					good;

		if (!column_is_kept(&held))
			continue;
		if (!add_column(store, type->row_table, &held, &added))
			return false;
		if (!held.coarse)
			continue;
		held.kind = VALUE_ANY;
		held.local = sqlite3_mprintf("%s held", type->columns[i].local);
		good = held.local ? add_column(store, type->row_table, &held, &added) :
			failure_memory(&store->failure);
		sqlite3_free(held.local);
		if (!good)
			return false;
	}
	return true;
}

/* What was kept beside the row goes into the column that the app has added. */
static bool
fill_column(Store *store, const EntityType *type, const Column *c, const char *row_table)
{
	Buffer		sql = {0};
	Buffer		kept = {0};

	buffer_text(&kept, "(SELECT s.");
	buffer_identifier(&kept, c->wire);
	buffer_text(&kept, " FROM ");
	buffer_identifier(&kept, row_table);
	buffer_text(&kept, " AS s WHERE ");
	key_append_same(&kept, type, "s.", KEY_NUMBERED, "t.", KEY_NAMED);
	buffer_char(&kept, ')');
	buffer_text(&sql, "UPDATE tide_state SET applying = 1; UPDATE ");
	buffer_identifier(&sql, type->table);
	buffer_text(&sql, " AS t SET ");
	buffer_identifier(&sql, c->local);
	buffer_text(&sql, " = ");
	if (kept.failed)
		sql.failed = true;
	else
		column_append_held(&sql, c, kept.data);
	buffer_free(&kept);
	buffer_text(&sql, "; UPDATE tide_state SET applying = 0; ALTER TABLE ");
	buffer_identifier(&sql, row_table);
	buffer_text(&sql, " DROP COLUMN ");
	buffer_identifier(&sql, c->wire);
	return sql_run_buffer(store, &sql);
}

/* The triggers, which name the column where it was, are made again by the caller. */
static bool
fill_columns(Store *store, const EntityType *type)
{
	char	   *row_table = sqlite3_mprintf("tide_row_%s", type->table);
	bool		there = false;
	bool		good = row_table ? table_exists(store, row_table, &there) :
		failure_memory(&store->failure);
	int			i;

	for (i = 0; good && there && i < type->ncolumns; i++)
	{
		const Column *c = &type->columns[i];
		bool		was_beside;

		if (column_is_kept(c))
			continue;
		good = tables_have_column(store, row_table, c->wire, &was_beside) &&
			(!was_beside || (triggers_drop(store, type) &&
							 fill_column(store, type, c, row_table)));
	}
	sqlite3_free(row_table);
	return good;
}

/* A table of the app's: ours are only those beside it. */
static bool
attach_type(Store *store, EntityType *type, bool ours, bool *grown)
{
	if (ours && (!note_own(store, type) || !fill_columns(store, type)))
		return false;
	if (!attach_check(store, type) || !grow_row_table(store, type))
		return false;
	if (ours)
		return grow_shadows(store, type, grown);
	type->is_new = true;
	return create_shadows(store, type);
}

bool
tables_make_type(Store *store, EntityType *type, bool *grown)
{
	bool		ours,
				taken;

	*grown = false;
	if (!table_exists(store, type->dirty_table, &ours) ||
		!table_exists(store, type->table, &taken))
		return false;
	if (type->attached)
		return attach_type(store, type, ours, grown);
	if (ours && taken)
		return grow_type(store, type, grown) && create_indexes(store, type);
	if (taken)
		return failure_set(&store->failure, TIDE_LOCAL, "table_exists",
						   "there is a table \"%s\" in this file already", type->table);
	if (ours)
		return failure_set(&store->failure, TIDE_LOCAL, "table_missing",
						   "the table \"%s\" is no longer in this file", type->table);
	return create_table(store, type, true) && create_shadows(store, type) &&
		create_indexes(store, type);
}
