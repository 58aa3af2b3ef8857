/*-------------------------------------------------------------------------
 *
 * capture.c
 *	  The statement triggers that record which rows changed.
 *
 * They read the rows from the transition tables.  If the statement changed
 * nothing that clients get, they write nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "capture/capture.h"
#include "capture/collect.h"
#include "capture/trigger.h"
#include "log/packed.h"
#include "table/registry.h"
#include "wire/wire.h"

PG_FUNCTION_INFO_V1(tide_capture);

/* the limit of memory for a statement of any size */
static void
write_if_large(Collection *c)
{
	if (!collect_is_large(c))
		return;
	collect_write(c);
	collect_forget(c);
}

static void
capture_transition_tables(Collection *c, TriggerData *trigdata)
{
	TransitionRows rows;
	MemoryContext row = AllocSetContextCreate(CurrentMemoryContext, "pg_tide row",
											  ALLOCSET_SMALL_SIZES);
	MemoryContext outer;

	transition_open(&rows, trigdata, c->t->tupdesc,
					collect_last_column(c->layout, trigdata->tg_oldtable == NULL));
	while (transition_next(&rows))
	{
		CHECK_FOR_INTERRUPTS();
		outer = MemoryContextSwitchTo(row);
		if (rows.old && rows.new)
			collect_update(c, rows.old, rows.new);
		else if (rows.new)
			collect_insert(c, rows.new);
		else
			collect_delete(c, rows.old);
		MemoryContextSwitchTo(outer);
		MemoryContextReset(row);
		write_if_large(c);
	}
	transition_close(&rows);
	MemoryContextDelete(row);
}

/*
 * Collect all rows of a table as inserted or deleted.  The table is locked by
 * now, so its latest state counts.  Row security does not hide rows here.
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
 * Record that all rows of a table have come or gone: by TRUNCATE, or with a
 * partition.  The caller has locked the table against every writer.  The rows
 * belong to t; "layout" says which column is where.
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
	if (deleted)
		collect_pack(&c);
	if (!layout->plain_key)
		level = wire_begin();
	collect_table(&c, rel, deleted);
	if (!layout->plain_key)
		wire_end(level);
	if (c.packing)
		packed_end(c.packing);
	collect_write(&c);
	MemoryContextDelete(c.context);
}

Datum
tide_capture(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TrackedTable *layout;
	TrackedTable *t;
	Collection	c;
	int			level = 0;

	trigger_check(fcinfo, "tide.capture() is a trigger of tracked tables, for each statement, with transition tables",
				  TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE | TRIGGER_TYPE_TRUNCATE);
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
