/*-------------------------------------------------------------------------
 *
 * scopes.c
 *	  Scopes that a client has lost since its cursor was made.
 *
 * A client may hold rows of each scope that its cursor knows: those that it
 * covers, those that were being read, and those that were covered once and not
 * asked for since.  One of them that the caller may not sync any more is named
 * in the reply, so that the client drops its rows; the cursor of that reply
 * does not know it.  Is the reply lost, the old cursor comes again, and names
 * it again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pull/page.h"
#include "table/registry.h"
#include "util/errors.h"

/* the members of a set are added to another that has room for them */
static void
add_scopes(ScopeSet *to, const ScopeSet *from)
{
	int			i;

	for (i = 0; i < from->n; i++)
		to->scopes[to->n++] = from->scopes[i];
}

/* every scope that the cursor speaks of, as far as it lists them */
static ScopeSet
scopes_of_cursor(const Cursor *cursor)
{
	ScopeSet	result = {0};

	result.scopes = palloc(sizeof(char *) *
						   (cursor->scopes.n + cursor->wanted_scopes.n +
							cursor->held_scopes.n + 1));
	add_scopes(&result, &cursor->scopes);
	add_scopes(&result, &cursor->held_scopes);
	if (cursor->phase == CURSOR_IN_TABLES)
		add_scopes(&result, &cursor->wanted_scopes);
	scopes_normalise(&result);
	return result;
}

/*
 * The allowed scopes as the columns of tracked tables write them: a uuid in
 * upper case is the same scope as one in lower case.
 */
static ScopeSet
spell_allowed(Pull *pull)
{
	Access		allowed = {0};
	ScopeSet	result = {0};
	ListCell   *lc;

	allowed.scopes = pull->access.allowed;
	result.scopes = palloc(sizeof(char *) *
						   (list_length(registry_all()) * allowed.scopes.n + 1));
	foreach(lc, registry_all())
	{
		TrackedTable *t = lfirst(lc);
		TableScopes scopes;
		int			i;

		if (t->shared || registry_problem(t))
			continue;
		access_table_scopes(&allowed, t, &scopes);
		for (i = 0; i < scopes.n; i++)
			result.scopes[result.n++] = scopes.texts[i];
	}
	scopes_normalise(&result);
	return result;
}

/*
 * Which of the cursor's scopes the caller has lost, and which it still has: in
 * pull->revoked and pull->known.  Rows of tide.changes cannot say the first, so
 * their cursors keep it.
 */
void
pull_note_revoked(Pull *pull, const Cursor *cursor)
{
	ScopeSet	known = scopes_of_cursor(cursor);
	ScopeSet	spelled = {0};
	bool		have_spelled = false;
	int			i;

	pull->known.scopes = palloc(sizeof(char *) * (known.n + 1));
	pull->revoked.scopes = palloc(sizeof(char *) * (known.n + 1));
	for (i = 0; i < known.n; i++)
	{
		bool		allowed = scopes_contain(&pull->access.allowed, known.scopes[i]);

		if (!allowed && !have_spelled)
		{
			spelled = spell_allowed(pull);
			have_spelled = true;
		}
		if (allowed || pull->item_cursors || scopes_contain(&spelled, known.scopes[i]))
			pull->known.scopes[pull->known.n++] = known.scopes[i];
		else
			pull->revoked.scopes[pull->revoked.n++] = known.scopes[i];
	}
}

/* a cursor can say which scopes it is for only of so many */
void
pull_check_scopes(Pull *pull)
{
	if (pull->log_scopes.n > CURSOR_MAX_SCOPES)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_TOO_MANY_SCOPES),
				 errmsg("this is a pull of %d scopes, and one takes at most %d",
						pull->log_scopes.n, CURSOR_MAX_SCOPES),
				 errhint("Ask for some of them at a time, and keep a cursor for each such set.")));
}

/* the new cursor's text; it also knows the scopes that were not asked for */
char *
pull_cursor(Pull *pull)
{
	Cursor	   *state = &pull->state;
	ScopeSet	held = {0};
	int			i;

	held.scopes = palloc(sizeof(char *) * (pull->known.n + 1));
	for (i = 0; i < pull->known.n; i++)
	{
		const char *scope = pull->known.scopes[i];

		if (!scopes_contain(&state->scopes, scope) &&
			(state->phase != CURSOR_IN_TABLES ||
			 !scopes_contain(&state->wanted_scopes, scope)))
			held.scopes[held.n++] = pull->known.scopes[i];
	}
	state->held_scopes = held;
	return cursor_encode(state);
}
