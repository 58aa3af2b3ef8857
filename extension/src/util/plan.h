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
 * whatever the size of the table when it was made.  The caller keeps it.
 */
extern SPIPlanPtr plans_prepare(const char *sql, int nargs, Oid *types);

/*
 * Plan it, if it has no valid plan, under settings that leave it only the
 * index.  Call this before each execution.
 */
extern void plans_settle(SPIPlanPtr plan);

/* when the library is loaded */
extern void plans_init(void);

#endif							/* TIDE_PLAN_H */
