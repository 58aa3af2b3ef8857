/*
 * gone.c
 *	  Columns that the server has no longer, and edits of them.
 *
 * A column that was renamed is one that has gone, and another one that has come:
 * nobody says which was which.  The edit is sent without it.  The column stays with
 * what is in it, until the server has one of that name again, with other values.
 */
#include "store/gone.h"
#include "store/keys.h"
#include "store/names.h"
#include "store/rows.h"
#include "store/sql.h"
#include "store/tables.h"

/* Columns that the versions of the server's have, and the type has not. */
static bool
find_gone(Store *store, const EntityType *type, Names *gone)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	int			rc = -1;

	buffer_text(&sql, "SELECT name FROM pragma_table_info(");
	buffer_literal(&sql, type->base_table);
	buffer_text(&sql, ") WHERE name COLLATE NOCASE NOT IN (");
	columns_append_names(&sql, type);
	buffer_char(&sql, ')');
	stmt = sql_prepare_buffer(store, &sql);
	while (stmt && (rc = sql_step(store, stmt)) == SQLITE_ROW)
	{
		const char *name = (const char *) sqlite3_column_text(stmt, 0);

		if (name ? !names_add(store, gone, name) : !failure_memory(&store->failure))
		{
			rc = -1;
			break;
		}
	}
	sqlite3_finalize(stmt);
	return rc != -1;
}

/* The rows that wait with an edit of this column: their keys, and {"name": value} */
static sqlite3_stmt *
prepare_edits(Store *store, const EntityType *type, const char *name)
{
	Buffer		sql = {0};

	buffer_text(&sql, "SELECT ");
	key_append(&sql, type, "t.", KEY_NAMED);
	buffer_text(&sql, ", json_object(");
	buffer_literal(&sql, name);
	buffer_text(&sql, ", CASE typeof(t.");
	buffer_identifier(&sql, name);
	/* JSON has no bytes */
	buffer_text(&sql, ") WHEN 'blob' THEN hex(t.");
	buffer_identifier(&sql, name);
	buffer_text(&sql, ") ELSE t.");
	buffer_identifier(&sql, name);
	buffer_text(&sql, " END) FROM ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_text(&sql, " AS d JOIN ");
	buffer_identifier(&sql, type->table);
	buffer_text(&sql, " AS t ON ");
	key_append_same(&sql, type, "t.", KEY_NAMED, "d.", KEY_NUMBERED);
	buffer_text(&sql, " LEFT JOIN ");
	buffer_identifier(&sql, type->base_table);
	buffer_text(&sql, " AS b ON ");
	key_append_same(&sql, type, "b.", KEY_NAMED, "t.", KEY_NAMED);
	buffer_text(&sql, " WHERE d.operation = 'put' AND t.");
	buffer_identifier(&sql, name);
	buffer_text(&sql, " IS NOT b.");
	buffer_identifier(&sql, name);
	return sql_prepare_buffer(store, &sql);
}

/* Once, however often the schema changes before the row is sent. */
static bool
keep_one(Store *store, const EntityType *type, sqlite3_stmt * stmt)
{
	const char *mine = (const char *) sqlite3_column_text(stmt, type->nkeys);
	Buffer		key = {0};
	bool		good;

	if (type->nkeys == 1)
		buffer_text(&key, (const char *) sqlite3_column_text(stmt, 0));
	else
		(void) row_append_key(type, stmt, &key);
	good = !key.failed && mine ?
		sql_run(store, "INSERT INTO tide_lost_rows (entity_type, key, mine, at)"
				" SELECT %Q, %Q, %Q, strftime('%%Y-%%m-%%dT%%H:%%M:%%fZ', 'now') WHERE NOT EXISTS"
				" (SELECT 1 FROM tide_lost_rows WHERE entity_type = %Q AND key = %Q AND mine = %Q)",
				type->name, key.data, mine, type->name, key.data, mine) :
		failure_memory(&store->failure);
	buffer_free(&key);
	return good;
}

static bool
keep_column(Store *store, const EntityType *type, const char *name)
{
	sqlite3_stmt *stmt;
	bool		there;
	int			rc = -1;

	if (!tables_have_column(store, type->table, name, &there))
		return false;
	if (!there)
		return true;
	stmt = prepare_edits(store, type, name);
	while (stmt && (rc = sql_step(store, stmt)) == SQLITE_ROW)
	{
		if (!keep_one(store, type, stmt))
		{
			rc = -1;
			break;
		}
	}
	sqlite3_finalize(stmt);
	return rc != -1;
}

/* Are the rows still named by what names them now? */
static bool
has_keys(Store *store, const EntityType *type, bool *has)
{
	int			k;

	*has = true;
	for (k = 0; k < type->nkeys && *has; k++)
	{
		const char *key = type->columns[type->keys[k]].local;

		if (!tables_have_column(store, type->base_table, key, has) ||
			(*has && !tables_have_column(store, type->table, key, has)))
			return false;
	}
	return true;
}

/* By its name on the device, which is that of the base's column. */
static char *
gone_name(const EntityType *type, const char *column)
{
	return sqlite3_mprintf("%s\n%s", type->name, column);
}

/* Remember them: the tables do not tell a column that was away. */
static bool
note_gone(Store *store, const EntityType *type, const Names *gone)
{
	Names		all;
	bool		good;
	int			i;

	if (gone->count == 0)
		return true;
	good = names_load(store, &all, "gone");
	for (i = 0; good && i < gone->count; i++)
	{
		char	   *name = gone_name(type, gone->names[i]);

		good = name ? names_add(store, &all, name) : failure_memory(&store->failure);
		sqlite3_free(name);
	}
	good = good && names_save(store, &all, "gone");
	names_free(&all);
	return good;
}

bool
gone_keep(Store *store, EntityType *type)
{
	Names		gone = {0};
	bool		has,
				good = find_gone(store, type, &gone) && has_keys(store, type, &has) &&
		note_gone(store, type, &gone);
	int			i;

	for (i = 0; good && has && i < gone.count; i++)
		good = keep_column(store, type, gone.names[i]);
	names_free(&gone);
	return good;
}

static bool
empty_column(Store *store, const char *table, const char *column)
{
	bool		there;

	/* OR IGNORE: a rule of the app's may not let it be empty */
	return tables_have_column(store, table, column, &there) &&
		(!there || sql_run(store, "UPDATE tide_state SET applying = 1;"
						   "UPDATE OR IGNORE \"%w\" SET \"%w\" = NULL WHERE \"%w\" IS NOT NULL;"
						   "UPDATE tide_state SET applying = 0", table, column, column));
}

static bool
take_column_back(Store *store, const EntityType *type, const Column *c)
{
	return (c->beside || empty_column(store, type->table, c->local)) &&
		empty_column(store, type->base_table, c->local) &&
		names_note_column(store, type, c, "grown");
}

bool
gone_take_back(Store *store, EntityType *type, bool *back)
{
	Names		gone;
	bool		good = names_load(store, &gone, "gone");
	int			i;

	*back = false;
	for (i = 0; good && gone.count > 0 && i < type->ncolumns; i++)
	{
		const Column *c = &type->columns[i];
		char	   *name = gone_name(type, c->local);

		if (name == NULL)
			good = failure_memory(&store->failure);
		else if (names_has(&gone, name))
		{
			*back = true;
			names_remove(&gone, name);
			good = take_column_back(store, type, c);
		}
		sqlite3_free(name);
	}
	good = good && (!*back || names_save(store, &gone, "gone"));
	names_free(&gone);
	return good;
}
