/*
 * columns.c
 *	  A column as the device has it and as the wire shows it.
 */
#include <string.h>

#include "store/columns.h"
#include "store/keys.h"
#include "store/sql.h"
#include "wire/time.h"

bool
column_is_kept(const Column *c)
{
	return c->beside || c->coarse;
}

/* (SELECT what FROM tide_row_T WHERE its key is that of the row) */
static void
append_kept(Buffer *sql, const EntityType *type, const char *name, const char *suffix,
			const char *row)
{
	Buffer		full = {0};

	buffer_format(&full, "%s%s", name, suffix);
	if (full.failed)
	{
		sql->failed = true;
		return;
	}
	buffer_text(sql, "(SELECT s.");
	buffer_identifier(sql, full.data);
	buffer_text(sql, " FROM ");
	buffer_identifier(sql, type->row_table);
	buffer_text(sql, " AS s WHERE ");
	key_append_same(sql, type, "s.", KEY_NUMBERED, row, KEY_NAMED);
	buffer_char(sql, ')');
	buffer_free(&full);
}

/* the arguments of strftime for a number */
static void
append_seconds(Buffer *sql, const Column *c, const char *expression)
{
	buffer_text(sql, expression);
	buffer_text(sql, c->form == TIME_SECONDS ? ", 'unixepoch'" : " / 1000.0, 'unixepoch'");
}

void
column_append_shown(Buffer *sql, const Column *c, const char *expression)
{
	if (c->form == TIME_ISO)
	{
		buffer_text(sql, expression);
		return;
	}
	/*
	 * A time that cannot be shown so is sent as a number, which the server
	 * takes for milliseconds; what is no number is sent as it is.  The server
	 * judges.
	 */
	buffer_text(sql, "CASE WHEN typeof(");
	buffer_text(sql, expression);
	buffer_text(sql, ") IN ('integer', 'real') AND strftime('%Y', ");
	append_seconds(sql, c, expression);
	buffer_text(sql, ") BETWEEN '0001' AND '9999' THEN strftime(");
	buffer_text(sql, c->form == TIME_SECONDS ? "'%Y-%m-%dT%H:%M:%SZ', " : "'%Y-%m-%dT%H:%M:%fZ', ");
	append_seconds(sql, c, expression);
	buffer_text(sql, ")");
	if (c->form == TIME_SECONDS)
	{
		buffer_text(sql, " WHEN typeof(");
		buffer_text(sql, expression);
		buffer_text(sql, ") IN ('integer', 'real') THEN ");
		buffer_text(sql, expression);
		buffer_text(sql, " * 1000");
	}
	buffer_text(sql, " ELSE ");
	buffer_text(sql, expression);
	buffer_text(sql, " END");
}

void
column_append_held(Buffer *sql, const Column *c, const char *expression)
{
	if (c->form == TIME_ISO)
	{
		buffer_text(sql, expression);
		return;
	}
	buffer_text(sql, "coalesce(CAST(strftime('%s', ");
	buffer_text(sql, expression);
	buffer_text(sql, ") AS INTEGER)");
	if (c->form == TIME_MILLISECONDS)
	{
		buffer_text(sql, " * 1000 + CAST(substr(strftime('%f', ");
		buffer_text(sql, expression);
		buffer_text(sql, "), 4) AS INTEGER)");
	}
	/* what could not be shown as a time */
	buffer_text(sql, ", ");
	if (c->form == TIME_SECONDS)
	{
		buffer_text(sql, "CASE WHEN ");
		buffer_text(sql, expression);
		buffer_text(sql, " NOT GLOB '*[^0-9-]*' THEN ");
		buffer_text(sql, expression);
		buffer_text(sql, " / 1000 END, ");
	}
	buffer_text(sql, expression);
	buffer_char(sql, ')');
}

void
column_append_wire(Buffer *sql, const EntityType *type, int column, const char *row)
{
	const Column *c = &type->columns[column];
	Buffer		held = {0};

	if (c->beside)
	{
		append_kept(sql, type, c->local, "", row);
		return;
	}
	buffer_text(&held, row);
	buffer_identifier(&held, c->local);
	if (held.failed)
		sql->failed = true;
	else if (c->coarse)
	{
		buffer_text(sql, "CASE WHEN ");
		buffer_text(sql, held.data);
		buffer_text(sql, " IS ");
		append_kept(sql, type, c->local, " held", row);
		buffer_text(sql, " THEN ");
		append_kept(sql, type, c->local, "", row);
		buffer_text(sql, " ELSE ");
		column_append_shown(sql, c, held.data);
		buffer_text(sql, " END");
	}
	else
		buffer_text(sql, held.data);
	buffer_free(&held);
}

void
column_append_in_scope(Buffer *sql, const EntityType *type, const char *row, bool of_table,
					   const char *scope)
{
	const Column *c = &type->columns[type->scope];

	if (of_table)
		column_append_wire(sql, type, type->scope, row);
	else
	{
		buffer_text(sql, row);
		buffer_identifier(sql, c->local);
	}
	buffer_text(sql, " IN (");
	buffer_literal(sql, scope);
	if (c->kind == VALUE_INTEGER)
	{
		buffer_text(sql, ", CAST(");
		buffer_literal(sql, scope);
		buffer_text(sql, " AS INTEGER)");
	}
	buffer_char(sql, ')');
}

/* Rounded down, also before 1970. */
static int64_t
divide(int64_t value, int64_t by)
{
	return value / by - (value % by < 0);
}

static bool
bind_number_of_time(sqlite3_stmt * stmt, int parameter, TimeForm form, const char *text)
{
	int64_t		microseconds;

	if (!time_parse(text, strlen(text), &microseconds))
		return sql_bind_text(stmt, parameter, text);
	return sqlite3_bind_int64(stmt, parameter,
							  divide(microseconds, form == TIME_SECONDS ? 1000000 : 1000)) ==
		SQLITE_OK;
}

bool
column_bind(sqlite3_stmt * stmt, int parameter, const Column *c, const Json *json,
			const JsonNode *node)
{
	char	   *text;
	bool		good;

	if (c->form == TIME_ISO || node == NULL || node->kind != JSON_STRING)
		return value_bind(stmt, parameter, c->kind, json, node);
	text = json_text(json, node);
	good = text && bind_number_of_time(stmt, parameter, c->form, text);
	sqlite3_free(text);
	return good;
}

bool
column_bind_time(sqlite3_stmt * stmt, int parameter, TimeForm form, const char *time)
{
	if (form == TIME_ISO || time == NULL)
		return sql_bind_text(stmt, parameter, time);
	return bind_number_of_time(stmt, parameter, form, time);
}
