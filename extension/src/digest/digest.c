/*-------------------------------------------------------------------------
 *
 * digest.c
 *	  tide.digest: whether a client holds what the database holds.
 *
 * A client that has pulled up to a cursor makes the same counts and sums of
 * its copy, and finds the buckets in which they differ.  Rows and log are read
 * with one snapshot.  What the log has after the cursor is exactly what the
 * client cannot have yet.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/json.h"

#include "cursor/history.h"
#include "digest/digest.h"
#include "digest/scan.h"
#include "pull/pull.h"
#include "util/errors.h"
#include "util/settings.h"

PG_FUNCTION_INFO_V1(tide_digest);

typedef struct Summing
{
	TableDigest *digest;
	RowHasher  *hasher;
} Summing;

/* ---------- the cursor ---------- */

static Cursor *
read_cursor(const char *since)
{
	Cursor	   *cursor;

	if (since == NULL || strcmp(since, "now") == 0 || !cursor_is_cursor(since))
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
				 errmsg("since must be a cursor"),
				 errdetail("A digest is compared with a copy that was pulled up to that cursor."),
				 errhint("Send the cursor of a pull whose hasMore was false.")));
	cursor = cursor_decode(since);
	history_check_cursor(cursor);
	return cursor;
}

/*
 * Raise an error unless the copy that the cursor describes lacks nothing and
 * holds nothing that the caller may no longer sync.  Any other copy has
 * another digest although nothing is wrong.
 */
static void
require_complete(Pull *pull)
{
	bool		complete = pull->revoked.n == 0;
	int			i;

	if (pull->reset_reason)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_RESYNC_REQUIRED),
				 errmsg("the cursor is no longer valid here: %s", pull->reset_reason),
				 errhint("Pull from this cursor until hasMore is false, and ask again.")));
	for (i = 0; i < pull->begin.nasked; i++)
		complete &= pull->begin.asked[i].phase == CURSOR_AT_REST;
	if (!complete)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_INCOMPLETE_CURSOR),
				 errmsg("the cursor does not cover all that is asked for"),
				 errdetail("A copy that was pulled up to it lacks rows, or has rows of scopes that were taken away."),
				 errhint("Pull from this cursor until hasMore is false, and ask again with the cursor of that reply.")));
}

/* a cursor that says "from now on" */
static char *
new_cursor(Pull *pull)
{
	int			i;

	for (i = 0; i < pull->begin.nasked; i++)
		pull->begin.asked[i].seen = pull->asked.now;
	history_flush(&pull->head);
	return pull_cursor(pull);
}

/* ---------- the sums ---------- */

static bool
add_row(ScannedRow *row, void *arg)
{
	Summing    *summing = arg;
	TableDigest *digest = summing->digest;
	TrackedTable *t = digest->table->t;
	int			bucket = hasher_bucket(summing->hasher, t, row->key);

	digest->count[bucket]++;
	digest->sum[bucket] += hasher_row(summing->hasher, t, row->stamp, row->no_stamp,
									  row->client, row->no_client);
	return true;
}

static TableDigest *
make_digests(Pull *pull)
{
	TableDigest *digests = palloc0(sizeof(TableDigest) * (list_length(pull->tables) + 1));
	RowHasher  *hasher = hasher_new();
	Summing		summing;
	ListCell   *lc;

	foreach(lc, pull->tables)
		digests[foreach_current_index(lc)].table = lfirst(lc);
	digest_mark_moved(pull, digests, hasher);
	summing.hasher = hasher;
	foreach(lc, pull->tables)
	{
		summing.digest = &digests[foreach_current_index(lc)];
		scan_rows(lfirst(lc), add_row, &summing);
	}
	hasher_free(hasher);
	return digests;
}

/* ---------- the reply ---------- */

static void
append_digest(StringInfo buf, const TableDigest *digest)
{
	int			i;

	escape_json(buf, digest->table->t->entity_type);
	appendStringInfoString(buf, ":{\"counts\":[");
	for (i = 0; i < DIGEST_BUCKETS; i++)
		appendStringInfo(buf, "%s" INT64_FORMAT, i ? "," : "", digest->count[i]);
	/* as strings, because readers of JSON make doubles of 64-bit numbers */
	appendStringInfoString(buf, "],\"sums\":[");
	for (i = 0; i < DIGEST_BUCKETS; i++)
		appendStringInfo(buf, "%s\"" UINT64_FORMAT "\"", i ? "," : "", digest->sum[i]);
	appendStringInfoString(buf, "]}");
}

/* "Type":[1,5]; nothing for a type in which no key moved */
static void
append_moved(StringInfo buf, const TableDigest *digest, bool *first_type)
{
	bool		first = true;
	int			i;

	for (i = 0; i < DIGEST_BUCKETS; i++)
	{
		if (!digest->moved[i])
			continue;
		if (first)
		{
			appendStringInfoString(buf, *first_type ? "" : ",");
			escape_json(buf, digest->table->t->entity_type);
		}
		appendStringInfo(buf, "%s%d", first ? ":[" : ",", i);
		first = *first_type = false;
	}
	if (!first)
		appendStringInfoChar(buf, ']');
}

static void
append_reply(StringInfo buf, Pull *pull, const TableDigest *digests)
{
	int			n = list_length(pull->tables);
	bool		first = true;
	int			i;

	appendStringInfoString(buf, "{\"digestByType\":{");
	for (i = 0; i < n; i++)
	{
		appendStringInfoString(buf, i ? "," : "");
		append_digest(buf, &digests[i]);
	}
	appendStringInfoString(buf, "},\"moved\":{");
	for (i = 0; i < n; i++)
		append_moved(buf, &digests[i], &first);
	appendStringInfo(buf, "},\"cursor\":\"%s\"", new_cursor(pull));
	pull_append_names(buf, "unavailableTypes", pull->unavailable);
	appendStringInfoChar(buf, '}');
}

Datum
tide_digest(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	Pull		pull = {0};
	Since		since = {0};
	StringInfoData buf;
	text	   *result;

	since.cursor = read_cursor(tide_text_argument(fcinfo, 0));
	pull_enter(&pull, &since);
	pull_open(&pull, PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1),
			  PG_ARGISNULL(2) ? NULL : PG_GETARG_ARRAYTYPE_P(2), NULL);
	pull_require_covered(&pull, since.cursor);
	pull_check_scopes(&pull);
	pull_stamp_head(&pull);
	pull_begin_at_cursor(&pull, since.cursor);
	require_complete(&pull);
	initStringInfo(&buf);
	append_reply(&buf, &pull, make_digests(&pull));
	MemoryContextSwitchTo(caller);
	result = cstring_to_text_with_len(buf.data, buf.len);
	pull_finish(&pull);
	PG_RETURN_TEXT_P(result);
}
