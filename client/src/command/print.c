/*
 * print.c
 *	  Rows of a query as lines or JSON, and the outcome of a sync.
 */
#include <stdio.h>
#include <string.h>

#include "command/print.h"
#include "loop/summary.h"
#include "wire/value.h"

static int
trouble(Session *s)
{
	failure_set(&s->failure, TIDE_LOCAL, "local", "%s", sqlite3_errmsg(s->db));
	return TIDE_LOCAL;
}

static void
append_object(Buffer *out, sqlite3_stmt * stmt)
{
	int			i;

	for (i = 0; i < sqlite3_column_count(stmt); i++)
	{
		const char *name = sqlite3_column_name(stmt, i);

		buffer_char(out, i > 0 ? ',' : '{');
		json_string(out, name, strlen(name));
		buffer_char(out, ':');
		if (!value_append(out, VALUE_ANY, sqlite3_column_value(stmt, i)))
			buffer_text(out, "null");
	}
	buffer_char(out, '}');
}

/* A value between tabs: the characters that would break the line, escaped. */
static void
append_field(Buffer *out, const char *text)
{
	for (; text && *text; text++)
	{
		if (*text == '\t')
			buffer_text(out, "\\t");
		else if (*text == '\n')
			buffer_text(out, "\\n");
		else if (*text == '\r')
			buffer_text(out, "\\r");
		else if (*text == '\\')
			buffer_text(out, "\\\\");
		else
			buffer_char(out, *text);
	}
}

static void
append_line(Buffer *out, sqlite3_stmt * stmt, bool names)
{
	int			i;

	for (i = 0; i < sqlite3_column_count(stmt); i++)
	{
		buffer_text(out, i > 0 ? "\t" : "");
		append_field(out, names ? sqlite3_column_name(stmt, i) :
					 (const char *) sqlite3_column_text(stmt, i));
	}
	buffer_char(out, '\n');
}

static int
finish(Session *s, sqlite3_stmt * stmt, Buffer *out, int rc)
{
	int			code = TIDE_OK;

	if (rc != SQLITE_DONE)
		code = trouble(s);
	else if (out->failed)
	{
		failure_memory(&s->failure);
		code = TIDE_LOCAL;
	}
	else if (out->data)
		fwrite(out->data, 1, out->length, stdout);
	sqlite3_finalize(stmt);
	buffer_free(out);
	return code;
}

int
print_table(Session *s, const char *sql, bool json)
{
	Buffer		out = {0};
	sqlite3_stmt *stmt;
	bool		first = true;
	int			rc;

	if (sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return trouble(s);
	if (json)
		buffer_char(&out, '[');
	else
		append_line(&out, stmt, true);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
	{
		if (json)
		{
			buffer_text(&out, first ? "" : ",\n ");
			append_object(&out, stmt);
		}
		else
			append_line(&out, stmt, false);
		first = false;
	}
	if (json)
		buffer_text(&out, "]\n");
	return finish(s, stmt, &out, rc);
}

void
print_fields(const char *const *fields, int n, bool json, bool first)
{
	static const char *const names[] = {"entity_type", "key", "difference"};
	Buffer		out = {0};
	int			i;

	for (i = 0; i < n; i++)
	{
		if (json)
		{
			buffer_format(&out, "%s\"%s\":", i > 0 ? "," : first ? "[{" : ",\n {", names[i]);
			json_string(&out, fields[i], strlen(fields[i]));
		}
		else
		{
			buffer_text(&out, i > 0 ? "\t" : "");
			append_field(&out, fields[i]);
		}
	}
	buffer_char(&out, json ? '}' : '\n');
	if (out.data && !out.failed)
		fwrite(out.data, 1, out.length, stdout);
	buffer_free(&out);
}

int
print_record(Session *s, const char *sql, bool json)
{
	Buffer		out = {0};
	sqlite3_stmt *stmt;
	int			i,
				rc;

	if (sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		return trouble(s);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
	{
		if (json)
		{
			append_object(&out, stmt);
			buffer_char(&out, '\n');
			continue;
		}
		for (i = 0; i < sqlite3_column_count(stmt); i++)
		{
			if (sqlite3_column_type(stmt, i) == SQLITE_NULL)
				continue;
			buffer_format(&out, "%s: ", sqlite3_column_name(stmt, i));
			append_field(&out, (const char *) sqlite3_column_text(stmt, i));
			buffer_char(&out, '\n');
		}
	}
	return finish(s, stmt, &out, rc);
}

/* What the file says about the app's rules, on standard error. */
static void
warn(Session *s)
{
	sqlite3_stmt *stmt;

	if (sqlite3_prepare_v2(s->db, "SELECT warning FROM tide_status", -1, &stmt, NULL) != SQLITE_OK)
		return;
	if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_text(stmt, 0))
		fprintf(stderr, "warning: %s\n", (const char *) sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
}

int
print_sync(Session *s, int code, bool json)
{
	Failure		failure = *session_failure(s);
	tide_summary summary = {0};
	Buffer		out = {0};

	if (s->t && tide_is_set_up(s->t))
		(void) tide_summarize(s->t, &summary);
	if (json)
	{
		summary_append_json(&out, code, &summary, &failure);
		if (!out.failed)
			puts(out.data);
		buffer_free(&out);
	}
	else if (code == TIDE_OK || code == TIDE_SOME_FAILED)
	{
		printf("pulled %lld, pushed %lld", (long long) summary.pulled,
			   (long long) summary.pushed);
		if (summary.failed)
			printf(", failed %lld", (long long) summary.failed);
		if (summary.lost)
			printf(", lost %lld", (long long) summary.lost);
		if (summary.parked)
			printf(", parked %lld", (long long) summary.parked);
		if (summary.pending)
			printf(", pending %lld", (long long) summary.pending);
		putchar('\n');
	}
	if (s->t && tide_is_set_up(s->t))
		warn(s);
	/* the caller says what went wrong */
	s->failure = failure;
	return code;
}
