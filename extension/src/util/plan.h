/*-------------------------------------------------------------------------
 *
 * plan.h
 *	  Saved plans that always use an index.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_PLAN_H
#define TIDE_PLAN_H

#include "executor/spi.h"

/*
 * A plan for statements that read rows by key or in the order of an index,
 * whatever the table's size is when it is made.  Not kept: the caller does.
 */
extern SPIPlanPtr plans_prepare(const char *sql, int nargs, Oid *types);

/* likewise, with parameters that the parser's hooks know; arg lives as long */
/* likewise, of rows of its first table that have one value in this column */
extern SPIPlanPtr plans_prepare_by_column(const char *sql, int nargs, Oid *types,
										  AttrNumber column);
extern SPIPlanPtr plans_prepare_parsed(const char *sql, ParserSetupHook set_up, void *arg);

/* when the library is loaded */
extern void plans_init(void);

#endif							/* TIDE_PLAN_H */
