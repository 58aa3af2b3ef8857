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

/* raises an error on a hot standby */
extern void timeline_require_primary(void);

/* the branches that led to a timeline, newest first; kept, not to be freed */
extern List *timeline_branches(TimeLineID timeline);

/*
 * Where the current timeline branched off; 0 if it is the first.  All WAL that
 * this server writes comes after it.
 */
extern XLogRecPtr timeline_start(void);

#endif							/* TIDE_TIMELINE_H */
