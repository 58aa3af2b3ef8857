/*-------------------------------------------------------------------------
 *
 * replayed.c
 *	  tide.replayed: can a pull be served here, or has this standby not
 *	  replayed yet what the client has seen?  And tide.timeline: of which
 *	  timeline is what it has replayed?
 *
 * For the gateway, which asks again and again until it can be, and holds no
 * snapshot meanwhile: one that is held keeps the primary from cleaning up, or
 * is cancelled.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "funcapi.h"
#include "replication/walreceiver.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "cursor/generation.h"
#include "cursor/history.h"
#include "cursor/standby.h"
#include "log/changelog.h"
#include "pull/pull.h"
#include "util/compat.h"
#include "util/settings.h"

PG_FUNCTION_INFO_V1(tide_replayed);
PG_FUNCTION_INFO_V1(tide_timeline);

/* columns of the result */
enum
{
	COLUMN_IN_RECOVERY,
	COLUMN_READY,
	COLUMN_REASON,
	COLUMN_LAG_BYTES,
	COLUMN_LAG_SECONDS,
	COLUMNS
};

/* has each of these pushes ended, as a snapshot from now on shows it? */
static bool
are_replayed(const Ack *acks, int n)
{
	uint64		generation = n > 0 ? generation_current() : 0;
	TideSnapshot now;
	int			i;

	if (n > 0)
		history_snapshot(GetLatestSnapshot(), &now);
	for (i = 0; i < n; i++)
		if (!pull_ack_is_replayed(&acks[i], generation, &now))
			return false;
	return true;
}

/* what is missing here; NULL: nothing */
static const char *
missing(const Since *since, const Ack *acks, int nacks)
{
	if (!generation_is_replayed())
		return "start";
	if (since->cursor && !history_is_other(since->cursor) &&
		history_fit(since->cursor) == HISTORY_AHEAD)
		return "position";
	if (since->by_time && since->time > sample_replayed_until())
		return "time";
	if (!are_replayed(acks, nacks))
		return "ack";
	return NULL;
}

/*
 * What is received and not replayed; and, while there is such a thing or nothing
 * is received, how old the last commit is that was replayed.
 */
static void
measure_lag(Datum *values, bool *nulls)
{
	TimeLineID	timeline;
	XLogRecPtr	replayed = standby_replayed(&timeline);
	XLogRecPtr	received = GetWalRcvFlushRecPtr(NULL, NULL);
	TimestampTz last = GetLatestXTime();

	nulls[COLUMN_LAG_BYTES] = XLogRecPtrIsInvalid(received);
	values[COLUMN_LAG_BYTES] = Int64GetDatum(received > replayed ? received - replayed : 0);
	if (WalRcvStreaming() && received <= replayed)
		values[COLUMN_LAG_SECONDS] = Float8GetDatum(0);
	else if (last != 0)
		values[COLUMN_LAG_SECONDS] =
			Float8GetDatum(Max(GetCurrentTimestamp() - last, 0) / 1000000.0);
	else
		nulls[COLUMN_LAG_SECONDS] = true;
}

Datum
tide_replayed(PG_FUNCTION_ARGS)
{
	bool		in_recovery = RecoveryInProgress();
	const char *reason = NULL;
	Since		since;
	Ack		   *acks;
	int			nacks;
	TupleDesc	desc;
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	pull_read_since(tide_text_argument(fcinfo, 0), &since);
	nacks = pull_decode_acks(PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1), &acks);
	if (in_recovery)
	{
		reason = missing(&since, acks, nacks);
		measure_lag(values, nulls);
	}
	else
		nulls[COLUMN_LAG_BYTES] = nulls[COLUMN_LAG_SECONDS] = true;
	values[COLUMN_IN_RECOVERY] = BoolGetDatum(in_recovery);
	values[COLUMN_READY] = BoolGetDatum(reason == NULL);
	nulls[COLUMN_REASON] = (reason == NULL);
	if (reason)
		values[COLUMN_REASON] = CStringGetTextDatum(reason);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

Datum
tide_timeline(PG_FUNCTION_ARGS)
{
	TimeLineID	timeline;

	if (RecoveryInProgress())
		(void) standby_replayed(&timeline);
	else
		timeline = TideCurrentTimeLine();
	PG_RETURN_INT32((int32) timeline);
}
