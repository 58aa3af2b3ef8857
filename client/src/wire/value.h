/*
 * value.h
 *	  One value: JSON on the wire, one of SQLite's classes on the device.
 *
 * What is pulled and pushed again untouched is what it was: digits of a
 * numeric, all 17 of a double, a BLOB's bytes, a json text's spaces.  What a
 * user put into a column whose class it is not goes out as it is; the server
 * judges.
 */
#ifndef TIDE_WIRE_VALUE_H
#define TIDE_WIRE_VALUE_H

#include "util/sqlite.h"
#include "wire/json.h"

typedef enum ValueKind
{
	VALUE_ANY,					/* a type that we do not know: keep the class */
	VALUE_INTEGER,
	VALUE_BOOLEAN,
	VALUE_REAL,
	VALUE_NUMERIC,				/* digits as text */
	VALUE_TEXT,
	VALUE_TIME,					/* timestamp, with or without time zone */
	VALUE_JSON,					/* json, arrays: their text */
	VALUE_BLOB
} ValueKind;

/* The kind for a PostgreSQL type as /sync/schema names it. */
ValueKind	value_kind(const char *type);

/* The type that a column of this kind is declared with in SQLite. */
const char *value_declared_type(ValueKind kind);

/* Bind what the wire says; false where memory ran out. */
bool		value_bind(sqlite3_stmt * stmt, int parameter, ValueKind kind,
					   const Json *json, const JsonNode *node);

/*
 * Append a value of ours as JSON.  False if it is none that JSON can carry: a
 * text that is not UTF-8.
 */
bool		value_append(Buffer *out, ValueKind kind, sqlite3_value * value);

/* A double with as few digits as are exact, whatever the locale. */
void		value_append_real(Buffer *out, double value);

/*
 * The digits behind the point that the server shows of a column of this type, which
 * the device holds as a double; -1: as many as there are.  And a number with so many,
 * or, if it has more, as it is.
 */
int			value_scale(const char *type);
void		value_append_fixed(Buffer *out, double value, int scale);

#endif
