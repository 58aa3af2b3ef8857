/*-------------------------------------------------------------------------
 *
 * batch_sql.h
 *	  The text of a push's statements.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_BATCH_SQL_H
#define TIDE_BATCH_SQL_H

#include "push/batch.h"

#define BATCH_NAME "tide_batch"

/* which columns of the table a batch has, beside the key and the stamps */
typedef struct BatchShape
{
	Bitmapset  *columns;		/* attnums: c<attnum> */
	bool		flags;			/* and whether each row has them: h<attnum> */
	bool		single;			/* of one change: b.name stands for parameters */
	bool		tells_tid;		/* an update returns where the row is, last */
	bool		by_tid;			/* the row is where b.tid says, if anywhere */
	ItemPointerData tid;
} BatchShape;

extern char *batch_sql(PushTable *table, BatchStatement statement,
					   const BatchShape *shape);

#endif							/* TIDE_BATCH_SQL_H */
