/*-------------------------------------------------------------------------
 *
 * advice.h
 *	  Advice about a tracked table, or about a role that syncs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_ADVICE_H
#define TIDE_ADVICE_H

#include "table/tracked.h"

/* severity: error, warning, info; hint: a statement to run, or NULL */
typedef void (*AdviceReport) (void *arg, const char *severity, const char *object,
							  const char *problem, const char *hint);

/* what tide.track says in a NOTICE, and tide.check in a row */
extern void advise_on_table(TrackedTable *t, AdviceReport report, void *arg);

/* what a role cannot do, and why its pulls are empty */
extern void advise_on_role(Oid role, AdviceReport report, void *arg);

#endif							/* TIDE_ADVICE_H */
