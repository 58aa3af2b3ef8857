/*-------------------------------------------------------------------------
 *
 * scope_trigger.c
 *	  The triggers that keep a scope by foreign keys correct.
 *
 * Such a table has a column of its own for the scope.  The value of a row is
 * found by following the path, with FOR KEY SHARE on each row of it.  Whoever
 * changes where one of these rows leads changes a column of a unique index,
 * and so waits for those locks.  Afterwards the change finds all rows below,
 * whatever snapshot its transaction keeps, and lets each find its scope
 * anew.  So of a child that is written and an ancestor that moves, one always
 * sees the other.  The joins that look for the rows below do not supply the
 * value, because a row that was waited for may be elsewhere by then.
 *
 * Rows are read and written here as the owner of their table, and row security
 * does not hide them, as in the checks of foreign keys: whoever writes a row
 * need not be allowed to read what it refers to.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "capture/scope_trigger.h"
#include "capture/trigger.h"
#include "table/catalog.h"
#include "table/plans.h"
#include "table/registry.h"
#include "table/scope_path.h"
#include "util/compat.h"
#include "util/owner.h"

PG_FUNCTION_INFO_V1(tide_scope);
PG_FUNCTION_INFO_V1(tide_scope_late);

uint64		path_changes = 0;

/* ---------- whose rights ---------- */

/*
 * Run a statement as the owner of a table.  latest: on what is committed by now
 * even in a transaction that keeps an older snapshot, which must then fail if
 * it would write a row that it cannot see.
 */
void
scope_run(Oid relid, TrackedTable *t, const char *name, const char *sql,
		  int nargs, Oid *types, Datum *values, bool latest)
{
	SavedUser	saved;
	SPIPlanPtr	plan;
	Snapshot	snapshot = InvalidSnapshot;
	Snapshot	crosscheck = InvalidSnapshot;
	int			code;

	user_become(owner_of_table(relid), SECURITY_NOFORCE_RLS, &saved);
	plan = plans_of_table(t, name, sql, nargs, types);
	if (latest && IsolationUsesXactSnapshot())
	{
		CommandCounterIncrement();	/* our own changes, too */
		snapshot = GetLatestSnapshot();
		crosscheck = GetTransactionSnapshot();
	}
	code = SPI_execute_snapshot(plan, values, NULL, snapshot, crosscheck,
								false, true, 0);
	user_restore(&saved);
	if (code < 0)
		elog(ERROR, "could not follow a scope, %s: %s", SPI_result_code_string(code), name);
}

/* ---------- up the path: the scope of a row ---------- */

static char *
lookup_sql(PathStep *step)
{
	StringInfoData sql;
	int			i;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (i = 0; i < step->nreads; i++)
		appendStringInfo(&sql, "%sp.%s", i ? ", " : "", step->read_names[i]);
	appendStringInfo(&sql, " FROM ONLY %s p WHERE ", step->sql_name);
	for (i = 0; i < step->ncolumns; i++)
		appendStringInfo(&sql, "%sp.%s %s $%d", i ? " AND " : "", step->to_names[i],
						 step->equal[i], i + 1);
	appendStringInfoString(&sql, " FOR KEY SHARE OF p");
	return sql.data;
}

/*
 * A row was not found.  A snapshot older than a rewriting ALTER TABLE or a TRUNCATE
 * sees an empty table, and the row may well be there; it would have no scope, and be
 * nobody's.  Of the tables that a row refers to only through others, no foreign key's
 * check says so.
 */
static void
require_seen(PathStep *step)
{
	HeapTuple	tuple = IsolationUsesXactSnapshot() ? catalog_class(step->relid) : NULL;
	bool		seen;

	if (tuple == NULL)
		return;
	seen = catalog_is_seen(HeapTupleHeaderGetXmin(tuple->t_data), GetTransactionSnapshot());
	heap_freetuple(tuple);
	if (!seen)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("table %s was changed after this transaction's snapshot was taken",
						step->sql_name),
				 errhint("Try the transaction again.")));
}

/*
 * One step: replaces the values of its "from" columns by those that lead
 * on.  False if there is no such row, or if it leads nowhere.  Each step is a
 * statement of its own, because a join would drop a row that was waited for
 * and now leads elsewhere, instead of following it.
 */
static bool
follow_step(TrackedTable *t, int n, Datum *values)
{
	PathStep   *step = &t->path->steps[n];
	char		name[32];
	int			i;

	snprintf(name, sizeof(name), "scope up %d", n);
	scope_run(step->relid, t, name, plans_find(t, name) ? NULL : lookup_sql(step),
			  step->ncolumns, step->from_types, values, false);
	if (SPI_processed == 0)
	{
		require_seen(step);
		return false;
	}
	for (i = 0; i < step->nreads; i++)
	{
		bool		isnull;

		values[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc,
								  i + 1, &isnull);
		if (isnull)
			return false;
	}
	return true;
}

/* the columns by which a row refers to the path's first table; false: a NULL */
static bool
first_values(TrackedTable *t, HeapTuple row, TupleDesc desc, Datum *values)
{
	PathStep   *first = &t->path->steps[0];
	int			i;

	for (i = 0; i < first->ncolumns; i++)
	{
		bool		isnull;

		values[i] = heap_getattr(row, first->from[i], desc, &isnull);
		if (isnull)
			return false;
	}
	return true;
}

static void
name_scope(void *arg)
{
	TrackedTable *t = arg;

	errcontext("scope \"%s\" of table \"%s\", for its column \"%s\"", t->scope_path,
			   get_rel_name(t->relid), tracked_column(t, t->scope)->name);
}

/*
 * The column at the end of the path may have become wider than the one that
 * holds the scope.  What does not fit that is an error, as in an assignment.
 */
static Datum
fit_to_column(TrackedTable *t, Datum scope)
{
	TrackedColumn *c = tracked_column(t, t->scope);
	ErrorContextCallback callback = {error_context_stack, name_scope, t};
	Oid			function;

	if (c->typmod < 0 || c->typmod == t->path->typmod ||
		find_typmod_coercion_function(c->type, &function) != COERCION_PATH_FUNC)
		return scope;
	error_context_stack = &callback;
	scope = OidFunctionCall3(function, scope, Int32GetDatum(c->typmod), BoolGetDatum(false));
	error_context_stack = callback.previous;
	return scope;
}

/*
 * The scope of a row, palloc'd.  False if it has none, because it refers to
 * nothing, or to a row that is not there yet.
 */
static bool
find_scope(TrackedTable *t, HeapTuple row, TupleDesc desc, Datum *scope)
{
	Datum		values[INDEX_MAX_KEYS];
	MemoryContext caller = CurrentMemoryContext;
	bool		found = true;
	int			i;

	if (!first_values(t, row, desc, values))
		return false;
	SPI_connect();
	for (i = 0; found && i < t->path->nsteps; i++)
		found = follow_step(t, i, values);
	if (found)
	{
		TrackedColumn *c = tracked_column(t, t->scope);
		MemoryContext old = MemoryContextSwitchTo(caller);
		int16		length;
		bool		byval;

		get_typlenbyval(c->type, &length, &byval);
		*scope = datumCopy(fit_to_column(t, values[0]), byval, length);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return found;
}

/* ---------- the row trigger ---------- */

/*
 * The last answer within a statement, since rows of one parent often come
 * together.  It is valid as long as no ancestor has changed, because the locks
 * are still held.
 */
typedef struct Memo
{
	bool		valid;
	uint64		changes;		/* path_changes when it was found */
	SubTransactionId subid;
	Datum		from[INDEX_MAX_KEYS];
	Datum		scope;
	MemoryContext context;
} Memo;

static bool
same_column(TupleDesc desc, AttrNumber attnum, HeapTuple a, HeapTuple b)
{
	Form_pg_attribute att = TupleDescAttr(desc, attnum - 1);
	bool		a_null,
				b_null;
	Datum		x = heap_getattr(a, attnum, desc, &a_null);
	Datum		y = heap_getattr(b, attnum, desc, &b_null);

	if (a_null || b_null)
		return a_null == b_null;
	return tide_image_eq(x, y, att->attbyval, att->attlen);
}

/* does this update leave the scope alone? */
static bool
scope_stands(TrackedTable *t, TupleDesc desc, HeapTuple old, HeapTuple new)
{
	PathStep   *first = &t->path->steps[0];
	int			i;

	if (scope_refreshing == t->relid || !same_column(desc, t->scope, old, new))
		return false;
	for (i = 0; i < first->ncolumns; i++)
	{
		if (!same_column(desc, first->from[i], old, new))
			return false;
	}
	return true;
}

static bool
memo_fits(Memo *memo, TrackedTable *t, TupleDesc desc, const Datum *values)
{
	PathStep   *first = &t->path->steps[0];
	int			i;

	if (!memo->valid || memo->changes != path_changes ||
		memo->subid != GetCurrentSubTransactionId() || scope_refreshing == t->relid)
		return false;
	for (i = 0; i < first->ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, first->from[i] - 1);

		if (!tide_image_eq(memo->from[i], values[i], att->attbyval, att->attlen))
			return false;
	}
	return true;
}

static void
memo_keep(Memo *memo, TrackedTable *t, TupleDesc desc, const Datum *values, Datum scope)
{
	PathStep   *first = &t->path->steps[0];
	TrackedColumn *c = tracked_column(t, t->scope);
	MemoryContext old;
	int16		length;
	bool		byval;
	int			i;

	MemoryContextReset(memo->context);
	old = MemoryContextSwitchTo(memo->context);
	for (i = 0; i < first->ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, first->from[i] - 1);

		memo->from[i] = datumCopy(values[i], att->attbyval, att->attlen);
	}
	get_typlenbyval(c->type, &length, &byval);
	memo->scope = datumCopy(scope, byval, length);
	memo->changes = path_changes;
	memo->subid = GetCurrentSubTransactionId();
	memo->valid = true;
	MemoryContextSwitchTo(old);
}

static Memo *
memo_of(FmgrInfo *flinfo)
{
	Memo	   *memo = flinfo->fn_extra;

	if (memo == NULL)
	{
		memo = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(Memo));
		memo->context = AllocSetContextCreate(flinfo->fn_mcxt, "pg_tide scope",
											  ALLOCSET_SMALL_SIZES);
		flinfo->fn_extra = memo;
	}
	return memo;
}

static HeapTuple
set_scope(TrackedTable *t, TupleDesc desc, HeapTuple row, Datum scope, bool isnull)
{
	int			column = t->scope;

	return heap_modify_tuple_by_cols(row, desc, 1, &column, &scope, &isnull);
}

/* the entry of a tracked table if its scope follows foreign keys; else NULL */
static TrackedTable *
table_of_trigger(Relation rel)
{
	TrackedTable *t = registry_lookup(RelationGetRelid(rel));

	if (t == NULL || !t->tracked)
		return NULL;
	if (t->broken)
		registry_require(t->relid);
	return t->path ? t : NULL;
}

Datum
tide_scope(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	TrackedTable *t;
	HeapTuple	new;
	Datum		values[INDEX_MAX_KEYS];
	Datum		scope = (Datum) 0;
	Memo	   *memo;

	trigger_check(fcinfo, "tide.scope() is a trigger of tracked tables, for each row, before insert or update",
				  TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE);
	desc = RelationGetDescr(trigdata->tg_relation);
	new = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newtuple :
		trigdata->tg_trigtuple;
	t = table_of_trigger(trigdata->tg_relation);
	if (t == NULL ||
		(TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) &&
		 scope_stands(t, desc, trigdata->tg_trigtuple, new)))
		return PointerGetDatum(new);

	if (!first_values(t, new, desc, values))
		return PointerGetDatum(set_scope(t, desc, new, scope, true));
	memo = memo_of(fcinfo->flinfo);
	if (memo_fits(memo, t, desc, values))
		return PointerGetDatum(set_scope(t, desc, new, memo->scope, false));
	if (!find_scope(t, new, desc, &scope))
		return PointerGetDatum(set_scope(t, desc, new, scope, true));
	memo_keep(memo, t, desc, values, scope);
	return PointerGetDatum(set_scope(t, desc, new, scope, false));
}

/* ---------- a parent that comes late ---------- */

/*
 * For a row whose path led nowhere, deferred to the end of the
 * transaction.  By now the foreign keys are satisfied, so the missing parent
 * exists, perhaps from a transaction that did not see this row.
 */
Datum
tide_scope_late(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	row;
	TrackedTable *t;
	StringInfoData where;
	Oid			types[INDEX_MAX_KEYS];
	Datum		key[INDEX_MAX_KEYS];
	ScopeRows	rows = {"late", NULL, NULL, 0, types, key};
	Datum		scope;
	int			k;

	trigger_check(fcinfo, "tide.scope_late() is a trigger of tracked tables, for each row, after insert or update",
				  TRIGGER_TYPE_ROW | TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE);
	desc = RelationGetDescr(trigdata->tg_relation);
	row = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newtuple :
		trigdata->tg_trigtuple;
	t = table_of_trigger(trigdata->tg_relation);

	/* otherwise the update below would fire this trigger again and again */
	if (t == NULL || !find_scope(t, row, desc, &scope))
		PG_RETURN_POINTER(NULL);

	initStringInfo(&where);
	appendStringInfo(&where, "c.%s IS NULL",
					 quote_identifier(tracked_column(t, t->scope)->name));
	for (k = 0; k < t->nkeys; k++)
	{
		TrackedColumn *c = tracked_column(t, t->keys[k]);
		bool		isnull;

		types[k] = c->base_type;
		key[k] = heap_getattr(row, c->attnum, desc, &isnull);
		appendStringInfo(&where, " AND c.%s %s $%d", quote_identifier(c->name),
						 t->key_equal[k], k + 1);
	}
	rows.where = where.data;
	rows.nargs = t->nkeys;
	SPI_connect();
	scope_refresh(t, &rows);
	SPI_finish();
	PG_RETURN_POINTER(NULL);
}
