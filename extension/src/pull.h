/*-------------------------------------------------------------------------
 *
 * pull.h
 *	  One page of what changed for a caller.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_PULL_H
#define TIDE_PULL_H

#include "nodes/pg_list.h"
#include "utils/snapshot.h"
#include "access.h"
#include "cursor.h"
#include "keymap.h"
#include "registry.h"
#include "stamp.h"

/* a table that is asked for, and the caller's scopes as its values */
typedef struct PullTable
{
	TrackedTable *t;
	List	   *relids;			/* it, and its partitions */
	TableScopes scopes;
	KeyMap	   *seen;			/* keys in this page, to their PullItem */
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

typedef struct Pull
{
	/* what is asked for */
	Access		access;
	TypeSet		types;
	TypeSet		refresh;		/* of those, to be read in full again */
	List	   *tables;			/* of PullTable, parents first */
	ScopeSet	log_scopes;		/* the union of the tables' scopes, as text */
	ScopeSet	known;			/* of the scopes that the client may hold rows
								 * of, those that it may sync */
	ScopeSet	revoked;		/* and those that it may not any more */
	int			limit;
	const char *client_id;		/* whose own changes to leave out; NULL:
								 * nobody's */
	bool		item_cursors;
	const TypeSet *registered;	/* in time mode: all there are */

	/* what it is read with */
	MemoryContext context;
	Snapshot	snapshot;
	TideSnapshot now;

	/* where it is, and at the end the new cursor */
	Cursor		state;

	/* what came of it */
	List	   *items;			/* of PullItem */
	int			nitems;
	bool		has_more;
	bool		saw_untracked;	/* in time mode: the log has types that are
								 * none any more */
	const char *reset_reason;	/* NULL: no reset */
} Pull;

/* pull.c */
extern void pull_page(Pull *pull, const char *since, ArrayType *scopes,
					  ArrayType *entity_types, int max_rows, ArrayType *refresh);
extern void pull_open(Pull *pull, ArrayType *scopes, ArrayType *entity_types);
extern void pull_start_over(Pull *pull);
extern bool pull_read_parts(Pull *pull);
extern TypeSet pull_registered_types(void);
extern void pull_at_rest(Pull *pull);
extern void pull_finish(Pull *pull);
extern PullTable *pull_table(Pull *pull, Oid relid, int32 reg);
extern bool pull_is_full(Pull *pull);
extern PullItem *pull_add(Pull *pull, PullTable *table, const char *key);
extern void pull_item_done(Pull *pull, PullItem *item);

/* pull_scopes.c */
extern void pull_note_revoked(Pull *pull, const Cursor *cursor);
extern void pull_check_scopes(Pull *pull);
extern char *pull_cursor(Pull *pull);

/* pull_time.c: everything since a time, in one page */
extern void pull_since_time(Pull *pull, TimestampTz time);

/* pull_tables.c: from the tables themselves */
extern bool pull_read_tables(Pull *pull, const ScopeSet *covered_scopes,
							 const TypeSet *covered_types);
extern void pull_fetch_rows(Pull *pull);
extern char *pull_columns(TrackedTable *t);

/* pull_log.c: from the change log */
extern bool pull_read_log(Pull *pull, const ScopeSet *scopes, const TypeSet *types);

/* the item's row out of a tuple that has pull_columns() from column first on */
extern void pull_set_row(PullItem *item, HeapTuple tuple, TupleDesc desc, int first);

#endif							/* TIDE_PULL_H */
