/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  Changes as a relation that SQL can join, and the statements of a push.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_BATCH_H
#define TIDE_BATCH_H

#include "push/change.h"

/* which statement; see batch.c */
typedef enum BatchStatement
{
	BATCH_PROBE,				/* read the rows as they are */
	BATCH_UPDATE,
	BATCH_INSERT,				/* leaves out keys that are there */
	BATCH_INSERT_STRICT,		/* raises an error for them */
	BATCH_DELETE,
	BATCH_SOFT_DELETE,
	BATCH_SENT					/* none: what is sent is asked about */
} BatchStatement;

/*
 * Run a statement for changes of one table, none of them to the same row as
 * another.  Afterwards SPI_tuptable has its result.  If it fails,
 * push->stopped_at has the change at whose row it did, if that is known.
 */
extern void batch_run(Push *push, PushTable *table, BatchStatement statement,
					  List *changes);

/*
 * The changes in lists that one statement each can write: all of them in one,
 * unless the caller's rights or a trigger depend on which columns are named.
 */
extern List *batch_groups(PushTable *table, BatchStatement statement, List *changes);

/* a probe of what is committed by now, whatever the transaction's snapshot */
extern void batch_probe_latest(Push *push, PushTable *table, List *changes);

/*
 * Changes as the relation BATCH_NAME of the current SPI connection, with what
 * they send: for one more statement about them.
 */
typedef struct BatchRelation BatchRelation;

extern BatchRelation *batch_open(PushTable *table, List *changes, Bitmapset *columns);
extern void batch_close(BatchRelation *relation);

/* columns of the results */
#define PROBE_ORD 1				/* position in the list of changes */
#define PROBE_MODIFIED_AT 2
#define PROBE_CLIENT_ID 3
#define PROBE_SCOPE 4			/* NULL if shared */
#define PROBE_DELETED_AT 5		/* NULL if there is no such column */
#define PROBE_CLOCKS 6			/* NULL unless under "merge" */

/* and where the last probe of the table has this column, which a change writes */
extern int	probe_column(PushTable *table, AttrNumber attnum);

/*
 * UPDATE: ord, scope, key columns; DELETE: ord, scope; INSERT: scope, key
 * columns.  Then, but for DELETE, if the table returns_rows, rows_columns().
 */

#endif							/* TIDE_BATCH_H */
