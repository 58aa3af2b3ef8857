/*-------------------------------------------------------------------------
 *
 * merge.h
 *	  The policy "merge": column by column the later writer stands.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_MERGE_H
#define TIDE_MERGE_H

#include "log/records.h"
#include "push/change.h"
#include "version/clocks.h"

/* of one change: what is there, and what is to be written */
typedef struct Merge
{
	/* as found, in the row or in its tombstone */
	Jsonb	   *stored_clocks;	/* NULL: none, or those of a tombstone */
	Stamp	   *clocks;			/* of columns, by attnum - 1 */
	Datum	   *values;			/* of the changed columns, by attnum - 1 */
	bool	   *nulls;
	bool		is_deleted;		/* softly, at the time deleted_at, whose type
								 * is the column's */
	Datum		deleted_at;
	char	   *image;			/* of the tombstone; NULL: none */

	/* as decided */
	Bitmapset  *wins;
	Stamp		column_stamp;
	char	   *new_clocks;		/* NULL: no column differs from the row */
} Merge;

/*
 * Before the change is judged, one of these: the row that a probe read, the
 * tombstone, or nothing.
 */
extern void merge_read_row(Push *push, Change *c, HeapTuple tuple, TupleDesc desc);
extern void merge_read_tombstone(Push *push, Change *c, const Tombstone *tombstone);
extern void merge_read_nothing(Push *push, Change *c);

/* after the change was judged: settles what it writes */
extern void merge_settle(Push *push, Change *c, const Decision *decision);

/*
 * For a delete of an absent row: the tombstone's new image and stamps of
 * columns.
 */
extern void merge_keep_image(Change *c, Tombstone *tombstone);

/*
 * Merge late changes of deleted rows into the images of their tombstones.
 * Returns the changes whose tombstone has been replaced since it was read.
 */
extern List *merge_into_tombstones(PushTable *table, List *changes);

#endif							/* TIDE_MERGE_H */
