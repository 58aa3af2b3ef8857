/*
 * time.c
 *	  Times as on the wire.
 */
#include <stdio.h>

#include "wire/time.h"

typedef struct Scan
{
	const char *at;
	const char *end;
} Scan;

static bool
take(Scan *s, char c)
{
	if (s->at >= s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

static bool
take_digits(Scan *s, int n, int64_t *value)
{
	int			i;

	*value = 0;
	for (i = 0; i < n; i++)
	{
		if (s->at >= s->end || *s->at < '0' || *s->at > '9')
			return false;
		*value = *value * 10 + (*s->at++ - '0');
	}
	return true;
}

/* days since 1970-01-01 in the Gregorian calendar, years from March on */
static int64_t
days_of(int64_t year, int64_t month, int64_t day)
{
	int64_t		y = month <= 2 ? year - 1 : year;
	int64_t		era = (y >= 0 ? y : y - 399) / 400;
	int64_t		year_of_era = y - era * 400;
	int64_t		day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	int64_t		day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * 146097 + day_of_era - 719468;
}

static void
date_of(int64_t days, int64_t *year, int *month, int *day)
{
	int64_t		z = days + 719468;
	int64_t		era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t		doe = z - era * 146097;
	int64_t		yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t		doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t		mp = (5 * doy + 2) / 153;

	*day = (int) (doy - (153 * mp + 2) / 5 + 1);
	*month = (int) (mp < 10 ? mp + 3 : mp - 9);
	*year = yoe + era * 400 + (*month <= 2 ? 1 : 0);
}

static bool
take_fraction(Scan *s, int64_t *microseconds)
{
	int64_t		unit = 100000;

	if (s->at >= s->end || *s->at < '0' || *s->at > '9')
		return false;
	for (; s->at < s->end && *s->at >= '0' && *s->at <= '9'; s->at++)
	{
		*microseconds += (*s->at - '0') * unit;
		unit /= 10;
	}
	return true;
}

static bool
take_zone(Scan *s, int64_t *seconds)
{
	int64_t		hours,
				minutes = 0;
	int			sign;

	*seconds = 0;
	if (s->at == s->end || take(s, 'Z'))
		return true;
	if (take(s, '+'))
		sign = 1;
	else if (take(s, '-'))
		sign = -1;
	else
		return false;
	if (!take_digits(s, 2, &hours))
		return false;
	if (s->at < s->end)
	{
		(void) take(s, ':');
		if (!take_digits(s, 2, &minutes))
			return false;
	}
	*seconds = sign * (hours * 3600 + minutes * 60);
	return true;
}

bool
time_parse(const char *text, size_t length, int64_t *microseconds)
{
	Scan		s = {text, text + length};
	int64_t		year,
				month,
				day,
				hour = 0,
				minute = 0,
				second = 0,
				fraction = 0,
				zone = 0;

	if (!take_digits(&s, 4, &year) || !take(&s, '-') ||
		!take_digits(&s, 2, &month) || !take(&s, '-') ||
		!take_digits(&s, 2, &day))
		return false;
	if (month < 1 || month > 12 || day < 1 || day > 31)
		return false;
	if (take(&s, 'T') || take(&s, ' '))
	{
		if (!take_digits(&s, 2, &hour) || !take(&s, ':') ||
			!take_digits(&s, 2, &minute))
			return false;
		if (take(&s, ':') && !take_digits(&s, 2, &second))
			return false;
		if (take(&s, '.') && !take_fraction(&s, &fraction))
			return false;
	}
	if (!take_zone(&s, &zone) || s.at != s.end || hour > 24 || minute > 59 ||
		second > 60)
		return false;
	*microseconds = ((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60;
	*microseconds = (*microseconds + second - zone) * 1000000 + fraction;
	return true;
}

void
time_format(int64_t milliseconds, char text[TIME_SIZE])
{
	int64_t		day_length = 86400000;
	int64_t		days = milliseconds / day_length;
	int64_t		rest = milliseconds % day_length;
	int64_t		year;
	int			month,
				day;

	if (rest < 0)
	{
		days--;
		rest += day_length;
	}
	date_of(days, &year, &month, &day);
	snprintf(text, TIME_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
			 (int) (year % 10000), month, day, (int) (rest / 3600000),
			 (int) (rest / 60000 % 60), (int) (rest / 1000 % 60),
			 (int) (rest % 1000));
}
