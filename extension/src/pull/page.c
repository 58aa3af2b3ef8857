/*-------------------------------------------------------------------------
 *
 * page.c
 *	  What the parts of a page share.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "pull/page.h"
#include "read/rows.h"
#include "util/keymap.h"

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

bool
pull_is_full(Pull *pull)
{
	return pull->nitems >= pull->limit;
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

/* the place now says "after this item" */
void
pull_item_done(Pull *pull, PullItem *item)
{
	MemoryContext old;

	if (!pull->item_cursors)
		return;
	old = MemoryContextSwitchTo(pull->context);
	item->cursor = pull_cursor(pull);
	MemoryContextSwitchTo(old);
}

/*
 * Nothing is covered, nor is anything known of the client; but a client that
 * drops only what it asks for keeps rows of the other types it has.
 */
void
pull_start_over(Pull *pull)
{
	TypeSet		lost = types_subtract(&pull->begin.lost_types, &pull->asked.types);

	places_begin(&pull->asked, &pull->begin);
	pull->begin.lost_types = lost;
	pull->known.n = 0;
}
