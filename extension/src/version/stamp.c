/*-------------------------------------------------------------------------
 *
 * stamp.c
 *	  Comparing stamps and making the server's own.
 *
 * A stamp column is timestamptz or timestamp; one without zone holds UTC, so
 * both are the same count of microseconds here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "util/compat.h"
#include "util/settings.h"
#include "version/stamp.h"

/*
 * Later time wins; equal times by clientId as bytes, the server (NULL) first;
 * no time before all.
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

/* microseconds between two neighbouring values of the stamp column */
static int64
precision_of(TrackedTable *t)
{
	int32		typmod = tracked_column(t, t->modified_at)->typmod;
	int64		unit = 1;

	if (typmod >= 0 && typmod < 6)
		for (; typmod < 6; typmod++)
			unit *= 10;
	return unit;
}

TimestampTz
stamp_round(TrackedTable *t, TimestampTz time)
{
	int32		typmod = tracked_column(t, t->modified_at)->typmod;

	if (typmod >= 0 && typmod < 6 && !TIMESTAMP_NOT_FINITE(time))
		TideAdjustTimestamp(&time, typmod);
	return time;
}

/*
 * There is none above the last time, nor above infinity, which a row can have
 * from before it was tracked: those stay, where a sum would be -infinity.
 */
TimestampTz
stamp_just_above(TrackedTable *t, TimestampTz time)
{
	int64		unit = precision_of(t);

	if (time >= END_TIMESTAMP - 2 * unit)
		return time;
	return stamp_round(t, time) + unit;
}

TimestampTz
stamp_server_time(TrackedTable *t, const Stamp *replaced)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		unit = precision_of(t);

	/* floor, so that the server is never ahead of itself */
	now -= ((now % unit) + unit) % unit;
	if (replaced && replaced->has_time && replaced->time >= now)
		now = stamp_just_above(t, replaced->time);
	return now;
}

bool
stamp_is_ahead(TimestampTz time)
{
	return time > GetCurrentTimestamp() + (int64) tide_max_clock_skew * 1000;
}

/*
 * values and nulls by attnum - 1.  The client id is palloc'd.
 */
Stamp
stamp_of_row(TrackedTable *t, Datum *values, bool *nulls)
{
	Stamp		stamp = {0};

	if (!nulls[t->modified_at - 1])
	{
		stamp.has_time = true;
		/* a Timestamp in UTC is the same number as a TimestampTz */
		stamp.time = DatumGetTimestampTz(values[t->modified_at - 1]);
	}
	if (!nulls[t->client_id - 1])
		stamp.client_id = TextDatumGetCString(values[t->client_id - 1]);
	return stamp;
}

/*
 * A client id as a value of the table's column, checked against its length.
 */
Datum
stamp_client_datum(TrackedTable *t, const char *client_id)
{
	TrackedColumn *c = tracked_column(t, t->client_id);

	return InputFunctionCall(&c->input, unconstify(char *, client_id),
							 c->ioparam, c->typmod);
}
