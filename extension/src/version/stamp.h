/*-------------------------------------------------------------------------
 *
 * stamp.h
 *	  Stamps of a tracked table's rows: their precision, and the server's own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_STAMP_H
#define TIDE_STAMP_H

#include "table/registry.h"
#include "version/order.h"

/* a time as the table's column stores it, with the column's precision */
extern TimestampTz stamp_round(TrackedTable *t, TimestampTz time);

/* microseconds between two neighbouring values of the stamp column */
extern int64 stamp_unit(TrackedTable *t);

/*
 * The server's time for a version that replaces one with this stamp (NULL:
 * none): now, but always above it.  If in_own, this transaction wrote that
 * version and nobody has seen it; otherwise the new time lies in a later
 * millisecond.
 */
extern TimestampTz stamp_server_time(TrackedTable *t, const Stamp *replaced, bool in_own);

/* no time that pg_tide.max_clock_skew allows is beyond this one */
extern TimestampTz stamp_limit(void);

extern bool stamp_is_ahead(TimestampTz time);

extern Stamp stamp_of_row(TrackedTable *t, Datum *values, bool *nulls);
extern Datum stamp_client_datum(TrackedTable *t, const char *client_id);

#endif							/* TIDE_STAMP_H */
