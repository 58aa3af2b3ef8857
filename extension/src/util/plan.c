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
#include "optimizer/planner.h"
#include "utils/guc.h"
#include "utils/selfuncs.h"

#include "util/plan.h"
#include "util/settings.h"

/* the rows that a table has at least when our statements are planned */
#define LARGE_PAGES 10000
#define LARGE_TUPLES 1000000.0

/*
 * By this the planner knows our statements.  Somebody else's that begins like
 * it is planned like ours, and there is no harm in that.
 */
#define MARK "/* pg_tide */ "

/*
 * Behind it may stand a column: the statement's first table is to be read by an
 * index that begins with this column, see assume_large().
 */
#define COLUMN_MARK MARK "/* by column %d */ "

static SPIPlanPtr
checked(SPIPlanPtr plan, const char *sql)
{
	if (plan == NULL)
		elog(ERROR, "could not prepare, %s: %s",
			 SPI_result_code_string(SPI_result), sql);
	return plan;
}

SPIPlanPtr
plans_prepare(const char *sql, int nargs, Oid *types)
{
	char	   *marked = psprintf(MARK "%s", sql);

	return checked(SPI_prepare_cursor(marked, nargs, types, CURSOR_OPT_GENERIC_PLAN), sql);
}

SPIPlanPtr
plans_prepare_by_column(const char *sql, int nargs, Oid *types, AttrNumber column)
{
	char	   *marked = psprintf(COLUMN_MARK "%s", column, sql);

	return checked(SPI_prepare_cursor(marked, nargs, types, CURSOR_OPT_GENERIC_PLAN), sql);
}

SPIPlanPtr
plans_prepare_parsed(const char *sql, ParserSetupHook set_up, void *arg)
{
	char	   *marked = psprintf(MARK "%s", sql);

	return checked(SPI_prepare_params(marked, set_up, arg, CURSOR_OPT_GENERIC_PLAN), sql);
}

static get_relation_info_hook_type previous_hook = NULL;
static bool planning = false;
static int	column = 0;			/* of the statement that is being planned; 0:
								 * any */

/*
 * The planner takes LIMIT $1 for a tenth of the rows, and would go through all
 * of a table in the order of its key rather than sort the rows of one scope.
 */
static void
leave_indexes_of_column(RelOptInfo *rel)
{
	List	   *left = NIL;
	ListCell   *lc;

	foreach(lc, rel->indexlist)
	{
		IndexOptInfo *index = lfirst(lc);

		if (index->indexkeys[0] == column)
			left = lappend(left, index);
	}
	if (left != NIL)
		rel->indexlist = left;
}

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
	if (planning && column > 0 && root->query_level == 1 && rel->relid == 1)
		leave_indexes_of_column(rel);
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

static planner_hook_type previous_planner = NULL;

static PlannedStmt *
plan_any(Query *parse, const char *query_string, int options, ParamListInfo params)
{
	if (previous_planner)
		return previous_planner(parse, query_string, options, params);
	return standard_planner(parse, query_string, options, params);
}

/* as plan_any, one of ours or, within the planning of one, another */
static PlannedStmt *
plan_as(bool ours, Query *parse, const char *query_string, int options, ParamListInfo params)
{
	bool		outer = planning;
	int			outer_column = column;
	PlannedStmt *result;

	planning = ours;
	if (!ours || sscanf(query_string, COLUMN_MARK, &column) != 1)
		column = 0;
	PG_TRY();
	{
		result = plan_any(parse, query_string, options, params);
	}
	PG_FINALLY();
	{
		planning = outer;
		column = outer_column;
	}
	PG_END_TRY();
	return result;
}

/*
 * Whenever PostgreSQL finds that one of our statements has to be planned: the
 * first time, and when a table has changed since, be it at the last moment
 * before the plan is run.
 */
static PlannedStmt *
plan_settled(Query *parse, const char *query_string, int options, ParamListInfo params)
{
	static const char *const off[] = {"enable_seqscan", "enable_hashjoin",
	"enable_mergejoin", "enable_material", "enable_bitmapscan", "jit"};
	PlannedStmt *result;
	int			level;
	int			i;

	if (query_string == NULL || strncmp(query_string, MARK, strlen(MARK)) != 0)
		return planning ? plan_as(false, parse, query_string, options, params) :
			plan_any(parse, query_string, options, params);
	level = NewGUCNestLevel();
	for (i = 0; i < lengthof(off); i++)
		setting_for_now(off[i], "off");
	result = plan_as(true, parse, query_string, options, params);
	AtEOXact_GUC(true, level);
	return result;
}

void
plans_init(void)
{
	previous_hook = get_relation_info_hook;
	get_relation_info_hook = assume_large;
	previous_stats_hook = get_relation_stats_hook;
	get_relation_stats_hook = assume_nothing;
	previous_planner = planner_hook;
	planner_hook = plan_settled;
}
