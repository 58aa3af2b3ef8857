/*-------------------------------------------------------------------------
 *
 * lines.c
 *	  tide.pull_lines: a page of a stream, as lines, for the gateway.
 *
 * A stream is one reply that has all pages from a cursor on.  The gateway asks
 * for them one by one, each in a transaction of its own, and sends what it gets
 * here as it is.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "pull/pull.h"
#include "wire/wire.h"

PG_FUNCTION_INFO_V1(tide_pull_lines);

/* the argument after those of tide.pull */
#define ARGUMENT_PAGE_BYTES 8
#define DEFAULT_PAGE_BYTES (1024 * 1024)

/* columns of the result */
enum
{
	COLUMN_LINES,
	COLUMN_ITEMS,
	COLUMN_NEWS,
	COLUMN_MORE,
	COLUMN_BEGIN,
	COLUMN_BEGINS,
	COLUMN_CURSOR,
	COLUMN_TAIL,
	COLUMN_COUNTS,
	COLUMN_INTEREST,
	COLUMNS
};

/* what concerns the rows that follow */
static char *
begin_line(Pull *pull)
{
	StringInfoData buf;
	List	   *revoked = NIL;
	int			i;

	for (i = 0; i < pull->revoked.n; i++)
		revoked = lappend(revoked, pull->revoked.scopes[i]);
	initStringInfo(&buf);
	appendStringInfo(&buf, "{\"begin\":{\"reset\":%s,\"resetReason\":",
					 pull->reset_reason ? "true" : "false");
	if (pull->reset_reason)
		escape_json(&buf, pull->reset_reason);
	else
		appendStringInfoString(&buf, "null");
	pull_append_array(&buf, "resetTypes", pull_reset_types(pull));
	pull_append_array(&buf, "revokedScopes", revoked);
	pull_append_array(&buf, "unavailableTypes", pull->unavailable);
	appendStringInfoString(&buf, "}}\n");
	return buf.data;
}

/* a text that has nothing may have no memory */
static void
append_text(StringInfo buf, const StringInfoData *text)
{
	if (text->len > 0)
		appendBinaryStringInfo(buf, text->data, text->len);
}

/*
 * rows, with parents first; then deletions, with children first; then the
 * cursor
 */
static Datum
page_lines(Pull *pull, const char *cursor, MemoryContext context)
{
	StringInfoData buf;
	int			n = list_length(pull->tables);
	int			i;

	pull_begin_text(&buf, context, pull->bytes + strlen(cursor) + 32);
	for (i = 0; i < n; i++)
		append_text(&buf, &pull->texts[i].rows);
	for (i = n - 1; i >= 0; i--)
		append_text(&buf, &pull->texts[i].deletions);
	appendStringInfo(&buf, "{\"cursor\":\"%s\"}\n", cursor);
	return pull_end_text(&buf);
}

/* the members that the last line would have if this were the last page */
static char *
tail_members(const char *cursor, TimestampTz now)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfo(&buf, "\"cursor\":\"%s\",\"syncTimestamp\":", cursor);
	wire_append_time_ms_floor(&buf, now);
	appendStringInfoString(&buf, ",\"serverTime\":");
	wire_append_time_ms_floor(&buf, now);
	return buf.data;
}

/* for each type that has rows, their number */
static char *
row_counts(Pull *pull)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, pull->tables)
	{
		PullTable  *table = lfirst(lc);
		PullText   *text = &pull->texts[table->number];

		if (text->nrows + text->ndeletions == 0)
			continue;
		appendStringInfoChar(&buf, buf.len == 0 ? '{' : ',');
		escape_json(&buf, table->t->entity_type);
		appendStringInfo(&buf, ":%d", text->nrows);
	}
	appendStringInfoString(&buf, buf.len == 0 ? "{}" : "}");
	return buf.data;
}

Datum
tide_pull_lines(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	Pull		pull = {0};
	TimestampTz now;
	TupleDesc	desc;
	const char *cursor;
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	pull.as_lines = true;
	pull.page_bytes = PG_ARGISNULL(ARGUMENT_PAGE_BYTES) ? DEFAULT_PAGE_BYTES :
		PG_GETARG_INT32(ARGUMENT_PAGE_BYTES);
	now = pull_read(fcinfo, &pull);
	cursor = pull_last_cursor(&pull);
	values[COLUMN_LINES] = page_lines(&pull, cursor, caller);
	values[COLUMN_ITEMS] = Int32GetDatum(pull.nitems);
	values[COLUMN_NEWS] = BoolGetDatum(pull_has_news(&pull));
	values[COLUMN_MORE] = BoolGetDatum(pull.has_more);
	values[COLUMN_BEGIN] = pull_text_in(caller, begin_line(&pull));
	values[COLUMN_BEGINS] = BoolGetDatum(pull_tells_to_drop(&pull));
	values[COLUMN_CURSOR] = pull_text_in(caller, cursor);
	values[COLUMN_TAIL] = pull_text_in(caller, tail_members(cursor, now));
	values[COLUMN_COUNTS] = pull_text_in(caller, row_counts(&pull));
	values[COLUMN_INTEREST] = pull_text_in(caller, pull_interest(&pull));
	pull_finish(&pull);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}
