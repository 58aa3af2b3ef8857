/*-------------------------------------------------------------------------
 *
 * plans.h
 *	  Saved plans that keep to an index.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_PLANS_H
#define TIDE_PLANS_H

#include "executor/spi.h"
#include "registry.h"

/*
 * A plan for statements that read rows by key or in the order of an index,
 * whatever the table's size was when it was made.  Not kept: the caller does.
 */
extern SPIPlanPtr plans_prepare(const char *sql, int nargs, Oid *types);

/*
 * Plan it, if it has no valid plan, under settings that leave it only the
 * index.  To be called before each execution.
 */
extern void plans_settle(SPIPlanPtr plan);

/* plans that are kept with a table, by name; NULL: there is none of that name */
extern SPIPlanPtr plans_find(TrackedTable *t, const char *name);
extern void plans_keep(TrackedTable *t, const char *name, SPIPlanPtr plan);
extern void plans_forget(TrackedTable *t);

/* the table's plan of that name, prepared with the SQL if there is none */
extern SPIPlanPtr plans_of_table(TrackedTable *t, const char *name,
								 const char *sql, int nargs, Oid *types);

/*
 * Likewise for a set of columns.  Beyond a number of such sets (plans_are_many)
 * the plan is good until SPI_finish() only.
 */
extern SPIPlanPtr plans_of_columns(TrackedTable *t, const char *name,
								   const char *sql, int nargs, Oid *types);
extern bool plans_are_many(TrackedTable *t);

/* when the library is loaded */
extern void plans_init(void);

#endif							/* TIDE_PLANS_H */
