/*-------------------------------------------------------------------------
 *
 * batch_columns.h
 *	  Which columns a statement of a push names.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_BATCH_COLUMNS_H
#define TIDE_BATCH_COLUMNS_H

#include "push/batch.h"
#include "push/batch_sql.h"

/* the columns that a statement writes, or a probe reads, for this change */
extern Bitmapset *batch_columns(BatchStatement statement, Change *c);

/* do these changes all have the same columns? */
extern bool batch_is_of_one_set(BatchStatement statement, List *changes);

/* may the statement name columns that a change does not send? */
extern bool batch_may_name_any(PushTable *table, BatchStatement statement);

/* the shape of a batch whose changes have different columns */
extern BatchShape batch_shape_of_any(PushTable *table, BatchStatement statement,
									 List *changes);

/* a set of columns as text, for the names of plans and as a key of maps */
extern char *batch_columns_name(Bitmapset *columns);

#endif							/* TIDE_BATCH_COLUMNS_H */
