/*-------------------------------------------------------------------------
 *
 * retention.c
 *	  tide.prune, tide.maintain: forgetting what is old.
 *
 * Transaction ids say what may be forgotten, never the clock alone: a
 * transaction that has been open for longer than the retention may still
 * commit changes that nobody has seen.  What may go is everything of
 * transactions that were finished in a sample of that age.  The first
 * transaction that was not finished there is the horizon.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "cursor/generation.h"
#include "cursor/history.h"
#include "cursor/standby.h"
#include "log/retention.h"
#include "util/settings.h"

PG_FUNCTION_INFO_V1(tide_prune);
PG_FUNCTION_INFO_V1(tide_maintain);

#define ROWS_PER_STATEMENT 10000

/* so many a table in a call of tide.maintain; its next call does the rest */
#define STATEMENTS_PER_CALL 10

/* an advisory lock class of our own, beside that of keys (apply.c) */
#define PRUNE_LOCK_CLASS 8

/* One session prunes at a time.  Another one has nothing to do. */
static bool
lock_pruning(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, 0, 0, PRUNE_LOCK_CLASS);
	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

/*
 * The transactions that were finished by that time.  False: no sample is that
 * old.
 */
static bool
horizon_of(TimestampTz time, TimestampTz now, Horizon *horizon)
{
	TideSnapshot snapshot;
	TimestampTz at = now;
	bool		found = true;

	PushActiveSnapshot(GetLatestSnapshot());
	if (time >= now)
		history_snapshot(GetActiveSnapshot(), &snapshot);
	else
		found = sample_before(time, &snapshot, &at);
	PopActiveSnapshot();
	if (!found)
		return false;
	horizon->xid = snapshot.xmin;
	horizon->at = at;
	horizon->pruned_at = now;
	return true;
}

static int64
prune(const char *function, TimestampTz time, TimestampTz now, int max_statements)
{
	Horizon		horizon;
	Horizon		before;

	standby_refuse(function);
	if (!lock_pruning())
	{
		ereport(NOTICE, (errmsg("another session is pruning")));
		return 0;
	}
	generation_register();
	sample_now();
	if (!horizon_of(time, now, &horizon))
		return 0;
	if (horizon_read(InvalidSnapshot, &before) && before.xid > horizon.xid)
	{
		/* the horizon never goes back */
		horizon.xid = before.xid;
		horizon.at = before.at;
	}
	horizon_set(&horizon);
	return changelog_forget(horizon.xid, ROWS_PER_STATEMENT, max_statements) +
		generation_forget(horizon.xid);
}

Datum
tide_prune(PG_FUNCTION_ARGS)
{
	Interval   *keep = PG_GETARG_INTERVAL_P(0);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz time;

	time = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_mi_interval,
												   TimestampTzGetDatum(now),
												   IntervalPGetDatum(keep)));
	if (time > now)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("keep must not be negative"),
				 errhint("'0 s' forgets everything that is finished.")));
	PG_RETURN_INT64(prune("tide.prune()", time, now, 0));
}

Datum
tide_maintain(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();

	PG_RETURN_INT64(prune("tide.maintain()",
						  now - (int64) tide_retention * 60 * 1000000, now,
						  STATEMENTS_PER_CALL));
}
