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
#include "utils/memutils.h"

#include "cursor/generation.h"
#include "pull/page.h"
#include "read/rows.h"
#include "table/registry.h"
#include "util/errors.h"
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

/*
 * The acks that count: of a start of the server other than this one, nothing is
 * known by a transaction id.
 */
void
pull_take_acks(Pull *pull)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n,
				i;

	if (pull->acks == NULL)
		return;
	deconstruct_array(pull->acks, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	if (n > ACK_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
				 errmsg("these are %d acks, and a pull takes at most %d", n, ACK_MAX),
				 errhint("Leave out the oldest: the rows of those pushes come again.")));
	pull->acked = palloc(sizeof(Ack) * (n + 1));
	for (i = 0; i < n; i++)
	{
		Ack		   *ack = &pull->acked[pull->nacked];

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
					 errmsg("an ack must not be null")));
		ack_decode(TextDatumGetCString(elements[i]), ack);
		pull->nacked += (ack->generation == generation_current());
	}
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

/* the state now says "after this item" */
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

/* what is not covered of all that is asked for comes from the tables */
void
pull_read_from_start(Pull *pull)
{
	Cursor	   *state = &pull->state;

	state->phase = CURSOR_IN_TABLES;
	state->wanted_scopes = pull->log_scopes;
	state->wanted_types = pull->types;
	state->done_types.n = 0;
	state->reg = 0;
	state->scope = state->key = NULL;
}

/* nothing is covered, nor is anything known of the client */
void
pull_start_over(Pull *pull)
{
	Cursor	   *state = &pull->state;

	memset(state, 0, sizeof(*state));
	state->seen = pull->now;
	pull_read_from_start(pull);
	pull->known.n = 0;
}

/* of all tracked tables, whoever may read them */
TypeSet
pull_registered_types(void)
{
	TypeSet		result = {0};
	ListCell   *lc;

	result.regs = palloc(sizeof(int32) * (list_length(registry_all()) + 1));
	foreach(lc, registry_all())
		result.regs[result.n++] = ((TrackedTable *) lfirst(lc))->reg;
	types_normalise(&result);
	return result;
}
