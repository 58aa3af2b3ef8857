/*-------------------------------------------------------------------------
 *
 * rows.c
 *	  Rows of tracked tables, read by key.
 *
 * Rows are read with the caller's rights: grants, column privileges and row
 * security apply.  Names come from the catalogs and are quoted.  Keys and scopes
 * are parameters of the columns' own types, so that indexes can be used.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "read/rows.h"
#include "table/catalog.h"
#include "table/plans.h"
#include "util/keymap.h"
#include "wire/wire.h"

PullTable *
rows_table(TrackedTable *t, const TableScopes *scopes)
{
	PullTable  *table = palloc0(sizeof(PullTable));

	table->t = t;
	table->scopes = *scopes;
	return table;
}

PullItem *
rows_ask(PullTable *table, const char *key)
{
	PullItem   *item = palloc0(sizeof(PullItem));

	item->table = table;
	item->key = pstrdup(key);
	/* in the memory of the list that has the table */
	if (table->seen == NULL)
		table->seen = keymap_new(GetMemoryChunkContext(table), 64);
	keymap_put(table->seen, item->key, item);
	return item;
}

/* "t.a, t.b": the synced columns */
char *
rows_columns(TrackedTable *t)
{
	StringInfoData s;
	int			i;

	initStringInfo(&s);
	for (i = 0; i < t->ncolumns; i++)
		if (column_is_synced(&t->columns[i]))
			appendStringInfo(&s, "%st.%s", s.len ? ", " : "",
							 quote_identifier(t->columns[i].name));
	return s.data;
}

void
rows_set(PullItem *item, HeapTuple tuple, TupleDesc desc, int first)
{
	TrackedTable *t = item->table->t;
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	int			i,
				n = first - 1;

	item->values = palloc0(sizeof(Datum) * t->ncolumns);
	item->nulls = palloc(sizeof(bool) * t->ncolumns);
	memset(item->nulls, true, sizeof(bool) * t->ncolumns);
	heap_deform_tuple(tuple, desc, values, nulls);
	for (i = 0; i < t->ncolumns; i++)
		if (column_is_synced(&t->columns[i]))
		{
			item->values[i] = values[n];
			item->nulls[i] = nulls[n];
			n++;
		}
	item->have_row = true;
	pfree(values);
	pfree(nulls);
}

/* the key of a tuple of rows_columns(), as text */
char *
rows_tuple_key(TrackedTable *t, HeapTuple tuple, TupleDesc desc)
{
	Datum		values[INDEX_MAX_KEYS];
	int			i,
				k;

	for (k = 0; k < t->nkeys; k++)
	{
		int			n = 0;
		bool		isnull;

		for (i = 0; i < t->keys[k]; i++)
			if (column_is_synced(&t->columns[i]))
				n++;
		values[k] = heap_getattr(tuple, n, desc, &isnull);
	}
	return wire_key_text(t, values);
}

/*
 * The keys of some items as one typed array for each key column, from
 * args[first] on.
 */
static void
key_arrays(TrackedTable *t, List *items, Datum *args)
{
	int			n = list_length(items);
	Datum	  **columns = palloc(sizeof(Datum *) * t->nkeys);
	Datum		values[INDEX_MAX_KEYS];
	ListCell   *lc;
	int			row = 0;
	int			k;

	for (k = 0; k < t->nkeys; k++)
		columns[k] = palloc(sizeof(Datum) * n);
	foreach(lc, items)
	{
		wire_key_values(t, ((PullItem *) lfirst(lc))->key, values);
		for (k = 0; k < t->nkeys; k++)
			columns[k][row] = values[k];
		row++;
	}
	for (k = 0; k < t->nkeys; k++)
	{
		Oid			type = tracked_column(t, t->keys[k])->base_type;
		int16		length;
		bool		byval;
		char		align;

		get_typlenbyvalalign(type, &length, &byval, &align);
		args[k] = PointerGetDatum(construct_array(columns[k], n, type, length,
												  byval, align));
	}
}

/*
 * SELECT the rows of these keys.  The caller checks whether they are in its
 * scopes.  With a condition on the scope the planner would consider the
 * scope's index, and read a whole scope for a few keys.
 */
static void
select_by_key(TrackedTable *t, List *items)
{
	Oid			types[INDEX_MAX_KEYS];
	Datum		args[INDEX_MAX_KEYS];
	SPIPlanPtr	plan = plans_find(t, "by key");
	int			code;
	int			k;

	key_arrays(t, items, args);
	if (plan == NULL)
	{
		StringInfoData sql;

		for (k = 0; k < t->nkeys; k++)
			types[k] = get_array_type(tracked_column(t, t->keys[k])->base_type);
		initStringInfo(&sql);
		appendStringInfo(&sql, "SELECT %s FROM ", rows_columns(t));
		if (t->nkeys == 1)
			appendStringInfo(&sql, "%s t WHERE t.%s %s ANY ($1)", t->sql_name,
							 quote_identifier(tracked_column(t, t->keys[0])->name),
							 t->key_equal[0]);
		else
		{
			appendStringInfoString(&sql, "ROWS FROM (");
			for (k = 0; k < t->nkeys; k++)
				appendStringInfo(&sql, "%spg_catalog.unnest($%d)", k ? ", " : "", k + 1);
			appendStringInfoString(&sql, ") k(");
			for (k = 0; k < t->nkeys; k++)
				appendStringInfo(&sql, "%sk%d", k ? ", " : "", k);
			appendStringInfo(&sql, ") JOIN %s t ON ", t->sql_name);
			for (k = 0; k < t->nkeys; k++)
				appendStringInfo(&sql, "%st.%s %s k.k%d", k ? " AND " : "",
								 quote_identifier(tracked_column(t, t->keys[k])->name),
								 t->key_equal[k], k);
		}
		plan = plans_of_table(t, "by key", sql.data, t->nkeys, types);
	}
	code = SPI_execute_plan(plan, args, NULL, true, 0);
	if (code != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s", SPI_result_code_string(code));
}

/*
 * is the item's row in the caller's scopes? If not, the caller does not see
 * it.
 */
static bool
row_is_allowed(PullTable *table, PullItem *item)
{
	TrackedTable *t = table->t;
	const char *scope;
	int			i;

	if (t->shared)
		return true;
	i = t->scope - 1;
	if (item->nulls[i])
		return false;
	if (table->scopes.any)
		return true;
	scope = wire_scope_text(t, item->values[i]);
	return access_has_text(&table->scopes, scope) || scopes_contain(&table->held, scope);
}

/*
 * Give each item from the log its row as it now stands.  An item without a row
 * in the caller's scopes stays a deletion.
 */
void
rows_fetch(List *tables, List *items)
{
	ListCell   *lt,
			   *li;

	foreach(lt, tables)
	{
		PullTable  *table = lfirst(lt);
		List	   *wanted = NIL;
		uint64		i;

		foreach(li, items)
		{
			PullItem   *item = lfirst(li);

			if (item->table == table && !item->have_row)
				wanted = lappend(wanted, item);
		}
		if (wanted == NIL || (!table->scopes.any && table->scopes.n == 0))
			continue;
		select_by_key(table->t, wanted);
		for (i = 0; i < SPI_processed; i++)
		{
			HeapTuple	tuple = SPI_tuptable->vals[i];
			PullItem   *item = keymap_get(table->seen,
										  rows_tuple_key(table->t, tuple, SPI_tuptable->tupdesc));

			if (item == NULL)
				continue;
			rows_set(item, tuple, SPI_tuptable->tupdesc, 1);
			item->have_row = row_is_allowed(table, item);
		}
	}
}

static void
changed_since(TrackedTable *t)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("table %s was changed after this transaction's snapshot was taken",
					t->sql_name),
			 errhint("Try the transaction again.")));
}

/*
 * A snapshot older than a rewriting ALTER TABLE or a TRUNCATE sees an empty
 * table, one older than tide.track misses what was written before it, and one
 * from before partitions came or went does not have the same rows as they:
 * each time the reader has to try again with a newer one.
 */
void
rows_check_snapshot(TrackedTable *t, List *relids, Snapshot snapshot)
{
	List	   *writers = list_make1_oid(t->trigger_xmin);
	ListCell   *lc;

	foreach(lc, relids)
	{
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(lfirst_oid(lc)));

		/* dropped before we had the lock on it */
		if (!HeapTupleIsValid(tuple))
			changed_since(t);
		writers = lappend_oid(writers, HeapTupleHeaderGetXmin(tuple->t_data));
		ReleaseSysCache(tuple);
	}
	foreach(lc, writers)
	{
		if (!catalog_is_seen(lfirst_oid(lc), snapshot))
			changed_since(t);
	}
	if (t->partitioned)
	{
		List	   *seen = partitions_seen(t->relid, snapshot);

		if (list_length(seen) != list_length(relids) ||
			list_difference_oid(seen, relids) != NIL)
			changed_since(t);
	}
	list_free(writers);
}
