/*-------------------------------------------------------------------------
 *
 * plans.h
 *	  Saved plans that are kept with a tracked table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_PLANS_H
#define TIDE_PLANS_H

#include "executor/spi.h"
#include "table/registry.h"
#include "util/plan.h"

/* plans that are kept with a table, by name; NULL: there is none of that name */
extern SPIPlanPtr plans_find(TrackedTable *t, const char *name);
extern void plans_keep(TrackedTable *t, const char *name, SPIPlanPtr plan);
extern void plans_forget(TrackedTable *t);

/* the table's plan of that name, prepared with the SQL if there is none */
extern SPIPlanPtr plans_of_table(TrackedTable *t, const char *name,
								 const char *sql, int nargs, Oid *types);

/*
 * Likewise for a set of columns.  Beyond a number of such sets
 * (plans_are_many) the plan is valid until SPI_finish() only.
 */
extern SPIPlanPtr plans_of_columns(TrackedTable *t, const char *name,
								   const char *sql, int nargs, Oid *types);
extern bool plans_are_many(TrackedTable *t);

/*
 * Likewise, of a statement whose names a parser hook makes parameters of.  Only
 * while the plans are not many; arg lives as long as the table's entry.
 */
extern SPIPlanPtr plans_of_parser(TrackedTable *t, const char *name, const char *sql,
								  ParserSetupHook set_up, void *arg);

#endif							/* TIDE_PLANS_H */
