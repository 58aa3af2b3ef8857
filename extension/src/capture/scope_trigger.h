/*-------------------------------------------------------------------------
 *
 * capture/scope_trigger.h
 *	  What the triggers share that keep a scope by foreign keys correct.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_SCOPE_TRIGGER_H
#define TIDE_SCOPE_TRIGGER_H

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

/* some rows of a tracked table, as c */
typedef struct ScopeRows
{
	const char *name;			/* of the plans */
	const char *source;			/* joined with c; NULL: nothing */
	const char *where;
	int			nargs;
	Oid		   *types;
	Datum	   *values;
} ScopeRows;

/* Have these rows find their scope anew.  Needs an SPI connection. */
extern void scope_refresh(TrackedTable *t, const ScopeRows *rows);

/* likewise all rows of the table whose scope is not what their path leads to */
extern void scope_refresh_wrong(TrackedTable *t);

/* the table whose rows must find their scope anew right now */
extern Oid	scope_refreshing;

#endif							/* TIDE_SCOPE_TRIGGER_H */
