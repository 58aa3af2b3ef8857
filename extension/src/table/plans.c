/*-------------------------------------------------------------------------
 *
 * plans.c
 *	  Saved plans that are kept with a tracked table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"

#include "table/plans.h"
#include "util/compat.h"
#include "util/plan.h"

#define MAX_PLANS 64

/* a plan that is kept with its table */
typedef struct SavedPlan
{
	struct SavedPlan *next;
	char	   *name;
	SPIPlanPtr	plan;
} SavedPlan;

/* a saved plan of this table, NULL if there is none of that name */
SPIPlanPtr
plans_find(TrackedTable *t, const char *name)
{
	SavedPlan  *plan;

	for (plan = t->plans; plan != NULL; plan = plan->next)
		if (strcmp(plan->name, name) == 0)
			return plan->plan;
	return NULL;
}

/*
 * Keep a plan with the table.  There are as many as sets of columns that
 * clients send, which a hostile one can vary: beyond a limit the plan is not
 * kept (false), and the caller frees it with its memory.
 */
bool
plans_keep(TrackedTable *t, const char *name, SPIPlanPtr plan)
{
	SavedPlan  *saved;

	if (t->nplans >= MAX_PLANS || SPI_keepplan(plan) != 0)
		return false;
	saved = MemoryContextAlloc(t->context, sizeof(SavedPlan));
	saved->name = MemoryContextStrdup(t->context, name);
	saved->plan = plan;
	saved->next = t->plans;
	t->plans = saved;
	t->nplans++;
	return true;
}

/* they go with the table's entry */
void
plans_forget(TrackedTable *t)
{
	SavedPlan  *plan;

	for (plan = t->plans; plan != NULL; plan = plan->next)
		SPI_freeplan(plan->plan);
	t->plans = NULL;
}

SPIPlanPtr
plans_of_table(TrackedTable *t, const char *name, const char *sql,
			   int nargs, Oid *types)
{
	SPIPlanPtr	plan = plans_find(t, name);

	if (plan)
		return plan;
	plan = plans_prepare(sql, nargs, types);
	plans_keep(t, name, plan);
	return plan;
}
