/*-------------------------------------------------------------------------
 *
 * standby.c
 *	  What a hot standby has replayed.
 *
 * A standby reads and writes nothing down: no start, no sample.  What it needs
 * to know of its primary it has from the WAL, by three ways: how far that is
 * replayed, the rows that are visible, and checkpoints at which the primary
 * was stopped.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "cursor/checkpoint.h"
#include "cursor/standby.h"
#include "cursor/timeline.h"
#include "util/compat.h"
#include "util/errors.h"

/* as in generation.c: if its content changes, so must its name */
#define SHARED_NAME "pg_tide stop of the primary, 1"

void
standby_refuse(const char *function)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot execute %s during recovery", function),
				 errdetail("A hot standby takes no changes."),
				 errhint("Connect to the primary.")));
}

/* ---------- how far ---------- */

#if PG_VERSION_NUM >= 150000

void
standby_require_version(void)
{
}

XLogRecPtr
standby_replayed(TimeLineID *timeline)
{
	return GetXLogReplayRecPtr(timeline);
}

/*
 * A commit becomes visible while its record is being replayed, before that
 * record counts as replayed.  So who comes after the snapshot has to ask for
 * the end of the record that is being replayed.  (Where the last replayed one
 * ends is one record too early: a server that has replayed up to there would
 * go on with the cursor, and never send what that record committed.)
 */
XLogRecPtr
standby_position(TimeLineID *timeline)
{
	return GetCurrentReplayRecPtr(timeline);
}

#else

/* 14 has no function that says where the record ends that is being replayed */
void
standby_require_version(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("pg_tide needs PostgreSQL 15 or later to work on a standby"),
			 errhint("Connect to the primary.")));
}

XLogRecPtr
standby_replayed(TimeLineID *timeline)
{
	*timeline = 0;
	return InvalidXLogRecPtr;
}

XLogRecPtr
standby_position(TimeLineID *timeline)
{
	return standby_replayed(timeline);
}

#endif

/* ---------- stops of the primary ---------- */

/* remember the later of the two */
static void
take_later(QuietCheckpoint *last, const QuietCheckpoint *found)
{
	if (found->next_xid > last->next_xid || last->position == InvalidXLogRecPtr)
		*last = *found;
}

/*
 * The last stop of the primary that is known here.  The control file has the
 * checkpoint of the last restartpoint.  A primary that is stopped sends its
 * checkpoint and nothing more, so while it is down that is the last record.
 * Whoever looks then remembers it for those who come when the primary is up
 * again.
 */
static bool
last_stop(QuietCheckpoint *last)
{
	QuietCheckpoint *shared;
	QuietCheckpoint found;
	TimeLineID	timeline;
	bool		was_there;

	memset(last, 0, sizeof(*last));
	if (checkpoint_of_control_file(&found))
		take_later(last, &found);
	if (checkpoint_ending_at(standby_replayed(&timeline), &found))
		take_later(last, &found);

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct(SHARED_NAME, sizeof(QuietCheckpoint), &was_there);
	if (!was_there)
		memset(shared, 0, sizeof(QuietCheckpoint));
	if (last->position != InvalidXLogRecPtr)
		take_later(shared, last);
	*last = *shared;
	LWLockRelease(AddinShmemInitLock);
	return last->position != InvalidXLogRecPtr;
}

/*
 * Transaction ids tell: who registers a start has an id that was given out
 * after the checkpoint before it.  A promoted server writes no checkpoint
 * before others write, but its timeline begins where it was promoted, and
 * no start that is registered on it lies before.
 */
bool
standby_start_is_over(uint64 registered_by, XLogRecPtr position)
{
	QuietCheckpoint stop;
	TimeLineID	timeline;

	(void) standby_replayed(&timeline);
	return position < timeline_start(timeline) ||
		(last_stop(&stop) && registered_by < stop.next_xid);
}
