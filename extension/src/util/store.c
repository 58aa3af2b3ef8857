/*-------------------------------------------------------------------------
 *
 * store.c
 *	  Rows of pg_tide's own tables, inserted and looked up without SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_index.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "util/compat.h"
#include "util/settings.h"
#include "util/store.h"

/* ---------- which table, which index ---------- */

/* how often a table, an index or a schema has changed, as far as we know */
static uint64 invalidations = 0;

static void
something_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	invalidations++;
}

static uint64
current_invalidation(void)
{
	if (invalidations == 0)
	{
		CacheRegisterSyscacheCallback(RELOID, something_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(INDEXRELID, something_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, something_changed, (Datum) 0);
		invalidations = 1;
	}
	return invalidations;
}

static Relation
open_table(StoreTable *table, LOCKMODE mode)
{
	uint64		now = current_invalidation();

	if (table->known_at != now)
	{
		table->relid = owner_relation(table->name);
		table->known_at = now;
	}
	return table_open(table->relid, mode);
}

/*
 * Can this index be read, with any snapshot of this transaction?  One that was
 * built over rows with several versions may not have all that an old snapshot
 * shows.
 */
static bool
is_usable(Oid index, Oid table, bool *for_now)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	Form_pg_index form;
	bool		usable;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_index) GETSTRUCT(tuple);
	*for_now = form->indcheckxmin;
	usable = form->indrelid == table && form->indisvalid &&
		(!form->indcheckxmin ||
		 TransactionIdPrecedes(HeapTupleHeaderGetXmin(tuple->t_data), TransactionXmin));
	ReleaseSysCache(tuple);
	return usable;
}

static Relation
open_index(Relation rel, StoreIndex *by)
{
	uint64		now = current_invalidation();
	bool		for_now = false;

	if (by->known_at != now)
	{
		by->relid = get_relname_relid(by->name, RelationGetNamespace(rel));
		if (OidIsValid(by->relid) && !is_usable(by->relid, RelationGetRelid(rel), &for_now))
			by->relid = InvalidOid;
		by->known_at = for_now ? 0 : now;
	}
	return OidIsValid(by->relid) ? index_open(by->relid, AccessShareLock) : NULL;
}

/* ---------- a row, column by column ---------- */

void
store_row_begin(StoreRow *row)
{
	memset(row->values, 0, sizeof(row->values));
	memset(row->nulls, true, sizeof(row->nulls));
}

void
store_put(StoreRow *row, AttrNumber n, Datum value)
{
	Assert(n > 0 && n <= STORE_MAX_COLUMNS);
	row->values[n - 1] = value;
	row->nulls[n - 1] = false;
}

void
store_put_text(StoreRow *row, AttrNumber n, const char *string)
{
	if (string)
		store_put(row, n, CStringGetTextDatum(string));
}

void
store_put_time(StoreRow *row, AttrNumber n, bool has_time, TimestampTz time)
{
	if (has_time)
		store_put(row, n, TimestampTzGetDatum(time));
}

/* ---------- inserting ---------- */

void
store_insert_begin(StoreInsert *insert, StoreTable *table, bool if_new)
{
	MemoryContext old;

	PreventCommandIfReadOnly("INSERT");
	PreventCommandIfParallelMode("INSERT");
	insert->rel = open_table(table, RowExclusiveLock);
	user_become(insert->rel->rd_rel->relowner, 0, &insert->caller);
	insert->estate = CreateExecutorState();
	old = MemoryContextSwitchTo(insert->estate->es_query_cxt);
	insert->estate->es_output_cid = GetCurrentCommandId(true);
	insert->result = makeNode(ResultRelInfo);
	InitResultRelInfo(insert->result, insert->rel, 0, NULL, 0);
	ExecOpenIndices(insert->result, if_new);
	insert->slot = MakeSingleTupleTableSlot(RelationGetDescr(insert->rel), &TTSOpsVirtual);
	if (insert->rel->trigdesc)
		AfterTriggerBeginQuery();
	MemoryContextSwitchTo(old);
}

MemoryContext
store_row_context(StoreInsert *insert)
{
	return GetPerTupleMemoryContext(insert->estate);
}

static void
fill_slot(TupleTableSlot *slot, const StoreRow *row, int n)
{
	int			natts = slot->tts_tupleDescriptor->natts;
	int			i;

	if (natts < n)
		elog(ERROR, "a table of pg_tide has %d columns, and not %d", natts, n);
	ExecClearTuple(slot);
	memcpy(slot->tts_values, row->values, sizeof(Datum) * n);
	memcpy(slot->tts_isnull, row->nulls, sizeof(bool) * n);
	for (i = n; i < natts; i++)
	{
		slot->tts_values[i] = (Datum) 0;
		slot->tts_isnull[i] = true;
	}
	ExecStoreVirtualTuple(slot);
}

static void
row_done(StoreInsert *insert)
{
	ExecClearTuple(insert->slot);
	ResetPerTupleExprContext(insert->estate);
}

void
store_insert_row(StoreInsert *insert, const StoreRow *row, int n)
{
	fill_slot(insert->slot, row, n);
	ExecSimpleRelationInsert(insert->result, insert->estate, insert->slot);
	row_done(insert);
}

/*
 * As INSERT ... ON CONFLICT DO NOTHING does it: look first, insert for the time
 * being, and look whether somebody else has done so meanwhile.  Who is doing it
 * is waited for.
 */
bool
store_insert_if_new(StoreInsert *insert, const StoreRow *row, int n)
{
	ItemPointerData other;
	bool		conflict;
	uint32		token;

	fill_slot(insert->slot, row, n);
	if (insert->rel->rd_att->constr)
		ExecConstraints(insert->result, insert->slot, insert->estate);
	conflict = !tide_check_index_constraints(insert->result, insert->slot,
											 insert->estate, &other);
	if (!conflict)
	{
		token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
		table_tuple_insert_speculative(insert->rel, insert->slot,
									   insert->estate->es_output_cid, 0, NULL, token);
		list_free(tide_insert_index_tuples(insert->result, insert->slot,
										   insert->estate, &conflict));
		table_tuple_complete_speculative(insert->rel, insert->slot, token, !conflict);
		SpeculativeInsertionLockRelease(GetCurrentTransactionId());
	}
	row_done(insert);
	return !conflict;
}

void
store_insert_end(StoreInsert *insert)
{
	if (insert->rel->trigdesc)
	{
		AfterTriggerEndQuery(insert->estate);
		ExecCloseResultRelations(insert->estate);
	}
	ExecDropSingleTupleTableSlot(insert->slot);
	ExecCloseIndices(insert->result);
	FreeExecutorState(insert->estate);
	user_restore(&insert->caller);
	table_close(insert->rel, NoLock);
	CommandCounterIncrement();
}

/* ---------- looking up ---------- */

static void
init_keys(StoreScan *scan, StoreIndex *by)
{
	int			i;

	scan->by = by;
	for (i = 0; i < by->nkeys; i++)
		ScanKeyEntryInitialize(&scan->keys[i], 0, scan->index ? i + 1 : by->columns[i],
							   BTEqualStrategyNumber, InvalidOid,
							   by->equal[i] == F_TEXTEQ ? C_COLLATION_OID : InvalidOid,
							   by->equal[i], (Datum) 0);
}

void
store_scan_begin(StoreScan *scan, StoreTable *table, StoreIndex *by, Snapshot snapshot)
{
	memset(scan, 0, sizeof(*scan));
	if (snapshot == InvalidSnapshot)
	{
		/* as a statement of a volatile function would, see owner.h */
		CommandCounterIncrement();
		scan->own_snapshot = snapshot = RegisterSnapshot(GetTransactionSnapshot());
	}
	scan->rel = open_table(table, AccessShareLock);
	scan->index = open_index(scan->rel, by);
	init_keys(scan, by);
	scan->slot = table_slot_create(scan->rel, NULL);
	if (scan->index)
		scan->index_scan = tide_index_beginscan(scan->rel, scan->index, snapshot, by->nkeys);
	else
		scan->table_scan = table_beginscan(scan->rel, snapshot, 0, NULL);
}

void
store_look_up(StoreScan *scan, const Datum *values, int nkeys)
{
	int			i;

	Assert(nkeys == scan->by->nkeys);
	for (i = 0; i < nkeys; i++)
		scan->keys[i].sk_argument = values[i];
	scan->nkeys = nkeys;
	if (scan->index)
		index_rescan(scan->index_scan, scan->keys, nkeys, NULL, 0);
	else
		table_rescan(scan->table_scan, NULL);
}

static bool
is_asked_for(StoreScan *scan)
{
	int			i;

	for (i = 0; i < scan->nkeys; i++)
	{
		ScanKey		key = &scan->keys[i];
		bool		isnull;
		Datum		value = slot_getattr(scan->slot, key->sk_attno, &isnull);

		if (isnull || !DatumGetBool(FunctionCall2Coll(&key->sk_func, key->sk_collation,
													  value, key->sk_argument)))
			return false;
	}
	return true;
}

TupleTableSlot *
store_next(StoreScan *scan, ScanDirection direction)
{
	if (scan->index)
		return index_getnext_slot(scan->index_scan, direction, scan->slot) ? scan->slot : NULL;
	while (table_scan_getnextslot(scan->table_scan, direction, scan->slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (is_asked_for(scan))
			return scan->slot;
	}
	return NULL;
}

void
store_scan_end(StoreScan *scan)
{
	if (scan->index)
	{
		index_endscan(scan->index_scan);
		index_close(scan->index, NoLock);
	}
	else
		table_endscan(scan->table_scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	table_close(scan->rel, NoLock);
	if (scan->own_snapshot)
		UnregisterSnapshot(scan->own_snapshot);
}

char *
store_text(TupleTableSlot *slot, AttrNumber n)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, n, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}
