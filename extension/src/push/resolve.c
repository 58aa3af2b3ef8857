/*-------------------------------------------------------------------------
 *
 * resolve.c
 *	  Conflicts that a function of the user's resolves.
 *
 * The function is called with the rights of whoever pushes, for each change of
 * a row that exists: (entity_type text, current jsonb, incoming jsonb) returns
 * the row to store, or NULL to keep the current one.  An error in the function
 * fails the change.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "push/change.h"
#include "table/plans.h"
#include "table/resolver.h"
#include "util/errors.h"
#include "util/json.h"
#include "wire/wire.h"

/*
 * Is the function that is there by now one that may be called?  No change is to
 * blame if it is not.
 */
static void
check_resolver(TrackedTable *t)
{
	Resolver	r = resolver_find(t->resolver, t->owner);

	if (r.problem)
		ereport(ERROR,
				(errcode(OidIsValid(r.function) ? ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE :
						 r.sqlstate),
				 errmsg("%s", r.problem), errhint("%s", r.hint)));
}

/* NULL: keep the current row */
static Jsonb *
call_resolver(Push *push, TrackedTable *t, Jsonb *current, Jsonb *incoming)
{
	static Oid	types[3] = {TEXTOID, JSONBOID, JSONBOID};
	SPIPlanPtr	plan;
	Jsonb	   *result = NULL;
	Datum		values[3];
	Datum		value;
	bool		isnull;
	int			code;

	check_resolver(t);
	plan = plans_of_table(t, "resolver", psprintf("SELECT %s($1, $2, $3)", t->resolver),
						  3, types);
	values[0] = CStringGetTextDatum(t->entity_type);
	values[1] = JsonbPGetDatum(current);
	values[2] = JsonbPGetDatum(incoming);
	code = SPI_execute_plan(plan, values, NULL, false, 0);
	if (code != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not call the resolver of \"%s\", %s",
			 t->entity_type, SPI_result_code_string(code));
	if (SPI_gettypeid(SPI_tuptable->tupdesc, 1) != JSONBOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the resolver of \"%s\" does not return jsonb", t->entity_type)));
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull)
	{
		MemoryContext old = MemoryContextSwitchTo(push->context);

		result = DatumGetJsonbPCopy(value);
		MemoryContextSwitchTo(old);
	}
	SPI_freetuptable(SPI_tuptable);

	/* a resolver may say null in JSON, too */
	if (result && JB_ROOT_IS_SCALAR(result))
	{
		JsonbValue	scalar;

		if (JsonbExtractScalar(&result->root, &scalar) && scalar.type == jbvNull)
			return NULL;
	}
	if (result && !JB_ROOT_IS_OBJECT(result))
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_NOT_STORED),
				 errmsg("the resolver of \"%s\" returned no object", t->entity_type),
				 errhint("It returns the row to store, or NULL to keep the current one.")));
	return result;
}

/* a resolver decides about a row, not about which row it is */
static void
check_key(Change *c, Jsonb *resolved)
{
	TrackedTable *t = c->table->t;
	int			k;

	for (k = 0; k < t->nkeys; k++)
	{
		TrackedColumn *column = tracked_column(t, t->keys[k]);
		JsonbValue	buffer;
		JsonbValue *v = getKeyJsonValueFromContainer(&resolved->root, column->wire,
													 strlen(column->wire), &buffer);
		Datum		value;
		bool		isnull;

		if (v == NULL)
			continue;
		value = wire_read_value(t, column, v, &isnull);
		if (isnull || strcmp(OutputFunctionCall(&column->output, value),
							 OutputFunctionCall(&column->output, c->typed.key[k])) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_MALFORMED_CHANGE),
					 errmsg("the resolver of \"%s\" returned another key", t->entity_type),
					 err_generic_string(PG_DIAG_COLUMN_NAME, column->wire)));
	}
}

/*
 * Are these columns the same in two objects?  A column that only one of them
 * has counts as different.
 */
static bool
same_members(TrackedTable *t, Bitmapset *columns, Jsonb *a, Jsonb *b)
{
	int			att = -1;

	while ((att = bms_next_member(columns, att)) >= 0)
	{
		const char *name = tracked_column(t, att)->wire;
		JsonbValue	x_buffer,
					y_buffer;
		JsonbValue *x = getKeyJsonValueFromContainer(&a->root, name, strlen(name), &x_buffer);
		JsonbValue *y = getKeyJsonValueFromContainer(&b->root, name, strlen(name), &y_buffer);

		if (x == NULL || y == NULL)
			return false;
		if (compareJsonbContainers(&JsonbValueToJsonb(x)->root,
								   &JsonbValueToJsonb(y)->root) != 0)
			return false;
	}
	return true;
}

/*
 * Settle what the change writes from now on, and its verdict: superseded if
 * the row stays as it is, applied if exactly what was sent is stored, else
 * merged.
 */
static void
take_result(Push *push, Change *c, Jsonb *current, Jsonb *incoming, Jsonb *resolved)
{
	TrackedTable *t = c->table->t;
	Bitmapset  *others;

	c->outcome.values = palloc0(sizeof(Datum) * t->ncolumns);
	c->outcome.nulls = palloc0(sizeof(bool) * t->ncolumns);
	check_key(c, resolved);
	c->outcome.columns = change_read_columns(push, t, &resolved->root, c->outcome.values, c->outcome.nulls);
	others = bms_difference(c->outcome.columns, c->typed.changed);
	if (bms_is_subset(c->typed.changed, c->outcome.columns) &&
		same_members(t, c->typed.changed, resolved, incoming) &&
		same_members(t, others, resolved, current))
		c->outcome.verdict = VERDICT_APPLIED;
	else if (same_members(t, c->outcome.columns, resolved, current))
		c->outcome.verdict = VERDICT_SUPERSEDED;
	else
		c->outcome.verdict = VERDICT_MERGED;
}

/*
 * Ask the resolver about those of these changes that decide() left to it.
 * Their row is in c->found.before.  The resolver is not asked about a row that
 * the caller may not read.
 */
void
resolver_ask(Push *push, PushTable *table, List *changes)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);
		MemoryContext old;
		Jsonb	   *current;
		Jsonb	   *incoming;
		Jsonb	   *resolved;
		int			level;

		if (!c->outcome.asks)
			continue;
		if (c->found.before == NULL)
		{
			change_fail_as(c, "not_stored", "the resolver cannot be called: the caller may not read the row");
			continue;
		}
		old = MemoryContextSwitchTo(push->context);
		level = wire_begin_kept();
		current = json_parse(c->found.before);
		incoming = json_parse(change_json(c, c->typed.changed, true));
		wire_end(level);
		resolved = call_resolver(push, table->t, current, incoming);
		if (resolved == NULL)
			c->outcome.verdict = VERDICT_SUPERSEDED;
		else
		{
			level = wire_begin_kept();
			take_result(push, c, current, incoming, resolved);
			wire_end(level);
		}
		if (c->outcome.verdict == VERDICT_SUPERSEDED)
			c->outcome.overrules = false;
		MemoryContextSwitchTo(old);
	}
}
