/*
 * emptied.c
 *	  Children whose reference a local delete has emptied, where the server
 *	  will set it to a default.
 */
#include "store/emptied.h"
#include "store/keys.h"
#include "store/rows.h"
#include "store/sql.h"

bool
emptied_can_be(const EntityType *type, int column)
{
	int			r,
				i;

	for (r = 0; r < type->nreferences; r++)
	{
		const Reference *ref = &type->references[r];

		for (i = 0; i < ref->ncolumns && ref->on_delete == DELETE_SET_DEFAULT; i++)
		{
			if (ref->columns[i] == column && ref->emptied & UINT32_C(1) << i)
				return true;
		}
	}
	return false;
}

static bool
has_such(const EntityType *type)
{
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		if (emptied_can_be(type, i))
			return true;
	}
	return false;
}

static bool
any_has(const Store *store)
{
	int			i;

	for (i = 0; i < store->ntypes; i++)
	{
		if (has_such(&store->types[i]))
			return true;
	}
	return false;
}

bool
emptied_make_all(Store *store)
{
	return !any_has(store) ||
		sql_run(store, "CREATE TABLE IF NOT EXISTS tide_emptied ("
				" entity_type TEXT NOT NULL,"
				" key TEXT NOT NULL,"
				" name TEXT NOT NULL,"
				" value,"	/* that was in the column */
				" reference INTEGER NOT NULL,"
				" parent TEXT NOT NULL,"	/* that went */
				" PRIMARY KEY (entity_type, key, name)) WITHOUT ROWID");
}

/* Some columns of a row as one text, which says what class each value is of. */
static void
append_texts(Buffer *sql, const EntityType *type, const int *columns, int n, const char *row)
{
	int			i;

	for (i = 0; i < n; i++)
	{
		buffer_text(sql, i > 0 ? " || ',' || quote(" : "quote(");
		buffer_text(sql, row);
		buffer_identifier(sql, type->columns[columns[i]].local);
		buffer_char(sql, ')');
	}
}

static void
append_key_text(Buffer *sql, const EntityType *type, const char *row)
{
	append_texts(sql, type, type->keys, type->nkeys, row);
}

static void
append_of_type(Buffer *sql, const EntityType *type)
{
	buffer_text(sql, "entity_type = ");
	buffer_literal(sql, type->name);
}

static void
append_of_column(Buffer *sql, const EntityType *type, int column)
{
	append_of_type(sql, type);
	buffer_text(sql, " AND name = ");
	buffer_literal(sql, type->columns[column].local);
}

/* AND what an update did is neither the action nor its undoing */
void
emptied_append_no_edit(Buffer *sql, const EntityType *type, int column)
{
	const char *name = type->columns[column].local;

	buffer_text(sql, " AND NOT EXISTS (SELECT 1 FROM tide_emptied WHERE ");
	append_of_column(sql, type, column);
	buffer_text(sql, " AND key = ");
	append_key_text(sql, type, "NEW.");
	buffer_text(sql, " AND ((NEW.");
	buffer_identifier(sql, name);
	buffer_text(sql, " IS NULL AND value IS OLD.");
	buffer_identifier(sql, name);
	buffer_text(sql, ") OR (OLD.");
	buffer_identifier(sql, name);
	buffer_text(sql, " IS NULL AND value IS NEW.");
	buffer_identifier(sql, name);
	buffer_text(sql, ")))");
}

/* The row of a trigger is another one by now, or its column is set again. */
void
emptied_append_forget(Buffer *sql, const EntityType *type, const char *row, bool where_set)
{
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		if (!emptied_can_be(type, i))
			continue;
		buffer_text(sql, "DELETE FROM tide_emptied WHERE ");
		append_of_column(sql, type, i);
		buffer_text(sql, " AND key = ");
		append_key_text(sql, type, row);
		if (where_set)
		{
			buffer_text(sql, " AND ");
			buffer_text(sql, row);
			buffer_identifier(sql, type->columns[i].local);
			buffer_text(sql, " IS NOT NULL");
		}
		buffer_text(sql, ";\n");
	}
}

void
emptied_append_note(Buffer *sql, const EntityType *child, const EntityType *parent,
					const Reference *ref, int number, const char *children)
{
	int			i;

	for (i = 0; i < ref->ncolumns; i++)
	{
		if (!(ref->emptied & UINT32_C(1) << i))
			continue;
		buffer_text(sql, "INSERT INTO tide_emptied SELECT ");
		buffer_literal(sql, child->name);
		buffer_text(sql, ", ");
		append_key_text(sql, child, "");
		buffer_text(sql, ", ");
		buffer_literal(sql, child->columns[ref->columns[i]].local);
		buffer_text(sql, ", ");
		buffer_identifier(sql, child->columns[ref->columns[i]].local);
		buffer_format(sql, ", %d, ", number);
		append_texts(sql, parent, ref->parent_columns, ref->ncolumns, "OLD.");
		buffer_text(sql, " FROM ");
		buffer_identifier(sql, child->table);
		buffer_text(sql, " WHERE ");
		buffer_text(sql, children);
		buffer_text(sql, " ON CONFLICT DO UPDATE SET value = excluded.value,"
					" reference = excluded.reference, parent = excluded.parent;\n");
	}
}

/* What this parent's delete has emptied. */
static void
append_of_parent(Buffer *sql, const EntityType *child, const EntityType *parent,
				 const Reference *ref, int number)
{
	append_of_type(sql, child);
	buffer_format(sql, " AND reference = %d AND parent = ", number);
	append_texts(sql, parent, ref->parent_columns, ref->ncolumns, "NEW.");
}

static void
append_fill(Buffer *sql, const EntityType *child, const EntityType *parent, const Reference *ref,
			int number, int column)
{
	const char *name = child->columns[column].local;
	Buffer		row = {0};

	buffer_identifier(&row, child->table);
	buffer_char(&row, '.');
	buffer_text(sql, "UPDATE ");
	buffer_identifier(sql, child->table);
	buffer_text(sql, " SET ");
	buffer_identifier(sql, name);
	buffer_text(sql, " = (SELECT value FROM tide_emptied WHERE ");
	append_of_column(sql, child, column);
	buffer_text(sql, " AND key = ");
	append_key_text(sql, child, row.data ? row.data : "");
	buffer_text(sql, ") WHERE ");
	buffer_identifier(sql, name);
	buffer_text(sql, " IS NULL AND ");
	append_key_text(sql, child, row.data ? row.data : "");
	buffer_text(sql, " IN (SELECT key FROM tide_emptied WHERE name = ");
	buffer_literal(sql, name);
	buffer_text(sql, " AND ");
	append_of_parent(sql, child, parent, ref, number);
	buffer_text(sql, ");\n");
	sql->failed = sql->failed || row.failed;
	buffer_free(&row);
}

/* Not gated: the parent may come back by a discard, or the server's verdict. */
void
emptied_append_trigger(Buffer *sql, const EntityType *child, const EntityType *parent,
					   const Reference *ref, int number)
{
	Buffer		name = {0};
	int			i;

	buffer_format(&name, "tide_%s_back_%s_%d", parent->table, child->table, number);
	buffer_text(sql, "CREATE TRIGGER ");
	buffer_identifier(sql, name.data ? name.data : "");
	sql->failed = sql->failed || name.failed;
	buffer_free(&name);
	buffer_text(sql, " AFTER INSERT ON ");
	buffer_identifier(sql, parent->table);
	buffer_text(sql, " WHEN EXISTS (SELECT 1 FROM tide_emptied WHERE ");
	append_of_parent(sql, child, parent, ref, number);
	buffer_text(sql, ") BEGIN\n");
	for (i = 0; i < ref->ncolumns; i++)
	{
		if (ref->emptied & UINT32_C(1) << i)
			append_fill(sql, child, parent, ref, number, ref->columns[i]);
	}
	buffer_text(sql, "DELETE FROM tide_emptied WHERE ");
	append_of_parent(sql, child, parent, ref, number);
	buffer_text(sql, ";\nEND;\n");
}

bool
emptied_is(Store *store, const EntityType *type, int column, const Json *json,
		   const JsonNode *key, bool *is)
{
	Buffer		sql = {0};
	sqlite3_stmt *stmt;
	int			rc;

	*is = false;
	if (!emptied_can_be(type, column))
		return true;
	buffer_text(&sql, "SELECT 1 FROM ");
	buffer_identifier(&sql, type->table);
	buffer_text(&sql, " AS t WHERE ");
	key_append_match(&sql, type, KEY_NAMED, 1);
	buffer_text(&sql, " AND EXISTS (SELECT 1 FROM tide_emptied WHERE ");
	append_of_column(&sql, type, column);
	buffer_text(&sql, " AND key = ");
	append_key_text(&sql, type, "t.");
	buffer_char(&sql, ')');
	stmt = sql_prepare_buffer(store, &sql);
	rc = stmt && row_bind_key(store, type, stmt, 1, json, key) ? sql_step(store, stmt) : -1;
	*is = rc == SQLITE_ROW;
	sqlite3_finalize(stmt);
	return rc != -1;
}

/* A row without a note and a version before it is as the server has it. */
static bool
end_type(Store *store, const EntityType *type)
{
	Buffer		sql = {0};
	int			k;

	buffer_text(&sql, "DELETE FROM tide_emptied WHERE ");
	append_of_type(&sql, type);
	buffer_text(&sql, " AND key NOT IN (SELECT ");
	append_key_text(&sql, type, "");
	buffer_text(&sql, " FROM ");
	buffer_identifier(&sql, type->base_table);
	buffer_text(&sql, ") AND key NOT IN (SELECT ");
	for (k = 0; k < type->nkeys; k++)
		buffer_format(&sql, "%squote(key%d)", k > 0 ? " || ',' || " : "", k + 1);
	buffer_text(&sql, " FROM ");
	buffer_identifier(&sql, type->dirty_table);
	buffer_char(&sql, ')');
	return sql_run_buffer(store, &sql);
}

bool
emptied_end(Store *store)
{
	int64_t		any = 0;
	bool		good = !any_has(store) ||
		sql_number(store, &any, "SELECT EXISTS (SELECT 1 FROM tide_emptied)");
	int			i;

	for (i = 0; i < store->ntypes && good && any > 0; i++)
		good = !has_such(&store->types[i]) || end_type(store, &store->types[i]);
	return good;
}
