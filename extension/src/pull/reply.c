/*-------------------------------------------------------------------------
 *
 * reply.c
 *	  tide.pull, tide.pull_page, tide.changes, tide.cursor: a page as JSON, as
 *	  rows, or only its cursor.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "cursor/history.h"
#include "log/changelog.h"
#include "pull/pull.h"
#include "util/compat.h"
#include "util/errors.h"
#include "util/json.h"
#include "util/settings.h"
#include "wire/wire.h"

PG_FUNCTION_INFO_V1(tide_pull);
PG_FUNCTION_INFO_V1(tide_pull_page);
PG_FUNCTION_INFO_V1(tide_changes);
PG_FUNCTION_INFO_V1(tide_cursor);
PG_FUNCTION_INFO_V1(tide_as_jsonb);

/* the default of the SQL function */
#define DEFAULT_MAX_BYTES (8 * 1024 * 1024)

/* copies a text that lives in the SPI connection, so that it outlives that */
Datum
pull_text_in(MemoryContext context, const char *string)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	Datum		result = CStringGetTextDatum(string);

	MemoryContextSwitchTo(old);
	return result;
}

/*
 * Begin a text in a context that outlives the SPI connection, where it is made in
 * place: replies are large, and each copy costs more than its bytes, since memory
 * of that size is fresh.
 */
void
pull_begin_text(StringInfo buf, MemoryContext context, int64 size)
{
	buf->maxlen = (int) Min(size + VARHDRSZ + 1, MaxAllocSize);
	buf->data = MemoryContextAlloc(context, buf->maxlen);
	memset(buf->data, 0, VARHDRSZ + 1);
	buf->len = VARHDRSZ;
	buf->cursor = 0;
}

Datum
pull_end_text(StringInfo buf)
{
	SET_VARSIZE(buf->data, buf->len);
	return PointerGetDatum(buf->data);
}

/* {"Type":[...],...}, parents first */
static void
append_types(StringInfo buf, Pull *pull, bool deletions)
{
	ListCell   *lc;
	bool		first = true;

	appendStringInfoChar(buf, '{');
	foreach(lc, pull->tables)
	{
		PullTable  *table = lfirst(lc);
		PullText   *text = &pull->texts[table->number];
		StringInfo	some = deletions ? &text->deletions : &text->rows;

		if (some->len == 0)
			continue;
		if (!first)
			appendStringInfoChar(buf, ',');
		first = false;
		escape_json(buf, table->t->entity_type);
		appendStringInfoString(buf, ":[");
		appendBinaryStringInfo(buf, some->data, some->len);
		appendStringInfoChar(buf, ']');
	}
	appendStringInfoChar(buf, '}');
}

static void
append_stats(StringInfo buf, Pull *pull)
{
	ListCell   *lc;
	bool		first = true;

	appendStringInfoChar(buf, '{');
	foreach(lc, pull->tables)
	{
		PullTable  *table = lfirst(lc);
		PullText   *text = &pull->texts[table->number];

		if (text->nrows + text->ndeletions == 0)
			continue;
		if (!first)
			appendStringInfoChar(buf, ',');
		first = false;
		escape_json(buf, table->t->entity_type);
		appendStringInfo(buf, ":{\"count\":%d,\"hasMore\":%s}", text->nrows,
						 pull->has_more ? "true" : "false");
	}
	appendStringInfoChar(buf, '}');
}

void
pull_append_array(StringInfo buf, const char *member, List *names)
{
	ListCell   *lc;

	appendStringInfo(buf, ",\"%s\":[", member);
	foreach(lc, names)
	{
		if (lc != list_head(names))
			appendStringInfoChar(buf, ',');
		escape_json(buf, lfirst(lc));
	}
	appendStringInfoChar(buf, ']');
}

void
pull_append_names(StringInfo buf, const char *member, List *names)
{
	if (names != NIL)
		pull_append_array(buf, member, names);
}

/* the names of the types that come in full again */
List *
pull_reset_types(Pull *pull)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, pull->tables)
	{
		TrackedTable *t = ((PullTable *) lfirst(lc))->t;

		if (types_contain(&pull->resets, t->reg))
			names = lappend(names, t->entity_type);
	}
	return names;
}

static void
append_reply(StringInfo buf, Pull *pull, const char *cursor, TimestampTz now)
{
	int			i;

	appendStringInfoString(buf, "{\"changesByType\":");
	append_types(buf, pull, false);
	appendStringInfoString(buf, ",\"deletedByType\":");
	append_types(buf, pull, true);
	appendStringInfo(buf, ",\"cursor\":\"%s\",\"syncTimestamp\":",
					 cursor);
	wire_append_time_ms_floor(buf, now);
	appendStringInfoString(buf, ",\"serverTime\":");
	wire_append_time_ms_floor(buf, now);
	if (pull->reset_reason)
		appendStringInfo(buf, ",\"resetReason\":\"%s\"", pull->reset_reason);
	pull_append_names(buf, "resetTypes", pull_reset_types(pull));
	pull_append_names(buf, "unavailableTypes", pull->unavailable);
	appendStringInfoString(buf, ",\"stats\":");
	append_stats(buf, pull);
	appendStringInfo(buf, ",\"hasMore\":%s,\"reset\":%s,\"revokedScopes\":[",
					 pull->has_more ? "true" : "false",
					 pull->reset_reason ? "true" : "false");
	for (i = 0; i < pull->revoked.n; i++)
	{
		if (i > 0)
			appendStringInfoChar(buf, ',');
		escape_json(buf, pull->revoked.scopes[i]);
	}
	appendStringInfoString(buf, "]}");
}

/*
 * A time that a client may come back with must be from before the snapshot.  A
 * transaction that keeps one snapshot took it after the transaction started.
 */
static TimestampTz
time_before_snapshot(void)
{
	return IsolationUsesXactSnapshot() ? GetCurrentTransactionStartTimestamp() :
		GetCurrentTimestamp();
}

/*
 * What a standby shows is older than its clock, and nobody knows how old.  A
 * time stands for the newest sample that is not after it, so that sample's own
 * is as good as any later one.
 */
static TimestampTz
time_of_sample(void)
{
	TideSnapshot snapshot;
	TimestampTz at;

	return sample_newest(&snapshot, &at) ? at : 0;
}

/*
 * Read a page as the arguments of tide.pull ask for, and write its rows.  Returns
 * the time that the page is of.  Must be followed by pull_finish.
 */
TimestampTz
pull_read(FunctionCallInfo fcinfo, Pull *pull)
{
	TimestampTz now = time_before_snapshot();
	int			level;

	pull->client_id = tide_text_argument(fcinfo, 4);
	if (pull->client_id && pull->client_id[0] == '\0')
		pull->client_id = NULL;
	pull->max_bytes = PG_ARGISNULL(6) ? DEFAULT_MAX_BYTES : PG_GETARG_INT32(6);
	if (pull->max_bytes < 1)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
				 errmsg("max_bytes must be at least 1")));
	pull->acks = tide_array_argument(fcinfo, 7);
	pull_page(pull, tide_text_argument(fcinfo, 0), tide_array_argument(fcinfo, 1),
			  tide_array_argument(fcinfo, 2),
			  PG_ARGISNULL(3) ? 100 : PG_GETARG_INT32(3), tide_array_argument(fcinfo, 5));
	if (pull->in_recovery)
		now = time_of_sample();
	level = wire_begin();
	pull_write(pull, now);
	wire_end(level);
	return now;
}

/* the reply is in the caller's memory */
static Datum
pull_reply(FunctionCallInfo fcinfo, Pull *pull)
{
	MemoryContext caller = CurrentMemoryContext;
	TimestampTz now = pull_read(fcinfo, pull);
	const char *cursor = pull_last_cursor(pull);
	StringInfoData buf;
	Datum		result;

	pull_begin_text(&buf, caller, pull->bytes + strlen(cursor) + 1024);
	append_reply(&buf, pull, cursor, now);
	result = pull_end_text(&buf);
	pull->last_cursor = pull_text_in(caller, cursor);
	pull->interest = pull_text_in(caller, pull_interest(pull));
	pull_finish(pull);
	return result;
}

Datum
tide_pull(PG_FUNCTION_ARGS)
{
	Pull		pull = {0};

	return pull_reply(fcinfo, &pull);
}

/* does the page tell its client to drop rows that it has? */
bool
pull_tells_to_drop(const Pull *pull)
{
	return pull->reset_reason != NULL || pull->resets.n > 0 || pull->revoked.n > 0;
}

/* does the page tell its client anything besides the new cursor? */
bool
pull_has_news(const Pull *pull)
{
	return pull->nitems > 0 || pull->has_more || pull->from_now ||
		pull_tells_to_drop(pull);
}

/*
 * the reply with what it is about, for the gateway, which passes the reply on
 * unread
 */
Datum
tide_pull_page(PG_FUNCTION_ARGS)
{
	Pull		pull = {0};
	TupleDesc	desc;
	Datum		values[6];
	bool		nulls[6] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = pull_reply(fcinfo, &pull);
	values[1] = Int32GetDatum(pull.nitems);
	values[2] = BoolGetDatum(pull.has_more);
	values[3] = BoolGetDatum(pull_has_news(&pull));
	values[4] = pull.last_cursor;
	values[5] = pull.interest;
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* a value that is kept as json and shown as jsonb */
Datum
tide_as_jsonb(PG_FUNCTION_ARGS)
{
	char	   *json = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Datum		result;

	if (!wire_jsonb(json, strlen(json), &result))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(result);
}

static void
put_change(ReturnSetInfo *rsinfo, PullItem *item)
{
	TrackedTable *t = item->table->t;
	Datum		key[INDEX_MAX_KEYS];
	StringInfoData buf;
	Datum		values[7] = {0};
	bool		nulls[7] = {false};

	wire_key_values(t, item->key, key);
	initStringInfo(&buf);
	wire_append_key(&buf, t, key);

	if (item->have_row)
	{
		item->stamp = stamp_of_row(t, item->values, item->nulls);
		item->have_stamp = item->stamp.has_time;
	}
	values[0] = CStringGetTextDatum(t->entity_type);
	values[1] = CStringGetTextDatum(item->have_row ? "upsert" : "delete");
	values[2] = JsonbPGetDatum(json_parse(buf.data));
	nulls[3] = !item->have_row;
	if (item->have_row)
	{
		resetStringInfo(&buf);
		wire_append_row(&buf, t, item->values, item->nulls);
		nulls[3] = !wire_jsonb(buf.data, buf.len, &values[3]);
	}
	nulls[4] = !item->have_stamp;
	values[4] = TimestampTzGetDatum(item->stamp.time);
	nulls[5] = item->stamp.client_id == NULL;
	if (!nulls[5])
		values[5] = CStringGetTextDatum(item->stamp.client_id);
	values[6] = CStringGetTextDatum(item->cursor);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

Datum
tide_changes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Pull		pull = {0};
	ListCell   *lc;
	int			level;

	tide_init_materialized_srf(fcinfo);
	pull.item_cursors = true;
	pull_page(&pull, tide_text_argument(fcinfo, 0), tide_array_argument(fcinfo, 1),
			  tide_array_argument(fcinfo, 2),
			  PG_ARGISNULL(3) ? 100 : PG_GETARG_INT32(3), NULL);
	rows_fetch(pull.tables, pull.items);
	pull_find_tombstones(&pull, pull.items);
	if (!pull.has_more && pull.items != NIL)
		((PullItem *) llast(pull.items))->cursor = pull_cursor(&pull);
	level = wire_begin();
	foreach(lc, pull.items)
		put_change(rsinfo, lfirst(lc));
	wire_end(level);
	history_flush(&pull.head);
	pull_finish(&pull);
	return (Datum) 0;
}

/* A cursor that says "from now on", and covers all that the caller may see. */
Datum
tide_cursor(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	Pull		pull = {0};
	Datum		result;

	pull_at_rest(&pull);
	history_flush(&pull.head);
	result = pull_text_in(caller, pull_cursor(&pull));
	pull_finish(&pull);
	return result;
}
