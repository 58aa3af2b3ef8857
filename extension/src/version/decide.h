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
#include "table/policy.h"
#include "version/order.h"

typedef enum Verdict
{
	VERDICT_NONE,				/* not decided yet */
	VERDICT_APPLIED,
	VERDICT_MERGED,				/* stored, combined with what was there */
	VERDICT_UNCHANGED,
	VERDICT_SUPERSEDED,
	VERDICT_FAILED
} Verdict;

/* what is remembered of a change with this stamp and this content */
typedef enum Known
{
	KNOWN_NOT,
	KNOWN_LOST,					/* it lost, or stands only in part */
	KNOWN_STORED				/* it was stored as a whole */
} Known;

typedef struct Incoming
{
	bool		has_stamp;
	Stamp		stamp;			/* as sent, in the column's precision; its
								 * client_id is set even without a time */
	bool		has_base;
	bool		base_is_null;	/* the base names the version without a stamp */
	TimestampTz base;
	int64		base_unit;		/* the precision in which it was given, in
								 * microseconds */
	bool		is_ahead;		/* the stamp is beyond the allowed skew */
	bool		stands;			/* it stands whatever is there, because
								 * tide.restore put it back */
	bool		is_delete;
	Bitmapset  *columns;		/* attnums that an update would write */
	Known		known;
	Stamp		known_stored;	/* the stamp with which it was stored then;
								 * without a time: it was not stored */
} Incoming;

/*
 * A version of the same user and client that push now, stored with a stamp
 * above the one that was sent.  They know it by the stamp they sent.
 */
typedef struct RaisedStamp
{
	TimestampTz known_as;
	TimestampTz stored;
} RaisedStamp;

typedef struct Current
{
	bool		exists;			/* a row, or a tombstone */
	bool		is_row;			/* it is a row, and not softly deleted */
	Stamp		stamp;
	const Stamp *clocks;		/* of columns, by attnum - 1; under merge */
	bool		same;			/* it has what the incoming change would store */
	Bitmapset  *differs;		/* under "merge": the incoming columns that
								 * have another value there */
	int64		unit;			/* precision of the stamp column */
	TimestampTz now;
	TimestampTz server_time;	/* now, but above the stamp's */
	TimestampTz limit;			/* no client's stamp and none of the server's
								 * is beyond this */
	const RaisedStamp *raised;
	int			nraised;
} Current;

typedef struct Decision
{
	Verdict		verdict;
	Stamp		stored;			/* the row's stamp, if applied or merged */
	Stamp		column_stamp;	/* that of the columns that it writes */
	TimestampTz known_as;		/* the time by which its sender would know it,
								 * if its stamp is raised */
	Bitmapset  *wins;			/* merged: columns of which it is the later
								 * writer */
	bool		asks;			/* the resolver decides what is stored */
	bool		overrules;		/* applied against a version that had a claim
								 * of its own: that one is a loser to keep */
	bool		replaces_twin;	/* to whoever pushes, what it replaces has the
								 * same stamp, so stamps do not tell them
								 * apart */
	const char *note;			/* static; NULL: nothing to say */
} Decision;

extern Decision decide(ConflictPolicy policy, const Incoming *in, const Current *current);

/* is it a stamp that counts: neither none, nor beyond what any clock allows? */
extern bool stamp_counts(const Stamp *stamp, TimestampTz limit);

#endif							/* TIDE_DECIDE_H */
