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

#include "utils/snapshot.h"
#include "cursor/cursor.h"

/* fills history, timeline, position, generation */
extern void history_stamp_cursor(Cursor *cursor);

/* before the cursor leaves: a position that a crash loses is no position */
extern void history_flush(const Cursor *cursor);

/* raises TD002 for a cursor that says more than any server's would */
extern void history_check_cursor(const Cursor *cursor);

/* is the cursor of another database, or another server? */
extern bool history_is_other(const Cursor *cursor);

/* is what it has seen beyond what this history of the database has? */
extern bool history_is_lost(const Cursor *cursor);

/*
 * The active snapshot with 64-bit ids.  Adds the caller's own top-level
 * transaction id to the running list if it has one: no snapshot lists it, and
 * what it writes after a cursor was issued must still be delivered.
 */
extern void history_snapshot(Snapshot snapshot, TideSnapshot *result);

#endif							/* TIDE_HISTORY_H */
