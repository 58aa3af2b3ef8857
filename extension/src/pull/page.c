/*-------------------------------------------------------------------------
 *
 * page.c
 *	  What the parts of a page share.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "cursor/generation.h"
#include "cursor/history.h"
#include "pull/page.h"
#include "read/rows.h"
#include "util/errors.h"

PullTable *
pull_table(Pull *pull, Oid relid, int32 reg)
{
	ListCell   *lc;

	foreach(lc, pull->tables)
	{
		PullTable  *table = lfirst(lc);

		if (table->t->reg == reg && table->t->relid == relid)
			return table;
	}
	return NULL;
}

/* palloc'd acks of an array of their texts; returns how many */
int
pull_decode_acks(ArrayType *array, Ack **acks)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n,
				i;

	*acks = NULL;
	if (array == NULL)
		return 0;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	if (n > ACK_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
				 errmsg("%d acks exceed the limit of %d", n, ACK_MAX),
				 errhint("Leave out the oldest: the rows of those pushes come again.")));
	*acks = palloc(sizeof(Ack) * (n + 1));
	for (i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
					 errmsg("an ack must not be null")));
		ack_decode(TextDatumGetCString(elements[i]), &(*acks)[i]);
	}
	return n;
}

/*
 * On a standby: has the push ended, so that the snapshot shows what it wrote?
 * One of a start that is over is of no use anywhere, and one of a start that
 * is not known here may be one that is not replayed yet.
 */
bool
pull_ack_is_replayed(const Ack *ack, uint64 generation, const TideSnapshot *now)
{
	if (ack->generation != generation)
		return generation_is_known(ack->generation);
	return snapshot_shows(now, ack->xid);
}

/*
 * Take the acks that count.  An ack from another start of the server means
 * nothing here, because it names a transaction id.
 */
void
pull_take_acks(Pull *pull)
{
	Ack		   *acks;
	int			n = pull_decode_acks(pull->acks, &acks);
	uint64		generation = n > 0 ? generation_current() : 0;
	TideSnapshot now;
	int			i;

	pull->acked = acks;
	if (pull->in_recovery && n > 0)
		history_snapshot(pull->snapshot, &now);
	for (i = 0; i < n; i++)
	{
		if (pull->in_recovery && !pull_ack_is_replayed(&acks[i], generation, &now))
			history_behind("The push of an ack has not ended there.");
		if (acks[i].generation == generation)
			acks[pull->nacked++] = acks[i];
	}
}

/* the bytes at which a page ends; 0: it does not end at any */
int64
pull_room(const Pull *pull)
{
	return pull->page_bytes > 0 ? Min(pull->page_bytes, pull->max_bytes) : pull->max_bytes;
}

/*
 * The length of a row as text is known only when it is written.  Rows that
 * come from a table are read at once, and take up to this many times as much
 * as text.
 */
#define TUPLE_TO_TEXT 4

bool
pull_is_full(Pull *pull)
{
	return pull->nitems >= pull->limit ||
		(pull_room(pull) > 0 && !pull->whole &&
		 pull->tuple_bytes / TUPLE_TO_TEXT >= pull_room(pull));
}

PullItem *
pull_add(Pull *pull, PullTable *table, const char *key)
{
	MemoryContext old = MemoryContextSwitchTo(pull->context);
	PullItem   *item = rows_ask(table, key);

	pull->items = lappend(pull->items, item);
	pull->nitems++;
	MemoryContextSwitchTo(old);
	return item;
}

static void
add_mark(Pull *pull)
{
	PullMark   *mark;

	if (pull->nitems > pull->room)
	{
		pull->room = Max(128, pull->room * 2);
		pull->marks = pull->marks == NULL ? palloc(sizeof(PullMark) * pull->room) :
			repalloc_huge(pull->marks, sizeof(PullMark) * pull->room);
	}
	mark = &pull->marks[pull->nitems - 1];
	mark->place = pull->place;
	mark->after = *pull->place;
}

/*
 * the place says "after this item" now, which must be the last that was added
 */
void
pull_item_done(Pull *pull, PullItem *item)
{
	MemoryContext old = MemoryContextSwitchTo(pull->context);

	if (pull->item_cursors)
		item->cursor = pull_cursor(pull);
	if (!pull->whole)
		add_mark(pull);
	MemoryContextSwitchTo(old);
}

/*
 * Begin at the start, with nothing known of the client.  But a client that
 * drops only the types that it asks for keeps rows of other types.
 */
void
pull_start_over(Pull *pull)
{
	TypeSet		lost = types_subtract(&pull->begin.lost_types, &pull->asked.types);

	places_begin(&pull->asked, &pull->begin);
	pull->begin.lost_types = lost;
	pull->known.n = 0;
}
