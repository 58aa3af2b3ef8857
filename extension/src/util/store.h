/*-------------------------------------------------------------------------
 *
 * store.h
 *	  Rows of pg_tide's own tables, inserted and looked up without SQL.
 *
 * What the triggers and every push do takes a statement's start and end more
 * time than its work.  The tables are ours, so are their indexes, and the
 * values are of built-in types: rows go straight to the table and its indexes.
 * It happens as their owner, as in owner.h, and is for the same callers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_STORE_H
#define TIDE_STORE_H

#include "access/genam.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"
#include "utils/snapshot.h"
#include "utils/timestamp.h"

#include "util/owner.h"

/* a table of schema tide; one static variable for each */
typedef struct StoreTable
{
	const char *name;
	Oid			relid;			/* as of the invalidation known_at */
	uint64		known_at;		/* 0: not looked up yet */
} StoreTable;

#define STORE_MAX_KEYS 2

/*
 * An index of one, by which rows are looked up: its first columns, of these
 * types' equality.
 */
typedef struct StoreIndex
{
	const char *name;
	int			nkeys;
	AttrNumber	columns[STORE_MAX_KEYS];
	RegProcedure equal[STORE_MAX_KEYS];
	Oid			relid;			/* InvalidOid: there is none that can be used */
	uint64		known_at;
} StoreIndex;

/* ---------- a row, column by column ---------- */

#define STORE_MAX_COLUMNS 20

/* what is not put is NULL; columns are counted from 1 */
typedef struct StoreRow
{
	Datum		values[STORE_MAX_COLUMNS];
	bool		nulls[STORE_MAX_COLUMNS];
} StoreRow;

extern void store_row_begin(StoreRow *row);
extern void store_put(StoreRow *row, AttrNumber n, Datum value);
extern void store_put_text(StoreRow *row, AttrNumber n, const char *string);
extern void store_put_time(StoreRow *row, AttrNumber n, bool has_time, TimestampTz time);

/* ---------- inserting ---------- */

typedef struct StoreInsert
{
	Relation	rel;
	EState	   *estate;
	ResultRelInfo *result;
	TupleTableSlot *slot;
	SavedUser	caller;
} StoreInsert;

/*
 * Between begin and end, rows: the first n columns of the table, the others are
 * NULL.  What is allocated in the memory context that store_row() gives is
 * freed with the row.  Afterwards what follows sees the rows, as after a
 * statement.
 */
extern void store_insert_begin(StoreInsert *insert, StoreTable *table, bool if_new);
extern MemoryContext store_row_context(StoreInsert *insert);
extern void store_insert_row(StoreInsert *insert, const StoreRow *row, int n);

/* after a begin with if_new; false: a unique index has the row's key, nothing was done */
extern bool store_insert_if_new(StoreInsert *insert, const StoreRow *row, int n);
extern void store_insert_end(StoreInsert *insert);

/* ---------- looking up ---------- */

typedef struct StoreScan
{
	Relation	rel;
	Relation	index;			/* NULL: none can be used, all rows are read */
	StoreIndex *by;
	ScanKeyData keys[STORE_MAX_KEYS];
	int			nkeys;
	Snapshot	own_snapshot;	/* NULL: the caller's is used */
	IndexScanDesc index_scan;
	TableScanDesc table_scan;
	TupleTableSlot *slot;
} StoreScan;

/*
 * Between begin and end, any number of look-ups: rows whose first nkeys columns
 * of the index are these.  NULL: there are no more.  The slot is good until the
 * next call.  snapshot has to be registered or active; InvalidSnapshot stands
 * for one that shows what this command wrote.
 */
extern void store_scan_begin(StoreScan *scan, StoreTable *table, StoreIndex *by,
							 Snapshot snapshot);
extern void store_look_up(StoreScan *scan, const Datum *values, int nkeys);
extern TupleTableSlot *store_next(StoreScan *scan, ScanDirection direction);
extern void store_scan_end(StoreScan *scan);

/* a text column of a row, palloc'd; NULL */
extern char *store_text(TupleTableSlot *slot, AttrNumber n);

#endif							/* TIDE_STORE_H */
