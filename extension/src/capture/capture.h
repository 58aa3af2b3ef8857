/*-------------------------------------------------------------------------
 *
 * capture.h
 *	  What the triggers record, and what a push tells them of the statement
 *	  that it runs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_CAPTURE_H
#define TIDE_CAPTURE_H

#include "log/changelog.h"
#include "table/registry.h"
#include "util/keymap.h"
#include "version/stamp.h"

/*
 * Set while a push runs a statement of its own.  What that statement changes
 * directly carries the stamps that the push chose; what it causes (cascades,
 * the user's triggers) is plain SQL.  The two are told apart by the depth of
 * triggers and by key: a cascade within one table shares both the depth and
 * the transition table.
 */
typedef struct PushedRow
{
	Stamp		stamp;			/* as it is stored */
	const LogOrigin *origin;	/* NULL: news to the sender, too, because it
								 * was merged with what was there */
	Bitmapset  *columns;		/* attnums that the statement writes in it */
	bool		kept;			/* the user's triggers left all of them
								 * unchanged */
	bool		touched;		/* a statement of theirs has changed the row */
} PushedRow;

typedef struct PushWrite
{
	Oid			relid;
	int			depth;			/* of triggers, at the push itself */
	KeyMap	   *rows;			/* key text to PushedRow, of those written */
	KeyMap	   *stored;			/* from table and key to PushedRow, for all
								 * that the push has written; NULL if not
								 * needed */
	int			reached;		/* how many of its rows the stamp trigger has
								 * seen */
} PushWrite;

extern PushWrite *push_write;	/* NULL: none */

extern int	trigger_depth(void);

/* did the push's own statement fire the trigger that calls this? */
extern bool push_write_is_direct(Oid relid);

/* a row's name in PushWrite.stored, palloc'd */
extern char *pushed_row_name(Oid relid, const char *key);

extern void capture_whole_table(TrackedTable *t, TrackedTable *layout, Relation rel,
								bool deleted);

/* capture_rows.c */
extern void capture_rows_init(void);
extern void capture_write_rows(void);

#endif							/* TIDE_CAPTURE_H */
