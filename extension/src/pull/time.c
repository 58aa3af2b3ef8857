/*-------------------------------------------------------------------------
 *
 * time.c
 *	  Everything since a time: in one page, or where a stream begins.
 *
 * This is for clients that keep a time instead of a cursor.  A time stands for
 * the newest sample that is not after it: what was visible then counts as
 * sent.  Nothing else is known of the client, so types that were tracked since
 * then are read in full.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "log/changelog.h"
#include "log/records.h"
#include "log/retention.h"
#include "log/scan.h"
#include "pull/parts.h"
#include "util/errors.h"
#include "util/settings.h"

static void
too_many_rows(Pull *pull)
{
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_USE_CURSOR),
			 errmsg("more than %d rows have changed since that time", pull->limit),
			 errhint("Start without \"since\" and continue with the cursor of each reply.")));
}

/* read all tables from the start */
static void
read_everything(Pull *pull, const char *reset_reason)
{
	pull->reset_reason = reset_reason;
	pull_start_over(pull);
	if (!pull_read_parts(pull))
		too_many_rows(pull);
}

/*
 * find the sample to go on from; false: there is none, with the reason to
 * start over
 */
static bool
find_sample(Pull *pull, TimestampTz time, const char **reason)
{
	Horizon		horizon;
	bool		pruned = horizon_read(pull->snapshot, &horizon);
	TimestampTz at;

	if (sample_before(time, &pull->place->seen, &at) &&
		!(pruned && snapshot_is_expired(&pull->place->seen, &horizon)))
		return true;
	*reason = pruned ? "expired" : "before_tracking";
	return false;
}

/* the types that need not be read in full */
static TypeSet
known_types(Pull *pull)
{
	TypeSet		known = {0};
	ListCell   *lc;

	known.regs = palloc(sizeof(int32) * (pull->asked.types.n + 1));
	foreach(lc, pull->tables)
	{
		PullTable  *table = lfirst(lc);

		if (!table->tracked_since && !types_contain(&pull->asked.refresh, table->t->reg))
			known.regs[known.n++] = table->t->reg;
	}
	types_normalise(&known);
	return known;
}

static TypeSet
tracked_since(Pull *pull)
{
	TypeSet		result = {0};
	ListCell   *lc;

	foreach(lc, pull->tables)
	{
		PullTable  *table = lfirst(lc);
		TypeSet		one = types_of(table->t->reg);

		if (table->tracked_since)
			result = types_union(&result, &one);
	}
	return result;
}

void
pull_since_time(Pull *pull, TimestampTz time)
{
	Place	   *place = palloc0(sizeof(Place));
	TypeSet		known;
	const char *reason;

	pull->limit = tide_max_time_rows;
	pull->client_id = NULL;
	pull->place = place;
	if (!find_sample(pull, time, &reason))
	{
		read_everything(pull, reason);
		return;
	}

	place->scopes = pull->asked.scopes;
	place->types = pull->asked.types;
	pull->begin.nasked = 1;
	pull->begin.asked = place;
	pull->registered = &pull->asked.registered;
	if (!pull_read_log(pull))
		too_many_rows(pull);

	known = known_types(pull);
	if (known.n == pull->asked.types.n)
		return;

	/*
	 * a type that is no longer tracked may have been that of one of these
	 * tables
	 */
	if (pull->saw_untracked)
		pull->resets = tracked_since(pull);
	place->phase = CURSOR_IN_TABLES;
	place->done_types = known;
	if (!pull_read_tables(pull))
		too_many_rows(pull);
	place->phase = CURSOR_AT_REST;
}

/*
 * Note which types were tracked since the snapshot of the place, and whether
 * any was untracked.
 */
static void
note_tracked(Pull *pull)
{
	ScopeSet	none = {0};
	LogPosition start = {0};
	LogScan    *scan = log_scan_begin(&pull->place->seen, &none, &start);
	const LogEntry *entry;

	while ((entry = log_scan_next(scan)) != NULL)
	{
		PullTable  *table = pull_table(pull, entry->relid, entry->reg);

		if (entry->is_registration && table)
			table->tracked_since = true;
		if (!types_contain(&pull->asked.registered, entry->reg))
			pull->saw_untracked = true;
	}
	log_scan_end(scan);
}

/*
 * Find the places of a stream since a time.  Its later pages go by cursors and
 * need not be in one reply, so there is no limit of rows.
 */
void
pull_begin_at_time(Pull *pull, TimestampTz time)
{
	Place	   *places = palloc0(sizeof(Place) * 2);
	TypeSet		since;

	pull->client_id = NULL;
	pull->nacked = 0;
	pull->place = &places[0];
	if (!find_sample(pull, time, &pull->reset_reason))
	{
		pull_start_over(pull);
		return;
	}
	note_tracked(pull);
	places[0].scopes = pull->asked.scopes;
	places[0].types = known_types(pull);
	places[1] = places[0];
	places[1].types = types_subtract(&pull->asked.types, &places[0].types);
	places[1].phase = CURSOR_IN_TABLES;
	since = tracked_since(pull);
	if (pull->saw_untracked)
		places[1].resets = types_intersect(&since, &places[1].types);
	pull->resets = places[1].resets;
	pull->begin.asked = places[0].types.n > 0 ? places : &places[1];
	pull->begin.nasked = (places[0].types.n > 0) + (places[1].types.n > 0);
	pull->begin.refreshed = pull->asked.refresh;
}
