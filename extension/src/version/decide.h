/*-------------------------------------------------------------------------
 *
 * decide.h
 *	  Which of two versions of a row stands.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_DECIDE_H
#define TIDE_DECIDE_H

#include "nodes/bitmapset.h"
#include "table/tracked.h"
#include "version/stamp.h"

typedef enum Verdict
{
	VERDICT_NONE,				/* not decided yet */
	VERDICT_APPLIED,
	VERDICT_MERGED,				/* stored, combined with what was there */
	VERDICT_UNCHANGED,
	VERDICT_SUPERSEDED,
	VERDICT_FAILED
} Verdict;

typedef struct Incoming
{
	bool		has_stamp;
	Stamp		stamp;			/* as sent, in the column's precision; its
								 * client_id is there even without a time */
	bool		has_base;
	TimestampTz base;			/* in the column's precision */
	bool		is_ahead;		/* the stamp is beyond the allowed skew */
	bool		stands;			/* whatever is there: put back by hand */
	bool		is_known;		/* a change with this stamp was judged before,
								 * and what stands has another one */
	bool		is_delete;
	Bitmapset  *columns;		/* attnums that an update would write */
	Stamp		known_stored;	/* the stamp it was stored with then; no time:
								 * it lost */
} Incoming;

typedef struct Current
{
	bool		exists;			/* a row, or a tombstone */
	bool		is_row;			/* and not one that is deleted softly */
	Stamp		stamp;
	const Stamp *clocks;		/* of columns, by attnum - 1; under merge */
	bool		same;			/* has what the incoming change would store */
	TimestampTz just_above;		/* smallest time above the stamp's */
	TimestampTz server_time;	/* now, but above the stamp's */
	TimestampTz now;
} Current;

typedef struct Decision
{
	Verdict		verdict;
	Stamp		stored;			/* the row's stamp, if applied or merged */
	Stamp		column_stamp;	/* that of the columns that it writes */
	Bitmapset  *wins;			/* merged: columns of which it is the later
								 * writer */
	bool		asks;			/* the resolver has to say what is stored */
	bool		overrules;		/* applied against a version that had a claim
								 * of its own: that one is a loser to keep */
	const char *note;			/* static; NULL: nothing to say */
} Decision;

extern Decision decide(ConflictPolicy policy, const Incoming *in, const Current *current);

#endif							/* TIDE_DECIDE_H */
