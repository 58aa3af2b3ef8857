/*-------------------------------------------------------------------------
 *
 * wire.c
 *	  Rows, values and keys as they go out, and the settings under which
 *	  values have one text form only.
 *
 * Replies carry thousands of rows, so the common types are written straight
 * into the buffer.  What comes in is in wire_read.c, times are in wire_time.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "pgtime.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/bytea.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/float.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "util/settings.h"
#include "wire/time.h"
#include "wire/wire.h"

/* to_json() of a type, see json_function() */
typedef struct JsonFunction
{
	Oid			type;			/* hash key */
	bool		valid;			/* false: filling it failed */
	FmgrInfo	function;
} JsonFunction;

static HTAB *json_functions = NULL;

/*
 * Settings
 */

static void
set_for_now(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Most sessions have most of these already, and setting one costs more than
 * writing a row does.
 */
int
wire_begin(void)
{
	int			level = NewGUCNestLevel();
	const char *zone = pg_get_timezone_name(session_timezone);

	if (DateStyle != USE_ISO_DATES || DateOrder != DATEORDER_YMD)
		set_for_now("DateStyle", "ISO, YMD");
	if (IntervalStyle != INTSTYLE_POSTGRES)
		set_for_now("IntervalStyle", "postgres");
	if (zone == NULL || strcmp(zone, "UTC") != 0)
		set_for_now("TimeZone", "UTC");
	/* every value above zero means: as short as is exact */
	if (extra_float_digits < 1)
		set_for_now("extra_float_digits", "1");
	if (bytea_output != BYTEA_OUTPUT_HEX)
		set_for_now("bytea_output", "hex");
	return level;
}

int
wire_begin_kept(void)
{
	int			level = wire_begin();

	if (tide_times_in_ms)
		set_for_now("pg_tide.times", "iso");
	return level;
}

void
wire_end(int level)
{
	AtEOXact_GUC(true, level);
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

/* the 36 characters of a uuid; returns the end, where nothing is written */
static char *
put_uuid(char *to, const pg_uuid_t *uuid)
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
	to = put_uuid(to, uuid);
	*to++ = '"';
	*to = '\0';
	buf->len = to - buf->data;
}

static void
append_text_kind(StringInfo buf, TrackedColumn *c, Datum value)
{
	char	   *text;

	switch (c->base_type)
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
			text = OutputFunctionCall(&c->output, value);
			append_string(buf, text, strlen(text));
			pfree(text);
			break;
	}
}

/*
 * Numbers and times
 */

static void
append_number(StringInfo buf, TrackedColumn *c, Datum value)
{
	char	   *text;

	/* the longest int8 has 20 characters */
	enlargeStringInfo(buf, 24);
	switch (c->base_type)
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
			text = OutputFunctionCall(&c->output, value);
			/* NaN, Infinity and -Infinity are no numbers in JSON */
			if (isdigit((unsigned char) text[text[0] == '-' ? 1 : 0]))
				appendStringInfoString(buf, text);
			else
				append_string(buf, text, strlen(text));
			pfree(text);
			break;
	}
}

static void
append_timestamp(StringInfo buf, TrackedTable *t, Timestamp time)
{
	/* milliseconds since 1970 are UTC, and this is of no zone at all */
	if (t->utc || TIMESTAMP_NOT_FINITE(time))
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
append_date(StringInfo buf, TrackedColumn *c, Datum value)
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
	append_text_kind(buf, c, value);
}

/*
 * JSON
 */

/*
 * to_json() asks its call expression for the type of its argument.  It looks
 * everything else up at each call, so what is kept here never goes stale.
 */
static FmgrInfo *
json_function(Oid type)
{
	JsonFunction *entry;
	MemoryContext old;
	Node	   *argument;
	bool		found;

	if (json_functions == NULL)
	{
		HASHCTL		info;

		memset(&info, 0, sizeof(info));
		info.keysize = sizeof(Oid);
		info.entrysize = sizeof(JsonFunction);
		info.hcxt = CacheMemoryContext;
		json_functions = hash_create("pg_tide to_json", 32, &info,
									 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(json_functions, &type, HASH_ENTER, &found);
	if (found && entry->valid)
		return &entry->function;

	entry->valid = false;
	fmgr_info_cxt(F_TO_JSON, &entry->function, CacheMemoryContext);
	old = MemoryContextSwitchTo(CacheMemoryContext);
	argument = (Node *) makeNullConst(type, -1, InvalidOid);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSON, JSONOID,
											 list_make1(argument),
											 InvalidOid, InvalidOid,
											 COERCE_EXPLICIT_CALL),
					   &entry->function);
	MemoryContextSwitchTo(old);
	entry->valid = true;
	return &entry->function;
}

static void
append_json(StringInfo buf, TrackedColumn *c, Datum value)
{
	Jsonb	   *jsonb;

	if (c->base_type == JSONOID)
	{
		append_varlena(buf, value, false);
		return;
	}
	jsonb = DatumGetJsonbP(value);
	(void) JsonbToCString(buf, &jsonb->root, VARSIZE(jsonb));
	if ((Pointer) jsonb != DatumGetPointer(value))
		pfree(jsonb);
}

/*
 * Values and rows
 */

/* The value is not NULL. */
void
wire_append_value(StringInfo buf, TrackedTable *t, TrackedColumn *c,
				  Datum value)
{
	switch (c->kind)
	{
		case WIRE_TEXT:
			append_text_kind(buf, c, value);
			break;
		case WIRE_NUMBER:
			append_number(buf, c, value);
			break;
		case WIRE_BOOL:
			appendStringInfoString(buf, DatumGetBool(value) ? "true" : "false");
			break;
		case WIRE_TIMESTAMPTZ:
			wire_append_time(buf, DatumGetTimestampTz(value));
			break;
		case WIRE_TIMESTAMP:
			append_timestamp(buf, t, DatumGetTimestamp(value));
			break;
		case WIRE_DATE:
			append_date(buf, c, value);
			break;
		case WIRE_JSON:
			append_json(buf, c, value);
			break;
		case WIRE_OTHER:
			append_varlena(buf, FunctionCall1(json_function(c->type), value),
						   false);
			break;
	}
}

static void
append_member_name(StringInfo buf, TrackedColumn *c, bool first)
{
	if (!first)
		appendStringInfoCharMacro(buf, ',');
	append_string(buf, c->wire, strlen(c->wire));
	appendStringInfoCharMacro(buf, ':');
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

/* Without the braces, so that the caller can add members of its own. */
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

/*
 * Keys
 */

static FmgrInfo *
array_function(FmgrInfo *cache, Oid function)
{
	if (cache->fn_oid != function)
		fmgr_info_cxt(function, cache, CacheMemoryContext);
	return cache;
}

/*
 * A value of a key or scope column as its type writes it.  The usual types are
 * short-cut: their output functions would take half the time of the capture
 * trigger.
 */
static char *
column_text(TrackedColumn *c, Datum value)
{
	char	   *uuid;

	switch (c->type)
	{
		case UUIDOID:
			uuid = palloc(2 * UUID_LEN + 5);
			*put_uuid(uuid, DatumGetUUIDP(value)) = '\0';
			return uuid;
		case TEXTOID:
		case VARCHAROID:
			return TextDatumGetCString(value);
		default:
			return OutputFunctionCall(&c->output, value);
	}
}

/* as wire_begin, where the table's key or scope needs it at all */
static int
begin_for(TrackedTable *t)
{
	return t->plain_key ? 0 : wire_begin();
}

static void
end_for(TrackedTable *t, int level)
{
	if (!t->plain_key)
		wire_end(level);
}

char *
wire_scope_text(TrackedTable *t, Datum value)
{
	int			level = begin_for(t);
	char	   *text = column_text(tracked_column(t, t->scope), value);

	end_for(t, level);
	return text;
}

static char *
key_text(TrackedTable *t, Datum *values)
{
	static FmgrInfo array_out;
	Datum	   *parts;
	ArrayType  *array;
	char	   *text;
	int			i;

	if (t->nkeys == 1)
		return column_text(tracked_column(t, t->keys[0]), values[0]);

	parts = palloc(sizeof(Datum) * t->nkeys);
	for (i = 0; i < t->nkeys; i++)
	{
		text = column_text(tracked_column(t, t->keys[i]), values[i]);
		parts[i] = CStringGetTextDatum(text);
		pfree(text);
	}
	array = construct_array(parts, t->nkeys, TEXTOID, -1, false, TYPALIGN_INT);
	text = OutputFunctionCall(array_function(&array_out, F_ARRAY_OUT),
							  PointerGetDatum(array));
	for (i = 0; i < t->nkeys; i++)
		pfree(DatumGetPointer(parts[i]));
	pfree(parts);
	pfree(array);
	return text;
}

char *
wire_key_text(TrackedTable *t, Datum *values)
{
	int			level = begin_for(t);
	char	   *text = key_text(t, values);

	end_for(t, level);
	return text;
}

static Datum
key_value(TrackedColumn *c, const char *text)
{
	return InputFunctionCall(&c->input, unconstify(char *, text), c->ioparam,
							 c->typmod);
}

static void
key_values(TrackedTable *t, const char *key, Datum *values)
{
	static FmgrInfo array_in;
	Datum		array;
	Datum	   *parts;
	bool	   *nulls;
	int			nparts;
	int			i;

	if (t->nkeys == 1)
	{
		values[0] = key_value(tracked_column(t, t->keys[0]), key);
		return;
	}

	array = InputFunctionCall(array_function(&array_in, F_ARRAY_IN),
							  unconstify(char *, key), TEXTOID, -1);
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, &parts, &nulls, &nparts);
	/* the primary key was another one when this text was written */
	if (nparts != t->nkeys || ARR_HASNULL(DatumGetArrayTypeP(array)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
				 errmsg("invalid key of entity type \"%s\"", t->entity_type),
				 errdetail("The key has %d columns.", t->nkeys)));
	for (i = 0; i < nparts; i++)
	{
		char	   *part = TextDatumGetCString(parts[i]);

		values[i] = key_value(tracked_column(t, t->keys[i]), part);
		pfree(part);
	}
	pfree(parts);
	pfree(nulls);
	pfree(DatumGetPointer(array));
}

void
wire_key_values(TrackedTable *t, const char *key, Datum *values)
{
	int			level = begin_for(t);

	key_values(t, key, values);
	end_for(t, level);
}
