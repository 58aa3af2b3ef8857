/*-------------------------------------------------------------------------
 *
 * batch_rows.c
 *	  Changes as the rows of a relation that SQL can join.
 *
 * A batch is an ephemeral relation "tide_batch" with typed columns: position
 * (ord), key (k0...), the stamp to store (new_time, new_client), the stamp
 * that was found (old_time, old_client), the time of a soft delete (del), under
 * "merge" the stamps of columns (new_clocks, old_clocks), and the columns to
 * write (c<attnum>).  Where changes write different columns, the batch has all
 * that sync may write, each with whether the change does (h<attnum>): so a
 * table is written by one statement, which locks its rows in the order of their
 * keys, and two pushes that cross do not wait for each other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "push/batch_columns.h"
#include "push/batch_rows.h"
#include "push/merge.h"
#include "util/json.h"

struct BatchRelation
{
	EphemeralNamedRelationData enr;
};

/* the type of the time columns is that of the table's stamp column */
TupleDesc
batch_desc(TrackedTable *t, const BatchShape *shape)
{
	Oid			time = tracked_column(t, t->modified_at)->type;
	bool		merges = (t->policy == POLICY_MERGE);
	TupleDesc	desc = CreateTemplateTupleDesc(1 + t->nkeys + 5 + (merges ? 2 : 0) + (shape->by_tid ? 1 : 0) +
											   bms_num_members(shape->columns) * (shape->flags ? 2 : 1));
	int			n = 0;
	int			k;
	int			att = -1;

	TupleDescInitEntry(desc, ++n, "ord", INT4OID, -1, 0);
	for (k = 0; k < t->nkeys; k++)
	{
		TrackedColumn *c = tracked_column(t, t->keys[k]);

		TupleDescInitEntry(desc, ++n, psprintf("k%d", k), c->type, c->typmod, 0);
		TupleDescInitEntryCollation(desc, n, c->collation);
	}
	TupleDescInitEntry(desc, ++n, "new_time", time, -1, 0);
	TupleDescInitEntry(desc, ++n, "new_client", TEXTOID, -1, 0);
	TupleDescInitEntryCollation(desc, n, DEFAULT_COLLATION_OID);
	TupleDescInitEntry(desc, ++n, "old_time", time, -1, 0);
	TupleDescInitEntry(desc, ++n, "old_client", TEXTOID, -1, 0);
	TupleDescInitEntryCollation(desc, n, DEFAULT_COLLATION_OID);
	TupleDescInitEntry(desc, ++n, "del",
					   t->deleted_at ? tracked_column(t, t->deleted_at)->type : time, -1, 0);
	if (merges)
	{
		TupleDescInitEntry(desc, ++n, "new_clocks", JSONBOID, -1, 0);
		TupleDescInitEntry(desc, ++n, "old_clocks", JSONBOID, -1, 0);
	}
	if (shape->by_tid)
		TupleDescInitEntry(desc, ++n, "tid", TIDOID, -1, 0);
	while ((att = bms_next_member(shape->columns, att)) >= 0)
	{
		TrackedColumn *c = tracked_column(t, att);

		TupleDescInitEntry(desc, ++n, psprintf("c%d", att), c->type, c->typmod, 0);
		TupleDescInitEntryCollation(desc, n, c->collation);
		if (shape->flags)
			TupleDescInitEntry(desc, ++n, psprintf("h%d", att), BOOLOID, -1, 0);
	}
	return desc;
}

static void
put_text(Datum *values, bool *nulls, int n, const char *string)
{
	nulls[n] = (string == NULL);
	values[n] = string ? CStringGetTextDatum(string) : (Datum) 0;
}

static void
put_time(Datum *values, bool *nulls, int n, bool has_time, TimestampTz time)
{
	nulls[n] = !has_time;
	values[n] = TimestampTzGetDatum(time);
}

/*
 * deleted_at as the change leaves it: the time of a delete, or what the row
 * has
 */
static void
put_deleted_at(Datum *values, bool *nulls, int n, Change *c)
{
	if (!c->typed.is_delete && c->outcome.verdict == VERDICT_MERGED && c->found.merge && c->found.merge->is_deleted)
	{
		values[n] = c->found.merge->deleted_at;
		nulls[n] = false;
		return;
	}
	put_time(values, nulls, n, c->typed.is_delete,
			 c->typed.has_deleted_at ? c->typed.deleted_at : c->outcome.stored.time);
}

static void
put_clocks(Datum *values, bool *nulls, int n, Merge *m)
{
	nulls[n] = (m == NULL || m->new_clocks == NULL);
	if (!nulls[n])
		values[n] = JsonbPGetDatum(json_parse(m->new_clocks));
	nulls[n + 1] = (m == NULL || m->stored_clocks == NULL);
	if (!nulls[n + 1])
		values[n + 1] = JsonbPGetDatum(m->stored_clocks);
}

/*
 * The defaults of columns that an INSERT names and that a change does not
 * send.
 */
typedef struct Defaults
{
	Relation	rel;
	EState	   *estate;
	ExprState **states;			/* by attnum - 1; NULL: not asked for yet */
	bool	   *known;
} Defaults;

static void
begin_defaults(Defaults *d, TrackedTable *t)
{
	d->rel = table_open(t->relid, NoLock);
	d->estate = CreateExecutorState();
	d->states = palloc0(sizeof(ExprState *) * t->ncolumns);
	d->known = palloc0(sizeof(bool) * t->ncolumns);
}

static void
end_defaults(Defaults *d)
{
	FreeExecutorState(d->estate);
	table_close(d->rel, NoLock);
}

/*
 * the default as the INSERT would find it, with the caller's rights; it is
 * good until the next row
 */
static void
put_default(Defaults *d, TrackedTable *t, AttrNumber attnum, Datum *value, bool *isnull)
{
	TrackedColumn *c = tracked_column(t, attnum);
	int			i = attnum - 1;

	if (!d->known[i])
	{
		MemoryContext old = MemoryContextSwitchTo(d->estate->es_query_cxt);
		Expr	   *expr = (Expr *) build_column_default(d->rel, attnum);

		if (expr)
			d->states[i] = ExecInitExpr(expression_planner(expr), NULL);
		d->known[i] = true;
		MemoryContextSwitchTo(old);
	}
	*value = (Datum) 0;
	*isnull = true;
	if (d->states[i])
		*value = ExecEvalExprSwitchContext(d->states[i],
										   GetPerTupleExprContext(d->estate), isnull);
	else if (c->base_type != c->type)
		domain_check(*value, true, c->type, NULL, NULL);
}

/*
 * One change as a row of a batch. defaults is NULL unless the statement is an
 * INSERT.
 */
static void
fill_row(TrackedTable *t, BatchStatement statement, const BatchShape *shape, Change *c,
		 int ord, Defaults *defaults, Datum *values, bool *nulls)
{
	Bitmapset  *columns = batch_columns(statement, c);
	Datum	   *sent = c->outcome.values ? c->outcome.values : c->typed.values;
	bool	   *sent_nulls = c->outcome.nulls ? c->outcome.nulls : c->typed.nulls;
	int			n = 0;
	int			k;
	int			att = -1;

	values[n++] = Int32GetDatum(ord);
	for (k = 0; k < t->nkeys; k++)
		values[n++] = c->typed.key[k];
	memset(nulls, false, sizeof(bool) * n);
	put_time(values, nulls, n++, c->outcome.stored.has_time, c->outcome.stored.time);
	put_text(values, nulls, n++, c->outcome.stored.client_id);
	put_time(values, nulls, n++, c->found.stamp.has_time, c->found.stamp.time);
	put_text(values, nulls, n++, c->found.stamp.client_id);
	put_deleted_at(values, nulls, n++, c);
	if (t->policy == POLICY_MERGE)
	{
		put_clocks(values, nulls, n, c->found.merge);
		n += 2;
	}
	if (shape->by_tid)
	{
		values[n] = PointerGetDatum(&shape->tid);
		nulls[n++] = false;
	}
	while ((att = bms_next_member(shape->columns, att)) >= 0)
	{
		bool		has = bms_is_member(att, columns);

		if (defaults && !has)
			put_default(defaults, t, att, &values[n], &nulls[n]);
		else
		{
			values[n] = sent[att - 1];
			nulls[n] = sent_nulls[att - 1];
		}
		n++;
		if (shape->flags)
		{
			values[n] = BoolGetDatum(has);
			nulls[n++] = false;
		}
	}
}

bool
batch_is_insert(BatchStatement statement)
{
	return statement == BATCH_INSERT || statement == BATCH_INSERT_STRICT;
}

static Tuplestorestate *
batch_rows(TrackedTable *t, TupleDesc desc, BatchStatement statement,
		   const BatchShape *shape, List *changes)
{
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	bool		inserts = batch_is_insert(statement);
	Defaults	defaults = {0};
	ListCell   *lc;
	int			ord = 0;

	if (inserts)
		begin_defaults(&defaults, t);
	foreach(lc, changes)
	{
		fill_row(t, statement, shape, lfirst(lc), ord++, inserts ? &defaults : NULL,
				 values, nulls);
		tuplestore_putvalues(store, desc, values, nulls);
		if (inserts)
			ResetPerTupleExprContext(defaults.estate);
	}
	if (inserts)
		end_defaults(&defaults);
	return store;
}

BatchRelation *
batch_open_relation(PushTable *table, BatchStatement statement, const BatchShape *shape,
					List *changes)
{
	BatchRelation *relation = palloc0(sizeof(BatchRelation));
	EphemeralNamedRelation enr = &relation->enr;

	enr->md.name = BATCH_NAME;
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = batch_desc(table->t, shape);
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = list_length(changes);
	enr->reldata = batch_rows(table->t, enr->md.tupdesc, statement, shape, changes);

	/*
	 * A statement that failed may have left one: its subtransaction is gone,
	 * but the registration is not.
	 */
	(void) SPI_unregister_relation(BATCH_NAME);
	if (SPI_register_relation(enr) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the batch");
	return relation;
}

BatchRelation *
batch_open(PushTable *table, List *changes, Bitmapset *columns)
{
	BatchShape	shape = {columns, true};

	return batch_open_relation(table, BATCH_SENT, &shape, changes);
}

void
batch_close(BatchRelation *relation)
{
	(void) SPI_unregister_relation(BATCH_NAME);
	tuplestore_end(relation->enr.reldata);
}

ParamListInfo
batch_parameter_values(PushTable *table, BatchStatement statement, const BatchShape *shape,
					   Change *c, TupleDesc desc, Oid scopes_type, Datum scopes)
{
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	ParamListInfo list = makeParamList(desc->natts + 1);
	Defaults	defaults = {0};
	bool		lacks_columns = batch_is_insert(statement) &&
		!bms_is_subset(shape->columns, batch_columns(statement, c));
	int			i;

	if (lacks_columns)
		begin_defaults(&defaults, table->t);
	fill_row(table->t, statement, shape, c, 0, lacks_columns ? &defaults : NULL,
			 values, nulls);
	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		list->params[i].value = values[i];
		list->params[i].isnull = nulls[i];
		list->params[i].pflags = 0;
		list->params[i].ptype = att->atttypid;
		if (lacks_columns && !nulls[i])
			list->params[i].value = datumCopy(values[i], att->attbyval, att->attlen);
	}
	list->params[i].value = scopes;
	list->params[i].isnull = false;
	list->params[i].pflags = 0;
	list->params[i].ptype = scopes_type;
	if (lacks_columns)
		end_defaults(&defaults);
	return list;
}
