/*-------------------------------------------------------------------------
 *
 * read.c
 *	  Reading values: from JSON to a column's type.
 *
 * Most values go as text through the input function of their type, so a client
 * may send whatever the type understands, such as int8 and numeric as
 * strings.  Times are read by time.c, which refuses some forms that the type
 * takes and takes some that it refuses.  JSON stays JSON.  Arrays and composites
 * become the text that their input functions take.  Every value is read back
 * from what wire.c writes of it.
 *
 * Objects and arrays are refused for scalar types, and so are other texts that
 * an input function would take for something else.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/tupdesc.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/resowner.h"
#include "utils/typcache.h"

#include "table/kind.h"
#include "util/compat.h"
#include "util/json.h"
#include "util/json_scan.h"
#include "wire/text.h"
#include "wire/time.h"
#include "wire/wire.h"

/* shorter ones can be dates: 20261121 */
#define MIN_MS_DIGITS 9

/* what an error shows of a value */
#define SHOWN_MAX 64

static char *value_text(JsonbValue *v, Oid type, bool utc, bool inside);

/* shorter texts fit, whatever they are: an element takes at most 16 bytes */
#define ALWAYS_FITS (16 * 1024 * 1024)

bool
wire_jsonb(const char *json, size_t len, Datum *result)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool fits = true;

	if (len < ALWAYS_FITS)
	{
		*result = DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
		return true;
	}
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		*result = DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(caller);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
			ReThrowError(error);
		FreeErrorData(error);
		fits = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return fits;
}

static void
refuse_long_number(JsonbValue *v)
{
	if (json_has_long_number(v))
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("a number has more than %d digits", JSON_MAX_DIGITS),
				 errhint("Only a column of type numeric takes it; for others, send a string.")));
}

static char *
short_json_text(JsonbValue *v)
{
	Jsonb	   *jsonb;

	refuse_long_number(v);
	jsonb = JsonbValueToJsonb(v);
	return JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
}

static char *
number_text(JsonbValue *v)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out,
											   NumericGetDatum(v->val.numeric)));
}

/* for an error message: a string or number, cut short, or the kind of value */
static char *
shown(JsonbValue *v)
{
	char	   *text;
	int			len;
	int			max;

	switch (v->type)
	{
		case jbvString:
			len = v->val.string.len;
			max = pg_mbcliplen(v->val.string.val, len, SHOWN_MAX);
			return psprintf("\"%.*s%s\"", max, v->val.string.val,
							max < len ? "..." : "");
		case jbvNumeric:
			if (json_is_long_number(v->val.numeric))
				return "a number";
			text = number_text(v);
			len = strlen(text);
			return len <= SHOWN_MAX ? text :
				psprintf("%.*s...", SHOWN_MAX, text);
		case jbvBool:
			return v->val.boolean ? "true" : "false";
		case jbvBinary:
			return JsonContainerIsArray(v->val.binary.data) ?
				"a JSON array" : "a JSON object";
		default:
			return "null";
	}
}

/* 3.0 is an integer to clients that know only doubles */
static void
trim_zero_fraction(char *text)
{
	char	   *point = strchr(text, '.');

	if (point != NULL && point[1 + strspn(point + 1, "0")] == '\0')
		*point = '\0';
}

/*
 * Times
 */

/* Is there a word in the text that means the server's clock? */
static bool
names_the_clock(const char *text)
{
	static const char *const words[] = {
		"now", "today", "tomorrow", "yesterday", "epoch", "allballs"
	};
	const char *word = text;

	while (*word != '\0')
	{
		size_t		len = 0;
		int			i;

		while (isalpha((unsigned char) word[len]))
			len++;
		for (i = 0; i < lengthof(words); i++)
		{
			if (strlen(words[i]) == len &&
				pg_strncasecmp(word, words[i], len) == 0)
				return true;
		}
		word += Max(len, 1);
	}
	return false;
}

static void
refuse_clock(const char *text, Oid type)
{
	if (names_the_clock(text))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_DATETIME_FORMAT),
				 errmsg("invalid input syntax for type %s: \"%s\"",
						format_type_be(type), text),
				 errdetail("Special date and time values are not accepted."),
				 errhint("Send the time itself.")));
}

/* Would the type's input function take "now" for the server's time? */
static bool
knows_clock(Oid base)
{
	return base == TIMESTAMPTZOID || base == TIMESTAMPOID || base == DATEOID ||
		base == TIMEOID || base == TIMETZOID;
}

static void
invalid_time(JsonbValue *v, Oid base)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_DATETIME_FORMAT),
			 errmsg("invalid input syntax for type %s: %s",
					format_type_be(base), shown(v)),
			 errhint("Send ISO 8601 or Unix milliseconds.")));
}

static void
time_out_of_range(Oid base)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
			 errmsg("%s out of range", format_type_be(base))));
}

static Timestamp
time_from_ms(const char *text, Oid base)
{
	Timestamp	result;

	if (!time_is_number(text, strlen(text), 1) ||
		!time_scan_ms(text, strlen(text), &result))
		time_out_of_range(base);
	return result;
}

/* the text of a number of milliseconds; no time has more digits */
static char *
ms_text(JsonbValue *v, Oid base)
{
	if (json_is_long_number(v->val.numeric))
		time_out_of_range(base);
	return number_text(v);
}

/* is it a string that holds only a number of Unix milliseconds? */
static bool
is_ms_string(JsonbValue *v)
{
	return time_is_number(v->val.string.val, v->val.string.len, MIN_MS_DIGITS);
}

/*
 * "base" is timestamp with or without time zone.  The latter holds UTC, so a
 * zone in the text must not be dropped, as PostgreSQL would do.  If utc is
 * false, the text's own clock is meant.
 */
static Timestamp
read_timestamp(JsonbValue *v, Oid base, bool utc)
{
	bool		as_given = (base == TIMESTAMPOID && !utc);
	Timestamp	result;
	bool		has_zone;
	int			zone;
	char	   *text;

	if (v->type == jbvNumeric)
		return time_from_ms(ms_text(v, base), base);
	if (v->type != jbvString)
		invalid_time(v, base);

	if (time_scan(v->val.string.val, v->val.string.len,
				  &result, &has_zone, &zone))
	{
		if (as_given &&
			(pg_add_s64_overflow(result, zone * USECS_PER_SEC, &result) ||
			 !IS_VALID_TIMESTAMP(result)))
			time_out_of_range(base);
		return result;
	}

	text = pnstrdup(v->val.string.val, v->val.string.len);
	if (is_ms_string(v))
		return time_from_ms(text, base);
	refuse_clock(text, base);
	/* TimeZone is UTC here, so this also does for a UTC timestamp */
	return DatumGetTimestamp(DirectFunctionCall3(as_given ? timestamp_in : timestamptz_in,
												 CStringGetDatum(text),
												 ObjectIdGetDatum(InvalidOid),
												 Int32GetDatum(-1)));
}

static char *
timestamp_text(Timestamp time, Oid base)
{
	char	   *text;

	if (TIMESTAMP_IS_NOBEGIN(time))
		return pstrdup("-infinity");
	if (TIMESTAMP_IS_NOEND(time))
		return pstrdup("infinity");
	text = palloc(TIME_TEXT_MAX);
	(void) time_format(text, time, base == TIMESTAMPTZOID);
	return text;
}

/* A date's own input drops a time of day, so only milliseconds are special. */
static char *
date_text(JsonbValue *v)
{
	Timestamp	time;
	int64		day;
	char	   *text = NULL;

	if (v->type == jbvString)
	{
		text = pnstrdup(v->val.string.val, v->val.string.len);
		if (!is_ms_string(v))
		{
			refuse_clock(text, DATEOID);
			return text;
		}
	}
	else if (v->type == jbvNumeric)
		text = ms_text(v, DATEOID);
	else
		invalid_time(v, DATEOID);

	time = time_from_ms(text, DATEOID);
	day = time / USECS_PER_DAY;
	if (time % USECS_PER_DAY < 0)
		day--;
	return DatumGetCString(DirectFunctionCall1(date_out,
											   DateADTGetDatum((DateADT) day)));
}

/*
 * Arrays and composites
 */

/* always quoted, which is right for both */
static void
append_quoted(StringInfo buf, const char *text)
{
	appendStringInfoChar(buf, '"');
	for (; *text != '\0'; text++)
	{
		if (*text == '"' || *text == '\\')
			appendStringInfoChar(buf, '\\');
		appendStringInfoChar(buf, *text);
	}
	appendStringInfoChar(buf, '"');
}

static bool
is_json_array(const JsonbValue *v)
{
	return v->type == jbvBinary && JsonContainerIsArray(v->val.binary.data) &&
		!JsonContainerIsScalar(v->val.binary.data);
}

static void
append_array(StringInfo buf, JsonbContainer *array, Oid element, bool nests,
			 char delimiter, bool utc)
{
	JsonbIterator *it = JsonbIteratorInit(array);
	JsonbIteratorToken token;
	JsonbValue	v;
	bool		first = true;

	check_stack_depth();
	appendStringInfoChar(buf, '{');
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token != WJB_ELEM)
			continue;
		if (!first)
			appendStringInfoChar(buf, delimiter);
		first = false;
		if (v.type == jbvNull)
			appendStringInfoString(buf, "NULL");
		else if (nests && is_json_array(&v))
			append_array(buf, v.val.binary.data, element, nests, delimiter,
						 utc);
		else
			append_quoted(buf, value_text(&v, element, utc, true));
	}
	appendStringInfoChar(buf, '}');
}

static char *
array_text(JsonbContainer *array, Oid element, bool utc)
{
	StringInfoData buf;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	char		delimiter;
	Oid			ioparam;
	Oid			function;

	get_type_io_data(element, IOFunc_input, &typlen, &typbyval, &typalign,
					 &delimiter, &ioparam, &function);
	initStringInfo(&buf);
	append_array(&buf, array, element, wire_element_nests(element), delimiter,
				 utc);
	return buf.data;
}

static char *
composite_text(JsonbContainer *object, Oid type, bool utc)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(type, -1);
	StringInfoData buf;
	bool		first = true;
	int			nknown = 0;
	int			i;

	check_stack_depth();
	initStringInfo(&buf);
	appendStringInfoChar(&buf, '(');
	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		const char *name = NameStr(attribute->attname);
		JsonbValue	v;

		if (attribute->attisdropped)
			continue;
		if (!first)
			appendStringInfoChar(&buf, ',');
		first = false;
		if (getKeyJsonValueFromContainer(object, name, strlen(name), &v) == NULL)
			continue;
		nknown++;
		if (v.type != jbvNull)
			append_quoted(&buf, value_text(&v, attribute->atttypid, utc, true));
	}
	appendStringInfoChar(&buf, ')');
	ReleaseTupleDesc(desc);

	/* a misspelled member would be lost silently */
	if (nknown < JsonContainerSize(object))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("a value of type %s has a member that is not one of its fields",
						format_type_be(type))));
	return buf.data;
}

/*
 * Scalars
 */

/*
 * Text that an input function would take for something else: {} for an empty
 * array, any number for the bytes of its digits.
 */
static void
refuse_value(JsonbValue *v, Oid type, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("invalid value for type %s: %s", format_type_be(type),
					shown(v)),
			 errhint("%s", hint)));
}

static char *
container_text(JsonbValue *v, Oid base, bool utc)
{
	Oid			element = wire_element_type(base);
	char		category;
	bool		preferred;

	if (OidIsValid(element) && is_json_array(v))
		return array_text(v->val.binary.data, element, utc);
	if (OidIsValid(element))
		refuse_value(v, base, "Send a JSON array.");
	if (type_is_rowtype(base))
	{
		if (JsonContainerIsObject(v->val.binary.data))
			return composite_text(v->val.binary.data, base, utc);
		refuse_value(v, base, "Send a JSON object.");
	}
	get_type_category_preferred(base, &category, &preferred);
	if (category != TYPCATEGORY_STRING)
		refuse_value(v, base, "Send a string of the form that PostgreSQL writes for this type.");
	return short_json_text(v);
}

/* base64, for one, would be stored as the bytes of its letters */
static void
require_hex(JsonbValue *v)
{
	if (v->type != jbvString ||
		(v->val.string.len > 0 &&
		 (v->val.string.len < 2 || strncmp(v->val.string.val, "\\x", 2) != 0)))
		refuse_value(v, BYTEAOID, "Send a string of \\x and hexadecimal digits.");
}

/* {"$json": "text"}: the text, else NULL */
static char *
text_form(JsonbValue *v)
{
	JsonbValue	text;

	if (v->type != jbvBinary || !JsonContainerIsObject(v->val.binary.data) ||
		JsonContainerSize(v->val.binary.data) != 1 ||
		getKeyJsonValueFromContainer(v->val.binary.data, JSON_TEXT_FORM,
									 strlen(JSON_TEXT_FORM), &text) == NULL ||
		text.type != jbvString)
		return NULL;
	return pnstrdup(text.val.string.val, text.val.string.len);
}

/*
 * Any value but null, as text that the input function of the type takes.
 * inside: of an array or a composite, where json is its text.
 */
static char *
value_text(JsonbValue *v, Oid type, bool utc, bool inside)
{
	Oid			base = getBaseType(type);
	char	   *text;

	switch (base)
	{
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
			return timestamp_text(read_timestamp(v, base, utc), base);
		case DATEOID:
			return date_text(v);
		case JSONOID:
		case JSONBOID:
			if (inside && v->type == jbvString)
				return pnstrdup(v->val.string.val, v->val.string.len);
			text = inside ? NULL : text_form(v);
			return text ? text : short_json_text(v);
		case BYTEAOID:
			require_hex(v);
			break;
		default:
			break;
	}

	switch (v->type)
	{
		case jbvString:
			text = pnstrdup(v->val.string.val, v->val.string.len);
			if (type_has_part(base, knows_clock))
				refuse_clock(text, base);
			return text;
		case jbvNumeric:
			if (base != NUMERICOID)
				refuse_long_number(v);
			text = number_text(v);
			if (base == INT2OID || base == INT4OID || base == INT8OID)
				trim_zero_fraction(text);
			return text;
		case jbvBool:
			return pstrdup(v->val.boolean ? "true" : "false");
		case jbvBinary:
			return container_text(v, base, utc);
		default:
			elog(ERROR, "unexpected type of JSON value: %d", (int) v->type);
	}
	pg_unreachable();
}

/*
 * Columns
 */

/* Values that need no text.  Domains go through their input function. */
static bool
read_directly(TrackedTable *t, TrackedColumn *c, JsonbValue *v, Datum *result)
{
	Timestamp	time;

	if (c->type != c->base_type)
		return false;

	switch (c->base_type)
	{
		case TEXTOID:
			if (v->type != jbvString)
				return false;
			*result = PointerGetDatum(cstring_to_text_with_len(v->val.string.val,
															   v->val.string.len));
			return true;
		case BOOLOID:
			if (v->type != jbvBool)
				return false;
			*result = BoolGetDatum(v->val.boolean);
			return true;
		case TIMESTAMPTZOID:
		case TIMESTAMPOID:
			time = read_timestamp(v, c->base_type, t->utc);
			TideAdjustTimestamp(&time, c->typmod);
			/* rounded up, it can lie beyond the last one */
			if (!TIMESTAMP_NOT_FINITE(time) && !IS_VALID_TIMESTAMP(time))
				time_out_of_range(c->base_type);
			*result = TimestampGetDatum(time);
			return true;
		case NUMERICOID:
			if (v->type != jbvNumeric)
				return false;
			*result = DirectFunctionCall2(numeric, NumericGetDatum(v->val.numeric),
										  Int32GetDatum(c->typmod));
			return true;
		case JSONBOID:
			if (text_form(v) != NULL)
				return false;
			refuse_long_number(v);
			*result = JsonbPGetDatum(JsonbValueToJsonb(v));
			return true;
		default:
			return false;
	}
}

static Datum
read_column(TrackedTable *t, TrackedColumn *c, JsonbValue *v, bool *isnull)
{
	JsonbValue	container;
	Datum		result;
	char	   *text;

	*isnull = (v->type == jbvNull);
	if (*isnull && wire_null_is_json(c))
	{
		*isnull = false;
		return InputFunctionCall(&c->input, pstrdup("null"), c->ioparam, c->typmod);
	}
	if (*isnull)
	{
		/* a domain can be NOT NULL */
		if (c->type != c->base_type)
			(void) InputFunctionCall(&c->input, NULL, c->ioparam, c->typmod);
		return (Datum) 0;
	}

	/* built in memory, not read from a jsonb */
	if (v->type == jbvArray || v->type == jbvObject)
	{
		Jsonb	   *jsonb = JsonbValueToJsonb(v);

		container.type = jbvBinary;
		container.val.binary.data = &jsonb->root;
		container.val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
		v = &container;
	}

	if (read_directly(t, c, v, &result))
		return result;
	text = value_text(v, c->type, t->utc, false);
	return InputFunctionCall(&c->input, text, c->ioparam, c->typmod);
}

/*
 * Raises the errors of the type's input function.  Call this between
 * wire_begin() and wire_end(), so that a text without a zone is UTC.
 */
Datum
wire_read_value(TrackedTable *t, TrackedColumn *c, JsonbValue *v, bool *isnull)
{
	int			level = text_begin_input(c);
	Datum		result = read_column(t, c, v, isnull);

	text_end(level);
	return result;
}
