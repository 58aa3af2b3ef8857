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

/* which columns a batch has besides the key and the stamps */
typedef struct BatchShape
{
	Bitmapset  *columns;		/* attnums; the columns are named c<attnum> */
	bool		flags;			/* h<attnum> says whether a row writes
								 * c<attnum> */
	bool		single;			/* of one change, where b.name is a parameter */
	bool		tells_tid;		/* an update returns where the row is, last */
	bool		by_tid;			/* the row is where b.tid says, if anywhere */
	ItemPointerData tid;
} BatchShape;

extern char *batch_sql(PushTable *table, BatchStatement statement,
					   const BatchShape *shape);

#endif							/* TIDE_BATCH_SQL_H */
