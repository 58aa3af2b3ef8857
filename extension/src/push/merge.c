/*-------------------------------------------------------------------------
 *
 * merge.c
 *	  The policy "merge": column by column the later writer stands.
 *
 * A row is the set of the latest writes of its columns, in whatever order they
 * come, and it exists if its latest write is not a deletion.  So the stamps of
 * single columns are kept with the row (clocks.c) and with its tombstone,
 * which also has the image of the row.  An older change that comes late is
 * merged into this image, and a newer change revives the row from it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/datum.h"

#include "push/batch.h"
#include "push/merge.h"
#include "util/json_scan.h"
#include "version/image.h"
#include "wire/text.h"
#include "wire/wire.h"

static Merge *
new_merge(Push *push, Change *c)
{
	c->found.merge = MemoryContextAllocZero(push->context, sizeof(Merge));
	c->outcome.columns = NULL;
	c->outcome.values = NULL;
	c->outcome.nulls = NULL;
	return c->found.merge;
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
	int			att = -1;

	m->values = palloc0(sizeof(Datum) * t->ncolumns);
	m->nulls = palloc0(sizeof(bool) * t->ncolumns);
	while ((att = bms_next_member(c->typed.changed, att)) >= 0)
	{
		Form_pg_attribute form = TupleDescAttr(t->tupdesc, att - 1);

		value = SPI_getbinval(tuple, desc, probe_column(c->table, att), &isnull);
		m->nulls[att - 1] = isnull;
		if (!isnull)
			m->values[att - 1] = datumCopy(value, form->attbyval, form->attlen);
	}
	value = SPI_getbinval(tuple, desc, PROBE_CLOCKS, &isnull);
	if (!isnull)
		m->stored_clocks = DatumGetJsonbPCopy(value);
	m->clocks = clocks_read(t, m->stored_clocks, &c->found.stamp);
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
 * A value of an image.  The column's type may take other values by now than
 * when the row was deleted, or what the value names may be gone.  That fails the
 * change that would revive the row, and not the push of all others: an error
 * of class 42 becomes one that a change can be to blame for.
 */
static Datum
kept_value(TrackedColumn *c, JsonSpan kept)
{
	MemoryContext caller = CurrentMemoryContext;
	Datum		value;

	PG_TRY();
	{
		value = text_input(c, *kept.at == 'n' ? NULL : image_value(c, kept));
	}
	PG_CATCH();
	{
		ErrorData  *error;
		int			category = ERRCODE_TO_CATEGORY(geterrcode());

		if (category != ERRCODE_DATA_EXCEPTION &&
			category != ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION &&
			category != ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION)
			PG_RE_THROW();
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		if (category == ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION)
			error->sqlerrcode = ERRCODE_INVALID_TEXT_REPRESENTATION;
		error->message = psprintf("the deleted row has a \"%s\" that its column does not take any more: %s",
								  c->wire, error->message);
		if (error->column_name == NULL)
			error->column_name = c->name;
		FlushErrorState();
		ReThrowError(error);
	}
	PG_END_TRY();
	return value;
}

/* an image in which these columns replace those of the other image */
static char *
image_with(TrackedTable *t, const char *image, Bitmapset *columns,
		   Datum *values, bool *nulls)
{
	StringInfoData buf;
	Bitmapset  *all = NULL;
	int			level = wire_begin_kept();
	bool		fits = true;
	int			i;

	for (i = 0; i < t->ncolumns; i++)
	{
		TrackedColumn *c = &t->columns[i];
		JsonSpan	kept;

		if (clocks_cover(t, c) && (bms_is_member(c->attnum, columns) ||
								   (image && image_find(image, c, &kept))))
			all = bms_add_member(all, c->attnum);
	}
	image_begin(&buf, t, all);
	for (i = 0; i < t->ncolumns && fits; i++)
	{
		TrackedColumn *c = &t->columns[i];
		JsonSpan	kept;

		if (!bms_is_member(c->attnum, all))
			continue;
		if (bms_is_member(c->attnum, columns))
			fits = image_append_column(&buf, t, c, values[i], nulls[i]);
		else if (image_find(image, c, &kept))
		{
			image_append_name(&buf, c);
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

	c->outcome.values = palloc(sizeof(Datum) * n);
	c->outcome.nulls = palloc(sizeof(bool) * n);
	memcpy(c->outcome.values, c->typed.values, sizeof(Datum) * n);
	memcpy(c->outcome.nulls, c->typed.nulls, sizeof(bool) * n);
}

/*
 * The columns that lost are written with the values that they have.  So a
 * statement writes the same columns of all its rows, and it tests that the row
 * is still this version.
 */
static void
keep_lost_columns(Change *c, Merge *m)
{
	int			att = -1;

	if (bms_equal(m->wins, c->typed.changed))
		return;
	copy_values(c);
	while ((att = bms_next_member(c->typed.changed, att)) >= 0)
	{
		if (bms_is_member(att, m->wins))
			continue;
		c->outcome.values[att - 1] = m->values[att - 1];
		c->outcome.nulls[att - 1] = m->nulls[att - 1];
	}
}

/*
 * A row that was deleted comes back with all that it had, but for what the
 * change sends.  The image is read with the caller's rights; what it has of
 * columns that are gone is left out.
 */
static void
revive(Change *c, Merge *m)
{
	TrackedTable *t = c->table->t;
	int			level = wire_begin_kept();
	int			i;

	copy_values(c);
	c->outcome.columns = bms_copy(c->typed.columns);
	for (i = 0; i < t->ncolumns; i++)
	{
		TrackedColumn *column = &t->columns[i];
		JsonSpan	value;

		if (!clocks_cover(t, column) || bms_is_member(column->attnum, c->typed.columns) ||
			!image_find(m->image, column, &value))
			continue;
		c->outcome.nulls[i] = (*value.at == 'n');
		c->outcome.values[i] = kept_value(column, value);
		c->outcome.columns = bms_add_member(c->outcome.columns, column->attnum);
	}
	wire_end(level);
}

void
merge_settle(Push *push, Change *c, const Decision *decision)
{
	TrackedTable *t = c->table->t;
	Merge	   *m = c->found.merge;
	MemoryContext old;
	Stamp	   *clocks;

	if (c->outcome.verdict != VERDICT_APPLIED && c->outcome.verdict != VERDICT_MERGED)
		return;
	old = MemoryContextSwitchTo(push->context);
	m->column_stamp = decision->column_stamp;
	m->wins = c->outcome.verdict == VERDICT_MERGED ? decision->wins :
		c->typed.is_delete ? NULL : c->found.exists ? c->typed.changed : c->typed.inserted;
	clocks = palloc(sizeof(Stamp) * t->ncolumns);
	memcpy(clocks, m->clocks, sizeof(Stamp) * t->ncolumns);
	clocks_set(clocks, m->wins, &m->column_stamp);
	m->new_clocks = clocks_text(t, clocks, &c->outcome.stored);
	if (c->found.exists && c->outcome.verdict == VERDICT_MERGED)
		keep_lost_columns(c, m);
	else if (!c->found.exists && !c->typed.is_delete && c->outcome.verdict == VERDICT_APPLIED && m->image)
		revive(c, m);
	MemoryContextSwitchTo(old);
}

/* ---------- tombstones ---------- */

void
merge_keep_image(Change *c, Tombstone *tombstone)
{
	tombstone->image = c->found.merge->image;
	tombstone->clocks = c->found.merge->image ? c->found.merge->new_clocks : NULL;
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

		tombstone.key = c->typed.key_text;
		tombstone.stamp = c->found.stamp;
		tombstone.nbinds = c->found.tombstone->nbinds;
		tombstone.binds = c->found.tombstone->binds;
		tombstone.image = image_with(table->t, c->found.merge->image, c->found.merge->wins,
									 c->typed.values, c->typed.nulls);
		tombstone.clocks = c->found.merge->new_clocks;
		if (!tombstone_set_image(table->t, &tombstone))
			missed = lappend(missed, c);
	}
	return missed;
}
