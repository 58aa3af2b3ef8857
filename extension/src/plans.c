/*-------------------------------------------------------------------------
 *
 * plans.c
 *	  Saved plans that keep to an index.
 *
 * A plan that was made while a table was empty would scan it from end to end
 * until statistics come in, long after it has grown; and what a first batch of
 * 5,000 rows suggests (hash or merge join) is wrong for the next one of two.
 * Our statements know better: rows are found by key, through the primary key's
 * index.  So they have one generic plan, made with the alternatives switched
 * off; the settings are those of the session again before it runs.  JIT is off
 * too: the cost of what was switched off would set it going.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "utils/guc.h"
#include "utils/plancache.h"

#include "compat.h"
#include "plans.h"

#define MAX_PLANS 64

/* a plan that is kept with its table */
typedef struct SavedPlan
{
	struct SavedPlan *next;
	char	   *name;
	SPIPlanPtr	plan;
} SavedPlan;

SPIPlanPtr
plans_prepare(const char *sql, int nargs, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, nargs, types, CURSOR_OPT_GENERIC_PLAN);

	if (plan == NULL)
		elog(ERROR, "could not prepare, %s: %s",
			 SPI_result_code_string(SPI_result), sql);
	return plan;
}

void
plans_settle(SPIPlanPtr plan)
{
	static const char *const off[] = {"enable_seqscan", "enable_hashjoin",
	"enable_mergejoin", "enable_material", "enable_bitmapscan", "jit"};
	int			level = NewGUCNestLevel();
	CachedPlan *cached;
	int			i;

	for (i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	cached = SPI_plan_get_cached_plan(plan);
	AtEOXact_GUC(true, level);
	if (cached)
		ReleaseCachedPlan(cached, CurrentResourceOwner);
}

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
