/*-------------------------------------------------------------------------
 *
 * timeline.c
 *	  The timelines that this server's WAL has gone through.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/timeline.h"
#include "access/xlog.h"
#include "utils/memutils.h"

#include "cursor/timeline.h"
#include "util/compat.h"

/* the branches that led to timeline "cached_timeline"; it seldom changes */
static TimeLineID cached_timeline = 0;
static List *cached_branches = NIL;
static MemoryContext branches_context = NULL;

void
timeline_require_primary(void)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("pg_tide cannot work on a standby"),
				 errdetail("The snapshots of a standby do not say which transactions are running."),
				 errhint("Connect to the primary.")));
}

List *
timeline_branches(TimeLineID timeline)
{
	MemoryContext old;

	if (cached_timeline == timeline)
		return cached_branches;

	cached_timeline = 0;
	cached_branches = NIL;
	if (branches_context == NULL)
		branches_context = AllocSetContextCreate(CacheMemoryContext,
												 "pg_tide timelines",
												 ALLOCSET_SMALL_SIZES);
	else
		MemoryContextReset(branches_context);

	old = MemoryContextSwitchTo(branches_context);
	cached_branches = readTimeLineHistory(timeline);
	MemoryContextSwitchTo(old);
	cached_timeline = timeline;
	return cached_branches;
}

/*
 * Where the current timeline branched off; 0 if it is the first.  All WAL that
 * this server writes comes after it.
 */
XLogRecPtr
timeline_start(void)
{
	TimeLineID	current = TideCurrentTimeLine();
	ListCell   *lc;

	foreach(lc, timeline_branches(current))
	{
		TimeLineHistoryEntry *entry = lfirst(lc);

		if (entry->tli == current)
			return entry->begin;
	}
	return InvalidXLogRecPtr;
}
