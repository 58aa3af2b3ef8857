/*-------------------------------------------------------------------------
 *
 * timeline.h
 *	  The timelines that this server's WAL has gone through.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_TIMELINE_H
#define TIDE_TIMELINE_H

#include "access/xlogdefs.h"
#include "nodes/pg_list.h"

/*
 * The branches that led to a timeline, newest first; not to be freed, and good
 * until the next call.
 */
extern List *timeline_branches(TimeLineID timeline);

/*
 * Where a timeline branched off; 0 if it is the first.  All WAL that is written
 * on it comes after that.
 */
extern XLogRecPtr timeline_start(TimeLineID timeline);

#endif							/* TIDE_TIMELINE_H */
