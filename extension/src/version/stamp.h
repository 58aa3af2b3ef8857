/*-------------------------------------------------------------------------
 *
 * stamp.h
 *	  The stamp of a row version: when it was written, and for which client.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_STAMP_H
#define TIDE_STAMP_H

#include "postgres.h"
#include "utils/timestamp.h"
#include "table/registry.h"

typedef struct Stamp
{
	bool		has_time;		/* false: from before the table was tracked */
	TimestampTz time;			/* in the precision of the table's column */
	const char *client_id;		/* NULL: the server */
} Stamp;

/* < 0, 0, > 0: a total order */
extern int	stamp_compare(const Stamp *a, const Stamp *b);

/* what the table's column makes of a time: its precision */
extern TimestampTz stamp_round(TrackedTable *t, TimestampTz time);

/* the smallest time of the table's precision above this one */
extern TimestampTz stamp_just_above(TrackedTable *t, TimestampTz time);

/*
 * The server's time for a version that replaces one with this stamp (NULL:
 * none): now, but always above it.
 */
extern TimestampTz stamp_server_time(TrackedTable *t, const Stamp *replaced);

/* is this time further ahead than pg_tide.max_clock_skew allows? */
extern bool stamp_is_ahead(TimestampTz time);

extern Stamp stamp_of_row(TrackedTable *t, Datum *values, bool *nulls);
extern Datum stamp_client_datum(TrackedTable *t, const char *client_id);

#endif							/* TIDE_STAMP_H */
