/*-------------------------------------------------------------------------
 *
 * time.c
 *	  Times on the wire: ISO 8601 and Unix milliseconds.
 *
 * PostgreSQL's own input accepts far more, and some of it is dangerous here:
 * 'now' and 'tomorrow' would turn a client's bug into the server's clock.  So
 * the forms that clients send are read by hand, which is faster too.  read.c
 * leaves other texts to the input function of the column's type.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "common/int.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/numeric.h"

#include "util/json.h"
#include "util/errors.h"
#include "util/settings.h"
#include "wire/time.h"
#include "wire/wire.h"

/* 2000-01-01, where PostgreSQL begins to count, in Unix milliseconds */
#define EPOCH_MS INT64CONST(946684800000)

#define ERROR_TEXT_MAX 64

/*
 * Writing
 */

static char *
put_fraction(char *to, uint32 usec)
{
	*to++ = '.';
	if (usec % 1000 == 0)
		return pg_ultostr_zeropad(to, usec / 1000, 3);
	to = pg_ultostr_zeropad(to, usec, 6);
	while (to[-1] == '0')
		to--;
	return to;
}

int
time_format(char *to, Timestamp time, bool zulu)
{
	char	   *start = to;
	struct pg_tm tm;
	fsec_t		fsec;
	bool		bc;

	if (timestamp2tm(time, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));

	bc = tm.tm_year <= 0;
	to = pg_ultostr_zeropad(to, bc ? 1 - tm.tm_year : tm.tm_year, 4);
	*to++ = '-';
	to = pg_ultostr_zeropad(to, tm.tm_mon, 2);
	*to++ = '-';
	to = pg_ultostr_zeropad(to, tm.tm_mday, 2);
	*to++ = 'T';
	to = pg_ultostr_zeropad(to, tm.tm_hour, 2);
	*to++ = ':';
	to = pg_ultostr_zeropad(to, tm.tm_min, 2);
	*to++ = ':';
	to = pg_ultostr_zeropad(to, tm.tm_sec, 2);
	to = put_fraction(to, fsec);
	if (zulu)
		*to++ = 'Z';
	if (bc)
	{
		memcpy(to, " BC", 3);
		to += 3;
	}
	*to = '\0';
	return to - start;
}

int64
time_to_ms(Timestamp time)
{
	int64		ms = time / 1000;

	/* downwards, before 2000 too */
	if (time % 1000 < 0)
		ms--;
	return ms + EPOCH_MS;
}

/* A string, or a number where "pg_tide.times" says so. */
void
wire_append_time(StringInfo buf, TimestampTz time)
{
	enlargeStringInfo(buf, TIME_TEXT_MAX + 2);
	if (TIMESTAMP_IS_NOBEGIN(time))
		appendStringInfoString(buf, "\"-infinity\"");
	else if (TIMESTAMP_IS_NOEND(time))
		appendStringInfoString(buf, "\"infinity\"");
	else if (tide_times_in_ms)
		buf->len += pg_lltoa(time_to_ms(time), buf->data + buf->len);
	else
	{
		appendStringInfoCharMacro(buf, '"');
		buf->len += time_format(buf->data + buf->len, time, true);
		appendStringInfoCharMacro(buf, '"');
	}
}

/* Likewise, but in whole milliseconds, so that no client rounds it up. */
void
wire_append_time_ms_floor(StringInfo buf, TimestampTz time)
{
	if (!TIMESTAMP_NOT_FINITE(time))
		time = (time_to_ms(time) - EPOCH_MS) * 1000;
	wire_append_time(buf, time);
}

/*
 * Reading
 */

typedef struct Scanner
{
	const char *at;
	const char *end;
} Scanner;

static char
peek(const Scanner *s)
{
	return s->at < s->end ? *s->at : '\0';
}

static bool
accept_char(Scanner *s, char c)
{
	if (s->at >= s->end || *s->at != c)
		return false;
	s->at++;
	return true;
}

static int
count_digits(const Scanner *s)
{
	const char *at = s->at;

	while (at < s->end && *at >= '0' && *at <= '9')
		at++;
	return at - s->at;
}

/* exactly n digits, at most 6; false (and nothing read) if there are fewer */
static bool
scan_digits(Scanner *s, int n, int *value)
{
	int			i;

	if (s->end - s->at < n)
		return false;
	*value = 0;
	for (i = 0; i < n; i++)
	{
		if (s->at[i] < '0' || s->at[i] > '9')
			return false;
		*value = *value * 10 + (s->at[i] - '0');
	}
	s->at += n;
	return true;
}

/* 2026-11-21, +002026-11-21, 12026-11-21, 20261121 before a T */
static bool
scan_date(Scanner *s, struct pg_tm *tm, bool *is_signed)
{
	bool		negative = accept_char(s, '-');
	int			n;

	*is_signed = negative || accept_char(s, '+');
	n = count_digits(s);
	if (n == 8 && !*is_signed && s->end - s->at > 8 &&
		(s->at[8] == 'T' || s->at[8] == 't'))
		return scan_digits(s, 4, &tm->tm_year) &&
			scan_digits(s, 2, &tm->tm_mon) &&
			scan_digits(s, 2, &tm->tm_mday);

	if (n < 4 || n > 6)
		return false;
	if (!scan_digits(s, n, &tm->tm_year) ||
		!accept_char(s, '-') || !scan_digits(s, 2, &tm->tm_mon) ||
		!accept_char(s, '-') || !scan_digits(s, 2, &tm->tm_mday))
		return false;
	if (negative)
		tm->tm_year = -tm->tm_year;
	return true;
}

/* microseconds; further digits are rounded, perhaps up to a whole second */
static bool
scan_fraction(Scanner *s, fsec_t *fsec)
{
	int			n = count_digits(s);
	int			i;

	if (n == 0)
		return false;
	*fsec = 0;
	for (i = 0; i < 6; i++)
		*fsec = *fsec * 10 + (i < n ? s->at[i] - '0' : 0);
	if (n > 6 && s->at[6] >= '5')
		(*fsec)++;
	s->at += n;
	return true;
}

/* 20:39, 20:39:11, 20:39:11.5, and the same without colons */
static bool
scan_time(Scanner *s, struct pg_tm *tm, fsec_t *fsec)
{
	bool		colons;

	if (!scan_digits(s, 2, &tm->tm_hour))
		return false;
	colons = accept_char(s, ':');
	if (!scan_digits(s, 2, &tm->tm_min))
		return false;
	if (colons ? accept_char(s, ':') : count_digits(s) > 0)
	{
		if (!scan_digits(s, 2, &tm->tm_sec))
			return false;
		if ((accept_char(s, '.') || accept_char(s, ',')) && !scan_fraction(s, fsec))
			return false;
	}
	return true;
}

/* Z, +01, +0130, +01:30, +01:30:15; *zone is in seconds east */
static bool
scan_zone(Scanner *s, int *zone)
{
	bool		west = peek(s) == '-';
	bool		colons;
	int			hours;
	int			minutes = 0;
	int			seconds = 0;

	if (accept_char(s, 'Z') || accept_char(s, 'z'))
	{
		*zone = 0;
		return true;
	}
	if (!accept_char(s, '+') && !accept_char(s, '-'))
		return false;
	if (!scan_digits(s, 2, &hours))
		return false;
	colons = accept_char(s, ':');
	if (colons || count_digits(s) > 0)
	{
		if (!scan_digits(s, 2, &minutes))
			return false;
		if (colons && accept_char(s, ':') && !scan_digits(s, 2, &seconds))
			return false;
	}
	if (hours > MAX_TZDISP_HOUR || minutes > 59 || seconds > 59)
		return false;
	*zone = (hours * 60 + minutes) * 60 + seconds;
	if (west)
		*zone = -*zone;
	return true;
}

static bool
is_valid(const struct pg_tm *tm, fsec_t fsec)
{
	if (tm->tm_mon < 1 || tm->tm_mon > 12 || tm->tm_mday < 1 ||
		tm->tm_mday > day_tab[isleap(tm->tm_year) ? 1 : 0][tm->tm_mon - 1])
		return false;

	/*
	 * a leap second, and midnight at the end of a day, as PostgreSQL takes
	 * them
	 */
	if (tm->tm_hour == 24)
		return tm->tm_min == 0 && tm->tm_sec == 0 && fsec == 0;
	return tm->tm_hour < 24 && tm->tm_min < 60 && tm->tm_sec <= 60;
}

bool
time_scan(const char *text, size_t len, Timestamp *result,
		  bool *has_zone, int *zone)
{
	Scanner		s;
	struct pg_tm tm;
	fsec_t		fsec = 0;
	bool		is_signed;
	int			tz;

	s.at = text;
	s.end = text + len;
	memset(&tm, 0, sizeof(tm));
	*has_zone = false;
	*zone = 0;

	if (!scan_date(&s, &tm, &is_signed))
		return false;
	if (accept_char(&s, 'T') || accept_char(&s, 't') ||
		(s.end - s.at > 1 && isdigit((unsigned char) s.at[1]) &&
		 accept_char(&s, ' ')))
	{
		if (!scan_time(&s, &tm, &fsec))
			return false;
		if (s.end - s.at > 1 && (s.at[1] == '+' || s.at[1] == '-'))
			(void) accept_char(&s, ' ');
		if (peek(&s) != '\0' && peek(&s) != ' ')
		{
			if (!scan_zone(&s, zone))
				return false;
			*has_zone = true;
		}
	}
	/* 44 BC is the year -43 */
	if (s.end - s.at == 3 && pg_strncasecmp(s.at, " BC", 3) == 0 &&
		!is_signed && tm.tm_year > 0)
	{
		tm.tm_year = 1 - tm.tm_year;
		s.at = s.end;
	}
	else if (!is_signed && tm.tm_year == 0)
		return false;
	if (s.at != s.end || !is_valid(&tm, fsec))
		return false;

	tz = -*zone;
	return tm2timestamp(&tm, fsec, &tz, result) == 0;
}

bool
time_is_number(const char *text, size_t len, int min_digits)
{
	Scanner		s;
	int			n;

	s.at = text;
	s.end = text + len;
	if (!accept_char(&s, '-'))
		(void) accept_char(&s, '+');
	n = count_digits(&s);
	if (n < min_digits)
		return false;
	s.at += n;
	if (accept_char(&s, '.'))
	{
		n = count_digits(&s);
		if (n == 0)
			return false;
		s.at += n;
	}
	return s.at == s.end;
}

/* The caller has seen that it is a number: time_is_number(). */
bool
time_scan_ms(const char *text, size_t len, Timestamp *result)
{
	Scanner		s;
	bool		negative;
	int64		ms = 0;
	int			fraction = 0;	/* of a millisecond, in microseconds */
	int			i;

	s.at = text;
	s.end = text + len;
	negative = accept_char(&s, '-');
	if (!negative)
		(void) accept_char(&s, '+');
	for (; s.at < s.end && *s.at != '.'; s.at++)
	{
		ms = ms * 10 + (*s.at - '0');
		/* far beyond any timestamp, and far from overflow below */
		if (ms > PG_INT64_MAX / 100)
			return false;
	}
	if (accept_char(&s, '.'))
	{
		for (i = 0; i < 3; i++)
			fraction = fraction * 10 + (s.end - s.at > i ? s.at[i] - '0' : 0);
		if (s.end - s.at > 3 && s.at[3] >= '5')
			fraction++;
	}
	if (negative)
	{
		ms = -ms;
		fraction = -fraction;
	}
	ms -= EPOCH_MS;
	/* beyond this the product would overflow */
	if (ms < MIN_TIMESTAMP / 1000 - 1 || ms > END_TIMESTAMP / 1000)
		return false;
	*result = ms * 1000 + fraction;
	return IS_VALID_TIMESTAMP(*result);
}

static void
bad_time(const char *what, const char *text, int sqlstate)
{
	int			len = strlen(text);
	int			shown = pg_mbcliplen(text, len, ERROR_TEXT_MAX);

	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("%s is not a time: \"%.*s%s\"", what, shown, text,
					shown < len ? "..." : ""),
			 errhint("Pass ISO 8601, such as 2026-11-21T20:39:11.123Z, or Unix milliseconds, such as 1795293551123.")));
}

static void
time_out_of_range(const char *what, int sqlstate)
{
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("%s is out of the range of times", what)));
}

static void
require_finite(const char *what, const char *text, size_t len, int sqlstate)
{
	if (len > 0 && (text[0] == '-' || text[0] == '+'))
	{
		text++;
		len--;
	}
	if ((len == 8 && pg_strncasecmp(text, "infinity", 8) == 0) ||
		(len == 3 && pg_strncasecmp(text, "inf", 3) == 0))
		ereport(ERROR,
				(errcode(sqlstate),
				 errmsg("%s must be a finite time", what)));
}

TimestampTz
wire_parse_time(const char *text, int64 zone_shift_usec, const char *what, int sqlstate)
{
	const char *start = text;
	size_t		len;
	TimestampTz result;
	bool		has_zone;
	int			zone;

	while (isspace((unsigned char) *start))
		start++;
	len = strlen(start);
	while (len > 0 && isspace((unsigned char) start[len - 1]))
		len--;

	/* four digits would rather be a year */
	if (time_is_number(start, len, 1) &&
		!(len == 4 && isdigit((unsigned char) start[0])))
	{
		if (!time_scan_ms(start, len, &result))
			time_out_of_range(what, sqlstate);
		return result;
	}
	require_finite(what, start, len, sqlstate);
	if (!time_scan(start, len, &result, &has_zone, &zone))
		bad_time(what, text, sqlstate);
	if (!has_zone &&
		(pg_add_s64_overflow(result, zone_shift_usec, &result) ||
		 !IS_VALID_TIMESTAMP(result)))
		time_out_of_range(what, sqlstate);
	return result;
}

TimestampTz
wire_read_time(JsonbValue *v, const char *what)
{
	TimestampTz result;
	char	   *text;

	switch (v->type)
	{
		case jbvString:
			text = pnstrdup(v->val.string.val, v->val.string.len);
			result = wire_parse_time(text, 0, what, ERRCODE_TIDE_BAD_TIME);
			pfree(text);
			return result;
		case jbvNumeric:
			if (json_has_long_number(v))
				time_out_of_range(what, ERRCODE_TIDE_BAD_TIME);
			text = DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(v->val.numeric)));
			if (!time_is_number(text, strlen(text), 1) ||
				!time_scan_ms(text, strlen(text), &result))
				time_out_of_range(what, ERRCODE_TIDE_BAD_TIME);
			pfree(text);
			return result;
		default:
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_BAD_TIME),
					 errmsg("%s must be a string or a number", what)));
	}
	pg_unreachable();
}
