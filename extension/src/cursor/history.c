/*-------------------------------------------------------------------------
 *
 * history.c
 *	  Which history of the database a cursor belongs to, and the snapshot that
 *	  a cursor is made of.
 *
 * Transaction ids mean something only within one history.  After a failover
 * with loss, a point-in-time restore, or a crash that lost asynchronous
 * commits, the same ids are given to other transactions, and a cursor that
 * went on counting would skip those.  So a cursor carries the WAL position at
 * which it was made, and this position is flushed before the cursor leaves the
 * server.  Every history that has this position on its timeline has the
 * transactions that the cursor speaks of.  The generation (generation.c) tells
 * this timeline from that of a copy which ran on by itself.
 *
 * A standby has the primary's history, as far as it is replayed.  What is
 * replayed was flushed before, upstream and here, so nothing is to be flushed.
 * A cursor that is ahead of what is replayed may come from the primary or from a
 * lost history, which only the primary can tell.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/timeline.h"
#include "access/transam.h"
#include "access/twophase.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/snapmgr.h"

#include "cursor/generation.h"
#include "cursor/history.h"
#include "cursor/standby.h"
#include "cursor/timeline.h"
#include "util/compat.h"
#include "util/errors.h"

/* A number made of the cluster and the database in it. */
static uint64
history_identity(void)
{
	struct
	{
		uint64		system;
		uint64		database;
	}			identity;

	identity.system = GetSystemIdentifier();
	identity.database = MyDatabaseId;
	return hash_bytes_extended((const unsigned char *) &identity,
							   sizeof(identity), 0);
}

/*
 * Where the next WAL record will begin.  If that is the first one of a page it
 * points behind the page's header, which is not written before the record is:
 * flushing up to there would be an error, "xlog flush request is not
 * satisfied".
 */
static XLogRecPtr
insert_position(void)
{
	XLogRecPtr	position = GetXLogInsertRecPtr();

	if (XLogSegmentOffset(position, wal_segment_size) == SizeOfXLogLongPHD)
		position -= SizeOfXLogLongPHD;
	else if (position % XLOG_BLCKSZ == SizeOfXLogShortPHD)
		position -= SizeOfXLogShortPHD;
	return position;
}

/* two tenants' clients have nothing in common */
#define SCHEMA_BITS UINT64CONST(0xffffffff)

void
history_set_schema(Cursor *cursor, Oid schema)
{
	if (OidIsValid(schema))
		cursor->history ^= hash_bytes_uint32(schema);
}

bool
history_is_of_schema(const Cursor *cursor, Oid schema)
{
	Cursor		own = {.history = history_identity()};

	history_set_schema(&own, schema);
	return cursor->history == own.history;
}

/* Recovery ended amid a transaction that began in it. */
static void
promoted_meanwhile(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("the standby was promoted during this transaction"),
			 errhint("Try again.")));
}

/*
 * To be called after the cursor's snapshot was taken: everything that the
 * snapshot shows committed before the position.  The generation is asked for
 * last, because the position must not be one of a later start.
 */
void
history_stamp_cursor(Cursor *cursor, bool in_recovery)
{
	TimeLineID	timeline;

	if (in_recovery != RecoveryInProgress())
		promoted_meanwhile();
	cursor->history = history_identity();
	if (in_recovery)
		cursor->position = standby_position(&timeline);
	else
	{
		cursor->position = insert_position();
		timeline = TideCurrentTimeLine();
	}
	cursor->timeline = timeline;
	cursor->generation = generation_current();
}

void
history_flush(const Cursor *cursor)
{
	if (!RecoveryInProgress())
		XLogFlush(cursor->position);
}

/* Is that point of that timeline in this server's history? */
static HistoryFit
fit_of_position(TimeLineID timeline, XLogRecPtr position)
{
	TimeLineID	current;
	List	   *branches;
	XLogRecPtr	here;
	XLogRecPtr	end;

	if (RecoveryInProgress())
		here = standby_replayed(&current);
	else
	{
		here = GetXLogInsertRecPtr();
		current = TideCurrentTimeLine();
	}
	if (timeline == current)
		return position <= here ? HISTORY_FITS : HISTORY_AHEAD;
	branches = timeline_branches(current);
	if (!tliInHistory(timeline, branches))
		return HISTORY_AHEAD;
	end = tliSwitchPoint(timeline, branches, NULL);
	return XLogRecPtrIsInvalid(end) || position <= end ? HISTORY_FITS : HISTORY_LOST;
}

bool
history_is_other(const Cursor *cursor)
{
	return ((cursor->history ^ history_identity()) & ~SCHEMA_BITS) != 0;
}

/* the first id that no part of the cursor speaks of */
static uint64
xmax_of_cursor(const Cursor *cursor)
{
	uint64		xmax = 0;
	int			i;

	for (i = 0; i < cursor->nplaces; i++)
	{
		const Place *place = &cursor->places[i];

		xmax = Max(xmax, place->seen.xmax);
		if (place->phase == CURSOR_IN_LOG)
			xmax = Max(xmax, place->target.xmax);
	}
	return xmax;
}

/*
 * On a primary call this after generation_register(), and take what is ahead
 * for lost: nothing is still to come there.  A cursor with generation 0 was
 * made by no server.
 */
static HistoryFit
fit_of(const Cursor *cursor, uint64 current)
{
	uint64		xmax = xmax_of_cursor(cursor);
	HistoryFit	fit = fit_of_position(cursor->timeline, cursor->position);
	GenerationReach reach = generation_reach(cursor->generation, current,
											 cursor->position, xmax);

	if (fit == HISTORY_LOST || reach == GENERATION_PASSED)
		return HISTORY_LOST;
	/* ids from the future belong to transactions that did not happen here */
	if (reach == GENERATION_UNKNOWN ||
		xmax > U64FromFullTransactionId(ReadNextFullTransactionId()))
		return HISTORY_AHEAD;
	return fit;
}

HistoryFit
history_fit(const Cursor *cursor)
{
	return fit_of(cursor, generation_current());
}

/*
 * A snapshot that shows what a start of the server has written shows the start, too.
 * So the generation must be of a moment after the caller's snapshot, and need not be
 * asked for again: on a standby that costs a query, and looks into files.
 */
bool
history_is_lost(const Cursor *cursor, const Cursor *head)
{
	HistoryFit	fit = fit_of(cursor, head ? head->generation : generation_current());

	return fit == HISTORY_LOST || (fit == HISTORY_AHEAD && !RecoveryInProgress());
}

void
history_behind(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_STANDBY_BEHIND),
			 errmsg("this standby has not replayed what the client has seen"),
			 errdetail_internal("%s", detail),
			 errhint("Try again when tide.replayed() says that it is ready, or connect to the primary.")));
}

void
history_require_replayed(const Cursor *cursor)
{
	if (!history_is_other(cursor) && history_fit(cursor) == HISTORY_AHEAD)
		history_behind("The cursor is of a later position, or of a history that this standby does not know.");
}

/*
 * Each transaction that a cursor lists as running costs a look-up in the log.
 * No server runs more of them than it has room for; a cursor that was kept
 * while that was reduced, and has several places, may list some more.
 */
void
history_check_cursor(const Cursor *cursor)
{
	int64		room = 4 * ((int64) MaxBackends + max_prepared_xacts) + 1000 +
		2 * STANDBY_MAX_LISTED * cursor->nplaces;
	int64		listed = 0;
	int			i;

	for (i = 0; i < cursor->nplaces; i++)
	{
		const Place *place = &cursor->places[i];

		listed += place->seen.nxip;
		if (place->phase == CURSOR_IN_LOG)
			listed += place->target.nxip;

		/* no transaction ever came before the first */
		if (place->seen.xmax < FirstNormalTransactionId)
			cursor_malformed();
	}
	if (listed > room)
		cursor_malformed();
}

/*
 * Every id in a snapshot was given out before "next", and less than one epoch
 * ago.
 */
static uint64
widen(TransactionId xid, FullTransactionId next)
{
	uint64		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return epoch << 32 | xid;
}

static int
compare_xids(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return (x > y) - (x < y);
}

/* the transactions that a snapshot has as running; returns how many */
static int
list_running(Snapshot snapshot, FullTransactionId next, uint64 *xids)
{
	int			n = 0;
	int			i;

	for (i = 0; i < (int) snapshot->xcnt; i++)
		xids[n++] = widen(snapshot->xip[i], next);

	/*
	 * During recovery nobody knows which ids are of subtransactions, so all
	 * that were assigned are in this one array, prepared ones too, and xip is
	 * empty. That is all, also if suboverflowed is set: then the primary has
	 * said of some ids that they are subtransactions, and those alone were
	 * taken out. The log has ids of top-level transactions only, so nothing
	 * looks for these, and others of subtransactions that are listed are
	 * found nowhere.
	 */
	if (snapshot->takenDuringRecovery)
		for (i = 0; i < snapshot->subxcnt; i++)
			xids[n++] = widen(snapshot->subxip[i], next);
	return n;
}

/* The array is palloc'd in the current context. */
void
history_snapshot(Snapshot snapshot, TideSnapshot *result)
{
	FullTransactionId next = ReadNextFullTransactionId();
	FullTransactionId own = GetTopFullTransactionIdIfAny();
	uint64		previous = 0;
	int			n;
	int			i;

	if (snapshot->snapshot_type != SNAPSHOT_MVCC)
		elog(ERROR, "not an MVCC snapshot");
	if (snapshot->takenDuringRecovery != RecoveryInProgress())
		promoted_meanwhile();

	result->xmin = widen(snapshot->xmin, next);
	result->xmax = widen(snapshot->xmax, next);
	result->xip = palloc(sizeof(uint64) * (snapshot->xcnt + Max(snapshot->subxcnt, 0) + 1));
	n = list_running(snapshot, next, result->xip);

	/*
	 * At or beyond xmax it counts as running anyhow.  It is never below xmin
	 * but in a snapshot that was imported.
	 */
	if (FullTransactionIdIsValid(own) &&
		U64FromFullTransactionId(own) < result->xmax)
	{
		result->xip[n++] = U64FromFullTransactionId(own);
		result->xmin = Min(result->xmin, U64FromFullTransactionId(own));
	}

	/* a transaction that is just being prepared can be listed twice */
	qsort(result->xip, n, sizeof(uint64), compare_xids);
	result->nxip = 0;
	for (i = 0; i < n && result->xip[i] < result->xmax; i++)
	{
		if (i == 0 || result->xip[i] != previous)
			result->xip[result->nxip++] = result->xip[i];
		previous = result->xip[result->nxip - 1];
	}
}

/* does any part of the cursor say that its client has seen this one's changes? */
static bool
cursor_shows(const Cursor *cursor, uint64 xid)
{
	int			i;

	for (i = 0; i < cursor->nplaces; i++)
	{
		const Place *place = &cursor->places[i];

		if (snapshot_shows(&place->seen, xid) ||
			(place->phase == CURSOR_IN_LOG && snapshot_shows(&place->target, xid)))
			return true;
	}
	return false;
}

/*
 * A primary lists no subtransactions in a cursor.  So this looks as if it showed
 * those that were running, and some of them may have ended by now, with the
 * transaction that they are part of or before it.  Only the log can tell them
 * from others: it has none of them.
 */
bool
history_may_cover(Snapshot snapshot, const Cursor *cursor, TideSnapshot *unsure)
{
	TideSnapshot fresh;
	int			n = 0;
	int			i;

	history_snapshot(snapshot, unsure);
	history_snapshot(GetLatestSnapshot(), &fresh);
	if (xmax_of_cursor(cursor) > unsure->xmax)
		return false;
	for (i = 0; i < unsure->nxip; i++)
		if (snapshot_shows(&fresh, unsure->xip[i]) && cursor_shows(cursor, unsure->xip[i]))
			unsure->xip[n++] = unsure->xip[i];
	unsure->nxip = n;
	unsure->xmax = PG_UINT64_MAX;
	return true;
}
