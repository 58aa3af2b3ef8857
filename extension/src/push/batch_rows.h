/*-------------------------------------------------------------------------
 *
 * batch_rows.h
 *	  Changes as the rows of a relation that SQL can join, or as parameters.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_BATCH_ROWS_H
#define TIDE_BATCH_ROWS_H

#include "nodes/params.h"
#include "push/batch.h"
#include "push/batch_sql.h"

extern bool batch_is_insert(BatchStatement statement);

/* the columns of a batch of this shape */
extern TupleDesc batch_desc(TrackedTable *t, const BatchShape *shape);

/* see batch_open(); closed by batch_close() */
extern BatchRelation *batch_open_relation(PushTable *table, BatchStatement statement,
										  const BatchShape *shape, List *changes);

/* the row of a single change, as parameters, and the scopes behind them */
extern ParamListInfo batch_parameter_values(PushTable *table, BatchStatement statement,
											const BatchShape *shape, Change *c,
											TupleDesc desc, Oid scopes_type,
											Datum scopes);

#endif							/* TIDE_BATCH_ROWS_H */
