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
#include "util/plan.h"

/* plans that are kept for sets of columns, of each table */
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

void
plans_keep(TrackedTable *t, const char *name, SPIPlanPtr plan)
{
	SavedPlan  *saved;

	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep the plan \"%s\"", name);
	saved = MemoryContextAlloc(t->context, sizeof(SavedPlan));
	saved->name = MemoryContextStrdup(t->context, name);
	saved->plan = plan;
	saved->next = t->plans;
	t->plans = saved;
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

bool
plans_are_many(TrackedTable *t)
{
	return t->nplans >= MAX_PLANS;
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

/*
 * There is one of these for each set of columns that clients send, and a
 * hostile client can vary the set.  Beyond a limit they are not kept.  Evicting
 * a plan instead could evict one that is running.
 */
SPIPlanPtr
plans_of_columns(TrackedTable *t, const char *name, const char *sql,
				 int nargs, Oid *types)
{
	if (plans_find(t, name) == NULL)
	{
		if (plans_are_many(t))
			return plans_prepare(sql, nargs, types);
		t->nplans++;
	}
	return plans_of_table(t, name, sql, nargs, types);
}

SPIPlanPtr
plans_of_parser(TrackedTable *t, const char *name, const char *sql,
				ParserSetupHook set_up, void *arg)
{
	SPIPlanPtr	plan = plans_prepare_parsed(sql, set_up, arg);

	plans_keep(t, name, plan);
	t->nplans++;
	return plan;
}
