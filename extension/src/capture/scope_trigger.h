/*-------------------------------------------------------------------------
 *
 * capture/scope_trigger.h
 *	  What the triggers share that keep a scope by foreign keys correct.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_SCOPE_TRIGGER_H
#define TIDE_SCOPE_TRIGGER_H

#include "lib/stringinfo.h"
#include "table/tracked.h"

/*
 * grows whenever an ancestor leads elsewhere, so that scopes found before may
 * be wrong
 */
extern uint64 path_changes;

/*
 * Run a statement as the owner of a table, with a plan that is kept with t
 * under this name.  If "latest", it sees what is committed by now even in a
 * transaction that keeps an older snapshot; this then fails if it would write
 * a row that it cannot see.
 */
extern void scope_run(Oid relid, TrackedTable *t, const char *name, const char *sql,
					  int nargs, Oid *types, Datum *values, bool latest);

/* "UPDATE ... c SET ...": has rows of t find their scope anew; to be run by the other */
extern void scope_append_refresh(StringInfo sql, TrackedTable *t);
extern void scope_refresh(TrackedTable *t, const char *name, const char *sql, int nargs,
						  Oid *types, Datum *values);

#endif							/* TIDE_SCOPE_TRIGGER_H */
