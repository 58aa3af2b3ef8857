/*-------------------------------------------------------------------------
 *
 * rows.c
 *	  The row triggers that record which rows changed, where statement
 *	  triggers cannot.
 *
 * A statement trigger of a partitioned table misses rows.  A write to one of
 * its partitions does not fire it.  MERGE that moves a row to another partition
 * fires none that fits.  The numbers of old and new rows differ where a trigger
 * drops the row that moves.  The apply worker of logical replication fires row
 * triggers only.  PostgreSQL copies row triggers to each partition, also to
 * later ones.
 *
 * What the row triggers collect is written when the statement ends, if it was
 * a statement on the tracked table itself.  Otherwise it is written before the
 * (sub)transaction commits, and before this transaction reads the
 * log.  Collections belong to the subtransaction whose rows they hold, and are
 * forgotten when it is rolled back.  This is necessary: a tombstone of a
 * deletion that never happened would beat a real row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "capture/capture.h"
#include "capture/collect.h"
#include "capture/trigger.h"
#include "table/registry.h"
#include "util/settings.h"
#include "wire/wire.h"

PG_FUNCTION_INFO_V1(tide_capture_row);

typedef struct Pending
{
	Collection	rows;
	SubTransactionId collected_in;
	SubTransactionId written_in;	/* a subtransaction of collected_in that
									 * has written the rows and can still be
									 * rolled back, or InvalidSubTransactionId */
} Pending;

/*
 * The collections of this transaction, in the order of their rows: those of a
 * subtransaction come after those of the transactions around it.
 */
static List *pendings = NIL;

/* past the point where commit writes what is pending */
static bool committing = false;

/* the tables that entries would go to may have been dropped since */
static bool
log_exists(void)
{
	Oid			schema = get_namespace_oid(TIDE_SCHEMA, true);

	return OidIsValid(schema) && OidIsValid(get_relname_relid("log", schema));
}

static void
write_pending(Pending *p)
{
	SubTransactionId current = GetCurrentSubTransactionId();

	if (p->rows.empty || p->written_in != InvalidSubTransactionId)
		return;
	collect_write(&p->rows);
	if (p->collected_in == current)
		collect_forget(&p->rows);
	else
		p->written_in = current;
}

/*
 * Write what row triggers have collected, also in the transactions around
 * this one, so that entries have the order of the changes.
 */
void
capture_write_rows(void)
{
	bool		read_only = XactReadOnly;
	bool		outside = !ActiveSnapshotSet();
	MemoryContext context,
				old;
	ListCell   *lc;

	if (pendings == NIL || !log_exists())
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "pg_tide write rows",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	if (outside)				/* of any statement: SPI wants one */
		PushActiveSnapshot(GetTransactionSnapshot());
	PG_TRY();
	{
		/*
		 * the transaction may have become read-only after it wrote, and its
		 * changes must count
		 */
		XactReadOnly = false;
		foreach(lc, pendings)
			write_pending(lfirst(lc));
	}
	PG_FINALLY();
	{
		XactReadOnly = read_only;
	}
	PG_END_TRY();
	if (outside)
		PopActiveSnapshot();
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* what the current subtransaction collects of this table */
static Collection *
collection_of(TrackedTable *t)
{
	SubTransactionId current = GetCurrentSubTransactionId();
	MemoryContext old;
	Pending    *p;
	int			i;

	for (i = list_length(pendings) - 1; i >= 0; i--)
	{
		p = list_nth(pendings, i);
		if (p->collected_in == current && p->rows.t == t)
			return &p->rows;
	}

	old = MemoryContextSwitchTo(TopTransactionContext);
	p = palloc0(sizeof(Pending));
	collect_begin(&p->rows, t, TopTransactionContext, capture_write_rows);
	p->collected_in = current;
	p->written_in = InvalidSubTransactionId;
	pendings = lappend(pendings, p);
	MemoryContextSwitchTo(old);
	return &p->rows;
}

static void
forget_pending(Pending *p)
{
	MemoryContextDelete(p->rows.context);
	pfree(p);
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId mine,
					  SubTransactionId parent, void *arg)
{
	ListCell   *lc;

	if (pendings == NIL)
		return;
	if (event == SUBXACT_EVENT_PRE_COMMIT_SUB)
	{
		foreach(lc, pendings)
		{
			if (((Pending *) lfirst(lc))->collected_in == mine)
			{
				capture_write_rows();
				return;
			}
		}
		return;
	}
	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach(lc, pendings)
	{
		Pending    *p = lfirst(lc);
		bool		done = (p->collected_in == mine);

		if (p->written_in == mine && event == SUBXACT_EVENT_ABORT_SUB)
			p->written_in = InvalidSubTransactionId;
		else if (p->written_in == mine)
		{
			p->written_in = parent;
			done = (p->collected_in == parent);
		}
		if (done)
		{
			pendings = foreach_delete_current(pendings, lc);
			forget_pending(p);
		}
	}
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
		case XACT_EVENT_PRE_PREPARE:
			capture_write_rows();
			committing = true;
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			/* the memory goes with TopTransactionContext */
			pendings = NIL;
			committing = false;
			break;
		default:
			break;
	}
}

void
capture_rows_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	RegisterSubXactCallback(at_subtransaction_end, NULL);
}

static void
collect_row(Collection *c, TriggerData *trigdata)
{
	int			last = collect_last_column(c->layout, false);
	TupleTableSlot *row = trigdata->tg_trigslot;
	int			level = 0;

	slot_getsomeattrs(row, last);
	if (!c->layout->plain_key)
		level = wire_begin();
	if (TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
		collect_insert(c, row);
	else if (TRIGGER_FIRED_BY_DELETE(trigdata->tg_event))
		collect_delete(c, row);
	else
	{
		slot_getsomeattrs(trigdata->tg_newslot, last);
		collect_update(c, row, trigdata->tg_newslot);
	}
	if (!c->layout->plain_key)
		wire_end(level);
	if (committing || collect_is_large(c))
		capture_write_rows();
}

/*
 * For each row, after insert, update or delete: collect.  For each statement:
 * write.
 */
Datum
tide_capture_row(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TrackedTable *layout;
	TrackedTable *t;
	Collection *c;

	trigger_check(fcinfo, "tide.capture_row() is a trigger of tracked tables, after insert, update or delete",
				  TRIGGER_ANY_LEVEL | TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE);
	if (TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event))
	{
		capture_write_rows();
		PG_RETURN_POINTER(NULL);
	}

	t = registry_lookup_rows(RelationGetRelid(trigdata->tg_relation), &layout);
	if (t == NULL)
		PG_RETURN_POINTER(NULL);
	if (t->broken)
		registry_require(t->relid);
	c = collection_of(t);
	c->layout = layout;
	c->direct = push_write_is_direct(t->relid);
	collect_row(c, trigdata);
	PG_RETURN_POINTER(NULL);
}
