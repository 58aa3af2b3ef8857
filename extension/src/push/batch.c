/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  Running the statements of a push.
 *
 * A statement joins its changes, as a relation (batch_rows.c) or, if there is
 * just one, as parameters, with the table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "nodes/params.h"
#include "parser/parse_node.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"

#include "capture/capture.h"
#include "push/batch.h"
#include "push/batch_columns.h"
#include "push/batch_rows.h"
#include "push/batch_sql.h"
#include "push/latest.h"
#include "table/plans.h"
#include "util/keymap.h"

/* ---------- one change, by parameters ---------- */

/*
 * Setting up a relation takes longer than writing one row.  So the statement
 * of a single change does without one, and b.name is a parameter in it, with
 * the type and collation of the relation's column.
 */
typedef struct BatchParameters
{
	TupleDesc	desc;			/* of the relation that the parameters replace */
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

/* ---------- the statements ---------- */

/*
 * Only writes test the scope in SQL.  A probe has to see the row whatever its
 * scope.
 */
static bool
takes_scopes(PushTable *table, BatchStatement statement)
{
	return !table->scopes.any &&
		(statement == BATCH_UPDATE || statement == BATCH_DELETE ||
		 statement == BATCH_SOFT_DELETE);
}

/* the statement, whether scopes are tested, and the columns */
static char *
statement_name(PushTable *table, BatchStatement statement, const BatchShape *shape)
{
	return psprintf("%s%s%s %d %d %d %d%s", shape->single ? "one" : "batch",
					shape->by_tid ? " by tid" : "", shape->tells_tid ? " tells tid" : "", statement,
					table->scopes.any, table->returns_rows, shape->flags,
					batch_columns_name(shape->columns));
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
 * The columns that all of these changes send.  If they differ, or if the table
 * has many plans already, the columns that any change could send.
 */
static BatchShape
statement_shape(PushTable *table, BatchStatement statement, List *changes)
{
	BatchShape	shape = {NULL};

	if (statement == BATCH_DELETE || statement == BATCH_SOFT_DELETE)
		return shape;
	shape.columns = batch_columns(statement, linitial(changes));
	if (batch_is_of_one_set(statement, changes) &&
		(!plans_are_many(table->t) || !batch_may_name_any(table, statement) ||
		 plans_find(table->t, statement_name(table, statement, &shape)) != NULL))
		return shape;
	return batch_shape_of_any(table, statement, changes);
}

/* what the triggers of the statement must know */
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
		row->columns = batch_columns(statement, c);
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
	BatchParameters *parameters;

	if (latest)
		return SPI_execute_snapshot(plan, &scopes, NULL, GetLatestSnapshot(),
									InvalidSnapshot, true, false, 0);
	if (!shape->single)
		return SPI_execute_plan(plan, &scopes, NULL, false, 0);
	source = linitial(SPI_plan_get_plan_sources(plan));
	parameters = source->parserSetupArg;
	return SPI_execute_plan_with_paramlist(plan,
										   batch_parameter_values(table, statement, shape,
																  linitial(changes),
																  parameters->desc,
																  parameters->scopes_type,
																  scopes),
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
 * Run the statement.  If a trigger pushes in turn, that push restores what
 * this one has announced.
 *
 * latest: read what is committed by now, even if the transaction keeps an
 * older snapshot.  This is for a probe only.
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

/* The row is not in its place any more.  A write is judged again by its caller. */
static void
place_was_wrong(Push *push, PushTable *table, BatchStatement statement, List *changes,
				BatchShape *shape, bool latest)
{
	latest_forget();
	shape->by_tid = false;
	if (statement != BATCH_PROBE)
		return;
	SPI_freetuptable(SPI_tuptable);
	run_plan(push, table, statement, changes, shape, latest);
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
		relation = batch_open_relation(table, statement, &shape, changes);
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
		place_was_wrong(push, table, statement, changes, &shape, latest);
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
