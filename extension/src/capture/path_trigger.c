/*-------------------------------------------------------------------------
 *
 * path_trigger.c
 *	  The triggers on the tables of a scope's path: when a row leads
 *	  elsewhere, the rows below it get their scope anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/trigger.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "capture/scope_trigger.h"
#include "capture/trigger.h"
#include "table/registry.h"
#include "table/scope_path.h"
#include "util/compat.h"
#include "util/owner.h"

PG_FUNCTION_INFO_V1(tide_path);

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

/* the keys as a relation k */
static char *
keys_relation(PathStep *step)
{
	StringInfoData sql;
	int			i;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "ROWS FROM (");
	for (i = 0; i < step->ncolumns; i++)
		appendStringInfo(&sql, "%spg_catalog.unnest($%d)", i ? ", " : "", i + 1);
	appendStringInfoString(&sql, ") k(");
	for (i = 0; i < step->ncolumns; i++)
		appendStringInfo(&sql, "%sk%d", i ? ", " : "", i);
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/* the condition that the from columns of c equal them */
static char *
refers_to_keys(PathStep *step)
{
	StringInfoData sql;
	int			i;

	initStringInfo(&sql);
	for (i = 0; i < step->ncolumns; i++)
		appendStringInfo(&sql, "%sk.k%d %s c.%s", i ? " AND " : "", i, step->equal[i],
						 step->from_names[i]);
	return sql.data;
}

/*
 * from rows that a step refers to, to the rows one table below that refer to
 * them
 */
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
	appendStringInfo(&sql, " FROM ONLY %s c CROSS JOIN %s WHERE %s", below->sql_name,
					 keys_relation(step), refers_to_keys(step));
	key_arguments(step, keys, types, values);
	snprintf(name, sizeof(name), "scope down %d", n);
	scope_run(below->relid, t, name, sql.data, step->ncolumns, types, values, true);

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

/*
 * let all rows of a table that reach these rows by its step n find their
 * scope anew
 */
static void
refresh_below(TrackedTable *t, int n, KeySet *keys)
{
	PathStep   *first = &t->path->steps[0];
	Oid			types[INDEX_MAX_KEYS];
	Datum		values[INDEX_MAX_KEYS];
	ScopeRows	rows = {"below", NULL, NULL, 0, types, values};

	for (; n > 0 && keys->n > 0; n--)
		climb_down(t, n, keys);
	if (keys->n == 0)
		return;
	rows.source = keys_relation(first);
	rows.where = refers_to_keys(first);
	rows.nargs = first->ncolumns;
	key_arguments(first, keys, types, values);
	scope_refresh(t, &rows);
}

/* ---------- the statement triggers of ancestors ---------- */

static bool
any_changed(TransitionRows *rows, const AttrNumber *columns, int n)
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

/*
 * remember the values by which others refer to a row; nothing refers to a
 * NULL
 */
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
 * now.  When a key goes from one row to another, the rows that refer to it
 * have moved.  After a delete such rows exist only until the foreign key is
 * checked.
 */
static void
collect_changed(TriggerData *trigdata, PathStep *step, KeySet *keys)
{
	TransitionRows rows;

	memset(keys, 0, sizeof(*keys));
	if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event) &&
		step->on_delete != FKCONSTR_ACTION_NOACTION)
		return;
	transition_open(&rows, trigdata, RelationGetDescr(trigdata->tg_relation), 0);
	while (transition_next(&rows))
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
	transition_close(&rows);
}

/*
 * If a path is broken now, nobody knows whether it went through this table,
 * and the change made here would be missed when the path is repaired.  So this
 * is an error, unless somebody else has tracked the table.
 */
static bool
has_say(Oid tracked, Oid relid)
{
	return has_privs_of_role(owner_of_table(tracked), owner_of_table(relid));
}

Datum
tide_path(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	MemoryContext context;
	MemoryContext old;
	ListCell   *lc;
	Oid			relid;

	trigger_check(fcinfo, "tide.path() is a trigger of tables that a scope is found by, for each statement, with transition tables",
				  TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE);

	relid = RelationGetRelid(trigdata->tg_relation);
	context = AllocSetContextCreate(CurrentMemoryContext, "pg_tide path",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	foreach(lc, registry_below(relid))
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
