/*-------------------------------------------------------------------------
 *
 * push.c
 *	  tide.push, tide.upsert, tide.delete: a batch of changes.
 *
 * As long as nothing fails, all of a batch is one subtransaction and a
 * constant number of statements for each table and set of columns.  Once
 * something fails, it is undone and done again in units, each in a
 * subtransaction of its own; a unit that fails is halved until the change that
 * is to blame stands alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_constraint.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "compat.h"
#include "change.h"
#include "changelog.h"
#include "errors.h"
#include "history.h"
#include "pg_tide.h"
#include "wire.h"

PG_FUNCTION_INFO_V1(tide_push);
PG_FUNCTION_INFO_V1(tide_upsert);
PG_FUNCTION_INFO_V1(tide_delete);

/* changes of one table with the same columns, in one round */
typedef struct Unit
{
	PushTable  *table;
	bool		is_delete;
	Bitmapset  *sent;
	int			round;
	List	   *changes;
} Unit;

/* ---------- subtransactions ---------- */

typedef void (*Work) (Push *push, void *arg);

/*
 * Run something in a subtransaction: NULL if it went well, else the error,
 * copied to push->context, and everything it did undone.  What a repetition of
 * the whole push would mend (serialization, deadlock, resources, shutdown) is
 * raised again: it is no change's fault.
 */
static ErrorData *
try_work(Push *push, Work work, void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		work(push, arg);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(push->context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;

	if (error)
	{
		int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

		if (category == ERRCODE_TRANSACTION_ROLLBACK ||
			category == ERRCODE_INSUFFICIENT_RESOURCES ||
			category == ERRCODE_OPERATOR_INTERVENTION ||
			category == ERRCODE_SYSTEM_ERROR)
			ReThrowError(error);
	}
	return error;
}

/* ---------- deferred constraints ---------- */

/*
 * Deferrable constraints of a table, and those by which others refer to it:
 * ", schema.name" for each.
 */
static void
append_deferrable_constraints(StringInfo names, Oid relid)
{
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint con = (Form_pg_constraint) GETSTRUCT(tuple);

		if (con->condeferrable && (con->conrelid == relid || con->confrelid == relid))
			appendStringInfo(names, "%s%s", names->len ? ", " : "",
							 quote_qualified_identifier(get_namespace_name(con->connamespace),
														NameStr(con->conname)));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static void
set_constraints_immediate(Push *push, void *names)
{
	(void) SPI_execute(psprintf("SET CONSTRAINTS %s IMMEDIATE", (char *) names), false, 0);
}

/*
 * Check what is pending on the tables of the push.  SET CONSTRAINTS is undone
 * with a subtransaction, which restores the modes, whatever they were, and
 * puts the checks back to be made again at COMMIT.
 */
static void
check_deferred(Push *push)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, push->tables)
	{
		Oid			relid = ((PushTable *) lfirst(lc))->t->relid;

		if (AfterTriggerPendingOnRel(relid))
			append_deferrable_constraints(&names, relid);
	}
	if (names.len == 0)
		return;
	BeginInternalSubTransaction(NULL);
	set_constraints_immediate(push, names.data);
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
}

/* ---------- units ---------- */

static void
apply_unit(Push *push, void *arg)
{
	Unit	   *unit = arg;

	apply_group(push, unit->table, unit->changes, unit->is_delete);
}

static void
apply_unit_and_check(Push *push, void *arg)
{
	apply_unit(push, arg);
	check_deferred(push);
}

static int
compare_units(const ListCell *a, const ListCell *b)
{
	const Unit *x = lfirst(a);
	const Unit *y = lfirst(b);

	if (x->round != y->round)
		return x->round - y->round;
	if (x->is_delete != y->is_delete)
		return x->is_delete ? 1 : -1;
	return x->is_delete ? y->table->order - x->table->order :
		x->table->order - y->table->order;
}

static int
compare_changes_by_key(const ListCell *a, const ListCell *b)
{
	return strcmp(((Change *) lfirst(a))->key_text, ((Change *) lfirst(b))->key_text);
}

/*
 * Parents before children, then deletes the other way round; rounds for rows
 * that are changed more than once.  Within a unit by key, so that two pushes
 * lock rows in the same order.
 */
static List *
make_units(List *changes)
{
	List	   *units = NIL;
	ListCell   *lc,
			   *lu;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);
		Unit	   *unit = NULL;

		foreach(lu, units)
		{
			Unit	   *u = lfirst(lu);

			if (u->table == c->table && u->is_delete == c->is_delete &&
				u->round == c->round && bms_equal(u->sent, c->sent))
			{
				unit = u;
				break;
			}
		}
		if (unit == NULL)
		{
			unit = palloc0(sizeof(Unit));
			unit->table = c->table;
			unit->is_delete = c->is_delete;
			unit->sent = c->sent;
			unit->round = c->round;
			units = lappend(units, unit);
		}
		unit->changes = lappend(unit->changes, c);
	}
	list_sort(units, compare_units);
	foreach(lu, units)
		list_sort(((Unit *) lfirst(lu))->changes, compare_changes_by_key);
	return units;
}

static int
compare_by_stamp(const ListCell *a, const ListCell *b)
{
	const Change *x = lfirst(a);
	const Change *y = lfirst(b);

	/* without a stamp it is stamped on arrival: after all that have one */
	if (x->incoming.has_stamp != y->incoming.has_stamp)
		return x->incoming.has_stamp ? -1 : 1;
	if (x->incoming.has_stamp)
	{
		int			order = stamp_compare(&x->incoming.stamp, &y->incoming.stamp);

		if (order != 0)
			return order;
	}
	return x->index - y->index;
}

/* several changes to one row are folded in the order of their stamps */
static void
assign_rounds(List *changes)
{
	KeyMap	   *rounds = keymap_new(CurrentMemoryContext, list_length(changes) * 2);
	List	   *sorted = list_copy(changes);
	ListCell   *lc;

	list_sort(sorted, compare_by_stamp);
	foreach(lc, sorted)
	{
		Change	   *c = lfirst(lc);
		char	   *name = psprintf("%u %s", c->table->t->relid, c->key_text);
		intptr_t	before = (intptr_t) keymap_get(rounds, name);

		c->round = (int) before;
		keymap_put(rounds, name, (void *) (before + 1));
	}
}

/* ---------- the batch ---------- */

static List *
convertible(Push *push, bool converted)
{
	List	   *result = NIL;
	int			i;

	for (i = 0; i < push->nchanges; i++)
		if (push->changes[i].verdict != VERDICT_FAILED &&
			push->changes[i].converted == converted)
			result = lappend(result, &push->changes[i]);
	return result;
}

/* everything at once; push->nconverted says how far conversion came */
static void
work_on_all(Push *push, void *arg)
{
	List	   *units;
	ListCell   *lc;

	if (push->nconverted < push->nchanges)
	{
		int			level = wire_begin();

		for (; push->nconverted < push->nchanges; push->nconverted++)
			if (push->changes[push->nconverted].verdict == VERDICT_NONE)
				change_convert(push, &push->changes[push->nconverted]);
		wire_end(level);
		assign_rounds(convertible(push, true));
	}
	check_deferred(push);
	units = make_units(convertible(push, true));
	foreach(lc, units)
		apply_unit(push, lfirst(lc));
	check_deferred(push);
}

static void
forget_verdicts(List *changes)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		c->verdict = VERDICT_NONE;
		c->note = NULL;
	}
}

/* a unit by itself; if it fails, its halves */
static void
isolate(Push *push, Unit *unit)
{
	ErrorData  *error;
	int			n = list_length(unit->changes);
	int			tries = 0;
	Unit		half = *unit;

	do
	{
		forget_verdicts(unit->changes);
		error = try_work(push, apply_unit_and_check, unit);
	} while (error && error->sqlerrcode == ERRCODE_TIDE_AGAIN && ++tries < 10);
	if (error == NULL)
		return;
	if (n == 1)
	{
		change_fail(linitial(unit->changes), error);
		return;
	}
	half.changes = list_truncate(list_copy(unit->changes), n / 2);
	isolate(push, &half);
	half.changes = list_copy_tail(unit->changes, n / 2);
	isolate(push, &half);
}

static List *
failed_in_sql(List *changes)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		/* 23...: a constraint, which another change may have satisfied since */
		if (c->verdict == VERDICT_FAILED && strncmp(c->failure.code, "23", 2) == 0)
			result = lappend(result, c);
	}
	return result;
}

/*
 * Unit by unit.  What failed is tried again after the rest, as long as that
 * helps any: children that came before their parents, in whatever depth.
 */
static void
work_in_units(Push *push)
{
	List	   *changes = convertible(push, true);
	List	   *failed;
	ListCell   *lc;
	int			before;

	foreach(lc, make_units(changes))
		isolate(push, lfirst(lc));
	failed = failed_in_sql(changes);
	do
	{
		before = list_length(failed);
		foreach(lc, make_units(failed))
			isolate(push, lfirst(lc));
		failed = failed_in_sql(failed);
	} while (failed != NIL && list_length(failed) < before);
}

/*
 * Rows of which a newer version stands are sent again with the next pull, even
 * if the client ignores the reply.
 */
static void
send_superseded_again(Push *push)
{
	ListCell   *lc;

	foreach(lc, push->tables)
	{
		PushTable  *table = lfirst(lc);
		int			i;

		for (i = 0; i < push->nchanges; i++)
		{
			Change	   *c = &push->changes[i];

			if (c->table == table && c->verdict == VERDICT_SUPERSEDED &&
				(table->t->shared || c->row_scope))
				changelog_append(table->t, c->row_scope, NULL, &c->key_text, 1);
		}
	}
}

/*
 * Convert and carry out push->changes.  Must run in push->context, connected
 * to SPI.
 */
static void
run_push(Push *push)
{
	push_find_tables(push);
	for (;;)
	{
		ErrorData  *error = try_work(push, work_on_all, NULL);

		if (error == NULL)
			break;
		if (push->nconverted < push->nchanges)
		{
			/* this one cannot be converted: go on with the next */
			if (error->column_name == NULL)
				error->column_name = unconstify(char *, push->converting);
			change_fail(&push->changes[push->nconverted], error);
			push->nconverted++;
			continue;
		}
		/* a violation that was there before us raises, as it should */
		forget_verdicts(convertible(push, true));
		check_deferred(push);
		work_in_units(push);
		break;
	}
	send_superseded_again(push);
	push_read_entities(push);
}

static void
open_push(Push *push, ArrayType *scopes, char *client_id)
{
	history_require_primary();
	SPI_connect();
	push->context = CurrentMemoryContext;
	access_resolve(scopes, &push->access);
	push->client_id = client_id && client_id[0] ? client_id : NULL;
}

/* the change's, else the body's, else the user's, else the transaction's */
static void
settle_client_id(Push *push)
{
	if (push->client_id == NULL || push->client_id[0] == '\0')
		push->client_id = push->access.subject;
	if (push->client_id == NULL && tide_client_id && tide_client_id[0])
		push->client_id = pstrdup(tide_client_id);
}

static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

Datum
tide_push(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	Push		push = {0};
	char	   *reply;
	text	   *result;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
				 errmsg("the body of a push must not be null")));
	if (!PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("batch_id is not supported yet"),
				 errhint("Leave it out.")));
	if (!PG_ARGISNULL(4) && PG_GETARG_BOOL(4))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("atomic is not supported yet"),
				 errhint("Leave it out.")));

	open_push(&push, PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1),
			  text_argument(fcinfo, 2));
	push_read_body(&push, PG_GETARG_JSONB_P(0));
	settle_client_id(&push);
	run_push(&push);
	reply = push_reply(&push);

	MemoryContextSwitchTo(caller);
	result = cstring_to_text(reply);
	SPI_finish();
	PG_RETURN_TEXT_P(result);
}

/* ---------- one change ---------- */

static Datum
verdict_datum(FunctionCallInfo fcinfo, Push *push, MemoryContext caller)
{
	Change	   *c = &push->changes[0];
	TupleDesc	desc;
	Datum		values[7] = {0};
	bool		nulls[7];
	char	   *entity = c->verdict == VERDICT_FAILED ? NULL : push_entity(push, c);
	Datum		result;

	MemoryContextSwitchTo(caller);
	memset(nulls, true, sizeof(nulls));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	BlessTupleDesc(desc);

#define PUT(n, string) \
	if ((string) != NULL) \
	{ \
		values[n] = CStringGetTextDatum(string); \
		nulls[n] = false; \
	}
	PUT(0, verdict_name(c->verdict));
	if (entity)
	{
		values[1] = DirectFunctionCall1(jsonb_in, CStringGetDatum(entity));
		nulls[1] = false;
	}
	if (c->verdict == VERDICT_FAILED)
	{
		PUT(2, c->failure.code);
		PUT(3, c->failure.message);
		PUT(4, c->failure.constraint);
		PUT(5, c->failure.column);
	}
	PUT(6, c->note);
#undef PUT
	result = HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
	return result;
}

static JsonbValue *
object_argument(FunctionCallInfo fcinfo, int n, const char *what)
{
	Jsonb	   *jsonb;
	JsonbValue *v;

	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", what)));
	jsonb = PG_GETARG_JSONB_P(n);
	v = palloc0(sizeof(JsonbValue));
	if (JB_ROOT_IS_SCALAR(jsonb))
	{
		if (!JsonbExtractScalar(&jsonb->root, v))
			elog(ERROR, "not a scalar");
		return v;
	}
	v->type = jbvBinary;
	v->val.binary.data = &jsonb->root;
	v->val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
	return v;
}

static void
take_given_stamp(FunctionCallInfo fcinfo, int n, Change *c)
{
	if (PG_ARGISNULL(n))
		return;
	c->has_given_stamp = true;
	c->given_stamp = PG_GETARG_TIMESTAMPTZ(n);
	if (TIMESTAMP_NOT_FINITE(c->given_stamp))
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_BAD_TIME),
				 errmsg("modified_at must be a finite time")));
}

/* tide.upsert and tide.delete: a push of one change */
static Datum
one_change(FunctionCallInfo fcinfo, bool is_delete)
{
	MemoryContext caller = CurrentMemoryContext;
	Push		push = {0};
	JsonbValue *data = object_argument(fcinfo, 1, is_delete ? "key" : "data");
	Change	   *c;
	Datum		result;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("relation must not be null")));
	open_push(&push, NULL, text_argument(fcinfo, 3));
	settle_client_id(&push);
	push.sql_names = true;
	c = push_new_change(&push);
	c->table = push_table(&push, PG_GETARG_OID(0));
	c->entity_type = c->table->t->entity_type;
	take_given_stamp(fcinfo, 2, c);
	c->delete_action = is_delete;
	if (data->type == jbvBinary && JsonContainerIsObject(data->val.binary.data))
		c->data = data->val.binary.data;
	else if (is_delete)
		c->key_value = data;
	else
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_MALFORMED_CHANGE),
				 errmsg("data must be an object")));
	run_push(&push);
	result = verdict_datum(fcinfo, &push, caller);
	SPI_finish();
	return result;
}

Datum
tide_upsert(PG_FUNCTION_ARGS)
{
	return one_change(fcinfo, false);
}

Datum
tide_delete(PG_FUNCTION_ARGS)
{
	return one_change(fcinfo, true);
}
