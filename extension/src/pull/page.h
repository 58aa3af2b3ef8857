/*-------------------------------------------------------------------------
 *
 * page.h
 *	  What the parts of a page share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_PAGE_H
#define TIDE_PAGE_H

#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/snapshot.h"
#include "cursor/ack.h"
#include "cursor/cursor.h"
#include "read/access.h"
#include "read/rows.h"

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
	const char *client_id;		/* who asks; NULL: not known */
	ArrayType  *acks;			/* pushes whose replies the client shows; NULL:
								 * none */
	Ack		   *acked;			/* those of them that are of this history */
	int			nacked;
	int			max_bytes;
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

/* page.c */
extern PullTable *pull_table(Pull *pull, Oid relid, int32 reg);
extern bool pull_is_full(Pull *pull);
extern void pull_take_acks(Pull *pull);
extern PullItem *pull_add(Pull *pull, PullTable *table, const char *key);

/* the state now says "after this item" */
extern void pull_item_done(Pull *pull, PullItem *item);

/* nothing is covered, nor is anything known of the client */
extern void pull_start_over(Pull *pull);

/* what is not covered of all that is asked for comes from the tables */
extern void pull_read_from_start(Pull *pull);

/* of all tracked tables, whoever may read them */
extern TypeSet pull_registered_types(void);

/* pull_scopes.c */
extern void pull_note_revoked(Pull *pull, const Cursor *cursor);
extern void pull_check_scopes(Pull *pull);
extern char *pull_cursor(Pull *pull);

#endif							/* TIDE_PAGE_H */
