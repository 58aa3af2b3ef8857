/*-------------------------------------------------------------------------
 *
 * plans.c
 *	  Saved plans that keep to an index.
 *
 * A plan that was made while a table was empty would scan it from end to end
 * until statistics come in, long after it has grown; and what a first batch of
 * 5,000 rows suggests (hash or merge join) is wrong for the next one of two.
 * Our statements know better: rows are found by key, through the index that
 * fits it best.  So they have one generic plan, made with the alternatives
 * switched off and as if every table were large; the settings are those of the
 * session again before it runs.  JIT is off too: the cost of what was switched
 * off would set it going.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "nodes/pathnodes.h"
#include "optimizer/plancat.h"
#include "utils/guc.h"
#include "utils/plancache.h"

#include "compat.h"
#include "plans.h"

/* plans that are kept for sets of columns, of each table */
#define MAX_PLANS 64

/* what a table has at least, when one of our statements is planned */
#define LARGE_PAGES 10000
#define LARGE_TUPLES 1000000.0

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

static get_relation_info_hook_type previous_hook = NULL;
static bool planning = false;

/*
 * While a table is nearly empty, every way to read it costs the same, and the
 * plan could begin with the wrong table or choose an index by chance.  It would
 * be kept while the table grows.
 */
static void
assume_large(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	ListCell   *lc;

	if (previous_hook)
		previous_hook(root, relid, inhparent, rel);
	if (!planning || inhparent || rel->tuples >= LARGE_TUPLES)
		return;
	rel->pages = Max(rel->pages, LARGE_PAGES);
	rel->tuples = LARGE_TUPLES;
	rel->allvisfrac = 0;
	foreach(lc, rel->indexlist)
	{
		IndexOptInfo *index = lfirst(lc);

		/* of a partial one nobody knows how many rows it would have */
		if (index->indpred != NIL)
			continue;
		index->pages = Max(index->pages, LARGE_PAGES / 4);
		index->tuples = rel->tuples;
	}
}

void
plans_init(void)
{
	previous_hook = get_relation_info_hook;
	get_relation_info_hook = assume_large;
}

static CachedPlan *
plan_as_settled(SPIPlanPtr plan)
{
	CachedPlan *cached;

	planning = true;
	PG_TRY();
	{
		cached = SPI_plan_get_cached_plan(plan);
	}
	PG_FINALLY();
	{
		planning = false;
	}
	PG_END_TRY();
	return cached;
}

void
plans_settle(SPIPlanPtr plan)
{
	static const char *const off[] = {"enable_seqscan", "enable_hashjoin",
	"enable_mergejoin", "enable_material", "enable_bitmapscan", "jit"};
	int			level = NewGUCNestLevel();
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));
	CachedPlan *cached;
	int			i;

	for (i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	cached = plan_as_settled(plan);
	AtEOXact_GUC(true, level);

	/* one that is not kept belongs to no resource owner */
	if (cached)
		ReleaseCachedPlan(cached, source->is_saved ? CurrentResourceOwner : NULL);
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
 * There are as many of these as sets of columns that clients send, which a
 * hostile one can vary.  Beyond a limit they are not kept: a plan that another
 * could push out might be one that is running.
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
