/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  Saved plans that keep to an index.
 *
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

#include "nodes/parsenodes.h"
#include "utils/guc.h"
#include "utils/plancache.h"

#include "util/plan.h"

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
