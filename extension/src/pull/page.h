/*-------------------------------------------------------------------------
 *
 * page.h
 *	  What the parts of a page share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_PAGE_H
#define TIDE_PAGE_H

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/snapshot.h"
#include "cursor/ack.h"
#include "cursor/cursor.h"
#include "cursor/places.h"
#include "read/access.h"
#include "read/rows.h"

/* how far a place was once an item had been found */
typedef struct PullMark
{
	Place	   *place;			/* the place, among those of Begin */
	Place		after;
} PullMark;

/* what a page has of a table; texts without memory (data) are empty */
typedef struct PullText
{
	StringInfoData rows;
	StringInfoData deletions;
	StringInfoData line;		/* of lines, how each begins: {"type":"Type", */
	int			nrows;
	int			ndeletions;
} PullText;

typedef struct Pull
{
	/* what is asked for */
	Access		access;
	Asked		asked;			/* with the scopes as the types of all tables
								 * write them */
	List	   *tables;			/* of PullTable, parents first */
	List	   *typed_scopes;	/* see asked.c */
	ScopeSet	spelled;		/* those of the scopes that the type of some
								 * table's scope column writes exactly like
								 * this */
	List	   *unavailable;	/* names of types that cannot be served */
	int			limit;
	const char *client_id;		/* who asks; NULL: not known */
	ArrayType  *acks;			/* names of pushes whose replies the client
								 * has stored; NULL: none */
	Ack		   *acked;			/* those of the acks that belong to this
								 * history */
	int			nacked;
	int			max_bytes;		/* the most that one row may take, or more;
								 * see write.c */
	int			page_bytes;		/* at which a page ends; 0: at max_bytes */
	bool		as_lines;		/* each row and deletion is a line of its own */
	bool		whole;			/* a pull since a time: all in one reply, or
								 * an error */
	bool		item_cursors;
	const TypeSet *registered;	/* for a pull since a time: all types that
								 * there are */

	/* what it is read with */
	bool		in_recovery;	/* on a standby, as the page began */
	MemoryContext context;
	Snapshot	snapshot;

	/* what the client may hold rows of */
	const char *since;			/* the cursor that the pull came with; NULL:
								 * none */
	bool		from_now;		/* it asks for no rows, only for a cursor */
	bool		may_come_back;	/* the cursor may be given back as it came, if
								 * there is nothing new */
	ScopeSet	known;			/* scopes that its client may hold rows of,
								 * and may sync */
	ScopeSet	revoked;		/* scopes that its client may hold rows of,
								 * and may no longer sync */

	/* where it is, and at the end the new cursor */
	Cursor		head;			/* of the new cursor: the history */
	Begin		begin;			/* the places of the new cursor */
	Place	   *place;			/* the place that is being read */
	Place	  **order;			/* the places in the order in which they are
								 * read */
	int			norder;
	Place	   *before;			/* the places as they were before, and */
	TypeSet		refreshed;		/* "refreshed" as it was, so that the page can
								 * be ended earlier */
	PullMark   *marks;			/* likewise for this: one for each item */
	int			room;			/* for marks */
	bool		takes_acks;		/* the client keeps rows that a page leaves
								 * out, so acks may be used */
	bool		saw_entries;	/* the log had entries */
	bool		goes_on;		/* the page before it ended amid a place */
	uint64		own_xid;		/* of this transaction, if it has written; 0 */
	int			nown;			/* items that it wrote */

	/* what came of it */
	List	   *items;			/* of PullItem */
	int			nitems;
	PullText   *texts;			/* by number of the table; see write.c */
	int64		bytes;			/* the bytes in "texts" */
	int64		tuple_bytes;	/* of the rows that came from tables */
	bool		has_more;
	bool		saw_untracked;	/* for a pull since a time: the log has types
								 * that are no longer tracked */
	const char *reset_reason;	/* NULL: no reset */
	TypeSet		resets;			/* types that come in full again */
	Datum		last_cursor;	/* of the reply; in the caller's memory */
	Datum		interest;		/* likewise what the page is about, see
								 * interest.c */
} Pull;

/* page.c */
extern PullTable *pull_table(Pull *pull, Oid relid, int32 reg);
extern bool pull_is_full(Pull *pull);
extern int64 pull_room(const Pull *pull);
extern int	pull_decode_acks(ArrayType *array, Ack **acks);
extern bool pull_ack_is_replayed(const Ack *ack, uint64 generation, const TideSnapshot *now);
extern void pull_take_acks(Pull *pull);
extern PullItem *pull_add(Pull *pull, PullTable *table, const char *key);

/*
 * The place says "after this item" now, which must be the last that was added.
 */
extern void pull_item_done(Pull *pull, PullItem *item);

/* begin at the start, with nothing known of the client */
extern void pull_start_over(Pull *pull);

/* scopes.c */
extern void pull_note_revoked(Pull *pull, Cursor *cursor);
extern void pull_note_held(Pull *pull);
extern void pull_check_scopes(Pull *pull);
extern char *pull_cursor(Pull *pull);

#endif							/* TIDE_PAGE_H */
