/*-------------------------------------------------------------------------
 *
 * parts.c
 *	  The parts of a page, in their order.
 *
 * What the cursor covers is brought up to now from the change log; what it does
 * not cover is read from the tables, over as many pages as that takes; and then
 * the log again, from the snapshot at which that reading began.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "pull/parts.h"

/* the scopes as the log has them, which is as each table's type writes them */
static ScopeSet
log_scopes_of(Pull *pull, const ScopeSet *scopes)
{
	ScopeSet	result = {0};
	ListCell   *lc;
	int			n = scopes->n;

	result.all = scopes->all;
	if (result.all)
		return result;
	foreach(lc, pull->tables)
		n += ((PullTable *) lfirst(lc))->scopes.n;
	result.scopes = palloc(sizeof(char *) * (n + 1));
	foreach(lc, pull->tables)
	{
		PullTable  *table = lfirst(lc);
		int			i;

		for (i = 0; i < table->scopes.n; i++)
			if (scopes_contain(scopes, table->scopes.texts[i]))
				result.scopes[result.n++] = table->scopes.texts[i];
	}
	scopes_normalise(&result);
	return result;
}

static bool
covers_all(Pull *pull)
{
	return scopes_equal(&pull->state.scopes, &pull->log_scopes) &&
		types_equal(&pull->state.types, &pull->types);
}

/* the three parts, as far as the page goes; true: complete up to now */
bool
pull_read_parts(Pull *pull)
{
	Cursor	   *state = &pull->state;

	if (state->phase != CURSOR_IN_TABLES)
	{
		ScopeSet	scopes = log_scopes_of(pull, &state->scopes);

		if (!pull_read_log(pull, &scopes, &state->types))
			return false;
		if (covers_all(pull))
			return true;
		pull_read_from_start(pull);
	}

	if (!pull_read_tables(pull, &state->scopes, &state->types))
		return false;
	state->phase = CURSOR_AT_REST;
	state->scopes = pull->log_scopes;
	state->types = pull->types;
	return pull_read_log(pull, &pull->log_scopes, &pull->types);
}
