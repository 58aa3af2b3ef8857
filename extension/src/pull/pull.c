/*-------------------------------------------------------------------------
 *
 * pull.c
 *	  One page of what changed for a caller: where it begins and ends.
 *
 * A page goes through up to three parts: what the cursor covers is brought up
 * to now from the change log; what it does not cover is read from the tables,
 * over as many pages as that takes; and then the log again, from the snapshot
 * at which that reading began.  Everything in a page is read with one
 * snapshot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/snapmgr.h"

#include "capture/capture.h"
#include "cursor/generation.h"
#include "cursor/history.h"
#include "cursor/timeline.h"
#include "log/changelog.h"
#include "log/records.h"
#include "pull/parts.h"
#include "pull/pull.h"
#include "read/rows.h"
#include "util/errors.h"
#include "util/settings.h"
#include "wire/wire.h"

/* ---------- one snapshot ---------- */

/*
 * The tables are locked by now, so nobody rewrites them while we read; in READ
 * COMMITTED the snapshot comes after the locks, else it has to be checked.
 */
static void
take_snapshot(Pull *pull)
{
	ListCell   *lc;

	PushActiveSnapshot(GetTransactionSnapshot());
	pull->snapshot = GetActiveSnapshot();
	foreach(lc, pull->tables)
	{
		PullTable  *table = lfirst(lc);

		rows_check_snapshot(table->t, table->relids, pull->snapshot);
	}
	history_snapshot(pull->snapshot, &pull->asked.now);
}

/* ---------- where to begin ---------- */

static uint64
read_horizon(Pull *pull)
{
	Horizon		horizon;

	return horizon_read(pull->snapshot, &horizon) ? horizon.xid : 0;
}

/* Why this cursor cannot be used here; NULL if it can. */
static const char *
reason_to_start_over(Pull *pull, const Cursor *cursor)
{
	if (history_is_other(cursor))
		return "other_database";
	/* before the history: generations, too, are forgotten */
	if (places_are_expired(cursor, pull->asked.horizon))
		return "expired";
	if (history_is_lost(cursor))
		return "history_lost";
	return NULL;
}

/*
 * every type of which the cursor has a place, so that the client may hold its
 * rows
 */
static TypeSet
types_of_cursor(const Cursor *cursor)
{
	TypeSet		result = cursor->lost_types;
	int			i;

	for (i = 0; i < cursor->nplaces; i++)
		result = types_union(&result, &cursor->places[i].types);
	return result;
}

/* types that the client is told to drop, and that have not come in full yet */
static void
note_resets(Pull *pull)
{
	int			i;

	for (i = 0; i < pull->begin.nasked; i++)
	{
		Place	   *place = &pull->begin.asked[i];

		if (place->phase != CURSOR_AT_REST && place->resets.n > 0)
			pull->resets = types_union(&pull->resets, &place->resets);
	}
}

/* ten minutes, and less where the retention is short */
int64
pull_old_after(void)
{
	return Min(10 * INT64CONST(60000000),
			   tide_retention * INT64CONST(60000000) / 20);
}

/*
 * May the cursor be given back as it came, if the pull finds nothing?  Not if
 * it is so old that what it has seen might be forgotten before a client that
 * pulls all the time comes again.  What is forgotten depends on the xmin of a
 * sample.
 */
static bool
may_come_back(Pull *pull, const Cursor *cursor)
{
	int			i;

	if (cursor->timeline != pull->head.timeline ||
		cursor->generation != pull->head.generation ||
		pull->revoked.n > 0 || pull->resets.n > 0 || pull->asked.refresh.n > 0)
		return false;
	for (i = 0; i < pull->begin.nasked; i++)
	{
		Place	   *place = &pull->begin.asked[i];

		if (place->phase != CURSOR_AT_REST || place->seen.xmin < samples_xmin_before(pull_old_after()))
			return false;
	}
	return true;
}

/*
 * Set pull->begin to the places at which to begin for what is asked for.  If
 * the cursor cannot be used, that is the start, and pull->reset_reason says
 * why.  Must follow pull_open().
 */
void
pull_begin_at_cursor(Pull *pull, Cursor *cursor)
{
	pull->asked.horizon = read_horizon(pull);
	pull_note_revoked(pull, cursor);
	pull->reset_reason = reason_to_start_over(pull, cursor);
	if (pull->reset_reason == NULL)
	{
		places_continue(cursor, &pull->asked, &pull->begin);
		if (pull->begin.starts_over)
			pull->reset_reason = "asked_anew";
	}
	if (pull->reset_reason == NULL)
	{
		note_resets(pull);
		pull->may_come_back = may_come_back(pull, cursor);
	}
	else
	{
		TypeSet		types = types_of_cursor(cursor);

		/*
		 * the numbers of types come from another database, and mean nothing
		 * here
		 */
		if (strcmp(pull->reset_reason, "other_database") != 0)
			pull->begin.lost_types = types_intersect(&types, &pull->asked.registered);
		pull_start_over(pull);
	}
}

static void
begin_at_now(Pull *pull)
{
	int			i;

	places_begin(&pull->asked, &pull->begin);
	for (i = 0; i < pull->begin.nasked; i++)
		pull->begin.asked[i].phase = CURSOR_AT_REST;
}

/* ---------- the page ---------- */

/*
 * What every reply begins with: who asks, for what, and one snapshot.  Must be
 * followed by pull_finish.
 */
void
pull_open(Pull *pull, ArrayType *scopes, ArrayType *entity_types, ArrayType *refresh)
{
	timeline_require_primary();
	SPI_connect();
	pull->context = CurrentMemoryContext;
	access_resolve(scopes, &pull->access);
	pull_choose_tables(pull, entity_types, refresh);
	pull_settle_scopes(pull);
	capture_write_rows();		/* what this transaction itself has changed
								 * must be in the log */
	take_snapshot(pull);
}

/* a time without zone means the earliest instant that it can */
#define EARLIEST_ZONE (-14 * INT64CONST(3600000000))

/*
 * Find the items of a page: afterwards they are in pull->items, and the places
 * in pull->begin.  Their rows are then read by pull_write() or rows_fetch().
 * Must be followed by pull_finish() once the rows were used, because they live
 * in the SPI connection that this opens, and are detoasted with the snapshot
 * that it leaves active.
 */
void
pull_page(Pull *pull, const char *since, ArrayType *scopes, ArrayType *entity_types,
		  int max_rows, ArrayType *refresh)
{
	Cursor	   *cursor = NULL;
	TimestampTz time = 0;
	bool		by_time = false;
	ListCell   *lc;

	if (max_rows < 1)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
				 errmsg("max_rows must be at least 1")));
	pull->from_now = since && strcmp(since, "now") == 0;
	if (pull->from_now)
		 /* no cursor, although it begins with a letter */ ;
	else if (since && cursor_is_cursor(since))
	{
		cursor = cursor_decode(since);
		history_check_cursor(cursor);
	}
	else if (since && since[0])
	{
		time = wire_parse_time(since, EARLIEST_ZONE, "since",
							   ERRCODE_TIDE_MALFORMED_REQUEST);
		by_time = true;
	}

	generation_register();
	pull_open(pull, scopes, entity_types, refresh);
	pull_take_acks(pull);
	foreach(lc, pull->tables)
		access_check_columns(((PullTable *) lfirst(lc))->t);
	pull->limit = max_rows;
	pull->whole = by_time && !pull->as_lines;
	pull_check_scopes(pull);
	history_stamp_cursor(&pull->head);	/* a position after the snapshot */

	if (pull->whole)
		pull_since_time(pull, time);
	else if (pull->from_now)
		begin_at_now(pull);
	else
	{
		if (by_time)
			pull_begin_at_time(pull, time);
		else if (cursor)
		{
			pull->since = since;
			pull_begin_at_cursor(pull, cursor);
		}
		else
			places_begin(&pull->asked, &pull->begin);
		pull_note_held(pull);
		pull->has_more = !pull_read_parts(pull);
	}
}

/*
 * The cursor of the reply.  If the pull has found nothing, it is the one that
 * the pull came with: a new one has to be safe in WAL, and a client that asks
 * all the time would have WAL flushed each time.
 */
const char *
pull_last_cursor(Pull *pull)
{
	if (pull->may_come_back && pull->nitems == 0 && !pull->has_more && !pull->saw_entries)
		return pull->since;
	history_flush(&pull->head);
	return pull_cursor(pull);
}

/*
 * Find no items, and places that say "from now on".  Must be followed by
 * pull_finish().
 */
void
pull_at_rest(Pull *pull)
{
	generation_register();
	pull_open(pull, NULL, NULL, NULL);
	pull_check_scopes(pull);
	history_stamp_cursor(&pull->head);
	begin_at_now(pull);
}

void
pull_finish(Pull *pull)
{
	PopActiveSnapshot();
	SPI_finish();
}
