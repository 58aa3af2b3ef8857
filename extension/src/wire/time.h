/*-------------------------------------------------------------------------
 *
 * time.h
 *	  Times as text, without regard to DateStyle or TimeZone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_WIRE_TIME_H
#define TIDE_WIRE_TIME_H

#include "datatype/timestamp.h"

/* room for any time that time_format writes, and its terminating zero */
#define TIME_TEXT_MAX 48

/*
 * ISO 8601 with at least three digits of fraction, and with Z if zulu.  Not
 * for infinite times.  Returns the length.
 */
extern int	time_format(char *to, Timestamp time, bool zulu);

/*
 * Reads ISO 8601 text, which need not be terminated. *result is in UTC; a
 * text without a zone is taken as UTC. *zone is the seconds east of UTC that
 * the text names.  False if the text is not ISO 8601.
 */
extern bool time_scan(const char *text, size_t len, Timestamp *result,
					  bool *has_zone, int *zone);

/* a decimal number with at least min_digits before the point, if any? */
extern bool time_is_number(const char *text, size_t len, int min_digits);

/*
 * Reads a decimal number of Unix milliseconds.  Less than a microsecond is
 * rounded.  False if it is out of the range of timestamps.
 */
extern bool time_scan_ms(const char *text, size_t len, Timestamp *result);

/* the whole milliseconds since 1970 of a finite time */
extern int64 time_to_ms(Timestamp time);

#endif							/* TIDE_WIRE_TIME_H */
