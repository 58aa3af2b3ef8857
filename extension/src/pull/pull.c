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

#include "access/xact.h"
#include "access/xlog.h"
#include "executor/spi.h"
#include "utils/snapmgr.h"

#include "capture/capture.h"
#include "cursor/generation.h"
#include "cursor/history.h"
#include "cursor/standby.h"
#include "log/changelog.h"
#include "log/records.h"
#include "log/scan.h"
#include "pull/parts.h"
#include "pull/pull.h"
#include "read/rows.h"
#include "util/errors.h"
#include "util/memory.h"
#include "util/settings.h"
#include "wire/wire.h"

/* ---------- one snapshot ---------- */

/*
 * A cursor cannot list that many transactions.  The newest sample shows less
 * than this snapshot, so the client gets some rows again.  Without one, what
 * counts as seen ends at the oldest transaction that runs.
 */
static void
see_less(TideSnapshot *now)
{
	TimestampTz at;

	if (!sample_newest(now, &at))
	{
		now->xmax = now->xmin;
		now->nxip = 0;
	}
}

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
	if (pull->in_recovery && pull->asked.now.nxip > STANDBY_MAX_LISTED)
		see_less(&pull->asked.now);
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
	if (!history_is_of_schema(cursor, pull->access.schema))
		return "other_schema";
	/* before the history: generations, too, are forgotten */
	if (places_are_expired(cursor, pull->asked.horizon))
		return "expired";
	if (history_is_lost(cursor, &pull->head))
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
		if (!pull->in_recovery)
			places_hold_back(cursor, &pull->asked.now);
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
 * Before a cursor is made: note this start of the server, or, on a standby, see
 * that it has replayed what the client has seen.  The snapshot comes after it.
 * since: where the client is, NULL if that is nowhere.
 */
void
pull_enter(Pull *pull, const Since *since)
{
	pull->in_recovery = RecoveryInProgress();
	if (!pull->in_recovery)
	{
		generation_register();
		return;
	}
	if (since && since->cursor)
		history_require_replayed(since->cursor);
	if (since && since->by_time && since->time > sample_replayed_until())
		history_behind("The time is later than the last commit that this standby has replayed.");
}

/*
 * After pull_open(): is what the client has seen in the snapshot, too?  In READ
 * COMMITTED it was taken after pull_enter().
 */
void
pull_require_covered(Pull *pull, const Cursor *cursor)
{
	TideSnapshot unsure;

	if (!pull->in_recovery || cursor == NULL || !IsolationUsesXactSnapshot() ||
		history_is_other(cursor))
		return;
	if (!history_may_cover(pull->snapshot, cursor, &unsure) ||
		(unsure.nxip > 0 && log_goes_beyond(&unsure)))
		history_behind("The transaction's snapshot was taken before the cursor's position was replayed.");
}

/*
 * What every reply begins with: who asks, for what, and one snapshot.  Must be
 * followed by pull_finish.
 */
void
pull_open(Pull *pull, ArrayType *scopes, ArrayType *entity_types, ArrayType *refresh)
{
	memory_keep_freed();
	SPI_connect();
	pull->context = CurrentMemoryContext;
	access_resolve(scopes, &pull->access);
	pull_choose_tables(pull, entity_types, refresh);
	capture_write_rows();		/* what this transaction itself has changed
								 * must be in the log */
	take_snapshot(pull);
}

/* the history of the new cursor, at the end of WAL */
void
pull_stamp_head(Pull *pull)
{
	history_stamp_cursor(&pull->head, pull->in_recovery);
	history_set_schema(&pull->head, pull->access.schema);
}

/* a time without zone means the earliest instant that it can */
#define EARLIEST_ZONE (-14 * INT64CONST(3600000000))

void
pull_read_since(const char *text, Since *since)
{
	memset(since, 0, sizeof(*since));
	if (text == NULL || text[0] == '\0')
		return;
	/* no cursor, although it begins with a letter */
	since->from_now = strcmp(text, "now") == 0;
	if (since->from_now)
		return;
	if (cursor_is_cursor(text))
	{
		since->cursor = cursor_decode(text);
		history_check_cursor(since->cursor);
		return;
	}
	since->time = wire_parse_time(text, EARLIEST_ZONE, "since",
								  ERRCODE_TIDE_MALFORMED_REQUEST);
	since->by_time = true;
}

/* where to begin, for what pull_open() has settled */
static void
begin_page(Pull *pull, const char *text, const Since *since)
{
	if (pull->whole)
	{
		pull_since_time(pull, since->time);
		return;
	}
	if (since->from_now)
	{
		begin_at_now(pull);
		return;
	}
	if (since->by_time)
		pull_begin_at_time(pull, since->time);
	else if (since->cursor)
	{
		pull->since = text;
		pull_begin_at_cursor(pull, since->cursor);
	}
	else
		places_begin(&pull->asked, &pull->begin);
	pull_note_held(pull);
	pull->has_more = !pull_read_parts(pull);
}

/*
 * Find the items of a page: afterwards they are in pull->items, and the places
 * in pull->begin.  Their rows are then read by pull_write() or rows_fetch().
 * Must be followed by pull_finish() once the rows were used, because they live
 * in the SPI connection that this opens, and are detoasted with the snapshot
 * that it leaves active.
 */
void
pull_page(Pull *pull, const char *text, ArrayType *scopes, ArrayType *entity_types,
		  int max_rows, ArrayType *refresh)
{
	Since		since;

	if (max_rows < 1)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
				 errmsg("max_rows must be at least 1")));
	pull_read_since(text, &since);
	pull->from_now = since.from_now;
	pull_enter(pull, &since);
	pull_open(pull, scopes, entity_types, refresh);
	pull_require_covered(pull, since.cursor);
	pull_take_acks(pull);
	pull->limit = max_rows;
	pull->whole = since.by_time && !pull->as_lines;
	pull_check_scopes(pull);
	pull_stamp_head(pull);		/* a position after the snapshot */
	begin_page(pull, text, &since);
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
	pull_enter(pull, NULL);
	pull_open(pull, NULL, NULL, NULL);
	pull_check_scopes(pull);
	pull_stamp_head(pull);
	begin_at_now(pull);
}

void
pull_finish(Pull *pull)
{
	PopActiveSnapshot();
	SPI_finish();
}
