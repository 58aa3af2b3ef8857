/*-------------------------------------------------------------------------
 *
 * wire.h
 *	  Between values in PostgreSQL and values on the wire.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_WIRE_H
#define TIDE_WIRE_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "table/registry.h"

/*
 * Text forms must not depend on DateStyle, TimeZone and the like.  Between
 * these two calls they do not.  The session's own settings are back after
 * wire_end(), or when the (sub)transaction aborts.  No user code but type
 * input and output functions may run in between.
 */
extern int	wire_begin(void);

/*
 * Likewise for JSON that is stored: times are in ISO 8601, whatever the client
 * asks for.
 */
extern int	wire_begin_kept(void);
extern void wire_end(int level);

/* is a JSON array among such elements a dimension? */
extern bool wire_element_nests(Oid element);

/* a json column that cannot be NULL, so that null on the wire is JSON's */
extern bool wire_null_is_json(TrackedColumn *c);

/* a JSON object of the synced columns; values[] and nulls[] are by attnum - 1 */
extern void wire_append_row(StringInfo buf, TrackedTable *t,
							Datum *values, bool *nulls);
extern void wire_append_value(StringInfo buf, TrackedTable *t,
							  TrackedColumn *c, Datum value);

/* a comma, and "name":value of a column */
extern void wire_append_member(StringInfo buf, TrackedTable *t,
							   TrackedColumn *c, Datum value, bool isnull);

/*
 * {"name":value,...}, and the same without the braces, so that the caller can
 * add members of its own; values[] is by position in t->keys
 */
extern void wire_append_key(StringInfo buf, TrackedTable *t, Datum *values);
extern void wire_append_key_members(StringInfo buf, TrackedTable *t,
									Datum *values);

/* the 36 characters of a uuid; returns their end, where no zero is written */
extern char *wire_put_uuid(char *to, const pg_uuid_t *uuid);

/*
 * in the form of "pg_tide.times"; the second drops fractions of a millisecond
 */
extern void wire_append_time(StringInfo buf, TimestampTz time);
extern void wire_append_time_ms_floor(StringInfo buf, TimestampTz time);

/*
 * A key as one text: the output of its one column, or the text form of a
 * text[] of its columns. values[] is by position in t->keys.
 */
extern char *wire_key_text(TrackedTable *t, Datum *values);

/* the same under any settings of the session, like the two below */
extern char *wire_scope_text(TrackedTable *t, Datum value);
extern void wire_key_values(TrackedTable *t, const char *text, Datum *values);

/*
 * A row's JSON as jsonb.  False if jsonb cannot hold it, for example a text
 * above 256 MB.
 */
extern bool wire_jsonb(const char *json, size_t len, Datum *result);

/* the value of a column, from JSON; null is NULL, unless wire_null_is_json() */
extern Datum wire_read_value(TrackedTable *t, TrackedColumn *c,
							 JsonbValue *v, bool *isnull);

/* a time, from a JSON string or number */
extern TimestampTz wire_read_time(JsonbValue *v, const char *what);

/*
 * A time from text: ISO 8601 or Unix milliseconds. zone_shift is added if the
 * text has no zone (0: it is UTC).  A text that is not a time raises sqlstate.
 */
extern TimestampTz wire_parse_time(const char *text, int64 zone_shift_usec,
								   const char *what, int sqlstate);

#endif							/* TIDE_WIRE_H */
