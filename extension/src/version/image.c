/*-------------------------------------------------------------------------
 *
 * image.c
 *	  The image of a row that is deleted: its columns as JSON, by name in SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/json.h"

#include "version/clocks.h"
#include "version/image.h"
#include "wire/wire.h"

void
image_append_name(StringInfo buf, TrackedColumn *c)
{
	if (buf->len > 1)
		appendStringInfoChar(buf, ',');
	escape_json(buf, c->name);
	appendStringInfoChar(buf, ':');
}

char *
image_text(TrackedTable *t, Datum *values, bool *nulls)
{
	StringInfoData buf;
	int			level = wire_begin_kept();
	int			i;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	for (i = 0; i < t->ncolumns; i++)
	{
		TrackedColumn *c = &t->columns[i];

		if (!clocks_cover(t, c))
			continue;
		image_append_name(&buf, c);
		if (nulls[i])
			appendStringInfoString(&buf, "null");
		else
			wire_append_value(&buf, t, c, values[i]);
	}
	appendStringInfoChar(&buf, '}');
	wire_end(level);
	return buf.data;
}
