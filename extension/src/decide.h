/*-------------------------------------------------------------------------
 *
 * decide.h
 *	  Which of two versions of a row stands.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_DECIDE_H
#define TIDE_DECIDE_H

#include "stamp.h"

typedef enum Verdict
{
	VERDICT_NONE,				/* not decided yet */
	VERDICT_APPLIED,
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
} Incoming;

typedef struct Current
{
	bool		exists;			/* a row, or a tombstone */
	Stamp		stamp;
	bool		same;			/* has what the incoming change would store */
	TimestampTz just_above;		/* smallest time above the stamp's */
	TimestampTz server_time;	/* now, but above the stamp's */
	TimestampTz now;
} Current;

typedef struct Decision
{
	Verdict		verdict;
	Stamp		stored;			/* the stamp to store, if applied */
	const char *note;			/* static; NULL: nothing to say */
} Decision;

extern Decision decide_last_write_wins(const Incoming *in, const Current *current);

#endif							/* TIDE_DECIDE_H */
