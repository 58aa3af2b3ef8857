/*-------------------------------------------------------------------------
 *
 * timeline.c
 *	  The timelines that this server's WAL has gone through.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/timeline.h"
#include "utils/memutils.h"

#include "cursor/timeline.h"

/* the branches that led to timeline "cached_timeline"; it seldom changes */
static TimeLineID cached_timeline = 0;
static List *cached_branches = NIL;
static MemoryContext branches_context = NULL;

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

	/* a standby may not have the file of a timeline yet that it has begun */
	if (timeline == 1 || list_length(cached_branches) > 1)
		cached_timeline = timeline;
	return cached_branches;
}

XLogRecPtr
timeline_start(TimeLineID timeline)
{
	ListCell   *lc;

	foreach(lc, timeline_branches(timeline))
	{
		TimeLineHistoryEntry *entry = lfirst(lc);

		if (entry->tli == timeline)
			return entry->begin;
	}
	return InvalidXLogRecPtr;
}
