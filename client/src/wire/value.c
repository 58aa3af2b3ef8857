/*
 * value.c
 *	  One value: JSON on the wire, one of SQLite's classes on the device.
 */
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/value.h"

#define MAX_REAL_PRECISION 15	/* decimal digits that any double keeps */

static locale_t c_locale;

static void
make_locale(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t) 0);
}

/* the digits are the wire's, whatever language the host has set */
static locale_t
enter_c_locale(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_locale);
	return uselocale(c_locale ? c_locale : (locale_t) 0);
}

static double
real_of(const char *digits)
{
	locale_t	before = enter_c_locale();
	double		value = strtod(digits, NULL);

	uselocale(before);
	return value;
}

void
value_append_real(Buffer *out, double value)
{
	char		digits[40];
	locale_t	before;
	int			precision;

	if (isnan(value) || isinf(value))
	{
		buffer_text(out, isnan(value) ? "\"NaN\"" :
					value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
		return;
	}
	before = enter_c_locale();
	for (precision = 15; precision <= 17; precision++)
	{
		snprintf(digits, sizeof(digits), "%.*g", precision, value);
		if (strtod(digits, NULL) == value)
			break;
	}
	uselocale(before);
	buffer_text(out, digits);
}

void
value_append_fixed(Buffer *out, double value, int scale)
{
	char		digits[64];
	locale_t	before = enter_c_locale();
	bool		same;

	snprintf(digits, sizeof(digits), "%.*f", scale, value);
	same = strtod(digits, NULL) == value;
	uselocale(before);
	if (same && strlen(digits) < sizeof(digits) - 1)
		buffer_text(out, digits);
	else
		value_append_real(out, value);
}

static bool
starts_with(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

static bool
ends_with(const char *text, const char *end)
{
	size_t		n = strlen(text);
	size_t		m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

/* numeric(10,2): a double keeps it; numeric, numeric(30): it does not */
static ValueKind
numeric_kind(const char *type)
{
	int			precision = 0;

	if (sscanf(type, "numeric(%d", &precision) == 1 && precision > 0 &&
		precision <= MAX_REAL_PRECISION)
		return VALUE_REAL;
	return VALUE_NUMERIC;
}

ValueKind
value_kind(const char *type)
{
	static const struct
	{
		const char *name;
		bool		with_modifier;	/* "name(3)", "name(3) with time zone" */
		ValueKind	kind;
	}			kinds[] = {
		{"smallint", false, VALUE_INTEGER},
		{"integer", false, VALUE_INTEGER},
		{"bigint", false, VALUE_INTEGER},
		{"boolean", false, VALUE_BOOLEAN},
		{"real", false, VALUE_REAL},
		{"double precision", false, VALUE_REAL},
		{"bytea", false, VALUE_BLOB},
		{"json", false, VALUE_JSON},
		{"jsonb", false, VALUE_JSON},
		{"text", false, VALUE_TEXT},
		{"uuid", false, VALUE_TEXT},
		{"name", false, VALUE_TEXT},
		{"date", false, VALUE_TEXT},
		{"\"char\"", false, VALUE_TEXT},
		{"character", true, VALUE_TEXT},
		{"bpchar", true, VALUE_TEXT},
		{"interval", true, VALUE_TEXT},
		{"timestamp", true, VALUE_TIME},
		{"time", true, VALUE_TEXT},
	};
	size_t		i;

	if (ends_with(type, "[]"))
		return VALUE_JSON;
	if (strcmp(type, "numeric") == 0 || starts_with(type, "numeric("))
		return numeric_kind(type);
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		const char *rest = type + strlen(kinds[i].name);

		if (!starts_with(type, kinds[i].name))
			continue;
		if (*rest == '\0' || (kinds[i].with_modifier && (*rest == '(' || *rest == ' ')))
			return kinds[i].kind;
	}
	return VALUE_ANY;
}

int
value_scale(const char *type)
{
	int			precision,
				scale = 0;

	if (value_kind(type) != VALUE_REAL || sscanf(type, "numeric(%d,%d", &precision, &scale) < 1)
		return -1;
	return scale > 0 ? scale : 0;
}

const char *
value_declared_type(ValueKind kind)
{
	switch (kind)
	{
		case VALUE_INTEGER:
		case VALUE_BOOLEAN:
			return "INTEGER";
		case VALUE_REAL:
			return "REAL";
		case VALUE_BLOB:
			return "BLOB";
		case VALUE_ANY:
			/* no type, no affinity: what comes in is what goes out */
			return "";
		case VALUE_NUMERIC:
		case VALUE_TEXT:
		case VALUE_TIME:
		case VALUE_JSON:
			break;
	}
	return "TEXT";
}

static bool
bind_text(sqlite3_stmt * stmt, int parameter, const char *text, size_t length)
{
	return sqlite3_bind_text64(stmt, parameter, text, length,
							   SQLITE_TRANSIENT, SQLITE_UTF8) == SQLITE_OK;
}

static int
nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* \x0123 as bytes; anything else stays text */
static bool
bind_bytes(sqlite3_stmt * stmt, int parameter, const char *text, size_t length)
{
	unsigned char *bytes;
	size_t		i;

	if (length < 2 || text[0] != '\\' || text[1] != 'x' || length % 2 != 0)
		return bind_text(stmt, parameter, text, length);
	bytes = sqlite3_malloc64(length);
	if (bytes == NULL)
		return false;
	for (i = 2; i < length; i += 2)
	{
		int			high = nibble(text[i]);
		int			low = nibble(text[i + 1]);

		if (high < 0 || low < 0)
		{
			sqlite3_free(bytes);
			return bind_text(stmt, parameter, text, length);
		}
		bytes[i / 2 - 1] = (unsigned char) (high << 4 | low);
	}
	return sqlite3_bind_blob64(stmt, parameter, bytes, length / 2 - 1,
							   sqlite3_free) == SQLITE_OK;
}

/* an integer that fits, with all its digits */
static bool
integer_of(const char *digits, size_t length, sqlite3_int64 * value)
{
	char		again[24];
	char		copy[24];

	if (length == 0 || length >= sizeof(copy))
		return false;
	memcpy(copy, digits, length);
	copy[length] = '\0';
	*value = strtoll(copy, NULL, 10);
	snprintf(again, sizeof(again), "%lld", *value);
	return strcmp(again, copy) == 0;
}

static bool
bind_real(sqlite3_stmt * stmt, int parameter, const char *digits, size_t length,
		  bool exactly)
{
	Buffer		again = {0};
	char		copy[400];
	double		value;
	bool		same;

	if (length >= sizeof(copy))
		return bind_text(stmt, parameter, digits, length);
	memcpy(copy, digits, length);
	copy[length] = '\0';
	value = real_of(copy);
	if (exactly)
	{
		value_append_real(&again, value);
		same = !again.failed && again.length == length &&
			memcmp(again.data, digits, length) == 0;
		buffer_free(&again);
		if (!same)
			return bind_text(stmt, parameter, digits, length);
	}
	return sqlite3_bind_double(stmt, parameter, value) == SQLITE_OK;
}

static bool
bind_number(sqlite3_stmt * stmt, int parameter, ValueKind kind,
			const char *digits, size_t length)
{
	sqlite3_int64 integer;

	if (kind == VALUE_REAL)
		return bind_real(stmt, parameter, digits, length, false);
	if (kind == VALUE_INTEGER || kind == VALUE_BOOLEAN || kind == VALUE_ANY)
	{
		if (integer_of(digits, length, &integer))
			return sqlite3_bind_int64(stmt, parameter, integer) == SQLITE_OK;
		if (kind == VALUE_ANY)
			return bind_real(stmt, parameter, digits, length, true);
	}
	return bind_text(stmt, parameter, digits, length);
}

static bool
bind_string(sqlite3_stmt * stmt, int parameter, ValueKind kind, const Json *json,
			const JsonNode *node)
{
	Buffer		text = {0};
	bool		good;

	/* a json column's string keeps its quotes: it is JSON */
	if (kind == VALUE_JSON)
		json_raw(json, node, &text);
	else if (!node->escaped)
	{
		const char *start = json->text + node->start;
		size_t		length = node->end - node->start;

		return kind == VALUE_BLOB ? bind_bytes(stmt, parameter, start, length) :
			bind_text(stmt, parameter, start, length);
	}
	else
		json_decode(json, node, &text);
	if (text.data == NULL)
		buffer_text(&text, "");
	good = !text.failed &&
		(kind == VALUE_BLOB ? bind_bytes(stmt, parameter, text.data, text.length) :
		 bind_text(stmt, parameter, text.data, text.length));
	buffer_free(&text);
	return good;
}

bool
value_bind(sqlite3_stmt * stmt, int parameter, ValueKind kind, const Json *json,
		   const JsonNode *node)
{
	const char *text = json->text + (node ? node->start : 0);
	size_t		length = node ? node->end - node->start : 0;

	if (node == NULL || node->kind == JSON_NULL)
		return sqlite3_bind_null(stmt, parameter) == SQLITE_OK;
	if (node->kind == JSON_STRING)
		return bind_string(stmt, parameter, kind, json, node);
	if (kind == VALUE_JSON || node->kind >= JSON_ARRAY)
		return bind_text(stmt, parameter, text, length);
	if (node->kind == JSON_NUMBER)
		return bind_number(stmt, parameter, kind, text, length);
	/* true, false */
	if (kind == VALUE_TEXT || kind == VALUE_NUMERIC)
		return bind_text(stmt, parameter, text, length);
	return sqlite3_bind_int(stmt, parameter, node->kind == JSON_TRUE) == SQLITE_OK;
}

static void
append_hex(Buffer *out, const unsigned char *bytes, size_t length)
{
	static const char hex[] = "0123456789abcdef";
	size_t		i;

	buffer_text(out, "\"\\\\x");
	for (i = 0; i < length; i++)
	{
		buffer_char(out, hex[bytes[i] >> 4]);
		buffer_char(out, hex[bytes[i] & 15]);
	}
	buffer_char(out, '"');
}

static bool
append_text(Buffer *out, ValueKind kind, const char *text, size_t length)
{
	if (!utf8_is_valid(text, length))
		return false;
	if ((kind == VALUE_NUMERIC && json_is_number(text, length)) ||
		(kind == VALUE_JSON && json_is_valid(text, length)))
		buffer_append(out, text, length);
	else
		json_string(out, text, length);
	return true;
}

bool
value_append(Buffer *out, ValueKind kind, sqlite3_value * value)
{
	sqlite3_int64 integer;
	const char *text;

	switch (sqlite3_value_type(value))
	{
		case SQLITE_NULL:
			buffer_text(out, "null");
			return true;
		case SQLITE_INTEGER:
			integer = sqlite3_value_int64(value);
			if (kind == VALUE_BOOLEAN && (integer == 0 || integer == 1))
				buffer_text(out, integer ? "true" : "false");
			else
				buffer_format(out, "%lld", integer);
			return true;
		case SQLITE_FLOAT:
			value_append_real(out, sqlite3_value_double(value));
			return true;
		case SQLITE_BLOB:
			append_hex(out, sqlite3_value_blob(value),
					   (size_t) sqlite3_value_bytes(value));
			return true;
		default:
			text = (const char *) sqlite3_value_text(value);
			if (text == NULL)
			{
				out->failed = true;
				return true;
			}
			return append_text(out, kind, text, (size_t) sqlite3_value_bytes(value));
	}
}
