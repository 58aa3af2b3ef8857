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
	Jsonb	   *stored_clocks;	/* NULL: none, or a tombstone's */
	Stamp	   *clocks;			/* of columns, by attnum - 1 */
	Datum	   *values;			/* of the changed columns, by attnum - 1 */
	bool	   *nulls;
	bool		is_deleted;		/* softly, at this time of the column's type */
	Datum		deleted_at;
	char	   *image;			/* the tombstone's; NULL: none */

	/* as decided */
	Bitmapset  *wins;
	Stamp		column_stamp;
	char	   *new_clocks;		/* NULL: no column differs from the row */
} Merge;

/* before the change is judged: by the row of a probe, by the tombstone, by nothing */
extern void merge_read_row(Push *push, Change *c, HeapTuple tuple, TupleDesc desc);
extern void merge_read_tombstone(Push *push, Change *c, const Tombstone *tombstone);
extern void merge_read_nothing(Push *push, Change *c);

/* after it: settles what the change writes */
extern void merge_settle(Push *push, Change *c, const Decision *decision);

/* the tombstone's new image and stamps of columns, for a delete of a row that is not there */
extern void merge_keep_image(Change *c, Tombstone *tombstone);

/*
 * Late changes to deleted rows: into the images of their tombstones.  Returns
 * those whose tombstone is another one by now.
 */
extern List *merge_into_tombstones(PushTable *table, List *changes);

#endif							/* TIDE_MERGE_H */
