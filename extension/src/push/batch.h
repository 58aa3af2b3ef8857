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
	BATCH_SOFT_DELETE
} BatchStatement;

/*
 * Run a statement for changes of one table that send the same columns.
 * Afterwards SPI_tuptable has its result.
 */
extern void batch_run(PushTable *table, BatchStatement statement, List *changes);

/*
 * The change at whose row the last statement stopped, if it was an INSERT that
 * failed before its end; NULL if that is not known.  Rows before it went well,
 * as far as they can tell by themselves.
 */
extern Change *batch_stopped_at(void);

/* a probe of what is committed by now, whatever the transaction's snapshot */
extern void batch_probe_latest(PushTable *table, List *changes);

/* columns of the results */
#define PROBE_ORD 1				/* position in the list of changes */
#define PROBE_MODIFIED_AT 2
#define PROBE_CLIENT_ID 3
#define PROBE_SCOPE 4			/* NULL if shared */
#define PROBE_DELETED_AT 5		/* NULL if there is no such column */
#define PROBE_FIRST 6			/* the changed columns, by attnum; then, under
								 * "merge", their stamps */
/*
 * UPDATE and DELETE: ord, scope; INSERT: scope, key columns; then, if the table
 * returns_rows, rows_columns()
 */

#endif							/* TIDE_BATCH_H */
