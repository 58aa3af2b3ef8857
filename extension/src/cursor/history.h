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

/* makes it a cursor of this schema's tables; invalid: of no particular one */
extern void history_set_schema(Cursor *cursor, Oid schema);
extern bool history_is_of_schema(const Cursor *cursor, Oid schema);

/*
 * to be called before the cursor leaves, because a crash must not lose its
 * position
 */
extern void history_flush(const Cursor *cursor);

/* raises TD002 for a cursor that holds more than any server would write */
extern void history_check_cursor(const Cursor *cursor);

/* does the cursor come from another database or server? */
extern bool history_is_other(const Cursor *cursor);

/* has it seen something that this history of the database does not have? */
extern bool history_is_lost(const Cursor *cursor);

/*
 * The active snapshot with 64-bit ids.  The caller's own top-level transaction
 * id, if it has one, is added to the running ones: no snapshot lists it, and
 * what this transaction writes after the cursor was issued must still be
 * delivered.
 */
extern void history_snapshot(Snapshot snapshot, TideSnapshot *result);

#endif							/* TIDE_HISTORY_H */
