/*-------------------------------------------------------------------------
 *
 * capture.c
 *	  The statement triggers that record which rows changed.
 *
 * Rows are read from the transition tables; where the statement changed
 * nothing that clients get, nothing is written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "capture/capture.h"
#include "capture/collect.h"
#include "table/registry.h"
#include "util/compat.h"
#include "wire/wire.h"

PG_FUNCTION_INFO_V1(tide_capture);

/* so that a statement of any size takes only so much memory */
static void
write_if_large(Collection *c)
{
	if (!collect_is_large(c))
		return;
	collect_write(c);
	collect_forget(c);
}

/* read a transition table from its start, whoever else reads it */
static TupleTableSlot *
open_transition_table(TrackedTable *t, Tuplestorestate *store, int *pointer)
{
	*pointer = tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND);
	tuplestore_select_read_pointer(store, *pointer);
	tuplestore_rescan(store);
	return MakeSingleTupleTableSlot(t->tupdesc, &TTSOpsMinimalTuple);
}

static bool
next_row(Collection *c, int last_column, Tuplestorestate *store, int pointer, TupleTableSlot *slot)
{
	tuplestore_select_read_pointer(store, pointer);
	if (!tuplestore_gettupleslot(store, true, false, slot))
		return false;
	slot_getsomeattrs(slot, last_column);
	return true;
}

static void
capture_transition_tables(Collection *c, TriggerData *trigdata)
{
	Tuplestorestate *old_store = trigdata->tg_oldtable;
	Tuplestorestate *new_store = trigdata->tg_newtable;
	TupleTableSlot *old_slot = NULL;
	TupleTableSlot *new_slot = NULL;
	int			old_pointer = 0;
	int			new_pointer = 0;
	int			last = collect_last_column(c->layout);
	MemoryContext row = AllocSetContextCreate(CurrentMemoryContext, "pg_tide row",
											  ALLOCSET_SMALL_SIZES);
	MemoryContext outer;

	if (old_store)
		old_slot = open_transition_table(c->t, old_store, &old_pointer);
	if (new_store)
		new_slot = open_transition_table(c->t, new_store, &new_pointer);

	while ((old_slot == NULL || next_row(c, last, old_store, old_pointer, old_slot)) &&
		   (new_slot == NULL || next_row(c, last, new_store, new_pointer, new_slot)))
	{
		CHECK_FOR_INTERRUPTS();
		outer = MemoryContextSwitchTo(row);
		if (old_slot && new_slot)
			collect_update(c, old_slot, new_slot);
		else if (new_slot)
			collect_insert(c, new_slot);
		else
			collect_delete(c, old_slot);
		MemoryContextSwitchTo(outer);
		MemoryContextReset(row);
		write_if_large(c);
	}
	if (old_slot)
		ExecDropSingleTupleTableSlot(old_slot);
	if (new_slot)
		ExecDropSingleTupleTableSlot(new_slot);
	MemoryContextDelete(row);
}

/*
 * All rows of a table as inserted or deleted.  The table is locked by now, so
 * its latest state is the one; read it as it is, row security or not.
 */
static void
collect_table(Collection *c, Relation rel, bool deleted)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	MemoryContext row = AllocSetContextCreate(CurrentMemoryContext, "pg_tide row",
											  ALLOCSET_SMALL_SIZES);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext outer;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		outer = MemoryContextSwitchTo(row);
		if (deleted)
			collect_delete(c, slot);
		else
			collect_insert(c, slot);
		MemoryContextSwitchTo(outer);
		MemoryContextReset(row);
		write_if_large(c);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	MemoryContextDelete(row);
}

/*
 * Record that all rows of a table, which the caller has locked against every
 * writer, have come or gone: by TRUNCATE, or with a partition.  They are t's,
 * laid out as layout says.
 */
void
capture_whole_table(TrackedTable *t, TrackedTable *layout, Relation rel, bool deleted)
{
	Collection	c;
	int			level = 0;

	/* what was collected row by row came before */
	capture_write_rows();
	collect_begin(&c, t, CurrentMemoryContext, NULL);
	c.layout = layout;
	if (!layout->plain_key)
		level = wire_begin();
	collect_table(&c, rel, deleted);
	if (!layout->plain_key)
		wire_end(level);
	collect_write(&c);
	MemoryContextDelete(c.context);
}

static void
check_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (CALLED_AS_TRIGGER(fcinfo) &&
		TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event))
	{
		if (TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event) &&
			TRIGGER_FIRED_BEFORE(trigdata->tg_event))
			return;
		if (TRIGGER_FIRED_AFTER(trigdata->tg_event) &&
			(trigdata->tg_oldtable || trigdata->tg_newtable) &&
			(!TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ||
			 (trigdata->tg_oldtable && trigdata->tg_newtable)))
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("tide.capture() is a trigger of tracked tables, for each statement, with transition tables"),
			 errhint("tide.track() creates it.")));
}

Datum
tide_capture(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TrackedTable *layout;
	TrackedTable *t;
	Collection	c;
	int			level = 0;

	check_trigger(fcinfo);
	t = registry_lookup_rows(RelationGetRelid(trigdata->tg_relation), &layout);
	if (t == NULL)
		PG_RETURN_POINTER(NULL);
	if (t->broken)
		registry_require(t->relid);
	if (TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event))
	{
		/* of a partitioned table, each partition has a trigger of its own */
		if (trigdata->tg_relation->rd_rel->relkind == RELKIND_RELATION)
			capture_whole_table(t, layout, trigdata->tg_relation, true);
		PG_RETURN_POINTER(NULL);
	}

	collect_begin(&c, t, CurrentMemoryContext, NULL);
	c.direct = push_write_is_direct(t->relid);
	if (!t->plain_key)
		level = wire_begin();
	capture_transition_tables(&c, trigdata);
	if (!t->plain_key)
		wire_end(level);
	collect_write(&c);
	MemoryContextDelete(c.context);
	PG_RETURN_POINTER(NULL);
}
