/*-------------------------------------------------------------------------
 *
 * wire.c
 *	  Rows and values as JSON, and the settings under which values have one
 *	  text form only.
 *
 * Replies carry thousands of rows, so the common types are written straight
 * into the buffer.  read.c reads values, time.c has times, and keys.c has keys
 * as text.
 *
 * What a pull sends, a push stores again as it was.  A value is written by the
 * output function of its type or by code of this file, and never by a cast:
 * casts are user code, and a cast back need not exist.
 *
 *	- Booleans, numbers, times and dates are what JSON and ISO 8601 have for
 *	  them; every other scalar is a string of the type's text form.
 *	- A composite is an object of its fields.
 *	- An array is a JSON array, of arrays if it has several dimensions.  JSON
 *	  cannot say where an array begins: one whose lower bounds are not 1 is a
 *	  string of its text form, such as "[0:1]={7,8}".
 *	- Within arrays and composites json and jsonb are strings of their text
 *	  form: null is SQL's NULL there, and "null" is JSON's.
 *	- A column of json or jsonb is the JSON value itself, and its NULL is null.
 *	  What would not come back that way is sent as {"$json": "its text"}:
 *	  JSON's null where the column can be NULL as well (where it cannot, null
 *	  means JSON's), an object that looks like this one, and what jsonb or
 *	  other readers of JSON do not take, see json_needs_text_form().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/htup_details.h"
#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
#include "utils/uuid.h"
#include "utils/xml.h"

#include "table/kind.h"
#include "util/json_scan.h"
#include "util/settings.h"
#include "wire/text.h"
#include "wire/time.h"
#include "wire/wire.h"

/* how values of a type are written, wherever they are found */
typedef struct Form
{
	Oid			type;			/* domains looked through */
	WireKind	kind;
	bool		utc;			/* timestamps without zone hold UTC */
	FmgrInfo   *output;
} Form;

static void append_value(StringInfo buf, const Form *form, Datum value);

/*
 * Settings
 */

/*
 * Most sessions have most of these values already, and to set one costs more
 * than to write a row.
 */
int
wire_begin(void)
{
	int			level = NewGUCNestLevel();
	const char *zone = pg_get_timezone_name(session_timezone);

	if (DateStyle != USE_ISO_DATES || DateOrder != DATEORDER_YMD)
		setting_for_now("DateStyle", "ISO, YMD");
	if (IntervalStyle != INTSTYLE_POSTGRES)
		setting_for_now("IntervalStyle", "postgres");
	if (zone == NULL || strcmp(zone, "UTC") != 0)
		setting_for_now("TimeZone", "UTC");
	/* every value above zero means the shortest exact text */
	if (extra_float_digits < 1)
		setting_for_now("extra_float_digits", "1");
	if (bytea_output != BYTEA_OUTPUT_HEX)
		setting_for_now("bytea_output", "hex");
	if (!Array_nulls)
		setting_for_now("array_nulls", "on");
	/* a value that was stored as a fragment must be read as one */
	if (xmloption != XMLOPTION_CONTENT)
		setting_for_now("xmloption", "content");
	return level;
}

int
wire_begin_kept(void)
{
	int			level = wire_begin();

	if (tide_times_in_ms)
		setting_for_now("pg_tide.times", "iso");
	return level;
}

void
wire_end(int level)
{
	AtEOXact_GUC(true, level);
}

/*
 * Is a JSON array within the JSON array of such elements a dimension, or an
 * element?
 */
bool
wire_element_nests(Oid element)
{
	WireKind	kind = wire_kind(element);

	return kind != WIRE_JSON && kind != WIRE_ARRAY;
}

static bool
domain_is_not_null(Oid type)
{
	while (get_typtype(type) == TYPTYPE_DOMAIN)
	{
		HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
		Form_pg_type form;
		bool		not_null;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for type %u", type);
		form = (Form_pg_type) GETSTRUCT(tuple);
		not_null = form->typnotnull;
		type = form->typbasetype;
		ReleaseSysCache(tuple);
		if (not_null)
			return true;
	}
	return false;
}

bool
wire_null_is_json(TrackedColumn *c)
{
	return c->kind == WIRE_JSON &&
		(c->not_null || domain_is_not_null(c->type));
}

/*
 * Strings
 */

static void
append_escaped(StringInfo buf, unsigned char c)
{
	appendStringInfoCharMacro(buf, '\\');
	switch (c)
	{
		case '"':
		case '\\':
			appendStringInfoCharMacro(buf, c);
			break;
		case '\b':
			appendStringInfoCharMacro(buf, 'b');
			break;
		case '\f':
			appendStringInfoCharMacro(buf, 'f');
			break;
		case '\n':
			appendStringInfoCharMacro(buf, 'n');
			break;
		case '\r':
			appendStringInfoCharMacro(buf, 'r');
			break;
		case '\t':
			appendStringInfoCharMacro(buf, 't');
			break;
		default:
			appendStringInfo(buf, "u%04x", c);
			break;
	}
}

/* escape_json() for text that is not terminated, whole runs at a time */
static void
append_string(StringInfo buf, const char *text, int len)
{
	const char *end = text + len;
	const char *run = text;

	enlargeStringInfo(buf, len + 2);
	appendStringInfoCharMacro(buf, '"');
	for (; text < end; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (c >= ' ' && c != '"' && c != '\\')
			continue;
		appendBinaryStringInfo(buf, run, text - run);
		append_escaped(buf, c);
		run = text + 1;
	}
	appendBinaryStringInfo(buf, run, end - run);
	appendStringInfoCharMacro(buf, '"');
}

static void
append_varlena(StringInfo buf, Datum value, bool quoted)
{
	struct varlena *v = PG_DETOAST_DATUM_PACKED(value);

	if (quoted)
		append_string(buf, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
	else
		appendBinaryStringInfo(buf, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
	if ((Pointer) v != DatumGetPointer(value))
		pfree(v);
}

char *
wire_put_uuid(char *to, const pg_uuid_t *uuid)
{
	static const char hex[] = "0123456789abcdef";
	int			i;

	for (i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*to++ = '-';
		*to++ = hex[uuid->data[i] >> 4];
		*to++ = hex[uuid->data[i] & 15];
	}
	return to;
}

static void
append_uuid(StringInfo buf, const pg_uuid_t *uuid)
{
	char	   *to;

	enlargeStringInfo(buf, 2 * UUID_LEN + 6);
	to = buf->data + buf->len;
	*to++ = '"';
	to = wire_put_uuid(to, uuid);
	*to++ = '"';
	*to = '\0';
	buf->len = to - buf->data;
}

static void
append_output(StringInfo buf, const Form *form, Datum value)
{
	char	   *text = OutputFunctionCall(form->output, value);

	append_string(buf, text, strlen(text));
	pfree(text);
}

static void
append_text_kind(StringInfo buf, const Form *form, Datum value)
{
	switch (form->type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			append_varlena(buf, value, true);
			break;
		case UUIDOID:
			append_uuid(buf, DatumGetUUIDP(value));
			break;
		default:
			append_output(buf, form, value);
			break;
	}
}

/*
 * Numbers and times
 */

static void
append_number(StringInfo buf, const Form *form, Datum value)
{
	char	   *text;

	/* the longest int8 has 20 characters */
	enlargeStringInfo(buf, 24);
	switch (form->type)
	{
		case INT2OID:
			buf->len += pg_ltoa(DatumGetInt16(value), buf->data + buf->len);
			break;
		case INT4OID:
			buf->len += pg_ltoa(DatumGetInt32(value), buf->data + buf->len);
			break;
		case INT8OID:
			buf->len += pg_lltoa(DatumGetInt64(value), buf->data + buf->len);
			break;
		default:
			text = OutputFunctionCall(form->output, value);
			/* JSON has no numbers for NaN, Infinity and -Infinity */
			if (isdigit((unsigned char) text[text[0] == '-' ? 1 : 0]))
				appendStringInfoString(buf, text);
			else
				append_string(buf, text, strlen(text));
			pfree(text);
			break;
	}
}

static void
append_timestamp(StringInfo buf, const Form *form, Timestamp time)
{
	/* milliseconds since 1970 are UTC, and this time has no zone */
	if (form->utc || TIMESTAMP_NOT_FINITE(time))
	{
		wire_append_time(buf, time);
		return;
	}
	enlargeStringInfo(buf, TIME_TEXT_MAX + 2);
	appendStringInfoCharMacro(buf, '"');
	buf->len += time_format(buf->data + buf->len, time, false);
	appendStringInfoCharMacro(buf, '"');
}

static void
append_date(StringInfo buf, const Form *form, Datum value)
{
	DateADT		date = DatumGetDateADT(value);
	int			year;
	int			month;
	int			day;
	char	   *to;

	if (!DATE_NOT_FINITE(date))
	{
		j2date(date + POSTGRES_EPOCH_JDATE, &year, &month, &day);
		if (year > 0)
		{
			enlargeStringInfo(buf, 24);
			to = buf->data + buf->len;
			*to++ = '"';
			to = pg_ultostr_zeropad(to, year, 4);
			*to++ = '-';
			to = pg_ultostr_zeropad(to, month, 2);
			*to++ = '-';
			to = pg_ultostr_zeropad(to, day, 2);
			*to++ = '"';
			*to = '\0';
			buf->len = to - buf->data;
			return;
		}
	}
	append_text_kind(buf, form, value);
}

/*
 * JSON
 */

/* A column's value; within arrays and composites json is text. */
static void
append_json(StringInfo buf, TrackedColumn *c, Datum value)
{
	char	   *json;
	size_t		len;

	if (c->base_type == JSONOID)
		json = TextDatumGetCString(value);
	else
	{
		Jsonb	   *jsonb = DatumGetJsonbP(value);

		json = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
		if ((Pointer) jsonb != DatumGetPointer(value))
			pfree(jsonb);
	}
	len = strlen(json);
	if (json_needs_text_form(json, len, GetDatabaseEncoding() == PG_UTF8) ||
		(json_is_null(json, len) && !wire_null_is_json(c)))
	{
		appendStringInfoString(buf, "{\"" JSON_TEXT_FORM "\":");
		append_string(buf, json, len);
		appendStringInfoCharMacro(buf, '}');
	}
	else
		appendBinaryStringInfo(buf, json, len);
	pfree(json);
}

/*
 * Arrays and composites
 */

/* the form of values within a value of this form */
static void
inner_form(Form *inner, const Form *outer, Oid type, FmgrInfo *output)
{
	Oid			function;
	bool		varlena;

	inner->type = getBaseType(type);
	inner->kind = wire_kind(type);
	inner->utc = outer->utc;
	inner->output = output;
	getTypeOutputInfo(type, &function, &varlena);
	fmgr_info(function, output);
}

static void
append_inner_value(StringInfo buf, const Form *form, Datum value, bool isnull)
{
	if (isnull)
		appendBinaryStringInfo(buf, "null", 4);
	else if (form->kind == WIRE_JSON)
		append_output(buf, form, value);
	else
		append_value(buf, form, value);
}

/* one dimension, from element *at on, which is moved behind it */
static void
append_dimension(StringInfo buf, const Form *form, int ndims, const int *dims,
				 Datum *elements, bool *nulls, int *at)
{
	int			i;

	appendStringInfoCharMacro(buf, '[');
	for (i = 0; i < dims[0]; i++)
	{
		if (i > 0)
			appendStringInfoCharMacro(buf, ',');
		if (ndims > 1)
			append_dimension(buf, form, ndims - 1, dims + 1, elements, nulls, at);
		else
		{
			append_inner_value(buf, form, elements[*at], nulls[*at]);
			(*at)++;
		}
	}
	appendStringInfoCharMacro(buf, ']');
}

static bool
begins_at_one(const ArrayType *array)
{
	int			i;

	for (i = 0; i < ARR_NDIM(array); i++)
	{
		if (ARR_LBOUND(array)[i] != 1)
			return false;
	}
	return true;
}

static void
append_array(StringInfo buf, const Form *form, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Oid			element = ARR_ELEMTYPE(array);
	Form		inner;
	FmgrInfo	output;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int			at = 0;

	check_stack_depth();
	if (!begins_at_one(array) ||
		(ARR_NDIM(array) > 1 && !wire_element_nests(element)))
		append_output(buf, form, value);
	else if (ARR_NDIM(array) == 0)
		appendBinaryStringInfo(buf, "[]", 2);
	else
	{
		inner_form(&inner, form, element, &output);
		get_typlenbyvalalign(element, &typlen, &typbyval, &typalign);
		deconstruct_array(array, element, typlen, typbyval, typalign,
						  &elements, &nulls, &n);
		append_dimension(buf, &inner, ARR_NDIM(array), ARR_DIMS(array),
						 elements, nulls, &at);
		pfree(elements);
		pfree(nulls);
	}
	if ((Pointer) array != DatumGetPointer(value))
		pfree(array);
}

static void
append_composite(StringInfo buf, const Form *form, Datum value)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(header),
											  HeapTupleHeaderGetTypMod(header));
	Datum	   *values = palloc(sizeof(Datum) * Max(desc->natts, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(desc->natts, 1));
	HeapTupleData tuple;
	bool		first = true;
	int			i;

	check_stack_depth();
	memset(&tuple, 0, sizeof(tuple));
	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_data = header;
	heap_deform_tuple(&tuple, desc, values, nulls);

	appendStringInfoCharMacro(buf, '{');
	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		Form		inner;
		FmgrInfo	output;

		if (attribute->attisdropped)
			continue;
		if (!first)
			appendStringInfoCharMacro(buf, ',');
		first = false;
		append_string(buf, NameStr(attribute->attname),
					  strlen(NameStr(attribute->attname)));
		appendStringInfoCharMacro(buf, ':');
		inner_form(&inner, form, attribute->atttypid, &output);
		append_inner_value(buf, &inner, values[i], nulls[i]);
	}
	appendStringInfoCharMacro(buf, '}');
	ReleaseTupleDesc(desc);
	pfree(values);
	pfree(nulls);
	if ((Pointer) header != DatumGetPointer(value))
		pfree(header);
}

/*
 * Values and rows
 */

/* A value that is not NULL, of any kind but WIRE_JSON. */
static void
append_value(StringInfo buf, const Form *form, Datum value)
{
	switch (form->kind)
	{
		case WIRE_TEXT:
			append_text_kind(buf, form, value);
			break;
		case WIRE_NUMBER:
			append_number(buf, form, value);
			break;
		case WIRE_BOOL:
			appendStringInfoString(buf, DatumGetBool(value) ? "true" : "false");
			break;
		case WIRE_TIMESTAMPTZ:
			wire_append_time(buf, DatumGetTimestampTz(value));
			break;
		case WIRE_TIMESTAMP:
			append_timestamp(buf, form, DatumGetTimestamp(value));
			break;
		case WIRE_DATE:
			append_date(buf, form, value);
			break;
		case WIRE_JSON:
			elog(ERROR, "json is written by whoever knows where it stands");
			break;
		case WIRE_ARRAY:
			append_array(buf, form, value);
			break;
		case WIRE_COMPOSITE:
			append_composite(buf, form, value);
			break;
	}
}

/*
 * A database of the encoding SQL_ASCII takes any bytes, JSON takes UTF-8.  A client
 * would put something else in their place, and send that back.
 */
static void
check_is_utf8(TrackedTable *t, TrackedColumn *c, const char *text, int length)
{
	if (GetDatabaseEncoding() != PG_SQL_ASCII || pg_verify_mbstr(PG_UTF8, text, length, true))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
			 errmsg("a row of entity type \"%s\" cannot be sent: its \"%s\" is not UTF-8",
					t->entity_type, c->wire),
			 errdetail("The database has the encoding SQL_ASCII, in which PostgreSQL takes any bytes."),
			 errhint("SELECT * FROM %s WHERE %s::text ~ '[^[:ascii:]]' shows which rows it may be. "
					 "Until it is mended, pull the other entity types by their names.",
					 t->sql_name, quote_identifier(c->name))));
}

/* The value is not NULL. */
void
wire_append_value(StringInfo buf, TrackedTable *t, TrackedColumn *c,
				  Datum value)
{
	int			start = buf->len;
	Form		form;
	int			level;

	if (c->kind == WIRE_JSON)
		append_json(buf, c, value);
	else
	{
		level = text_begin_output(c);
		form.type = c->base_type;
		form.kind = c->kind;
		form.utc = t->utc;
		form.output = &c->output;
		append_value(buf, &form, value);
		text_end(level);
	}
	check_is_utf8(t, c, buf->data + start, buf->len - start);
}

static void
append_member_name(StringInfo buf, TrackedColumn *c, bool first)
{
	appendBinaryStringInfo(buf, c->member + (first ? 1 : 0), c->member_length - (first ? 1 : 0));
}

void
wire_append_row(StringInfo buf, TrackedTable *t, Datum *values, bool *nulls)
{
	bool		first = true;
	int			i;

	appendStringInfoCharMacro(buf, '{');
	for (i = 0; i < t->ncolumns; i++)
	{
		TrackedColumn *c = &t->columns[i];

		if (!column_is_synced(c))
			continue;
		append_member_name(buf, c, first);
		if (nulls[i])
			appendBinaryStringInfo(buf, "null", 4);
		else
			wire_append_value(buf, t, c, values[i]);
		first = false;
	}
	appendStringInfoCharMacro(buf, '}');
}

void
wire_append_member(StringInfo buf, TrackedTable *t, TrackedColumn *c,
				   Datum value, bool isnull)
{
	append_member_name(buf, c, false);
	if (isnull)
		appendBinaryStringInfo(buf, "null", 4);
	else
		wire_append_value(buf, t, c, value);
}

void
wire_append_key(StringInfo buf, TrackedTable *t, Datum *values)
{
	appendStringInfoCharMacro(buf, '{');
	wire_append_key_members(buf, t, values);
	appendStringInfoCharMacro(buf, '}');
}

void
wire_append_key_members(StringInfo buf, TrackedTable *t, Datum *values)
{
	int			i;

	for (i = 0; i < t->nkeys; i++)
	{
		TrackedColumn *c = tracked_column(t, t->keys[i]);

		append_member_name(buf, c, i == 0);
		wire_append_value(buf, t, c, values[i]);
	}
}
