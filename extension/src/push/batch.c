/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  Changes as a relation that SQL can join, and running a push's statements.
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
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/params.h"
#include "optimizer/optimizer.h"
#include "parser/parse_node.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/queryenvironment.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "capture/capture.h"
#include "push/batch.h"
#include "push/batch_sql.h"
#include "push/latest.h"
#include "push/merge.h"
#include "push/rights.h"
#include "table/plans.h"
#include "util/json.h"
#include "util/keymap.h"


/* a tuple has at most 1,664 columns, and each of these takes two */
#define MAX_FLAGGED_COLUMNS 780

struct BatchRelation
{
	EphemeralNamedRelationData enr;
};

/* the columns that a statement may name whatever a single change sends */
typedef struct AnyColumns
{
	bool		update;			/* may it?  Else see batch_groups(). */
	bool		insert;
	bool		probe;
	Bitmapset  *updated;		/* attnums */
	Bitmapset  *identifying;	/* those of them that a foreign key could
								 * refer to: to name one makes triggers lock
								 * the row against who refers to it */
	Bitmapset  *inserted;
} AnyColumns;

/* ---------- which columns ---------- */

/* what a statement writes, or a probe reads, of this change's row */
static Bitmapset *
columns_of(BatchStatement statement, Change *c)
{
	Bitmapset  *columns = c->outcome.columns;
	TrackedTable *t = c->table->t;
	int			i;

	switch (statement)
	{
		case BATCH_PROBE:
			return c->typed.changed;
		case BATCH_INSERT:
		case BATCH_INSERT_STRICT:
			return columns ? bms_union(columns, c->typed.inserted) : c->typed.inserted;
		case BATCH_UPDATE:
			if (columns == NULL)
				return c->typed.changed;
			columns = bms_copy(columns);
			for (i = 0; i < t->ncolumns; i++)
				if (t->columns[i].always_identity)
					columns = bms_del_member(columns, i + 1);
			return columns;
		case BATCH_SENT:
			return c->found.exists ? c->typed.changed : c->typed.inserted;
		case BATCH_DELETE:
		case BATCH_SOFT_DELETE:
			break;
	}
	return NULL;
}

/* do triggers or rules depend on which columns an update names? */
static bool
names_matter(Relation rel)
{
	int			i;

	/* partitions may have triggers of their own */
	if (rel->rd_rel->relhasrules || rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		return true;
	for (i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		if (rel->trigdesc->triggers[i].tgnattr > 0)
			return true;
	}
	return false;
}

static Bitmapset *
identifying_columns(Relation rel)
{
	Bitmapset  *offset = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_KEY);
	Bitmapset  *result = NULL;
	int			n = -1;

	while ((n = bms_next_member(offset, n)) >= 0)
	{
		if (n + FirstLowInvalidHeapAttributeNumber > 0)
			result = bms_add_member(result, n + FirstLowInvalidHeapAttributeNumber);
	}
	return result;
}

/* once a push and table */
static AnyColumns *
any_columns(PushTable *table)
{
	TrackedTable *t = table->t;
	MemoryContext old;
	AnyColumns *any;
	Relation	rel;
	int			i;

	if (table->any_columns)
		return table->any_columns;
	old = MemoryContextSwitchTo(GetMemoryChunkContext(table));
	any = palloc0(sizeof(AnyColumns));
	for (i = 0; i < t->ncolumns; i++)
	{
		TrackedColumn *c = &t->columns[i];

		if (!column_is_synced(c) || c->key || c->generated ||
			c->attnum == t->modified_at || c->attnum == t->client_id ||
			c->attnum == t->deleted_at || c->attnum == t->version ||
			column_is_maintained(t, c))
			continue;
		any->inserted = bms_add_member(any->inserted, c->attnum);
		if (!c->always_identity)
			any->updated = bms_add_member(any->updated, c->attnum);
	}
	rel = table_open(t->relid, NoLock);
	any->identifying = bms_int_members(identifying_columns(rel), any->updated);
	any->insert = !rel->rd_rel->relhasrules && rights_may_insert_all(t);
	any->update = !names_matter(rel) && t->ncolumns <= MAX_FLAGGED_COLUMNS &&
		rights_may_update(t, any->updated, NULL);
	any->probe = rights_may_select_all(t);
	table_close(rel, NoLock);
	MemoryContextSwitchTo(old);
	table->any_columns = any;
	return any;
}

static bool
may_name_any(PushTable *table, BatchStatement statement)
{
	AnyColumns *any = any_columns(table);

	return statement == BATCH_PROBE ? any->probe :
		statement == BATCH_UPDATE ? any->update : any->insert;
}

static Bitmapset *
union_of_columns(BatchStatement statement, List *changes)
{
	Bitmapset  *result = NULL;
	ListCell   *lc;

	foreach(lc, changes)
		result = bms_add_members(result, columns_of(statement, lfirst(lc)));
	return result;
}

static BatchShape
shape_of_any(PushTable *table, BatchStatement statement, List *changes)
{
	AnyColumns *any = any_columns(table);
	BatchShape	shape = {any->inserted};

	if (statement == BATCH_PROBE)
		shape.columns = any->probe ? any->updated : union_of_columns(statement, changes);
	else if (statement == BATCH_UPDATE)
	{
		shape.flags = true;
		shape.columns = any->updated;
		if (!bms_overlap(any->identifying, union_of_columns(statement, changes)))
			shape.columns = bms_difference(any->updated, any->identifying);
	}
	return shape;
}

static bool
is_of_one_set(BatchStatement statement, List *changes)
{
	Bitmapset  *first = columns_of(statement, linitial(changes));
	ListCell   *lc;

	foreach(lc, changes)
	{
		if (!bms_equal(columns_of(statement, lfirst(lc)), first))
			return false;
	}
	return true;
}

/* the name of a set of columns */
static char *
set_name(Bitmapset *columns)
{
	StringInfoData name;
	int			att = -1;

	initStringInfo(&name);
	while ((att = bms_next_member(columns, att)) >= 0)
		appendStringInfo(&name, " %d", att);
	return name.data;
}

List *
batch_groups(PushTable *table, BatchStatement statement, List *changes)
{
	List	   *groups = NIL;
	KeyMap	   *map;
	ListCell   *lc;

	if (statement == BATCH_DELETE || statement == BATCH_SOFT_DELETE ||
		is_of_one_set(statement, changes) || may_name_any(table, statement))
		return list_make1(changes);
	map = keymap_new(CurrentMemoryContext, 16);
	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);
		char	   *name = set_name(columns_of(statement, c));
		List	  **members = keymap_get(map, name);

		if (members == NULL)
		{
			members = palloc0(sizeof(List *));
			groups = lappend(groups, members);
			keymap_put(map, name, members);
		}
		*members = lappend(*members, c);
	}
	foreach(lc, groups)
		lfirst(lc) = *(List **) lfirst(lc);
	return groups;
}

int
probe_column(PushTable *table, AttrNumber attnum)
{
	int			n = PROBE_CLOCKS + 1;
	int			att = -1;

	while ((att = bms_next_member(table->probed, att)) >= 0 && att != attnum)
		n++;
	Assert(att == attnum);
	return n;
}

/* ---------- the relation ---------- */

/* the type of the time columns is that of the table's stamp column */
static TupleDesc
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

/* what a change makes of deleted_at: that of a delete, or that which stands */
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

/* the defaults of the columns that an INSERT names and a change does not send */
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

/* as the INSERT would find it, with the caller's rights; good for one row */
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

/* one change as a row of a batch; defaults: of an INSERT, else NULL */
static void
fill_row(TrackedTable *t, BatchStatement statement, const BatchShape *shape, Change *c,
		 int ord, Defaults *defaults, Datum *values, bool *nulls)
{
	Bitmapset  *columns = columns_of(statement, c);
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

static bool
is_insert(BatchStatement statement)
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
	bool		inserts = is_insert(statement);
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

static BatchRelation *
open_relation(PushTable *table, BatchStatement statement, const BatchShape *shape,
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
	/* one of a statement that failed: its subtransaction is gone, it is not */
	(void) SPI_unregister_relation(BATCH_NAME);
	if (SPI_register_relation(enr) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the batch");
	return relation;
}

BatchRelation *
batch_open(PushTable *table, List *changes, Bitmapset *columns)
{
	BatchShape	shape = {columns, true};

	return open_relation(table, BATCH_SENT, &shape, changes);
}

void
batch_close(BatchRelation *relation)
{
	(void) SPI_unregister_relation(BATCH_NAME);
	tuplestore_end(relation->enr.reldata);
}

/* ---------- one change, by parameters ---------- */

/*
 * A relation takes more time to set up than one row to write.  So the statement
 * of a single change has the same text but for its FROM: there, b.name is a
 * parameter, of type and collation as the relation's column would be.
 */
typedef struct BatchParameters
{
	TupleDesc	desc;			/* of the relation that there is none of */
	Oid			scopes_type;	/* of $1, the parameter after desc's */
} BatchParameters;

static Node *
new_parameter(int id, Oid type, int32 typmod, Oid collation, int location)
{
	Param	   *param = makeNode(Param);

	param->paramkind = PARAM_EXTERN;
	param->paramid = id;
	param->paramtype = type;
	param->paramtypmod = typmod;
	param->paramcollid = collation;
	param->location = location;
	return (Node *) param;
}

static Node *
parameter_of_name(ParseState *pstate, ColumnRef *ref)
{
	BatchParameters *parameters = pstate->p_ref_hook_state;
	int			i;

	if (list_length(ref->fields) != 2 || !IsA(lsecond(ref->fields), String) ||
		strcmp(strVal(linitial(ref->fields)), "b") != 0)
		return NULL;
	for (i = 0; i < parameters->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(parameters->desc, i);

		if (strcmp(NameStr(att->attname), strVal(lsecond(ref->fields))) == 0)
			return new_parameter(i + 1, att->atttypid, att->atttypmod, att->attcollation,
								 ref->location);
	}
	return NULL;
}

static Node *
parameter_of_number(ParseState *pstate, ParamRef *ref)
{
	BatchParameters *parameters = pstate->p_ref_hook_state;

	if (ref->number != 1 || !OidIsValid(parameters->scopes_type))
		return NULL;
	return new_parameter(parameters->desc->natts + 1, parameters->scopes_type, -1,
						 get_typcollation(parameters->scopes_type), ref->location);
}

static void
set_up_parser(ParseState *pstate, void *arg)
{
	pstate->p_pre_columnref_hook = parameter_of_name;
	pstate->p_paramref_hook = parameter_of_number;
	pstate->p_ref_hook_state = arg;
}

static ParamListInfo
parameter_values(PushTable *table, BatchStatement statement, const BatchShape *shape,
				 Change *c, const BatchParameters *parameters, Datum scopes)
{
	TupleDesc	desc = parameters->desc;
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	ParamListInfo list = makeParamList(desc->natts + 1);
	Defaults	defaults = {0};
	bool		lacks_columns = is_insert(statement) &&
	!bms_is_subset(shape->columns, columns_of(statement, c));
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
	list->params[i].ptype = parameters->scopes_type;
	if (lacks_columns)
		end_defaults(&defaults);
	return list;
}

/* ---------- the statements ---------- */

/* only writes test the scope in SQL; a probe has to see what is in the way */
static bool
takes_scopes(PushTable *table, BatchStatement statement)
{
	return !table->scopes.any &&
		(statement == BATCH_UPDATE || statement == BATCH_DELETE ||
		 statement == BATCH_SOFT_DELETE);
}

/* by statement, whether scopes are tested, and the columns */
static char *
statement_name(PushTable *table, BatchStatement statement, const BatchShape *shape)
{
	return psprintf("%s%s%s %d %d %d %d%s", shape->single ? "one" : "batch",
					shape->by_tid ? " by tid" : "", shape->tells_tid ? " tells tid" : "", statement,
					table->scopes.any, table->returns_rows, shape->flags,
					set_name(shape->columns));
}

static SPIPlanPtr
single_plan(PushTable *table, BatchStatement statement, const BatchShape *shape,
			const char *name)
{
	TrackedTable *t = table->t;
	MemoryContext old = MemoryContextSwitchTo(t->context);
	BatchParameters *parameters = palloc0(sizeof(BatchParameters));

	parameters->desc = batch_desc(t, shape);
	if (takes_scopes(table, statement))
		parameters->scopes_type = access_scope_array_type(t);
	MemoryContextSwitchTo(old);
	return plans_of_parser(t, name, batch_sql(table, statement, shape),
						   set_up_parser, parameters);
}

static SPIPlanPtr
statement_plan(PushTable *table, BatchStatement statement, const BatchShape *shape)
{
	char	   *name = statement_name(table, statement, shape);
	SPIPlanPtr	plan = plans_find(table->t, name);
	Oid			type;

	if (plan)
		return plan;
	if (shape->single)
		return single_plan(table, statement, shape, name);
	type = takes_scopes(table, statement) ? access_scope_array_type(table->t) : InvalidOid;
	return plans_of_columns(table->t, name, batch_sql(table, statement, shape),
							OidIsValid(type) ? 1 : 0, &type);
}

/*
 * The columns that changes have in common; those that any could have, where
 * they differ, or where there are plans enough for single sets.
 */
static BatchShape
statement_shape(PushTable *table, BatchStatement statement, List *changes)
{
	BatchShape	shape = {NULL};

	if (statement == BATCH_DELETE || statement == BATCH_SOFT_DELETE)
		return shape;
	shape.columns = columns_of(statement, linitial(changes));
	if (is_of_one_set(statement, changes) &&
		(!plans_are_many(table->t) || !may_name_any(table, statement) ||
		 plans_find(table->t, statement_name(table, statement, &shape)) != NULL))
		return shape;
	return shape_of_any(table, statement, changes);
}

/* what the triggers of the statement have to know */
static void
announce(Push *push, PushTable *table, BatchStatement statement, List *changes)
{
	PushWrite  *write = &push->write;
	PushedRow  *rows = MemoryContextAllocZero(push->context,
											  sizeof(PushedRow) * list_length(changes));
	ListCell   *lc;

	write->relid = table->t->relid;
	write->depth = trigger_depth();
	write->rows = keymap_new(CurrentMemoryContext, list_length(changes) * 2);
	if (push->keeps_rows && push->rows == NULL)
		push->rows = keymap_new(push->context, push->nchanges * 2);
	write->stored = push->rows;
	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);
		PushedRow  *row = rows++;

		row->stamp = c->outcome.stored;
		row->origin = c->outcome.verdict == VERDICT_MERGED ? NULL : push_origin(push);
		row->columns = columns_of(statement, c);
		keymap_put(write->rows, c->typed.key_text, row);
		if (write->stored)
		{
			MemoryContext old = MemoryContextSwitchTo(push->context);

			keymap_put(write->stored,
					   pushed_row_name(table->t->relid, c->typed.key_text), row);
			MemoryContextSwitchTo(old);
		}
	}
}

/* an INSERT takes the rows in their order, and checks each before the next */
static Change *
stopped_at(BatchStatement statement, List *changes, const PushWrite *write)
{
	if ((statement == BATCH_INSERT || statement == BATCH_INSERT_STRICT) &&
		write->reached > 0 && write->reached < list_length(changes))
		return list_nth(changes, write->reached - 1);
	return NULL;
}

static int
execute(PushTable *table, BatchStatement statement, List *changes, const BatchShape *shape,
		SPIPlanPtr plan, bool latest)
{
	Datum		scopes = takes_scopes(table, statement) ?
	access_scope_array(table->t, &table->scopes) : (Datum) 0;
	CachedPlanSource *source;

	if (latest)
		return SPI_execute_snapshot(plan, &scopes, NULL, GetLatestSnapshot(),
									InvalidSnapshot, true, false, 0);
	if (!shape->single)
		return SPI_execute_plan(plan, &scopes, NULL, false, 0);
	source = linitial(SPI_plan_get_plan_sources(plan));
	return SPI_execute_plan_with_paramlist(plan,
										   parameter_values(table, statement, shape, linitial(changes),
															source->parserSetupArg, scopes),
										   false, 0);
}

static void
announce_and_execute(Push *push, PushTable *table, BatchStatement statement,
					 List *changes, const BatchShape *shape, bool latest)
{
	SPIPlanPtr	plan = statement_plan(table, statement, shape);
	int			code;

	if (statement != BATCH_PROBE)
	{
		announce(push, table, statement, changes);
		push_write = &push->write;
	}
	code = execute(table, statement, changes, shape, plan, latest);
	if (code < 0)
		elog(ERROR, "could not run a statement of a push, %s",
			 SPI_result_code_string(code));
}

/*
 * Run the statement; a push within this one, of a trigger, comes back to what
 * ours announced.
 *
 * latest: read what is committed by now, whatever snapshot the transaction
 * keeps; for a probe only.
 */
static void
run_plan(Push *push, PushTable *table, BatchStatement statement, List *changes,
		 const BatchShape *shape, bool latest)
{
	PushWrite  *outer = push_write;

	push->stopped_at = NULL;
	memset(&push->write, 0, sizeof(push->write));
	PG_TRY();
	{
		announce_and_execute(push, table, statement, changes, shape, latest);
	}
	PG_CATCH();
	{
		push_write = outer;
		push->stopped_at = stopped_at(statement, changes, &push->write);
		PG_RE_THROW();
	}
	PG_END_TRY();
	push_write = outer;
}

/* may the statement find the row by its place, and tell where it has put it? */
static void
settle_place(BatchShape *shape, BatchStatement statement, Change *c)
{
	if (statement == BATCH_UPDATE)
		shape->tells_tid = latest_may(c);
	if (statement == BATCH_UPDATE || statement == BATCH_PROBE)
		shape->by_tid = latest_find(c, &shape->tid);
}

static void
note_place(Change *c)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;
	bool		isnull;
	Datum		tid = SPI_getbinval(SPI_tuptable->vals[0], desc, desc->natts, &isnull);

	latest_note(c, (ItemPointer) DatumGetPointer(tid));
}

static void
run_statement(Push *push, PushTable *table, BatchStatement statement, List *changes,
			  bool latest)
{
	BatchShape	shape = statement_shape(table, statement, changes);
	BatchRelation *relation = NULL;

	shape.single = !latest && list_length(changes) == 1;
	if (shape.single && plans_are_many(table->t) &&
		plans_find(table->t, statement_name(table, statement, &shape)) == NULL)
		shape.single = false;
	if (!shape.single)
		relation = open_relation(table, statement, &shape, changes);
	if (statement == BATCH_PROBE)
	{
		MemoryContext old = MemoryContextSwitchTo(push->context);

		table->probed = bms_copy(shape.columns);
		MemoryContextSwitchTo(old);
	}
	if (shape.single)
		settle_place(&shape, statement, linitial(changes));
	run_plan(push, table, statement, changes, &shape, latest);
	if (shape.by_tid && SPI_processed == 0)
	{
		/* it is not there any more; a write is judged again by its caller */
		latest_forget();
		shape.by_tid = false;
		if (statement == BATCH_PROBE)
		{
			SPI_freetuptable(SPI_tuptable);
			run_plan(push, table, statement, changes, &shape, latest);
		}
	}
	if (shape.tells_tid && SPI_processed == 1)
		note_place(linitial(changes));
	if (relation)
		batch_close(relation);
}

void
batch_run(Push *push, PushTable *table, BatchStatement statement, List *changes)
{
	run_statement(push, table, statement, changes, false);
}

void
batch_probe_latest(Push *push, PushTable *table, List *changes)
{
	run_statement(push, table, BATCH_PROBE, changes, true);
}
