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
	Place	   *place;			/* of Begin's */
	Place		after;
} PullMark;

/* what a page has of a table */
typedef struct PullText
{
	StringInfoData rows;
	StringInfoData deletions;
	int			nrows;
	int			ndeletions;
} PullText;

typedef struct Pull
{
	/* what is asked for */
	Access		access;
	Asked		asked;			/* scopes: as all tables' types write them */
	List	   *tables;			/* of PullTable, parents first */
	List	   *typed_scopes;	/* see asked.c */
	ScopeSet	spelled;		/* of the scopes, those that some table's type
								 * writes like that */
	List	   *unavailable;	/* names of types that cannot be served */
	int			limit;
	const char *client_id;		/* who asks; NULL: not known */
	ArrayType  *acks;			/* pushes whose replies the client shows; NULL:
								 * none */
	Ack		   *acked;			/* those of them that are of this history */
	int			nacked;
	int			max_bytes;		/* what one row may take, or more; see write.c */
	int			page_bytes;		/* at which a page ends; 0: at max_bytes */
	bool		as_lines;		/* each row and deletion is a line of its own */
	bool		whole;			/* since a time: in one reply, or not at all */
	bool		item_cursors;
	const TypeSet *registered;	/* in time mode: all there are */

	/* what it is read with */
	bool		in_recovery;	/* on a standby, as the page began */
	MemoryContext context;
	Snapshot	snapshot;

	/* what the client may hold rows of */
	const char *since;			/* the cursor that it came with, NULL: none */
	bool		from_now;		/* it asks for no rows, only for a cursor */
	bool		may_come_back;	/* if there is nothing new */
	ScopeSet	known;			/* the scopes of those that it may sync */
	ScopeSet	revoked;		/* and of those that it may not any more */

	/* where it is, and at the end the new cursor */
	Cursor		head;			/* of the new cursor: the history */
	Begin		begin;			/* its places */
	Place	   *place;			/* the one of them that is being read */
	Place	  **order;			/* the places in the order in which they are
								 * read */
	int			norder;
	Place	   *before;			/* all of them as they were, and */
	TypeSet		refreshed;		/* this one, to end the page earlier */
	PullMark   *marks;			/* for that, too: one an item */
	int			room;			/* for marks */
	bool		takes_acks;		/* its client drops nothing that is left out */
	bool		saw_entries;	/* the log had some */

	/* what came of it */
	List	   *items;			/* of PullItem */
	int			nitems;
	PullText   *texts;			/* by number of the table; see write.c */
	int64		bytes;			/* in them */
	int64		tuple_bytes;	/* of the rows that came from tables */
	bool		has_more;
	bool		saw_untracked;	/* in time mode: the log has types that are
								 * none any more */
	const char *reset_reason;	/* NULL: no reset */
	TypeSet		resets;			/* types that come in full again */
	Datum		last_cursor;	/* of the reply; in the caller's memory */
	Datum		interest;		/* likewise */
} Pull;

/* page.c */
extern PullTable *pull_table(Pull *pull, Oid relid, int32 reg);
extern bool pull_is_full(Pull *pull);
extern int64 pull_room(const Pull *pull);
extern int	pull_decode_acks(ArrayType *array, Ack **acks);
extern bool pull_ack_is_replayed(const Ack *ack, uint64 generation, const TideSnapshot *now);
extern void pull_take_acks(Pull *pull);
extern PullItem *pull_add(Pull *pull, PullTable *table, const char *key);

/* the place now says "after this item", which was the last to be added */
extern void pull_item_done(Pull *pull, PullItem *item);

/* nothing is covered, nor is anything known of the client */
extern void pull_start_over(Pull *pull);

/* scopes.c */
extern void pull_note_revoked(Pull *pull, Cursor *cursor);
extern void pull_note_held(Pull *pull);
extern void pull_check_scopes(Pull *pull);
extern char *pull_cursor(Pull *pull);

#endif							/* TIDE_PAGE_H */
