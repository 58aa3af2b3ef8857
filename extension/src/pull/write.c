/*-------------------------------------------------------------------------
 *
 * write.c
 *	  The rows and deletions of a page as text, as many as fit.
 *
 * A page ends at a number of rows or of bytes.  The length of a row is known
 * only when it is written, and reading rows takes the most memory.  So the keys
 * of a page are found first.  Its rows are then read some at a time and written
 * in the order in which they were found.  The page ends after the last row that
 * fits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "log/records.h"
#include "pull/parts.h"
#include "pull/pull.h"
#include "read/rows.h"
#include "util/compat.h"
#include "util/errors.h"
#include "util/keymap.h"
#include "wire/wire.h"

/* rows that are read at a time */
#define ROWS_AT_A_TIME 1000

/* the most of a key that an error repeats, in bytes */
#define KEY_SHOWN 100

static int64
largest(const Pull *pull)
{
	return Max(pull->max_bytes, PULL_LARGEST);
}

/*
 * When each deleted row was deleted, as far as the caller may know it.  It may
 * not if the row has moved to another scope, or if its tombstone is of another
 * scope.
 */
void
pull_find_tombstones(Pull *pull, List *items)
{
	ListCell   *lt,
			   *lc;

	foreach(lt, pull->tables)
	{
		PullTable  *table = lfirst(lt);
		char	  **keys = palloc(sizeof(char *) * (list_length(items) + 1));
		int			n = 0;

		foreach(lc, items)
		{
			PullItem   *item = lfirst(lc);

			if (item->table == table && !item->have_row)
				keys[n++] = item->key;
		}
		foreach(lc, tombstone_read(table->t, keys, n, pull->snapshot))
		{
			Tombstone  *tombstone = lfirst(lc);
			PullItem   *item = keymap_get(table->seen, tombstone->key);

			/*
			 * a key can have several tombstones, because another user may
			 * have deleted the key of a row that nobody has seen
			 */
			if (item && access_has_text(&table->scopes, tombstone->scope) &&
				(!item->have_stamp ||
				 stamp_compare(&tombstone->stamp, &item->stamp) > 0))
			{
				item->have_stamp = tombstone->stamp.has_time;
				item->stamp = tombstone->stamp;
			}
		}
	}
}

static void
append_key(StringInfo buf, PullItem *item)
{
	Datum		key[INDEX_MAX_KEYS];

	wire_key_values(item->table->t, item->key, key);
	wire_append_key_members(buf, item->table->t, key);
}

/* ---------- what is too large ---------- */

pg_noreturn static void row_too_large(Pull *pull, PullItem *item);

static void
row_too_large(Pull *pull, PullItem *item)
{
	StringInfoData key;

	initStringInfo(&key);
	append_key(&key, item);
	key.data[pg_mbcliplen(key.data, key.len, KEY_SHOWN)] = '\0';
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_ROW_TOO_LARGE),
			 errmsg("the row {%s} of entity type \"%s\" is too large to send", key.data,
					item->table->t->entity_type),
			 errdetail("It takes more than " INT64_FORMAT " bytes.", largest(pull)),
			 errhint("Make it smaller, exclude its large column from sync, or raise "
					 "max_bytes, which is --max-pull-bytes of the gateway. Until then, "
					 "pull the other entity types by their names.")));
}

/*
 * Is the row certainly too large, so that it need not be read?  Text is never
 * shorter than in the row, and other types not much.
 */
static bool
is_huge(Pull *pull, PullItem *item)
{
	TrackedTable *t = item->table->t;
	Size		size = 0;
	int			i;

	for (i = 0; i < t->ncolumns; i++)
		if (!item->nulls[i] && TupleDescAttr(t->tupdesc, i)->attlen == -1)
			size += toast_raw_datum_size(item->values[i]);
	return size / 4 > largest(pull);
}

/* did a text become longer than PostgreSQL allows? */
static bool
is_about_length(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_PROGRAM_LIMIT_EXCEEDED ||
		error->sqlerrcode == ERRCODE_OUT_OF_MEMORY ||
		(error->sqlerrcode == ERRCODE_INTERNAL_ERROR && error->message &&
		 strncmp(error->message, "invalid memory alloc request size", 33) == 0);
}

/* ---------- writing ---------- */

static void
append_row(Pull *pull, StringInfo buf, PullItem *item)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		wire_append_row(buf, item->table->t, item->values, item->nulls);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!is_about_length(error))
			PG_RE_THROW();
		FlushErrorState();
		row_too_large(pull, item);
	}
	PG_END_TRY();
}

static void
append_deletion(StringInfo buf, PullItem *item, TimestampTz now)
{
	appendStringInfoChar(buf, '{');
	append_key(buf, item);
	appendStringInfoString(buf, ",\"deletedAt\":");
	wire_append_time(buf, item->have_stamp ? item->stamp.time : now);
	appendStringInfoChar(buf, '}');
}

/*
 * JSON is written as its column has it, which may have several lines.  Within
 * the texts of JSON there are no line ends.
 */
static void
join_lines(char *text, const char *end)
{
	static const char breaks[] = {'\n', '\r'};
	int			i;

	for (i = 0; i < lengthof(breaks); i++)
	{
		char	   *at = text;

		while ((at = memchr(at, breaks[i], end - at)) != NULL)
			*at++ = ' ';
	}
}

/* one more item, as a line or as an element of an array */
static void
append_item(Pull *pull, StringInfo buf, PullItem *item, TimestampTz now)
{
	int			start = buf->len;

	if (pull->as_lines)
	{
		StringInfo	line = &pull->texts[item->table->number].line;

		appendBinaryStringInfo(buf, line->data, line->len);
		appendStringInfoString(buf, item->have_row ? "\"row\":" : "\"deleted\":");
	}
	else if (buf->len > 0)
		appendStringInfoChar(buf, ',');
	if (item->have_row)
		append_row(pull, buf, item);
	else
		append_deletion(buf, item, now);
	if (pull->as_lines)
	{
		join_lines(buf->data + start, buf->data + buf->len);
		appendStringInfoString(buf, "}\n");
	}
}

static void
start_line(StringInfo line, TrackedTable *t)
{
	initStringInfo(line);
	appendStringInfoString(line, "{\"type\":");
	escape_json(line, t->entity_type);
	appendStringInfoChar(line, ',');
}

static void
start_texts(Pull *pull)
{
	ListCell   *lc;

	pull->texts = palloc0(sizeof(PullText) * (list_length(pull->tables) + 1));
	foreach(lc, pull->tables)
	{
		PullTable  *table = lfirst(lc);

		table->number = foreach_current_index(lc);
	}
}

/* of most tables a page has nothing, so their texts have no memory either */
static StringInfo
text_for(Pull *pull, PullItem *item)
{
	PullText   *text = &pull->texts[item->table->number];
	StringInfo	result = item->have_row ? &text->rows : &text->deletions;

	if (result->data == NULL)
		initStringInfo(result);
	if (pull->as_lines && text->line.data == NULL)
		start_line(&text->line, item->table->t);
	return result;
}

/* is there no room for the item, of this length, after the others? */
static bool
is_over(Pull *pull, PullItem *item, int64 before, int64 length)
{
	if (length > largest(pull))
	{
		if (before > 0 && !pull->whole)
			return true;
		row_too_large(pull, item);
	}
	if (!pull->whole)
		return before > 0 && before + length > pull_room(pull);
	if (before + length > largest(pull))
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_USE_CURSOR),
				 errmsg("the rows that have changed since that time take more than "
						INT64_FORMAT " bytes", largest(pull)),
				 errhint("Start without \"since\" and continue with the cursor of each reply.")));
	return false;
}

/*
 * Write the row of an item, in memory that the caller resets.  False: there is
 * no room for it after so many bytes of others.
 */
bool
pull_append_row(Pull *pull, StringInfo buf, PullItem *item, int64 before)
{
	int			start = buf->len;

	if (is_huge(pull, item) && is_over(pull, item, before, PG_INT64_MAX))
		return false;
	append_row(pull, buf, item);
	if (!is_over(pull, item, before, buf->len - start))
		return true;
	buf->len = start;
	buf->data[start] = '\0';
	return false;
}

/* write one more item; false: there is no room for it */
static bool
write_item(Pull *pull, PullItem *item, TimestampTz now, MemoryContext context)
{
	PullText   *text = &pull->texts[item->table->number];
	StringInfo	buf = text_for(pull, item);
	int			start = buf->len;
	MemoryContext old;

	if (item->have_row && is_huge(pull, item) &&
		is_over(pull, item, pull->bytes, PG_INT64_MAX))
		return false;
	old = MemoryContextSwitchTo(context);
	append_item(pull, buf, item, now);
	MemoryContextSwitchTo(old);
	MemoryContextReset(context);
	if (is_over(pull, item, pull->bytes, buf->len - start))
	{
		buf->len = start;
		buf->data[start] = '\0';
		return false;
	}
	pull->bytes += buf->len - start;
	if (item->have_row)
		text->nrows++;
	else
		text->ndeletions++;
	return true;
}

/* some of the items, from the nth on */
static List *
items_from(Pull *pull, int n)
{
	List	   *some = NIL;
	int			end = Min(n + ROWS_AT_A_TIME, pull->nitems);

	for (; n < end; n++)
		some = lappend(some, list_nth(pull->items, n));
	return some;
}

/*
 * Read the rows that pull_page() has found, and write them and the deletions:
 * afterwards they are in pull->texts.  The page may end before the last item
 * that was found.  Must run between wire_begin() and wire_end().
 */
void
pull_write(Pull *pull, TimestampTz now)
{
	MemoryContext context = AllocSetContextCreate(pull->context, "tide row",
												  ALLOCSET_DEFAULT_SIZES);
	int			n = 0;

	start_texts(pull);
	while (n < pull->nitems)
	{
		List	   *some = items_from(pull, n);
		ListCell   *lc;

		rows_fetch(pull->tables, some);
		pull_find_tombstones(pull, some);
		foreach(lc, some)
		{
			CHECK_FOR_INTERRUPTS();
			if (!write_item(pull, lfirst(lc), now, context))
			{
				pull_end_after(pull, n);
				return;
			}
			n++;
		}
	}
}
