/*-------------------------------------------------------------------------
 *
 * time.c
 *	  Everything since a time, in one page.
 *
 * For clients that keep a time instead of a cursor.  A time means the newest
 * sample not after it: what was visible then counts as sent.  Nothing is known
 * of the client but that, so types that were tracked since then are read in
 * full.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "log/changelog.h"
#include "log/records.h"
#include "log/retention.h"
#include "pull/parts.h"
#include "util/errors.h"
#include "util/keymap.h"
#include "util/settings.h"

static void
too_many_rows(Pull *pull)
{
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_USE_CURSOR),
			 errmsg("more than %d rows have changed since that time", pull->limit),
			 errhint("Start without \"since\" and continue with the cursor of each reply.")));
}

/* all tables, and what was found in the log does not count */
static void
read_everything(Pull *pull, const char *reset_reason)
{
	ListCell   *lc;

	pull->reset_reason = reset_reason;
	pull->items = NIL;
	pull->nitems = 0;
	foreach(lc, pull->tables)
		((PullTable *) lfirst(lc))->seen = keymap_new(pull->context, 64);
	pull_start_over(pull);
	if (!pull_read_parts(pull))
		too_many_rows(pull);
}

/* the sample to go on from; false: with a reason to start over */
static bool
find_sample(Pull *pull, TimestampTz time, const char **reason)
{
	Horizon		horizon;
	bool		pruned = horizon_read(pull->snapshot, &horizon);
	TimestampTz at;

	if (sample_before(time, &pull->state.seen, &at) &&
		!(pruned && snapshot_is_expired(&pull->state.seen, &horizon)))
		return true;
	*reason = pruned ? "expired" : "before_tracking";
	return false;
}

/* types that need not be read in full */
static TypeSet
known_types(Pull *pull)
{
	TypeSet		known = {0};
	ListCell   *lc;

	known.regs = palloc(sizeof(int32) * (pull->types.n + 1));
	foreach(lc, pull->tables)
	{
		PullTable  *table = lfirst(lc);

		if (!table->tracked_since && !types_contain(&pull->refresh, table->t->reg))
			known.regs[known.n++] = table->t->reg;
	}
	types_normalise(&known);
	return known;
}

static bool
is_any_tracked_since(Pull *pull)
{
	ListCell   *lc;

	foreach(lc, pull->tables)
	{
		if (((PullTable *) lfirst(lc))->tracked_since)
			return true;
	}
	return false;
}

void
pull_since_time(Pull *pull, TimestampTz time)
{
	Cursor	   *state = &pull->state;
	TypeSet		registered = pull_registered_types();
	TypeSet		known;
	const char *reason;

	pull->limit = tide_max_time_rows;
	pull->client_id = NULL;
	memset(state, 0, sizeof(*state));
	if (!find_sample(pull, time, &reason))
	{
		read_everything(pull, reason);
		return;
	}

	state->scopes = pull->log_scopes;
	state->types = pull->types;
	pull->registered = &registered;
	if (!pull_read_log(pull, &pull->log_scopes, &pull->types))
		too_many_rows(pull);
	/* as is_tracked_anew() has it for cursors */
	if (pull->saw_untracked && is_any_tracked_since(pull))
	{
		read_everything(pull, "tracked_anew");
		return;
	}

	known = known_types(pull);
	if (known.n == pull->types.n)
		return;
	state->types = known;
	if (!pull_read_tables(pull, &pull->log_scopes, &known))
		too_many_rows(pull);
	state->phase = CURSOR_AT_REST;
	state->seen = pull->now;
	state->types = pull->types;
}
