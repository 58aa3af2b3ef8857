/*-------------------------------------------------------------------------
 *
 * merge.c
 *	  The policy "merge": column by column the later writer stands.
 *
 * A row is the set of its columns' latest writes, whatever the order in which
 * they come, and it is there if the latest write of all is not a deletion.  So
 * the stamps of single columns are kept, with the row (clocks.c) and with its
 * tombstone, which also has the row's image: an older change that comes late
 * goes into that, and a newer one revives the row from it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/datum.h"
#include "utils/json.h"

#include "batch.h"
#include "merge.h"
#include "wire.h"
#include "wire_json.h"

static Merge *
new_merge(Push *push, Change *c)
{
	c->merge = MemoryContextAllocZero(push->context, sizeof(Merge));
	c->writes = NULL;
	c->new_values = NULL;
	c->new_nulls = NULL;
	return c->merge;
}

/* ---------- what is there ---------- */

void
merge_read_row(Push *push, Change *c, HeapTuple tuple, TupleDesc desc)
{
	TrackedTable *t = c->table->t;
	Merge	   *m = new_merge(push, c);
	MemoryContext old = MemoryContextSwitchTo(push->context);
	Datum		value;
	bool		isnull;
	int			n = PROBE_FIRST;
	int			att = -1;

	m->values = palloc0(sizeof(Datum) * t->ncolumns);
	m->nulls = palloc0(sizeof(bool) * t->ncolumns);
	while ((att = bms_next_member(c->changed, att)) >= 0)
	{
		Form_pg_attribute form = TupleDescAttr(t->tupdesc, att - 1);

		value = SPI_getbinval(tuple, desc, n++, &isnull);
		m->nulls[att - 1] = isnull;
		if (!isnull)
			m->values[att - 1] = datumCopy(value, form->attbyval, form->attlen);
	}
	value = SPI_getbinval(tuple, desc, n, &isnull);
	if (!isnull)
		m->stored_clocks = DatumGetJsonbPCopy(value);
	m->clocks = clocks_read(t, m->stored_clocks, &c->row_stamp);
	if (t->deleted_at)
	{
		m->deleted_at = SPI_getbinval(tuple, desc, PROBE_DELETED_AT, &isnull);
		m->is_deleted = !isnull;
		if (m->is_deleted)
			m->deleted_at = datumCopy(m->deleted_at, true, sizeof(Timestamp));
	}
	MemoryContextSwitchTo(old);
}

void
merge_read_tombstone(Push *push, Change *c, const Tombstone *tombstone)
{
	TrackedTable *t = c->table->t;
	Merge	   *m = new_merge(push, c);
	MemoryContext old = MemoryContextSwitchTo(push->context);

	m->image = tombstone->image;
	m->clocks = m->image == NULL ? clocks_none(t) :
		clocks_read(t, tombstone->clocks ? json_parse(tombstone->clocks) : NULL,
					&tombstone->stamp);
	MemoryContextSwitchTo(old);
}

void
merge_read_nothing(Push *push, Change *c)
{
	Merge	   *m = new_merge(push, c);
	MemoryContext old = MemoryContextSwitchTo(push->context);

	m->clocks = clocks_none(c->table->t);
	MemoryContextSwitchTo(old);
}

/* ---------- images ---------- */

/*
 * An image is an object of the columns by name, each as the text that its type
 * writes and reads.  Output functions are all that runs for it: a plain DELETE
 * makes it, whoever does that.  It is text, since jsonb has limits that a row
 * need not keep: 256 MB a string, for one.
 */

/* beyond this a row has no image; a value of text can be 1 GB */
#define IMAGE_MAX (512 * 1024 * 1024)

/* what is written in hexadecimal doubles */
#define IMAGE_VALUE_MAX (IMAGE_MAX / 2 - 1024)

static size_t
escaped_length(const char *text)
{
	size_t		len = 2;

	for (; *text != '\0'; text++)
		len += (unsigned char) *text < ' ' ? 6 : *text == '"' || *text == '\\' ? 2 : 1;
	return len;
}

static void
append_name(StringInfo buf, TrackedColumn *c)
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
static bool
append_column(StringInfo buf, TrackedTable *t, TrackedColumn *c, Datum value,
			  bool isnull)
{
	char	   *text;
	bool		fits;

	append_name(buf, c);
	if (isnull)
	{
		appendStringInfoString(buf, "null");
		return true;
	}
	if (TupleDescAttr(t->tupdesc, c->attnum - 1)->attlen == -1 &&
		!is_long_string(c) && toast_raw_datum_size(value) > IMAGE_VALUE_MAX)
		return false;
	text = OutputFunctionCall(&c->output, value);
	fits = buf->len + escaped_length(text) < IMAGE_MAX;
	if (fits)
		escape_json(buf, text);
	pfree(text);
	return fits;
}

char *
merge_image(TrackedTable *t, Datum *values, bool *nulls)
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
			fits = append_column(&buf, t, &t->columns[i], values[i], nulls[i]);
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

/* what an image has of a column; false: nothing */
static bool
find_in_image(const char *image, TrackedColumn *c, JsonSpan *value)
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

/*
 * The columns of an image, with the caller's rights; values and nulls by
 * attnum - 1.  Columns that the table has no more are left out.
 */
static Bitmapset *
read_image(TrackedTable *t, const char *image, Datum *values, bool *nulls)
{
	Bitmapset  *columns = NULL;
	int			level = wire_begin_kept();
	int			i;

	for (i = 0; i < t->ncolumns; i++)
	{
		TrackedColumn *c = &t->columns[i];
		JsonSpan	value;

		if (!clocks_cover(t, c) || !find_in_image(image, c, &value))
			continue;
		nulls[i] = (*value.at == 'n');
		values[i] = InputFunctionCall(&c->input,
									  nulls[i] ? NULL : json_unescape(value),
									  c->ioparam, c->typmod);
		columns = bms_add_member(columns, c->attnum);
	}
	wire_end(level);
	return columns;
}

/* an image of some columns only: those of the other image, and these */
static char *
image_with(TrackedTable *t, const char *image, Bitmapset *columns,
		   Datum *values, bool *nulls)
{
	StringInfoData buf;
	int			level = wire_begin_kept();
	bool		fits = true;
	int			i;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	for (i = 0; i < t->ncolumns && fits; i++)
	{
		TrackedColumn *c = &t->columns[i];
		JsonSpan	kept;

		if (!clocks_cover(t, c))
			continue;
		if (bms_is_member(c->attnum, columns))
			fits = append_column(&buf, t, c, values[i], nulls[i]);
		else if (image && find_in_image(image, c, &kept))
		{
			append_name(&buf, c);
			fits = buf.len + kept.len < IMAGE_MAX;
			if (fits)
				appendBinaryStringInfo(&buf, kept.at, kept.len);
		}
	}
	appendStringInfoChar(&buf, '}');
	wire_end(level);
	if (!fits)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the deleted row is too large to be kept")));
	return buf.data;
}

/* ---------- what is written ---------- */

static void
copy_values(Change *c)
{
	int			n = c->table->t->ncolumns;

	c->new_values = palloc(sizeof(Datum) * n);
	c->new_nulls = palloc(sizeof(bool) * n);
	memcpy(c->new_values, c->values, sizeof(Datum) * n);
	memcpy(c->new_nulls, c->nulls, sizeof(bool) * n);
}

/*
 * The columns that lost are written as they are: a statement writes the same
 * columns of all its rows, and it tests that the row is still this version.
 */
static void
keep_lost_columns(Change *c, Merge *m)
{
	int			att = -1;

	if (bms_equal(m->wins, c->changed))
		return;
	copy_values(c);
	while ((att = bms_next_member(c->changed, att)) >= 0)
	{
		if (bms_is_member(att, m->wins))
			continue;
		c->new_values[att - 1] = m->values[att - 1];
		c->new_nulls[att - 1] = m->nulls[att - 1];
	}
}

/* a row that was deleted comes back with all that it had */
static void
revive(Change *c, Merge *m)
{
	TrackedTable *t = c->table->t;
	Datum	   *values = palloc0(sizeof(Datum) * t->ncolumns);
	bool	   *nulls = palloc0(sizeof(bool) * t->ncolumns);
	Bitmapset  *columns = read_image(t, m->image, values, nulls);
	int			att = -1;

	copy_values(c);
	c->writes = bms_copy(c->sent);
	while ((att = bms_next_member(columns, att)) >= 0)
	{
		if (bms_is_member(att, c->sent))
			continue;
		c->new_values[att - 1] = values[att - 1];
		c->new_nulls[att - 1] = nulls[att - 1];
		c->writes = bms_add_member(c->writes, att);
	}
}

void
merge_settle(Push *push, Change *c, const Decision *decision)
{
	TrackedTable *t = c->table->t;
	Merge	   *m = c->merge;
	MemoryContext old;
	Stamp	   *clocks;

	if (c->verdict != VERDICT_APPLIED && c->verdict != VERDICT_MERGED)
		return;
	old = MemoryContextSwitchTo(push->context);
	m->column_stamp = decision->column_stamp;
	m->wins = c->verdict == VERDICT_MERGED ? decision->wins :
		c->is_delete ? NULL : c->row_exists ? c->changed : c->sent;
	clocks = palloc(sizeof(Stamp) * t->ncolumns);
	memcpy(clocks, m->clocks, sizeof(Stamp) * t->ncolumns);
	clocks_set(clocks, m->wins, &m->column_stamp);
	m->new_clocks = clocks_text(t, clocks, &c->stored);
	if (c->row_exists && c->verdict == VERDICT_MERGED)
		keep_lost_columns(c, m);
	else if (!c->row_exists && !c->is_delete && c->verdict == VERDICT_APPLIED && m->image)
		revive(c, m);
	MemoryContextSwitchTo(old);
}

/* ---------- tombstones ---------- */

void
merge_keep_image(Change *c, Tombstone *tombstone)
{
	tombstone->image = c->merge->image;
	tombstone->clocks = c->merge->image ? c->merge->new_clocks : NULL;
}

List *
merge_into_tombstones(PushTable *table, List *changes)
{
	List	   *missed = NIL;
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);
		Tombstone	tombstone = {0};

		tombstone.key = c->key_text;
		tombstone.stamp = c->row_stamp;
		tombstone.image = image_with(table->t, c->merge->image, c->merge->wins,
									 c->values, c->nulls);
		tombstone.clocks = c->merge->new_clocks;
		if (!tombstone_set_image(table->t, &tombstone))
			missed = lappend(missed, c);
	}
	return missed;
}
