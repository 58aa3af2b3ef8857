/*-------------------------------------------------------------------------
 *
 * log.c
 *	  The part of a page that comes from the change log.
 *
 * A cursor holds the snapshot that its client has seen.  What was committed
 * since then is visible now and was not visible then: entries of transactions
 * that were running then, and of later ones.  They are read in the order of
 * (xid, seq), which says nothing about the order of commits.  So all pages of
 * one window keep its target snapshot.  An entry that becomes visible after the
 * first page, perhaps at a place that was already passed, is left to the next
 * window.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"

#include "log/changelog.h"
#include "pull/parts.h"
#include "util/keymap.h"

#define MAX_ENTRIES 256

/*
 * The scopes of the place, as the log has them, which is as some table's type
 * writes them.
 */
static ScopeSet
log_scopes(Pull *pull)
{
	if (pull->access.scopes.all || pull->place->scopes.all)
		return pull->place->scopes;
	return scopes_intersect(&pull->place->scopes, &pull->spelled);
}

/* as far as it is known who they are */
static bool
same_user(Pull *pull, const LogOrigin *origin)
{
	const char *subject = pull->access.subject;

	if (subject == NULL || origin->subject == NULL)
		return subject == origin->subject;
	return strcmp(subject, origin->subject) == 0;
}

/*
 * Is the entry news for another client alone?  One that did not name itself
 * goes by the name of its user, and may be any of that user's.
 */
static bool
is_for_another(Pull *pull, const LogEntry *entry)
{
	if (pull->access.subject && entry->for_subject &&
		strcmp(pull->access.subject, entry->for_subject) != 0)
		return true;
	return pull->client_id && entry->for_client &&
		strcmp(pull->client_id, entry->for_client) != 0 &&
		(entry->for_subject == NULL || strcmp(entry->for_client, entry->for_subject) != 0);
}

/* the table of an entry, if the entry is one that this reading is after */
static PullTable *
wanted_table(Pull *pull, const LogEntry *entry)
{
	PullTable  *table = pull_table(pull, entry->relid, entry->reg);

	if (table == NULL || !types_contain(&pull->place->types, entry->reg) || is_for_another(pull, entry))
		return NULL;
	if (table->t->shared || entry->nkeys == 0)
		return table;
	return scopes_contain(&pull->place->scopes, entry->scope) &&
		access_has_text(&table->scopes, entry->scope) ? table : NULL;
}

/* did the client store the reply that shows what this entry is about? */
static bool
is_acked(Pull *pull, const LogEntry *entry)
{
	const LogOrigin *origin = entry->origin;
	int			i;

	if (origin == NULL || !same_user(pull, origin))
		return false;
	for (i = 0; i < pull->nacked; i++)
		if (pull->acked[i].xid == entry->xid && pull->acked[i].number == origin->push)
			return true;
	return false;
}

/*
 * Of each key in some entries, the last entry that has it.  A key is left out
 * if that one is of a push whose reply the client shows: nothing came after
 * that.  Writers of one row wait for each other, so seq has their order.
 */
static KeyMap *
last_entries(Pull *pull, List *entries)
{
	KeyMap	   *map;
	ListCell   *lc;

	if (!pull->takes_acks)
		return NULL;
	map = keymap_new(CurrentMemoryContext, 256);
	foreach(lc, entries)
	{
		LogEntry   *entry = lfirst(lc);
		int			i;

		for (i = 0; i < entry->nkeys; i++)
		{
			char	   *name = psprintf("%d %s", entry->reg, entry->keys[i]);
			LogEntry   *other = keymap_get(map, name);

			if (other == NULL || other->seq < entry->seq)
				keymap_put(map, name, entry);
		}
	}
	return map;
}

static bool
is_known(Pull *pull, KeyMap *last, const LogEntry *entry, const char *key)
{
	LogEntry   *final;

	if (!pull->takes_acks)
		return false;
	final = keymap_get(last, psprintf("%d %s", entry->reg, key));
	return final && is_acked(pull, final);
}

/* false: the page is full and this entry has something more for it */
static bool
take_entry(Pull *pull, const LogEntry *entry, PullTable *table, KeyMap *last)
{
	Place	   *state = pull->place;
	int			i = 0;

	if (entry->xid == state->xid && entry->seq == state->seq)
		i = state->index + 1;
	if (entry->nkeys == 0)
		table->tracked_since = true;
	for (; i < entry->nkeys; i++)
	{
		PullItem   *item = NULL;

		if (!is_known(pull, last, entry, entry->keys[i]) &&
			keymap_get(table->seen, entry->keys[i]) == NULL)
		{
			if (pull_is_full(pull))
				return false;
			item = pull_add(pull, table, entry->keys[i]);
		}
		state->xid = entry->xid;
		state->seq = entry->seq;
		state->index = i;
		if (item)
			pull_item_done(pull, item);
	}
	return true;
}

/* what lies between state.seen and state.target; false: the page is full */
static bool
read_window(Pull *pull, const ScopeSet *scopes)
{
	Place	   *state = pull->place;
	bool		to_now = snapshot_equal(&state->target, &pull->asked.now);
	uint64		xid = state->xid;
	int64		seq = state->index >= 0 ? state->seq - 1 : PG_INT64_MIN;

	for (;;)
	{
		List	   *entries = changelog_read(&state->seen, scopes, xid, seq, MAX_ENTRIES);
		KeyMap	   *last = last_entries(pull, entries);
		ListCell   *lc;

		CHECK_FOR_INTERRUPTS();
		foreach(lc, entries)
		{
			LogEntry   *entry = lfirst(lc);
			PullTable  *table = wanted_table(pull, entry);

			xid = entry->xid;
			seq = entry->seq;
			pull->saw_entries = true;
			if (pull->registered && !types_contain(pull->registered, entry->reg))
				pull->saw_untracked = true;

			/*
			 * Up to now, everything that can be read belongs to it, also what
			 * this very transaction wrote (and a cursor will list as
			 * running).
			 */
			if (!to_now && !snapshot_shows(&state->target, entry->xid))
				continue;
			if (table && !take_entry(pull, entry, table, last))
				return false;
		}
		if (list_length(entries) < MAX_ENTRIES)
			return true;
	}
}

static void
open_window(Pull *pull)
{
	Place	   *state = pull->place;

	state->phase = CURSOR_IN_LOG;
	state->target = pull->asked.now;
	state->xid = 0;
	state->seq = 0;
	state->index = -1;
}

/*
 * The place from what it has seen to now.  True: complete, and it has seen now.
 * False: the page is full, and the place is where the next one goes on.
 *
 * A window whose target is older than now is followed by one up to now in the
 * same page: rows are read as they stand now, so only a page that ends at its
 * own snapshot shows a consistent state.
 */
bool
pull_read_log(Pull *pull)
{
	Place	   *state = pull->place;
	ScopeSet	scopes = log_scopes(pull);

	if (state->phase != CURSOR_IN_LOG)
		open_window(pull);
	for (;;)
	{
		bool		to_now = snapshot_equal(&state->target, &pull->asked.now);

		if (!read_window(pull, &scopes))
			return false;
		state->seen = state->target;
		state->phase = CURSOR_AT_REST;
		if (to_now)
			return true;
		open_window(pull);
	}
}
