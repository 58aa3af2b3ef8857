/*-------------------------------------------------------------------------
 *
 * rows.h
 *	  Rows of tracked tables, read by key with the rights of the caller.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_ROWS_H
#define TIDE_ROWS_H

#include "executor/spi.h"
#include "nodes/pg_list.h"
#include "utils/snapshot.h"
#include "read/access.h"
#include "table/tracked.h"
#include "util/keymap.h"
#include "version/stamp.h"

/* a table to read rows of, and the caller's scopes as its values */
typedef struct PullTable
{
	TrackedTable *t;
	int			number;			/* among the tables of a page */
	List	   *relids;			/* it, and its partitions */
	TableScopes scopes;
	ScopeSet	held;			/* other scopes that the client has rows of; a
								 * row there is not gone */
	KeyMap	   *seen;			/* NULL, or from keys that are asked for to their
								 * PullItem */
	bool		tracked_since;	/* in time mode: tracked after that time */
} PullTable;

/* a row or a deletion */
typedef struct PullItem
{
	PullTable  *table;
	char	   *key;
	bool		have_row;		/* values are there; else a deletion */
	Datum	   *values;			/* by attnum - 1 */
	bool	   *nulls;
	bool		have_stamp;		/* of a deletion whose tombstone is known */
	Stamp		stamp;
	char	   *cursor;			/* to continue after it; if wanted */
} PullItem;

/* a table of which no key is asked for yet; palloc'd */
extern PullTable *rows_table(TrackedTable *t, const TableScopes *scopes);

/* add a key that is not asked for yet; palloc'd */
extern PullItem *rows_ask(PullTable *table, const char *key);

/*
 * Give each item that has no row its row in the active snapshot, with one
 * statement for each table.  An item without a row in the caller's scopes
 * stays a deletion.  Needs an SPI connection, in which the rows live.
 */
extern void rows_fetch(List *tables, List *items);

/*
 * Raises 40001 unless the snapshot shows the table as it is now.  The table
 * must be locked; relids are the table and its partitions.
 */
extern void rows_check_snapshot(TrackedTable *t, List *relids, Snapshot snapshot);

/* "t.a, t.b": the synced columns, for a SELECT or RETURNING */
extern char *rows_columns(TrackedTable *t);

/* the item's row out of a tuple that has rows_columns() from column first on */
extern void rows_set(PullItem *item, HeapTuple tuple, TupleDesc desc, int first);

/* the key of a tuple of rows_columns(), as text */
extern char *rows_tuple_key(TrackedTable *t, HeapTuple tuple, TupleDesc desc);

#endif							/* TIDE_ROWS_H */
