/*-------------------------------------------------------------------------
 *
 * scope_trigger.c
 *	  The triggers that keep a scope by foreign keys true.
 *
 * Such a table has a column of its own for the scope.  A row's value is found
 * by following the path, with FOR KEY SHARE on each row that it comes through.
 * Whoever changes where one of these rows leads changes a column of a unique
 * index, which waits for those locks; afterwards the change finds all rows
 * below, whatever snapshot its transaction keeps, and has each find its scope
 * anew.  So of a child that is written and an ancestor that moves, one always
 * sees the other.  The joins that look for the rows below are not trusted with
 * the value: a row that was waited for may be elsewhere by then.
 *
 * Rows of a table are read and written here as its owner, not hidden by row
 * security, as foreign keys do: who writes a row need not be one who may read
 * what it refers to.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "table/plans.h"
#include "table/registry.h"
#include "table/scope_path.h"
#include "util/compat.h"
#include "util/plan.h"
#include "util/settings.h"

PG_FUNCTION_INFO_V1(tide_scope);
PG_FUNCTION_INFO_V1(tide_scope_late);
PG_FUNCTION_INFO_V1(tide_path);

/* rows of this table are being told to find their scope anew */
static Oid	refreshing = InvalidOid;

/* grows whenever an ancestor leads elsewhere: what was found may be wrong */
static uint64 path_changes = 0;

/* ---------- whose rights ---------- */

typedef struct SavedUser
{
	Oid			user;
	int			context;
} SavedUser;

static Oid
owner_of(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* On an error the user is restored with the (sub)transaction's abort. */
static void
become_owner(Oid relid, SavedUser *saved)
{
	GetUserIdAndSecContext(&saved->user, &saved->context);
	SetUserIdAndSecContext(owner_of(relid), saved->context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_NOFORCE_RLS);
}

static void
become_user(SavedUser *saved)
{
	SetUserIdAndSecContext(saved->user, saved->context);
}

/*
 * Run a statement as the owner of a table.  latest: on what is committed by now
 * even in a transaction that keeps an older snapshot, which must then fail if
 * it would write a row that it cannot see.
 */
static void
run_as_owner(Oid relid, TrackedTable *t, const char *name, const char *sql,
			 int nargs, Oid *types, Datum *values, bool latest)
{
	SavedUser	saved;
	SPIPlanPtr	plan;
	Snapshot	snapshot = InvalidSnapshot;
	Snapshot	crosscheck = InvalidSnapshot;
	int			code;

	become_owner(relid, &saved);
	plan = plans_of_table(t, name, sql, nargs, types);
	plans_settle(plan);
	if (latest && IsolationUsesXactSnapshot())
	{
		CommandCounterIncrement();	/* our own changes, too */
		snapshot = GetLatestSnapshot();
		crosscheck = GetTransactionSnapshot();
	}
	code = SPI_execute_snapshot(plan, values, NULL, snapshot, crosscheck,
								false, true, 0);
	become_user(&saved);
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
 * One step: from the values of its from columns to those that lead on, in the
 * same array.  False: there is no such row, or it leads nowhere.
 *
 * Each step is a statement of its own: a join would drop a row that was waited
 * for and leads elsewhere since, instead of following it.
 */
static bool
follow_step(TrackedTable *t, int n, Datum *values)
{
	PathStep   *step = &t->path->steps[n];
	char		name[32];
	int			i;

	snprintf(name, sizeof(name), "scope up %d", n);
	run_as_owner(step->relid, t, name, plans_find(t, name) ? NULL : lookup_sql(step),
				 step->ncolumns, step->from_types, values, false);
	if (SPI_processed == 0)
		return false;
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

/*
 * The scope of a row, palloc'd; false: it has none, since it refers to nothing,
 * or to what is not there yet.
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
		*scope = datumCopy(values[0], byval, length);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return found;
}

/* ---------- the row trigger ---------- */

/*
 * The last answer of a statement: rows of one parent often come together.  It
 * stands as long as no ancestor has changed, for the locks are still held.
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

/* has this update nothing to do with the scope? */
static bool
scope_stands(TrackedTable *t, TupleDesc desc, HeapTuple old, HeapTuple new)
{
	PathStep   *first = &t->path->steps[0];
	int			i;

	if (refreshing == t->relid || !same_column(desc, t->scope, old, new))
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
		memo->subid != GetCurrentSubTransactionId() || refreshing == t->relid)
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

/* a tracked table's entry, if its scope follows foreign keys; else NULL */
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

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("tide.scope() is a trigger of tracked tables, for each row, before insert or update"),
				 errhint("tide.track() creates it.")));

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

static void
append_refresh(StringInfo sql, TrackedTable *t)
{
	const char *scope = quote_identifier(tracked_column(t, t->scope)->name);

	appendStringInfo(sql, "UPDATE ONLY %s c SET %s = c.%s", t->sql_name, scope, scope);
}

static void
run_refresh(TrackedTable *t, const char *name, const char *sql, int nargs, Oid *types,
			Datum *values)
{
	Oid			outer = refreshing;

	PG_TRY();
	{
		refreshing = t->relid;
		run_as_owner(t->relid, t, name, sql, nargs, types, values, true);
	}
	PG_FINALLY();
	{
		refreshing = outer;
	}
	PG_END_TRY();
}

/*
 * Deferred to the end of the transaction: a row whose path led nowhere.  By now
 * the foreign keys are satisfied, so where there was no parent there is one,
 * perhaps of a transaction that did not see this row.
 */
Datum
tide_scope_late(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	row;
	TrackedTable *t;
	StringInfoData sql;
	Oid			types[INDEX_MAX_KEYS];
	Datum		key[INDEX_MAX_KEYS];
	Datum		scope;
	int			k;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("tide.scope_late() is a trigger of tracked tables, for each row, after insert or update"),
				 errhint("tide.track() creates it.")));
	desc = RelationGetDescr(trigdata->tg_relation);
	row = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ? trigdata->tg_newtuple :
		trigdata->tg_trigtuple;
	t = table_of_trigger(trigdata->tg_relation);

	/* else the update below would come here again, and again */
	if (t == NULL || !find_scope(t, row, desc, &scope))
		PG_RETURN_POINTER(NULL);

	initStringInfo(&sql);
	append_refresh(&sql, t);
	appendStringInfo(&sql, " WHERE c.%s IS NULL",
					 quote_identifier(tracked_column(t, t->scope)->name));
	for (k = 0; k < t->nkeys; k++)
	{
		TrackedColumn *c = tracked_column(t, t->keys[k]);
		bool		isnull;

		types[k] = c->base_type;
		key[k] = heap_getattr(row, c->attnum, desc, &isnull);
		appendStringInfo(&sql, " AND c.%s %s $%d", quote_identifier(c->name),
						 t->key_equal[k], k + 1);
	}
	SPI_connect();
	run_refresh(t, "scope late", sql.data, t->nkeys, types, key);
	SPI_finish();
	PG_RETURN_POINTER(NULL);
}

/* ---------- down the path: the rows below one that leads elsewhere ---------- */

/* keys of rows, a column after the other */
typedef struct KeySet
{
	int			n;
	int			allocated;
	Datum	   *columns[INDEX_MAX_KEYS];
} KeySet;

static void
add_key(KeySet *keys, int ncolumns, const Datum *values)
{
	int			i;

	if (keys->n == keys->allocated)
	{
		keys->allocated = Max(keys->allocated * 2, 64);
		for (i = 0; i < ncolumns; i++)
			keys->columns[i] = keys->columns[i] ?
				repalloc_huge(keys->columns[i], sizeof(Datum) * keys->allocated) :
				palloc(sizeof(Datum) * keys->allocated);
	}
	for (i = 0; i < ncolumns; i++)
		keys->columns[i][keys->n] = values[i];
	keys->n++;
}

/* the keys as arguments: an array for each column that a step refers to */
static void
key_arguments(PathStep *step, KeySet *keys, Oid *types, Datum *values)
{
	int			i;

	for (i = 0; i < step->ncolumns; i++)
	{
		int16		length;
		bool		byval;
		char		align;

		get_typlenbyvalalign(step->to_types[i], &length, &byval, &align);
		types[i] = get_array_type(step->to_types[i]);
		values[i] = PointerGetDatum(construct_array(keys->columns[i], keys->n,
													step->to_types[i], length,
													byval, align));
	}
}

/* "FROM the keys WHERE they equal the from columns of c" */
static void
append_refers_to_keys(StringInfo sql, PathStep *step, const char *from)
{
	int			i;

	appendStringInfo(sql, " %s ROWS FROM (", from);
	for (i = 0; i < step->ncolumns; i++)
		appendStringInfo(sql, "%spg_catalog.unnest($%d)", i ? ", " : "", i + 1);
	appendStringInfoString(sql, ") k(");
	for (i = 0; i < step->ncolumns; i++)
		appendStringInfo(sql, "%sk%d", i ? ", " : "", i);
	appendStringInfoString(sql, ") WHERE ");
	for (i = 0; i < step->ncolumns; i++)
		appendStringInfo(sql, "%sk.k%d %s c.%s", i ? " AND " : "", i, step->equal[i],
						 step->from_names[i]);
}

/* from rows that a step refers to, to the rows that refer to them, one table down */
static void
climb_down(TrackedTable *t, int n, KeySet *keys)
{
	PathStep   *step = &t->path->steps[n];
	PathStep   *below = &t->path->steps[n - 1];
	Oid			types[INDEX_MAX_KEYS];
	Datum		values[INDEX_MAX_KEYS];
	char		name[32];
	StringInfoData sql;
	uint64		i;
	int			k;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (k = 0; k < below->ncolumns; k++)
		appendStringInfo(&sql, "%sc.%s", k ? ", " : "", below->to_names[k]);
	appendStringInfo(&sql, " FROM ONLY %s c", below->sql_name);
	append_refers_to_keys(&sql, step, "CROSS JOIN");
	key_arguments(step, keys, types, values);
	snprintf(name, sizeof(name), "scope down %d", n);
	run_as_owner(below->relid, t, name, sql.data, step->ncolumns, types, values, true);

	memset(keys, 0, sizeof(*keys));
	for (i = 0; i < SPI_processed; i++)
	{
		bool		any_null = false;

		for (k = 0; k < below->ncolumns; k++)
		{
			bool		isnull;

			values[k] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
									  k + 1, &isnull);
			any_null |= isnull;
		}
		if (!any_null)
			add_key(keys, below->ncolumns, values);
	}
}

/* all rows of a table that come through these, by its step n, find their scope */
static void
refresh_below(TrackedTable *t, int n, KeySet *keys)
{
	PathStep   *first = &t->path->steps[0];
	Oid			types[INDEX_MAX_KEYS];
	Datum		values[INDEX_MAX_KEYS];
	StringInfoData sql;

	for (; n > 0 && keys->n > 0; n--)
		climb_down(t, n, keys);
	if (keys->n == 0)
		return;
	initStringInfo(&sql);
	append_refresh(&sql, t);
	append_refers_to_keys(&sql, first, "FROM");
	key_arguments(first, keys, types, values);
	run_refresh(t, "scope refresh", sql.data, first->ncolumns, types, values);
}

/* ---------- the statement triggers of ancestors ---------- */

/* the rows before and after; new is NULL of a DELETE */
typedef struct Transition
{
	Tuplestorestate *old_store;
	Tuplestorestate *new_store;
	int			old_pointer;
	int			new_pointer;
	TupleTableSlot *old;
	TupleTableSlot *new;
} Transition;

/* read from the start, whoever else reads it */
static int
open_store(Tuplestorestate *store)
{
	int			pointer = tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND);

	tuplestore_select_read_pointer(store, pointer);
	tuplestore_rescan(store);
	return pointer;
}

static void
open_transition(Transition *rows, TriggerData *trigdata)
{
	TupleDesc	desc = RelationGetDescr(trigdata->tg_relation);

	memset(rows, 0, sizeof(*rows));
	rows->old_store = trigdata->tg_oldtable;
	rows->new_store = trigdata->tg_newtable;
	rows->old_pointer = open_store(rows->old_store);
	rows->old = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	if (rows->new_store)
	{
		rows->new_pointer = open_store(rows->new_store);
		rows->new = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	}
}

static bool
next_transition(Transition *rows)
{
	tuplestore_select_read_pointer(rows->old_store, rows->old_pointer);
	if (!tuplestore_gettupleslot(rows->old_store, true, false, rows->old))
		return false;
	slot_getallattrs(rows->old);
	if (rows->new_store == NULL)
		return true;
	tuplestore_select_read_pointer(rows->new_store, rows->new_pointer);
	if (!tuplestore_gettupleslot(rows->new_store, true, false, rows->new))
		return false;
	slot_getallattrs(rows->new);
	return true;
}

static void
close_transition(Transition *rows)
{
	ExecDropSingleTupleTableSlot(rows->old);
	if (rows->new)
		ExecDropSingleTupleTableSlot(rows->new);
}

static bool
any_changed(Transition *rows, const AttrNumber *columns, int n)
{
	TupleDesc	desc = rows->old->tts_tupleDescriptor;
	int			i;

	for (i = 0; i < n; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, columns[i] - 1);
		int			c = columns[i] - 1;

		if (rows->old->tts_isnull[c] != rows->new->tts_isnull[c] ||
			(!rows->old->tts_isnull[c] &&
			 !tide_image_eq(rows->old->tts_values[c], rows->new->tts_values[c],
							att->attbyval, att->attlen)))
			return true;
	}
	return false;
}

/* remember what a row is referred to by; nothing refers to a NULL */
static void
add_row(KeySet *keys, PathStep *step, TupleTableSlot *row)
{
	Datum		values[INDEX_MAX_KEYS];
	int			i;

	for (i = 0; i < step->ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(row->tts_tupleDescriptor, step->to[i] - 1);

		if (row->tts_isnull[step->to[i] - 1])
			return;
		values[i] = datumCopy(row->tts_values[step->to[i] - 1], att->attbyval, att->attlen);
	}
	add_key(keys, step->ncolumns, values);
}

/*
 * The rows of the statement that lead elsewhere now, or that others refer to
 * now: where a key goes from one row to another, what refers to it has moved.
 * After a delete there may be such only until the foreign key is checked.
 */
static void
collect_changed(TriggerData *trigdata, PathStep *step, KeySet *keys)
{
	Transition	rows;

	memset(keys, 0, sizeof(*keys));
	if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event) &&
		step->on_delete != FKCONSTR_ACTION_NOACTION)
		return;
	open_transition(&rows, trigdata);
	while (next_transition(&rows))
	{
		CHECK_FOR_INTERRUPTS();
		if (rows.new == NULL)
			add_row(keys, step, rows.old);
		else if (any_changed(&rows, step->to, step->ncolumns))
		{
			add_row(keys, step, rows.old);
			add_row(keys, step, rows.new);
		}
		else if (any_changed(&rows, step->reads, step->nreads))
			add_row(keys, step, rows.new);
	}
	close_transition(&rows);
}

/*
 * Of a path that leads nowhere now, nobody knows whether it came through this
 * table, and what is changed here would be missed once it leads on again.  So
 * it is an error; but not for what somebody else has tracked.
 */
static bool
has_say(Oid tracked, Oid relid)
{
	return has_privs_of_role(owner_of(tracked), owner_of(relid));
}

Datum
tide_path(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	MemoryContext context;
	MemoryContext old;
	ListCell   *lc;
	Oid			relid;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) ||
		TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event) ||
		trigdata->tg_oldtable == NULL ||
		(TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) && trigdata->tg_newtable == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("tide.path() is a trigger of tables that a scope is found by, for each statement, with transition tables"),
				 errhint("tide.track() creates it.")));

	relid = RelationGetRelid(trigdata->tg_relation);
	context = AllocSetContextCreate(CurrentMemoryContext, "pg_tide path",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	foreach(lc, registry_all())
	{
		TrackedTable *t = lfirst(lc);
		int			n;

		if (t->scope_path && t->path == NULL && has_say(t->relid, relid))
			registry_require(t->relid);
		for (n = 0; t->path && n < t->path->nsteps; n++)
		{
			KeySet		keys;

			if (t->path->steps[n].relid != relid)
				continue;
			collect_changed(trigdata, &t->path->steps[n], &keys);
			if (keys.n == 0)
				continue;
			path_changes++;
			SPI_connect();
			refresh_below(t, n, &keys);
			SPI_finish();
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	PG_RETURN_POINTER(NULL);
}
