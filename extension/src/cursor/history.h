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

/*
 * Fills history, timeline, position, generation.  in_recovery: as it was when
 * the transaction began to read; 40001 if that has changed.
 */
extern void history_stamp_cursor(Cursor *cursor, bool in_recovery);

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

typedef enum HistoryFit
{
	HISTORY_FITS,				/* what it has seen is in this history */
	HISTORY_LOST,				/* it has seen something that is not */
	HISTORY_AHEAD				/* or that is not, or not yet */
} HistoryFit;

extern HistoryFit history_fit(const Cursor *cursor);

/*
 * Has it seen something that this history of the database does not have?  "head",
 * if there is one: a cursor that was stamped after the caller's snapshot was taken.
 */
extern bool history_is_lost(const Cursor *cursor, const Cursor *head);

/*
 * On a standby, raise TD017: for a reason; unless all that the cursor has seen
 * is replayed.
 */
extern void history_behind(const char *detail);
extern void history_require_replayed(const Cursor *cursor);

/*
 * Once that is so: does the snapshot show it, too?  A transaction that keeps one
 * snapshot may have taken it before.  True: yes, unless the log has entries that
 * "unsure" does not show.
 */
extern bool history_may_cover(Snapshot snapshot, const Cursor *cursor, TideSnapshot *unsure);

/*
 * A snapshot with 64-bit ids.  The caller's own top-level transaction
 * id, if it has one, is added to the running ones: no snapshot lists it, and
 * what this transaction writes after the cursor was issued must still be
 * delivered.
 */
extern void history_snapshot(Snapshot snapshot, TideSnapshot *result);

#endif							/* TIDE_HISTORY_H */
