/*-------------------------------------------------------------------------
 *
 * log.c
 *	  The part of a page that comes from the change log.
 *
 * A cursor holds the snapshot that its client has seen.  What was committed
 * since is what is visible now and was not visible then: entries of
 * transactions that were running then, and of later ones.  It is read scope by
 * scope in the order of (xid, seq), which says nothing about the order of
 * commits; that is why pages of one window keep its target snapshot: an entry
 * that becomes visible only after the first page, perhaps before the position
 * already reached, is left to the next window.  So each window comes to an
 * end, and with it each row is sent, however fast rows change meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pull/ahead.h"
#include "pull/parts.h"
#include "util/keymap.h"

/*
 * The scopes of the place, as the log writes them, which is as the type of
 * some table's scope column does.  Entries of shared tables are read in any
 * case.
 */
static ScopeSet
log_scopes(Pull *pull)
{
	TypeSet		scoped = types_subtract(&pull->place->types, &pull->asked.shared);
	ScopeSet	none = {0};

	if (scoped.n == 0)
		return none;
	if (pull->access.scopes.all || pull->place->scopes.all)
		return pull->place->scopes;
	return scopes_intersect(&pull->place->scopes, &pull->spelled);
}

/* true if nothing that is known of the two says otherwise */
static bool
same_user(Pull *pull, const LogOrigin *origin)
{
	const char *subject = pull->access.subject;

	if (subject == NULL || origin->subject == NULL)
		return subject == origin->subject;
	return strcmp(subject, origin->subject) == 0;
}

/*
 * Is the entry meant for another client alone?  A client that did not name
 * itself goes by the name of its user, and may be any client of that user.
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

/*
 * Is the entry one that this reading is after?  A reading up to now takes
 * everything that it can see, also what this very transaction wrote, which a
 * cursor will list as running.
 */
static bool
is_wanted(const LogEntry *entry, void *arg)
{
	Pull	   *pull = arg;
	Place	   *state = pull->place;
	PullTable  *table = pull_table(pull, entry->relid, entry->reg);

	pull->saw_entries = true;
	if (pull->registered && !types_contain(pull->registered, entry->reg))
		pull->saw_untracked = true;
	if (table == NULL || !types_contain(&state->types, entry->reg) || is_for_another(pull, entry))
		return false;
	if (!snapshot_equal(&state->target, &pull->asked.now) &&
		!snapshot_shows(&state->target, entry->xid))
		return false;
	return table->t->shared || entry->is_registration ||
		(scopes_contain(&state->scopes, entry->scope) &&
		 access_has_text(&table->scopes, entry->scope));
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
 * Is the page full for this entry?  Each window up to now takes what this very
 * transaction wrote, whatever the pages before it took.  If that alone filled a page
 * which goes on with another one, no page would ever be the last: another window
 * follows as soon as anybody commits, or for another place.  Such a page takes all of
 * it.
 */
static bool
is_full_for(Pull *pull, bool own)
{
	return pull_is_full(pull) && !(own && pull->goes_on && pull->nown == pull->nitems);
}

/* the place is behind this key now */
static void
go_on_behind(Pull *pull, Ahead *ahead, const LogEntry *entry, int index, bool by_scope)
{
	Place	   *state = pull->place;

	if (!by_scope)
		state->scope = NULL;
	else if (state->scope == NULL || strcmp(state->scope, entry->scope) != 0)
		state->scope = MemoryContextStrdup(pull->context, entry->scope);
	state->xid = entry->xid;
	state->seq = entry->seq;
	state->index = index;
	ahead_save(ahead, state);
}

/* false: the page is full, and this entry has more for it */
static bool
take_entry(Pull *pull, Ahead *ahead, const LogEntry *entry, bool by_scope)
{
	Place	   *state = pull->place;
	PullTable  *table = pull_table(pull, entry->relid, entry->reg);
	bool		own = (entry->xid == pull->own_xid);
	int			i = 0;

	if (entry->xid == state->xid && entry->seq == state->seq)
		i = state->index + 1;
	if (entry->is_registration)
		table->tracked_since = true;
	for (; i < entry->nkeys; i++)
	{
		const LogEntry *newest = ahead_newest(ahead, entry->keys[i]);
		PullItem   *item = NULL;

		/*
		 * A key that came again later is sent with the later entry.  If its
		 * last change is the client's own, and the client has shown that it
		 * has the reply, the key is not sent at all, because nothing came
		 * after that.
		 */
		if (newest == entry && !(pull->takes_acks && is_acked(pull, entry)) &&
			keymap_get(table->seen, entry->keys[i]) == NULL)
		{
			if (is_full_for(pull, own))
				return false;
			item = pull_add(pull, table, entry->keys[i]);
			pull->nown += own;
		}
		go_on_behind(pull, ahead, entry, i, by_scope);
		if (item)
			pull_item_done(pull, item);
	}
	return true;
}

/*
 * read what lies between state.seen and state.target; false: the page is full
 */
static bool
read_window(Pull *pull, const ScopeSet *scopes)
{
	const LogEntry *entry;
	Ahead	   *ahead = ahead_begin(pull->place, scopes, pull->limit, is_wanted, pull);
	bool		is_full = false;

	while (!is_full && (entry = ahead_next(ahead)) != NULL)
		is_full = !take_entry(pull, ahead, entry, !scopes->all);
	ahead_end(ahead);
	return !is_full;
}

static void
open_window(Pull *pull)
{
	Place	   *state = pull->place;

	state->phase = CURSOR_IN_LOG;
	state->target = pull->asked.now;
	state->scope = NULL;
	state->xid = 0;
	state->seq = 0;
	state->index = -1;
	state->reach = state->measured = 0;
}

/*
 * Bring the place from what it has seen up to now.  True: it is complete, and
 * has seen now.  False: the page is full, and the place is where the next page
 * goes on.
 *
 * If the target of a window is older than now, another window up to now
 * follows in the same page.  Rows are read as they stand now, so only a page
 * that ends at its own snapshot shows a consistent state.
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
