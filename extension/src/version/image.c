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
 */

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
	text = text_output(c, value);
	fits = buf->len + escaped_length(text) < IMAGE_MAX;
	if (fits)
		escape_json(buf, text);
	pfree(text);
	return fits;
}

char *
image_text(TrackedTable *t, Datum *values, bool *nulls)
{
	StringInfoData buf;
	int			level = wire_begin_kept();
	bool		fits = true;
	int			i;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	for (i = 0; i < t->ncolumns && fits; i++)
	{
		if (clocks_cover(t, &t->columns[i]))
			fits = image_append_column(&buf, t, &t->columns[i], values[i], nulls[i]);
	}
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

	json_members(&members, whole);
	while (json_next_member(&members, &name, value))
	{
		char	   *text = json_unescape(name);
		bool		found = strcmp(text, c->name) == 0;

		pfree(text);
		if (found)
			return true;
	}
	return false;
}
