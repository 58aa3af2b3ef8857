/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  Saved plans that always use an index.
 *
 * A plan that was made while a table was empty scans the whole table, and goes
 * on doing so long after the table has grown, until statistics come in.  The
 * plan that suits a first batch of 5,000 rows (a hash or merge join) is wrong
 * for the next batch of two.  Our statements find rows by key, so the index
 * that fits the key is always right.
 *
 * So each statement has one generic plan.  It is made with the alternatives
 * switched off, and as if every table were large and unknown.  The session's
 * own settings are back before the plan runs.  JIT is off too, because the cost
 * that PostgreSQL adds for a switched-off alternative would start it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/parsenodes.h"
#include "nodes/pathnodes.h"
#include "optimizer/plancat.h"
#include "utils/guc.h"
#include "utils/plancache.h"
#include "utils/selfuncs.h"

#include "util/plan.h"

/* the rows that a table has at least when our statements are planned */
#define LARGE_PAGES 10000
#define LARGE_TUPLES 1000000.0

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

		/* nobody knows how many rows a partial index would have */
		if (index->indpred != NIL)
			continue;
		index->pages = Max(index->pages, LARGE_PAGES / 4);
		index->tuples = rel->tuples;
	}
}

static get_relation_stats_hook_type previous_stats_hook = NULL;

/*
 * Statistics do not count either.  They may describe rows that the table no
 * longer has, and could say that the first column of an index is good enough
 * without the next.
 */
static bool
assume_nothing(PlannerInfo *root, RangeTblEntry *rte, AttrNumber attnum,
			   VariableStatData *vardata)
{
	if (planning)
		return true;
	return previous_stats_hook && previous_stats_hook(root, rte, attnum, vardata);
}

void
plans_init(void)
{
	previous_hook = get_relation_info_hook;
	get_relation_info_hook = assume_large;
	previous_stats_hook = get_relation_stats_hook;
	get_relation_stats_hook = assume_nothing;
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

	/* a plan that is not kept belongs to no resource owner */
	if (cached)
		ReleaseCachedPlan(cached, source->is_saved ? CurrentResourceOwner : NULL);
}
