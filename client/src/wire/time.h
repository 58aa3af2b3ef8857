/*
 * time.h
 *	  Times as on the wire: ISO 8601, to the microsecond.
 */
#ifndef TIDE_WIRE_TIME_H
#define TIDE_WIRE_TIME_H

#include "util/buffer.h"

/*
 * Microseconds since 1970, of YYYY-MM-DD[(T| )hh:mm[:ss[.f]]][Z|(+|-)hh[:mm]];
 * without a zone it is UTC.  False if it is none of these.
 */
bool		time_parse(const char *text, size_t length, int64_t *microseconds);

#define TIME_SIZE 32

/* YYYY-MM-DDThh:mm:ss.mmmZ */
void		time_format(int64_t milliseconds, char text[TIME_SIZE]);

#endif
