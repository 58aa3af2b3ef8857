/*-------------------------------------------------------------------------
 *
 * order.h
 *	  The stamp of a row version, and the total order of stamps.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_ORDER_H
#define TIDE_ORDER_H

#include "datatype/timestamp.h"

typedef struct Stamp
{
	bool		has_time;		/* false: from before the table was tracked */
	TimestampTz time;			/* in the precision of the table's column */
	const char *client_id;		/* NULL: the server */
} Stamp;

/* < 0, 0, > 0 */
extern int	stamp_compare(const Stamp *a, const Stamp *b);

/*
 * The smallest time that lies in a later millisecond than this one and is a
 * multiple of unit microseconds (a power of ten).  At the end of time it is the
 * last such time.
 */
extern TimestampTz time_above(TimestampTz time, int64 unit);

/* do both begin the same stretch of unit microseconds? */
extern bool time_same_unit(TimestampTz a, TimestampTz b, int64 unit);

#endif							/* TIDE_ORDER_H */
