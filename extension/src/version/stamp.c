/*-------------------------------------------------------------------------
 *
 * stamp.c
 *	  Stamps of a tracked table's rows: their precision, and the server's own.
 *
 * A stamp column is timestamptz or timestamp; one without zone holds UTC, so
 * both are the same count of microseconds here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "util/compat.h"
#include "util/settings.h"
#include "version/stamp.h"

int64
stamp_unit(TrackedTable *t)
{
	int32		typmod = tracked_column(t, t->modified_at)->typmod;
	int64		unit = 1;

	if (typmod >= 0 && typmod < 6)
		for (; typmod < 6; typmod++)
			unit *= 10;
	return unit;
}

/* a time near the end of time is not rounded to one beyond it */
TimestampTz
stamp_round(TrackedTable *t, TimestampTz time)
{
	int32		typmod = tracked_column(t, t->modified_at)->typmod;
	TimestampTz rounded = time;

	if (typmod < 0 || typmod >= 6 || TIMESTAMP_NOT_FINITE(time))
		return time;
	TideAdjustTimestamp(&rounded, typmod);
	return IS_VALID_TIMESTAMP(rounded) ? rounded : rounded - stamp_unit(t);
}

TimestampTz
stamp_server_time(TrackedTable *t, const Stamp *replaced, bool in_own)
{
	int64		unit = stamp_unit(t);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz above;

	/* floor, so that the server is never ahead of itself */
	now -= ((now % unit) + unit) % unit;
	if (replaced == NULL || !replaced->has_time || TIMESTAMP_NOT_FINITE(replaced->time))
		return now;
	above = in_own && replaced->time < END_TIMESTAMP - unit ?
		replaced->time + unit : time_above(replaced->time, unit);
	return Max(now, above);
}

TimestampTz
stamp_limit(void)
{
	return GetCurrentTimestamp() + (int64) tide_max_clock_skew * 1000;
}

bool
stamp_is_ahead(TimestampTz time)
{
	return time > stamp_limit();
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
