/*
 * statements.c
 *	  The statements that read and write one row of a type.
 */
#include "store/columns.h"
#include "store/keys.h"
#include "store/sql.h"
#include "store/statements.h"

bool
row_is_written(const EntityType *type, int column, const JsonNode **members)
{
	return !type->columns[column].beside && (members == NULL || members[column] != NULL);
}

static void
append_status_name(Buffer *sql, const char *column)
{
	if (column == NULL)
		return;
	buffer_text(sql, ", ");
	buffer_identifier(sql, column);
}

static void
append_status_taken(Buffer *sql, const char *column)
{
	if (column == NULL)
		return;
	append_status_name(sql, column);
	buffer_text(sql, " = excluded.");
	buffer_identifier(sql, column);
}

void
row_append_upsert(Buffer *sql, const EntityType *type, const JsonNode **members)
{
	bool		first = true;
	int			i;

	buffer_text(sql, "INSERT INTO ");
	buffer_identifier(sql, type->table);
	buffer_text(sql, " (");
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!row_is_written(type, i, members))
			continue;
		buffer_text(sql, first ? "" : ", ");
		buffer_identifier(sql, type->columns[i].local);
		first = false;
	}
	append_status_name(sql, type->synced_at);
	append_status_name(sql, type->is_dirty);
	buffer_text(sql, ") VALUES (");
	first = true;
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!row_is_written(type, i, members))
			continue;
		buffer_format(sql, "%s?%d", first ? "" : ", ", i + 1);
		first = false;
	}
	if (type->synced_at)
		buffer_format(sql, ", ?%d", type->ncolumns + 1);
	if (type->is_dirty)
		buffer_text(sql, ", 0");
	buffer_text(sql, ") ON CONFLICT (");
	key_append(sql, type, "", KEY_NAMED);
	buffer_text(sql, ") DO UPDATE SET ");
	first = true;
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!row_is_written(type, i, members))
			continue;
		buffer_text(sql, first ? "" : ", ");
		buffer_identifier(sql, type->columns[i].local);
		buffer_text(sql, " = excluded.");
		buffer_identifier(sql, type->columns[i].local);
		first = false;
	}
	append_status_taken(sql, type->synced_at);
	append_status_taken(sql, type->is_dirty);
	if (type->is_dirty || type->synced_at)
		return;
	buffer_text(sql, " WHERE 0");
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!row_is_written(type, i, members))
			continue;
		buffer_text(sql, " OR excluded.");
		buffer_identifier(sql, type->columns[i].local);
		buffer_text(sql, " COLLATE BINARY IS NOT ");
		buffer_identifier(sql, type->table);
		buffer_char(sql, '.');
		buffer_identifier(sql, type->columns[i].local);
	}
}

static void
append_save_base(Buffer *sql, const EntityType *type)
{
	int			i;

	buffer_text(sql, "INSERT INTO ");
	buffer_identifier(sql, type->base_table);
	buffer_text(sql, " (");
	columns_append(sql, type, "");
	buffer_text(sql, ") VALUES (");
	for (i = 0; i < type->ncolumns; i++)
		buffer_format(sql, "%s?%d", i > 0 ? ", " : "", i + 1);
	buffer_text(sql, ") ON CONFLICT DO UPDATE SET ");
	for (i = 0; i < type->ncolumns; i++)
	{
		buffer_text(sql, i > 0 ? ", " : "");
		buffer_identifier(sql, type->columns[i].local);
		buffer_text(sql, " = excluded.");
		buffer_identifier(sql, type->columns[i].local);
	}
}

static void
append_read(Buffer *sql, const EntityType *type, const char *table, const char *extra)
{
	buffer_text(sql, "SELECT ");
	columns_append(sql, type, "");
	buffer_text(sql, extra);
	buffer_text(sql, " FROM ");
	buffer_identifier(sql, table);
	buffer_text(sql, " WHERE ");
	key_append_match(sql, type, KEY_NAMED, 1);
}

/* The table's row as the wire would show it. */
static void
append_read_row(Buffer *sql, const EntityType *type)
{
	int			i;

	buffer_text(sql, "SELECT ");
	for (i = 0; i < type->ncolumns; i++)
	{
		buffer_text(sql, i > 0 ? ", " : "");
		column_append_wire(sql, type, i, "t.");
	}
	buffer_text(sql, " FROM ");
	buffer_identifier(sql, type->table);
	buffer_text(sql, " AS t WHERE ");
	key_append_match(sql, type, KEY_NAMED, 1);
}

/* "c" or "c held", of the columns of which something is kept beside the row */
static void
append_kept_names(Buffer *sql, const EntityType *type, const char *before, const char *after)
{
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		const Column *c = &type->columns[i];
		Buffer		held = {0};

		if (!column_is_kept(c))
			continue;
		buffer_text(sql, ", ");
		buffer_text(sql, before);
		buffer_identifier(sql, c->local);
		if (*after)
		{
			buffer_text(sql, after);
			buffer_identifier(sql, c->local);
		}
		if (!c->coarse)
			continue;
		buffer_format(&held, "%s held", c->local);
		buffer_text(sql, ", ");
		buffer_text(sql, before);
		buffer_identifier(sql, held.data ? held.data : "");
		if (*after)
		{
			buffer_text(sql, after);
			buffer_identifier(sql, held.data ? held.data : "");
		}
		sql->failed = sql->failed || held.failed;
		buffer_free(&held);
	}
}

/*
 * Keep what the table could not hold, with the value that it holds instead:
 * it is read back, for the column's type may have changed it once more.
 */
static void
append_keep(Buffer *sql, const EntityType *type)
{
	int			i,
				k;

	buffer_text(sql, "INSERT INTO ");
	buffer_identifier(sql, type->row_table);
	buffer_text(sql, " (");
	key_append(sql, type, "", KEY_NUMBERED);
	append_kept_names(sql, type, "", "");
	buffer_text(sql, ") SELECT ");
	key_append(sql, type, "", KEY_NAMED);
	for (i = 0; i < type->ncolumns; i++)
	{
		if (!column_is_kept(&type->columns[i]))
			continue;
		buffer_format(sql, ", ?%d", i + 1);
		if (!type->columns[i].coarse)
			continue;
		buffer_text(sql, ", ");
		buffer_identifier(sql, type->columns[i].local);
	}
	buffer_text(sql, " FROM ");
	buffer_identifier(sql, type->table);
	buffer_text(sql, " WHERE ");
	for (k = 0; k < type->nkeys; k++)
	{
		buffer_text(sql, k > 0 ? " AND " : "");
		buffer_identifier(sql, type->columns[type->keys[k]].local);
		buffer_format(sql, " = ?%d", type->keys[k] + 1);
	}
	buffer_text(sql, " ON CONFLICT DO UPDATE SET key1 = key1");
	append_kept_names(sql, type, "", " = excluded.");
}

static void
append_delete(Buffer *sql, const EntityType *type, const char *table)
{
	buffer_text(sql, "DELETE FROM ");
	buffer_identifier(sql, table);
	buffer_text(sql, " WHERE ");
	key_append_match(sql, type, key_style(type, table), 1);
}

/* keys that came in a pull that starts anew: temp.tide_came_<table> */
static void
append_came(Buffer *sql, const EntityType *type)
{
	Buffer		name = {0};
	int			k;

	buffer_format(&name, "tide_came_%s", type->table);
	if (name.failed)
		sql->failed = true;
	else
	{
		buffer_text(sql, "INSERT INTO temp.");
		buffer_identifier(sql, name.data);
		buffer_text(sql, " VALUES (");
		for (k = 0; k < type->nkeys; k++)
			buffer_format(sql, "%s?%d", k > 0 ? ", " : "", k + 1);
		buffer_text(sql, ") ON CONFLICT DO NOTHING");
	}
	buffer_free(&name);
}

static void
append_statement(Buffer *sql, const EntityType *type, StatementName name)
{
	switch (name)
	{
		case STATEMENT_UPSERT:
			row_append_upsert(sql, type, NULL);
			break;
		case STATEMENT_DELETE:
			append_delete(sql, type, type->table);
			break;
		case STATEMENT_READ:
			append_read_row(sql, type);
			break;
		case STATEMENT_KEEP:
			append_keep(sql, type);
			break;
		case STATEMENT_FORGET:
			append_delete(sql, type, type->row_table);
			break;
		case STATEMENT_READ_BASE:
			append_read(sql, type, type->base_table, "");
			break;
		case STATEMENT_READ_PARKED:
			append_read(sql, type, type->parked_table, ", tide_operation, tide_edited_at, tide_code,"
						" tide_base");
			break;
		case STATEMENT_SAVE_BASE:
			append_save_base(sql, type);
			break;
		case STATEMENT_DROP_BASE:
			append_delete(sql, type, type->base_table);
			break;
		case STATEMENT_DIRTY:
			buffer_text(sql, "SELECT operation, coalesce(batch, 0), seq IS NOT frozen_seq,"
						" tries, edited_at FROM ");
			buffer_identifier(sql, type->dirty_table);
			buffer_text(sql, " WHERE ");
			key_append_match(sql, type, KEY_NUMBERED, 1);
			break;
		case STATEMENT_CLEAN:
			append_delete(sql, type, type->dirty_table);
			break;
		case STATEMENT_THEIRS:
			buffer_text(sql, "UPDATE ");
			buffer_identifier(sql, type->dirty_table);
			buffer_text(sql, " SET theirs = ?1, theirs_deleted = ?2 WHERE ");
			key_append_match(sql, type, KEY_NUMBERED, 3);
			break;
		case STATEMENT_CAME:
			append_came(sql, type);
			break;
		case STATEMENT_COUNT:
			break;
	}
}

sqlite3_stmt *
row_statement(Store *store, EntityType *type, StatementName name)
{
	Buffer		sql = {0};

	if (type->statements[name] == NULL)
	{
		append_statement(&sql, type, name);
		type->statements[name] = sql_prepare_buffer(store, &sql);
	}
	else
		sqlite3_reset(type->statements[name]);
	return type->statements[name];
}
