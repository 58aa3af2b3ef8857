/*-------------------------------------------------------------------------
 *
 * order.c
 *	  The total order of stamps.
 *
 * Pure: uses neither tables nor the clock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "version/order.h"

#define USECS_PER_MSEC INT64CONST(1000)

/*
 * The later time is greater.  At equal times the greater client id is, as
 * bytes; the server's (NULL) is the least.  A stamp without a time is less
 * than all others.
 */
int
stamp_compare(const Stamp *a, const Stamp *b)
{
	if (a->has_time != b->has_time)
		return a->has_time ? 1 : -1;
	if (a->has_time && a->time != b->time)
		return a->time > b->time ? 1 : -1;
	if (a->client_id == NULL || b->client_id == NULL)
		return (a->client_id != NULL) - (b->client_id != NULL);
	return strcmp(a->client_id, b->client_id);
}

/* rounded down, also before the year 2000 */
static TimestampTz
floor_to(TimestampTz time, int64 unit)
{
	int64		rest = time % unit;

	return time - rest - (rest < 0 ? unit : 0);
}

/*
 * A base in milliseconds must name one version.  So a version that the server
 * makes never shares a millisecond with the one that it replaces.
 */
TimestampTz
time_above(TimestampTz time, int64 unit)
{
	int64		step = Max(unit, USECS_PER_MSEC);
	TimestampTz last = floor_to(END_TIMESTAMP - 1, step);

	if (time >= last)
		return last;
	if (time < MIN_TIMESTAMP)
		time = MIN_TIMESTAMP;
	return floor_to(time, step) + step;
}

bool
time_same_unit(TimestampTz a, TimestampTz b, int64 unit)
{
	if (TIMESTAMP_NOT_FINITE(a) || TIMESTAMP_NOT_FINITE(b))
		return a == b;
	return floor_to(a, unit) == floor_to(b, unit);
}
