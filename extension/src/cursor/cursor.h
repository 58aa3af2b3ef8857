/*-------------------------------------------------------------------------
 *
 * cursor.h
 *	  Where a client is in the stream of changes, and its text form.
 *
 * Pure: knows nothing of SPI, tables or the clock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_CURSOR_H
#define TIDE_CURSOR_H

#include "postgres.h"
#include "access/xlogdefs.h"

/* a pg_snapshot with 64-bit transaction ids */
typedef struct TideSnapshot
{
	uint64		xmin;
	uint64		xmax;
	int			nxip;
	uint64	   *xip;			/* ascending, all in [xmin, xmax) */
} TideSnapshot;

/* the most that a cursor speaks of */
#define CURSOR_MAX_SCOPES 1000

/* a set of scopes */
typedef struct ScopeSet
{
	bool		all;			/* every scope; then nothing is listed */
	int			n;
	char	  **scopes;			/* ascending by strcmp, no duplicates */
} ScopeSet;

/* a set of entity types, by registration */
typedef struct TypeSet
{
	int			n;
	int32	   *regs;			/* ascending, no duplicates */
} TypeSet;

typedef enum CursorPhase
{
	CURSOR_AT_REST = 0,			/* everything visible in "seen" was sent */
	CURSOR_IN_LOG = 1,			/* between "seen" and "target", at (xid, seq,
								 * index): that entry's key was sent */
	CURSOR_IN_TABLES = 2		/* "seen" is complete for covered scopes and
								 * types; the rest of wanted is being read
								 * from the tables, after (reg, scope, key) */
} CursorPhase;

typedef struct Cursor
{
	/* the history it is bound to */
	uint64		history;		/* hash of system identifier and database */
	uint32		timeline;
	XLogRecPtr	position;		/* WAL position, flushed */
	uint64		generation;		/* 0: none registered */

	TideSnapshot seen;
	ScopeSet	scopes;			/* covered */
	TypeSet		types;			/* covered */
	ScopeSet	held_scopes;	/* neither covered nor wanted, but the client
								 * may have rows of them; never "all" */

	CursorPhase phase;
	/* but at rest */
	TypeSet		refreshed;		/* being read in full although they were
								 * covered: asked for once */
	/* CURSOR_IN_LOG */
	TideSnapshot target;
	uint64		xid;
	int64		seq;
	int32		index;			/* of the key in the entry; -1: none of it was
								 * sent */
	/* CURSOR_IN_TABLES */
	ScopeSet	wanted_scopes;
	TypeSet		wanted_types;
	TypeSet		done_types;		/* of those, read to the end */
	int32		reg;
	char	   *scope;			/* NULL: of a shared table, or all scopes */
	char	   *key;			/* NULL: nothing of it was sent */
} Cursor;

/* does this text look like a cursor (as against a time)? */
extern bool cursor_is_cursor(const char *text);

/* palloc'd text; malformed text raises TD002 */
extern char *cursor_encode(const Cursor *cursor);
extern Cursor *cursor_decode(const char *text);

/* was xid visible to a reader with this snapshot, provided it committed? */
extern bool snapshot_shows(const TideSnapshot *snapshot, uint64 xid);

extern bool scopes_contain(const ScopeSet *set, const char *scope);
extern bool types_contain(const TypeSet *set, int32 reg);
extern bool scopes_equal(const ScopeSet *a, const ScopeSet *b);
extern bool types_equal(const TypeSet *a, const TypeSet *b);
extern void scopes_normalise(ScopeSet *set);	/* sort, drop duplicates */
extern void types_normalise(TypeSet *set);

#endif							/* TIDE_CURSOR_H */
