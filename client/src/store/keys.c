/*
 * keys.c
 *	  Keys and columns of a type as pieces of SQL.
 */
#include "store/keys.h"

KeyStyle
key_style(const EntityType *type, const char *table)
{
	return table == type->table || table == type->base_table ||
		table == type->parked_table ? KEY_NAMED : KEY_NUMBERED;
}

static void
append_part(Buffer *sql, const EntityType *type, int k, const char *row, KeyStyle style)
{
	buffer_text(sql, row);
	if (style == KEY_NUMBERED)
		buffer_format(sql, "key%d", k + 1);
	else
		buffer_identifier(sql, type->columns[type->keys[k]].local);
}

void
key_append(Buffer *sql, const EntityType *type, const char *row, KeyStyle style)
{
	int			k;

	for (k = 0; k < type->nkeys; k++)
	{
		buffer_text(sql, k > 0 ? ", " : "");
		append_part(sql, type, k, row, style);
	}
}

void
columns_append(Buffer *sql, const EntityType *type, const char *row)
{
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		buffer_text(sql, i > 0 ? ", " : "");
		buffer_text(sql, row);
		buffer_identifier(sql, type->columns[i].local);
	}
}

void
columns_append_names(Buffer *sql, const EntityType *type)
{
	int			i;

	for (i = 0; i < type->ncolumns; i++)
	{
		buffer_text(sql, i > 0 ? ", " : "");
		buffer_literal(sql, type->columns[i].local);
	}
	if (type->is_dirty)
	{
		buffer_text(sql, ", ");
		buffer_literal(sql, type->is_dirty);
	}
	if (type->synced_at)
	{
		buffer_text(sql, ", ");
		buffer_literal(sql, type->synced_at);
	}
}

void
key_append_declared(Buffer *sql, const EntityType *type)
{
	int			k;

	for (k = 0; k < type->nkeys; k++)
		buffer_format(sql, "%skey%d %s", k > 0 ? ", " : "", k + 1,
					  value_declared_type(type->columns[type->keys[k]].kind));
}

void
key_append_match(Buffer *sql, const EntityType *type, KeyStyle style, int first)
{
	int			k;

	for (k = 0; k < type->nkeys; k++)
	{
		buffer_text(sql, k > 0 ? " AND " : "");
		append_part(sql, type, k, "", style);
		buffer_format(sql, " = ?%d", first + k);
	}
}

void
key_append_same(Buffer *sql, const EntityType *type, const char *row, KeyStyle style,
				const char *other, KeyStyle other_style)
{
	int			k;

	for (k = 0; k < type->nkeys; k++)
	{
		buffer_text(sql, k > 0 ? " AND " : "");
		append_part(sql, type, k, row, style);
		buffer_text(sql, " = ");
		append_part(sql, type, k, other, other_style);
	}
}

void
key_append_exists(Buffer *sql, const EntityType *type, const char *table,
				  const char *alias, const char *row, KeyStyle style)
{
	Buffer		inner = {0};

	buffer_text(sql, "EXISTS (SELECT 1 FROM ");
	buffer_identifier(sql, table);
	buffer_format(sql, " AS %s WHERE ", alias);
	buffer_format(&inner, "%s.", alias);
	key_append_same(sql, type, inner.data ? inner.data : "", key_style(type, table), row, style);
	buffer_char(sql, ')');
	sql->failed = sql->failed || inner.failed;
	buffer_free(&inner);
}
