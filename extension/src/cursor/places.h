/*-------------------------------------------------------------------------
 *
 * places.h
 *	  The places that a cursor keeps, and those that a pull is about.
 *
 * Pure: uses neither SPI, tables nor the clock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_PLACES_H
#define TIDE_PLACES_H

#include "cursor/cursor.h"

/* what a pull asks for, and what there is */
typedef struct Asked
{
	ScopeSet	scopes;
	TypeSet		types;
	TypeSet		refresh;		/* of those, to be read in full again */
	TypeSet		shared;			/* of all there are, those without scopes */
	TypeSet		registered;		/* all there are, whoever may read them */
	TideSnapshot now;
	uint64		horizon;		/* what is older is forgotten; 0: nothing is */
} Asked;

/* where a pull begins: a cursor, taken apart */
typedef struct Begin
{
	int			nasked;
	Place	   *asked;			/* what is asked for, in no order; together
								 * they cover all of it */
	int			nothers;
	Place	   *others;			/* of what was left out */
	bool		starts_over;	/* the cursor cannot be used, and only the
								 * lost types are set */
	TypeSet		lost_types;		/* as in Cursor */
	bool		gone;
	TypeSet		refreshed;
} Begin;

/* from the start */
extern void places_begin(const Asked *asked, Begin *begin);

/* where the cursor says */
extern void places_continue(const Cursor *cursor, const Asked *asked, Begin *begin);

/*
 * Make the cursor say that its client has seen nothing but what is visible now.
 * Where it is amid what a snapshot showed that shows more, it begins anew with
 * what it has not seen.
 */
extern void places_hold_back(Cursor *cursor, const TideSnapshot *now);

/* is everything that the cursor knows older than the horizon? */
extern bool places_are_expired(const Cursor *cursor, uint64 horizon);

/* can a client that pushes this type no longer use the cursor? */
extern bool places_expired_for(const Cursor *cursor, int32 reg, uint64 horizon);

/* some scopes are nobody's business any more */
extern void places_forget_scopes(Cursor *cursor, const ScopeSet *scopes);

/*
 * The places of a new cursor: in order, as few as they can be, and no more than
 * a cursor keeps.  What was left out longest goes first: its types are then lost
 * types, its scopes held ones.
 */
extern void places_settle(Cursor *cursor, const Begin *begin, const TypeSet *shared);

#endif							/* TIDE_PLACES_H */
