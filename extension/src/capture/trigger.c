/*-------------------------------------------------------------------------
 *
 * capture/trigger.c
 *	  What the trigger functions have in common.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "capture/trigger.h"
#include "table/trust.h"

/* does the statement have the transition tables of its event? */
static bool
has_transition_tables(TriggerData *trigdata)
{
	TriggerEvent event = trigdata->tg_event;

	return (TRIGGER_FIRED_BY_INSERT(event) || trigdata->tg_oldtable) &&
		(TRIGGER_FIRED_BY_DELETE(event) || trigdata->tg_newtable);
}

static bool
is_of_kind(TriggerData *trigdata, int kinds)
{
	TriggerEvent event = trigdata->tg_event;
	bool		is_row = TRIGGER_FIRED_FOR_ROW(event) != 0;
	int			type = TRIGGER_FIRED_BY_INSERT(event) ? TRIGGER_TYPE_INSERT :
		TRIGGER_FIRED_BY_UPDATE(event) ? TRIGGER_TYPE_UPDATE :
		TRIGGER_FIRED_BY_DELETE(event) ? TRIGGER_TYPE_DELETE : TRIGGER_TYPE_TRUNCATE;

	if (!(kinds & type))
		return false;
	if (kinds & TRIGGER_ANY_LEVEL)
		return TRIGGER_FIRED_AFTER(event);
	if (is_row != ((kinds & TRIGGER_TYPE_ROW) != 0))
		return false;
	if (is_row)
		return (TRIGGER_FIRED_BEFORE(event) != 0) == ((kinds & TRIGGER_TYPE_BEFORE) != 0);
	if (TRIGGER_FIRED_BY_TRUNCATE(event))
		return TRIGGER_FIRED_BEFORE(event);
	return TRIGGER_FIRED_AFTER(event) && has_transition_tables(trigdata);
}

void
trigger_check(FunctionCallInfo fcinfo, const char *what, int kinds)
{
	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!is_of_kind((TriggerData *) fcinfo->context, kinds))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("%s", what),
				 errhint("tide.track() creates it.")));

	/* no table is known as tracked then, and nothing would be captured */
	if (!OidIsValid(trust_stamp_function()))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("function tide.stamp() of pg_tide has another name or schema: changes of table \"%s\" would be lost",
						RelationGetRelationName(((TriggerData *) fcinfo->context)->tg_relation)),
				 errhint("Give it its name again: ALTER SCHEMA ... RENAME TO tide, or ALTER FUNCTION.")));
}

/* ---------- transition tables ---------- */

static int
open_store(Tuplestorestate *store)
{
	int			pointer = tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND);

	tuplestore_select_read_pointer(store, pointer);
	tuplestore_rescan(store);
	return pointer;
}

void
transition_open(TransitionRows *rows, TriggerData *trigdata, TupleDesc desc, int natts)
{
	memset(rows, 0, sizeof(*rows));
	rows->natts = natts > 0 ? natts : desc->natts;
	rows->old_store = trigdata->tg_oldtable;
	rows->new_store = trigdata->tg_newtable;
	if (rows->old_store)
	{
		rows->old_pointer = open_store(rows->old_store);
		rows->old = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	}
	if (rows->new_store)
	{
		rows->new_pointer = open_store(rows->new_store);
		rows->new = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	}
}

static bool
next_of_store(TransitionRows *rows, Tuplestorestate *store, int pointer, TupleTableSlot *slot)
{
	if (store == NULL)
		return true;
	tuplestore_select_read_pointer(store, pointer);
	if (!tuplestore_gettupleslot(store, true, false, slot))
		return false;
	slot_getsomeattrs(slot, rows->natts);
	return true;
}

bool
transition_next(TransitionRows *rows)
{
	return next_of_store(rows, rows->old_store, rows->old_pointer, rows->old) &&
		next_of_store(rows, rows->new_store, rows->new_pointer, rows->new);
}

void
transition_close(TransitionRows *rows)
{
	if (rows->old)
		ExecDropSingleTupleTableSlot(rows->old);
	if (rows->new)
		ExecDropSingleTupleTableSlot(rows->new);
}
