/*-------------------------------------------------------------------------
 *
 * fetch.c
 *	  tide.rows: rows by their keys, for a client that knows which rows it
 *	  lacks.
 *
 * It sends the rows that a pull would send, and no others.  A key without a row
 * that the caller may sync gets no answer, whatever the reason.  The size of a
 * reply is limited; the keys that did not fit come back, for the next request.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "pull/pull.h"
#include "read/rows.h"
#include "util/errors.h"
#include "util/json.h"
#include "util/keymap.h"
#include "util/settings.h"
#include "wire/wire.h"

PG_FUNCTION_INFO_V1(tide_rows);

/* how many keys the first statement looks up */
#define FIRST_BATCH 8
#define LARGEST_BATCH 200

typedef struct Fetch
{
	Pull	   *pull;
	StringInfoData reply;		/* {"Type":[{...}],...} */
	StringInfoData remaining;	/* the same, with keys */
	int			nremaining;		/* types in "remaining" so far */
	int			left;			/* how many more rows may be added */
	int			nrows;			/* rows of the current type */
	int64		bytes;			/* of all rows */
	int			largest;		/* bytes of the largest row */
} Fetch;

static void
bad_body(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
			 errmsg("keys must be an object of entity types, with an array of keys each"),
			 errhint("Send {\"keys\": {\"TrainingPlan\": [\"id1\", \"id2\"]}}, and objects for keys of several columns.")));
}

/* ---------- what is asked for ---------- */

static JsonbContainer *
keys_of_body(Jsonb *body)
{
	JsonbValue *keys = JB_ROOT_IS_OBJECT(body) ? json_member(&body->root, "keys") : NULL;

	if (!json_is_object(keys))
		bad_body();
	return keys->val.binary.data;
}

/* the names of the object's members, as text[] */
static ArrayType *
entity_types_of(JsonbContainer *keys)
{
	ArrayBuildState *names = initArrayResult(TEXTOID, CurrentMemoryContext, false);
	JsonbIterator *it = JsonbIteratorInit(keys);
	JsonbValue	v;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			names = accumArrayResult(names,
									 PointerGetDatum(cstring_to_text_with_len(v.val.string.val,
																			  v.val.string.len)),
									 false, TEXTOID, CurrentMemoryContext);
		else if (token == WJB_VALUE && !json_is_array(&v))
			bad_body();
	}
	return DatumGetArrayTypeP(makeArrayResult(names, CurrentMemoryContext));
}

/*
 * the keys of a type as texts, in the order in which they were sent, each once
 */
static List *
keys_of_table(TrackedTable *t, JsonbContainer *keys)
{
	JsonbValue *array = json_member(keys, t->entity_type);
	KeyMap	   *seen = keymap_new(CurrentMemoryContext, 64);
	List	   *result = NIL;
	JsonbIterator *it = JsonbIteratorInit(array->val.binary.data);
	JsonbValue	v;
	JsonbIteratorToken token;
	int			level = wire_begin();

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		char	   *key;

		if (token != WJB_ELEM)
			continue;
		CHECK_FOR_INTERRUPTS();
		key = pull_read_key(t, &v);
		if (keymap_get(seen, key))
			continue;
		keymap_put(seen, key, key);
		result = lappend(result, key);
	}
	wire_end(level);
	return result;
}

/* ---------- what is there ---------- */

/* how many rows will fit, if each is as long as the longest so far */
static int
batch_size(const Fetch *fetch)
{
	int64		room = fetch->pull->max_bytes - fetch->bytes;
	int64		n = fetch->largest > 0 ? room / fetch->largest : FIRST_BATCH;

	return (int) Max(1, Min(Min(n, fetch->left), LARGEST_BATCH));
}

/* false: there is no room for it */
static bool
add_row(Fetch *fetch, PullItem *item)
{
	StringInfo	buf = &fetch->reply;
	int			start = buf->len;
	int			length;

	if (fetch->nrows > 0)
		appendStringInfoChar(buf, ',');
	if (!pull_append_row(fetch->pull, buf, item, fetch->bytes))
	{
		buf->len = start;
		buf->data[start] = '\0';
		return false;
	}
	length = buf->len - start;
	fetch->bytes += length;
	fetch->largest = Max(fetch->largest, length);
	fetch->nrows++;
	fetch->left--;
	return true;
}

/*
 * Add the rows of some of the keys, from "first" on.  Returns the first key
 * that is not done.
 */
static int
add_rows(Fetch *fetch, PullTable *table, List *keys, int first)
{
	PullTable  *batch = rows_table(table->t, &table->scopes);
	int			end = Min(first + batch_size(fetch), list_length(keys));
	List	   *items = NIL;
	ListCell   *lc;
	int			level;
	int			i;

	for (i = first; i < end; i++)
		items = lappend(items, rows_ask(batch, list_nth(keys, i)));
	rows_fetch(list_make1(batch), items);
	level = wire_begin();
	foreach(lc, items)
	{
		PullItem   *item = lfirst(lc);

		if (!item->have_row || add_row(fetch, item))
			continue;
		fetch->left = 0;		/* no more rows of any type */
		end = first + foreach_current_index(lc);
		break;
	}
	wire_end(level);
	if (SPI_tuptable)
		SPI_freetuptable(SPI_tuptable);
	return end;
}

static void
append_remaining(Fetch *fetch, TrackedTable *t, List *keys, int first)
{
	StringInfo	buf = &fetch->remaining;
	Datum		key[INDEX_MAX_KEYS];
	int			level = wire_begin();
	int			i;

	appendStringInfoString(buf, fetch->nremaining++ > 0 ? "," : "");
	escape_json(buf, t->entity_type);
	for (i = first; i < list_length(keys); i++)
	{
		appendStringInfoString(buf, i > first ? "," : ":[");
		wire_key_values(t, list_nth(keys, i), key);
		wire_append_key(buf, t, key);
	}
	appendStringInfoChar(buf, ']');
	wire_end(level);
}

/* "Type":[...] */
static void
fetch_table(Fetch *fetch, PullTable *table, List *keys)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext memory = AllocSetContextCreate(caller, "pg_tide fetched rows",
												 ALLOCSET_DEFAULT_SIZES);
	int			at = 0;

	fetch->nrows = 0;
	escape_json(&fetch->reply, table->t->entity_type);
	appendStringInfoString(&fetch->reply, ":[");
	while (at < list_length(keys) && fetch->left > 0)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(memory);
		at = add_rows(fetch, table, keys, at);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(memory);
	}
	appendStringInfoChar(&fetch->reply, ']');
	if (at < list_length(keys))
		append_remaining(fetch, table->t, keys, at);
	MemoryContextDelete(memory);
}

static void
append_reply(Fetch *fetch, JsonbContainer *keys)
{
	Pull	   *pull = fetch->pull;
	StringInfo	buf = &fetch->reply;
	ListCell   *lc;

	appendStringInfoString(buf, "{\"rowsByType\":{");
	foreach(lc, pull->tables)
	{
		PullTable  *table = lfirst(lc);

		if (foreach_current_index(lc) > 0)
			appendStringInfoChar(buf, ',');
		fetch_table(fetch, table, keys_of_table(table->t, keys));
	}
	appendStringInfo(buf, "},\"remaining\":{%s}", fetch->remaining.data);
	pull_append_names(buf, "unavailableTypes", pull->unavailable);
	appendStringInfoChar(buf, '}');
}

Datum
tide_rows(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	Pull		pull = {0};
	Fetch		fetch = {0};
	JsonbContainer *keys;
	text	   *result;

	if (PG_ARGISNULL(0))
		bad_body();
	fetch.pull = &pull;
	fetch.left = PG_ARGISNULL(2) ? 500 : PG_GETARG_INT32(2);
	pull.max_bytes = PG_ARGISNULL(3) ? 8 * 1024 * 1024 : PG_GETARG_INT32(3);
	pull.page_bytes = pull.max_bytes;
	if (fetch.left < 1)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
				 errmsg("max_rows must be at least 1")));
	if (pull.max_bytes < 1)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
				 errmsg("max_bytes must be at least 1")));
	keys = keys_of_body(PG_GETARG_JSONB_P(0));
	pull_open(&pull, tide_array_argument(fcinfo, 1),
			  entity_types_of(keys), NULL);
	initStringInfo(&fetch.reply);
	initStringInfo(&fetch.remaining);
	append_reply(&fetch, keys);
	MemoryContextSwitchTo(caller);
	result = cstring_to_text_with_len(fetch.reply.data, fetch.reply.len);
	pull_finish(&pull);
	PG_RETURN_TEXT_P(result);
}
