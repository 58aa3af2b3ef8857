/*-------------------------------------------------------------------------
 *
 * image.c
 *	  The image that is kept of a deleted row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "table/registry.h"
#include "util/json_scan.h"
#include "version/clocks.h"
#include "version/image.h"
#include "wire/text.h"
#include "wire/wire.h"

/*
 * An image is an object of the columns by name, each as the text that its type
 * writes and reads.  No code runs for it but output functions, because a plain
 * DELETE by any user makes it.  It is text and not jsonb, because jsonb has
 * limits that a row need not keep, for example 256 MB for a string.
 *
 * Before them it has, under the empty name, which no column can have, the
 * numbers of these columns.  A column that is renamed keeps its number, and
 * another one that gets its name has a number of its own.  The numbers are
 * those of the table that the rows belong to; a partition may number its
 * columns in another way.  Images from before 0.2.0 have none; their columns go
 * by name.
 *
 * The text of a composite value has its attributes by place, and ALTER TYPE may add
 * and drop some.  So such a value is kept as an array of two texts: the numbers of
 * the attributes that its type had, and the value.
 */

/* the number that the root has for a column of a partition; 0: none */
static AttrNumber
number_in_root(TrackedTable *root, TrackedColumn *c)
{
	TrackedColumn *same = c->attnum <= root->ncolumns ? tracked_column(root, c->attnum) : NULL;

	if (same == NULL || same->dropped || strcmp(same->name, c->name) != 0)
		same = tracked_column_by_name(root, c->name);
	return same ? same->attnum : InvalidAttrNumber;
}

void
image_begin(StringInfo buf, TrackedTable *t, Bitmapset *columns)
{
	TrackedTable *root = OidIsValid(t->root) ? registry_lookup(t->root) : t;
	int			att = -1;

	initStringInfo(buf);
	appendStringInfoChar(buf, '{');
	if (bms_is_empty(columns))
		return;
	appendStringInfoString(buf, "\"\":\"");
	while ((att = bms_next_member(columns, att)) >= 0)
		appendStringInfo(buf, "%d ", number_in_root(root, tracked_column(t, att)));
	buf->data[buf->len - 1] = '"';
}

/* the place of a column among an image's; -1: it has none */
static int
place_of(const char *numbers, AttrNumber attnum)
{
	int			place = 0;

	for (; *numbers != '\0'; place++)
	{
		char	   *end;

		if (strtol(numbers, &end, 10) == attnum)
			return place;
		if (end == numbers)
			break;
		numbers = end;
	}
	return -1;
}

/* the numbers of a composite type's attributes, those within them, too; else nothing */
static void
append_shape(StringInfo buf, Oid type)
{
	Oid			element;
	TupleDesc	desc;
	int			i;

	type = getBaseType(type);
	while (OidIsValid(element = get_element_type(type)))
		type = getBaseType(element);
	if (get_typtype(type) != TYPTYPE_COMPOSITE)
		return;
	desc = lookup_rowtype_tupdesc(type, -1);
	appendStringInfoChar(buf, '(');
	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			continue;
		appendStringInfo(buf, " %d", att->attnum);
		append_shape(buf, att->atttypid);
	}
	appendStringInfoChar(buf, ')');
	ReleaseTupleDesc(desc);
}

/* a value that is written in hexadecimal doubles in length */
#define IMAGE_VALUE_MAX (IMAGE_MAX / 2 - 1024)

static size_t
escaped_length(const char *text)
{
	size_t		len = 2;

	for (; *text != '\0'; text++)
		len += (unsigned char) *text < ' ' ? 6 : *text == '"' || *text == '\\' ? 2 : 1;
	return len;
}

void
image_append_name(StringInfo buf, TrackedColumn *c)
{
	if (buf->len > 1)
		appendStringInfoChar(buf, ',');
	escape_json(buf, c->name);
	appendStringInfoChar(buf, ':');
}

static bool
is_long_string(TrackedColumn *c)
{
	return c->base_type == TEXTOID || c->base_type == VARCHAROID ||
		c->base_type == BPCHAROID || c->base_type == JSONOID;
}

/* false: there is no room for it */
bool
image_append_column(StringInfo buf, TrackedTable *t, TrackedColumn *c, Datum value,
					bool isnull)
{
	StringInfoData shape;
	char	   *text;
	bool		fits;

	image_append_name(buf, c);
	if (isnull)
	{
		appendStringInfoString(buf, "null");
		return true;
	}
	if (TupleDescAttr(t->tupdesc, c->attnum - 1)->attlen == -1 &&
		!is_long_string(c) && toast_raw_datum_size(value) > IMAGE_VALUE_MAX)
		return false;
	initStringInfo(&shape);
	if (c->has_fields)
		append_shape(&shape, c->type);
	text = text_output(c, value);
	fits = buf->len + shape.len + escaped_length(text) < IMAGE_MAX;
	if (fits && shape.len > 0)
	{
		appendStringInfo(buf, "[\"%s\",", shape.data);
		escape_json(buf, text);
		appendStringInfoChar(buf, ']');
	}
	else if (fits)
		escape_json(buf, text);
	pfree(text);
	pfree(shape.data);
	return fits;
}

char *
image_text(TrackedTable *t, Datum *values, bool *nulls)
{
	StringInfoData buf;
	Bitmapset  *columns = NULL;
	int			level = wire_begin_kept();
	bool		fits = true;
	int			i;

	for (i = 0; i < t->ncolumns; i++)
		if (clocks_cover(t, &t->columns[i]))
			columns = bms_add_member(columns, i + 1);
	image_begin(&buf, t, columns);
	for (i = 0; i < t->ncolumns && fits; i++)
	{
		if (clocks_cover(t, &t->columns[i]))
			fits = image_append_column(&buf, t, &t->columns[i], values[i], nulls[i]);
	}
	bms_free(columns);
	appendStringInfoChar(&buf, '}');
	wire_end(level);
	if (!fits)
	{
		pfree(buf.data);
		return NULL;
	}
	return buf.data;
}

/* The value that an image has for a column; false if it has none. */
bool
image_find(const char *image, TrackedColumn *c, JsonSpan *value)
{
	JsonSpan	whole = {image, strlen(image)};
	JsonSpan	name;
	JsonMembers members;
	bool		numbered = false;
	int			place = 0;
	int			n;

	json_members(&members, whole);
	for (n = 0; json_next_member(&members, &name, value); n++)
	{
		char	   *text = json_unescape(name);
		bool		found = numbered ? n == place : strcmp(text, c->name) == 0;

		if (n == 0 && text[0] == '\0')
		{
			char	   *numbers = json_unescape(*value);

			numbered = true;
			/* the columns come behind the numbers */
			place = place_of(numbers, c->attnum) + 1;
			pfree(numbers);
			if (place == 0)
				return false;
		}
		pfree(text);
		if (found)
			return true;
	}
	return false;
}

char *
image_value(TrackedColumn *c, JsonSpan value)
{
	StringInfoData shape;
	JsonMembers elements;
	JsonSpan	none;
	JsonSpan	kept;

	if (*value.at != '[')
		return json_unescape(value);
	initStringInfo(&shape);
	append_shape(&shape, c->type);
	json_members(&elements, value);
	(void) json_next_member(&elements, &none, &kept);
	if (strcmp(json_unescape(kept), shape.data) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("its type has other attributes by now")));
	(void) json_next_member(&elements, &none, &kept);
	return json_unescape(kept);
}
