/*-------------------------------------------------------------------------
 *
 * history.h
 *	  Which history of the database a cursor belongs to, and the snapshot
 *	  that a cursor is made of.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_HISTORY_H
#define TIDE_HISTORY_H

#include "cursor.h"
#include "utils/snapshot.h"

/* fills history, timeline, position (flushed), generation */
extern void history_stamp_cursor(Cursor *cursor);

/* NULL if the cursor is good here, else why not (a word: resetReason) */
extern const char *history_mismatch(const Cursor *cursor);

/* raises an error on a hot standby */
extern void history_require_primary(void);

/*
 * The active snapshot with 64-bit ids.  Adds the caller's own top-level
 * transaction id to the running list if it has one: no snapshot lists it, and
 * what it writes after a cursor was issued must still be delivered.
 */
extern void history_snapshot(Snapshot snapshot, TideSnapshot *result);

#endif							/* TIDE_HISTORY_H */
