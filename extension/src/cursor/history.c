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

#include "cursor/generation.h"
#include "cursor/history.h"
#include "cursor/timeline.h"
#include "util/compat.h"

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

/*
 * To be called after the cursor's snapshot was taken: everything that the
 * snapshot shows committed before the position.
 */
void
history_stamp_cursor(Cursor *cursor)
{
	timeline_require_primary();

	cursor->history = history_identity();
	cursor->timeline = TideCurrentTimeLine();
	cursor->position = insert_position();
	cursor->generation = generation_current();
}

void
history_flush(const Cursor *cursor)
{
	XLogFlush(cursor->position);
}

/* Does this server's history contain that point of that timeline? */
static bool
position_is_ours(TimeLineID timeline, XLogRecPtr position)
{
	TimeLineID	current = TideCurrentTimeLine();
	List	   *branches;
	XLogRecPtr	end;

	if (timeline == current)
		return position <= GetXLogInsertRecPtr();
	if (timeline == 0 || timeline > current)
		return false;

	branches = timeline_branches(current);
	if (!tliInHistory(timeline, branches))
		return false;
	end = tliSwitchPoint(timeline, branches, NULL);
	return XLogRecPtrIsInvalid(end) || position <= end;
}

bool
history_is_other(const Cursor *cursor)
{
	return ((cursor->history ^ history_identity()) & ~SCHEMA_BITS) != 0;
}

/*
 * Call this after generation_register().  A cursor with generation 0 was made
 * by no server.
 */
bool
history_is_lost(const Cursor *cursor)
{
	uint64		xmax = 0;
	int			i;

	timeline_require_primary();

	for (i = 0; i < cursor->nplaces; i++)
	{
		const Place *place = &cursor->places[i];

		xmax = Max(xmax, place->seen.xmax);
		if (place->phase == CURSOR_IN_LOG)
			xmax = Max(xmax, place->target.xmax);
	}

	/* ids from the future belong to transactions that did not happen here */
	return !position_is_ours(cursor->timeline, cursor->position) ||
		!generation_reached(cursor->generation, cursor->position, xmax) ||
		xmax > U64FromFullTransactionId(ReadNextFullTransactionId());
}

/*
 * Each transaction that a cursor lists as running costs a look-up in the log.
 * No server runs more of them than it has room for; a cursor that was kept
 * while that was reduced, and has several places, may list some more.
 */
void
history_check_cursor(const Cursor *cursor)
{
	int64		room = 4 * ((int64) MaxBackends + max_prepared_xacts) + 1000;
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

/* The array is palloc'd in the current context. */
void
history_snapshot(Snapshot snapshot, TideSnapshot *result)
{
	FullTransactionId next = ReadNextFullTransactionId();
	FullTransactionId own = GetTopFullTransactionIdIfAny();
	uint64		previous = 0;
	int			n = 0;
	int			i;

	if (snapshot->snapshot_type != SNAPSHOT_MVCC)
		elog(ERROR, "not an MVCC snapshot");
	if (snapshot->takenDuringRecovery)
		timeline_require_primary();

	result->xmin = widen(snapshot->xmin, next);
	result->xmax = widen(snapshot->xmax, next);
	result->xip = palloc(sizeof(uint64) * (snapshot->xcnt + 1));
	for (i = 0; i < (int) snapshot->xcnt; i++)
		result->xip[n++] = widen(snapshot->xip[i], next);

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
	for (i = 0; i < n; i++)
	{
		if (i == 0 || result->xip[i] != previous)
			result->xip[result->nxip++] = result->xip[i];
		previous = result->xip[result->nxip - 1];
	}
}
