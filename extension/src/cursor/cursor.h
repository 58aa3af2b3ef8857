/*-------------------------------------------------------------------------
 *
 * cursor.h
 *	  Where a client is in the stream of changes, and its text form.
 *
 * Pure: uses neither SPI, tables nor the clock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_CURSOR_H
#define TIDE_CURSOR_H

#include "access/xlogdefs.h"
#include "cursor/sets.h"

/* a pg_snapshot with 64-bit transaction ids */
typedef struct TideSnapshot
{
	uint64		xmin;
	uint64		xmax;
	int			nxip;
	uint64	   *xip;			/* ascending, all in [xmin, xmax) */
} TideSnapshot;

/* the most that a pull asks for */
#define CURSOR_MAX_SCOPES 1000

/* the most that a cursor lists, with what was left out */
#define CURSOR_MAX_LISTED 4000

/* the most places that a cursor keeps */
#define CURSOR_MAX_PLACES 32

typedef enum CursorPhase
{
	CURSOR_AT_REST = 0,			/* everything visible in "seen" was sent */
	CURSOR_IN_LOG = 1,			/* between "seen" and "target", at (scope,
								 * xid, seq, index): that entry's key was sent */
	CURSOR_IN_TABLES = 2		/* being read from the tables, after (reg,
								 * scope, key); then the log, from "seen" on */
} CursorPhase;

/*
 * How far the client is with these types of these scopes.  The scopes say
 * nothing about a type that is shared by all.
 */
typedef struct Place
{
	ScopeSet	scopes;
	TypeSet		types;
	TideSnapshot seen;
	CursorPhase phase;

	/* but at rest: of the types, those that the client was told to drop */
	TypeSet		resets;

	/* CURSOR_IN_LOG and CURSOR_IN_TABLES */
	char	   *scope;			/* the one being read; NULL: in the log of all
								 * scopes, or of none yet; in the tables of a
								 * shared one, or of all scopes */

	/* CURSOR_IN_LOG */
	TideSnapshot target;
	uint64		xid;			/* 0: nothing was sent */
	int64		seq;
	int32		index;			/* of the key in the entry; -1: none of it was
								 * sent */
	int32		reach;			/* how far ahead to look for keys that come
								 * again, see ahead.c */
	int32		measured;		/* and for how far that is known */

	/* CURSOR_IN_TABLES */
	TypeSet		done_types;		/* read to the end */
	int32		reg;
	char	   *key;			/* NULL: nothing of it was sent */
} Place;

typedef struct Cursor
{
	/* the history it is bound to */
	uint64		history;		/* hash of system identifier and database */
	uint32		timeline;
	XLogRecPtr	position;		/* WAL position, flushed */
	uint64		generation;		/* 0: none registered */

	/*
	 * scopes and types that the client may hold rows of although they have no
	 * place
	 */
	ScopeSet	held_scopes;	/* never "all" */
	TypeSet		lost_types;
	bool		gone;			/* and types that are registered no more */

	TypeSet		refreshed;		/* known types that are read in full because
								 * the client asked for that once */
	int			nplaces;
	Place	   *places;			/* in the order of place_compare(); no two
								 * places overlap */
} Cursor;

/* does this text look like a cursor, rather than a time? */
extern bool cursor_is_cursor(const char *text);

/* palloc'd text; malformed text raises TD002 */
extern char *cursor_encode(const Cursor *cursor);
extern Cursor *cursor_decode(const char *text);

/* would cursor_encode() return a text? */
extern bool cursor_fits(const Cursor *cursor);

/* raises the error for a cursor that no server has made */
extern void cursor_malformed(void);

/* was xid visible to a reader with this snapshot, provided it committed? */
extern bool snapshot_shows(const TideSnapshot *snapshot, uint64 xid);
extern int	snapshot_compare(const TideSnapshot *a, const TideSnapshot *b);

/*
 * Make "seen" show nothing but what "now" shows, too, in a new array; false: it
 * did not.
 */
extern bool snapshot_hold_back(TideSnapshot *seen, const TideSnapshot *now);

#define snapshot_equal(a, b) (snapshot_compare(a, b) == 0)

/* a total order, the place that has seen most first */
extern int	place_compare(const Place *a, const Place *b);

/* likewise, but whatever the places are of */
extern int	place_compare_state(const Place *a, const Place *b);

#endif							/* TIDE_CURSOR_H */
