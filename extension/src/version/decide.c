/*-------------------------------------------------------------------------
 *
 * decide.c
 *	  Which of two versions of a row stands.
 *
 * Pure: it takes stamps and returns a verdict.  judge.c reads the current
 * version, and apply.c carries the verdict out.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "version/decide.h"

static const char *const SAME_STAMP = "an earlier change has the same stamp and other values, so this one was given a later stamp";
static const char *const AHEAD = "the client's clock is ahead, so the stamp was brought back to the server's time";

/*
 * A stamp from before the table was tracked may come from a clock that was
 * years ahead, or be infinity.  It would beat every edit until then.
 */
bool
stamp_counts(const Stamp *stamp, TimestampTz limit)
{
	return stamp->has_time && !TIMESTAMP_NOT_FINITE(stamp->time) &&
		stamp->time <= limit;
}

static bool
same_client(const Stamp *a, const Stamp *b)
{
	if (a->client_id == NULL || b->client_id == NULL)
		return a->client_id == b->client_id;
	return strcmp(a->client_id, b->client_id) == 0;
}

/*
 * A stamp that stands, as it is compared with the incoming one: none where it
 * does not count, and one that the server raised as its sender knows it.
 */
static Stamp
as_known(const Incoming *in, const Current *current, const Stamp *stamp)
{
	Stamp		result = *stamp;
	int			i;

	result.has_time = stamp_counts(stamp, current->limit);
	if (!result.has_time || !same_client(stamp, &in->stamp))
		return result;
	for (i = 0; i < current->nraised; i++)
	{
		if (current->raised[i].stored != stamp->time)
			continue;
		result.time = current->raised[i].known_as;
		break;
	}
	return result;
}

/*
 * A change that stands against the order of stamps gets a stamp above the one
 * that it replaces.
 */
static void
raise_stamp(Decision *d, const Current *current)
{
	if (stamp_counts(&current->stamp, current->limit) &&
		stamp_compare(&d->stored, &current->stamp) <= 0)
		d->stored.time = time_above(current->stamp.time, current->unit);
}

/*
 * A change that was judged before.  It has no second effect: either it stands
 * already, or something else does by now.
 */
static Verdict
verdict_of_replay(const Incoming *in, const Current *current)
{
	if (in->known_stored.has_time && current->exists &&
		stamp_compare(&in->known_stored, &current->stamp) == 0)
		return VERDICT_UNCHANGED;
	return VERDICT_SUPERSEDED;
}

static bool
base_stands(const Incoming *in, const Current *current)
{
	if (!in->has_base)
		return false;
	if (in->base_is_null || !current->stamp.has_time)
		return in->base_is_null && !current->stamp.has_time;
	return time_same_unit(in->base, current->stamp.time, in->base_unit);
}

/*
 * A change that is older than the row, under "merge".  It stands in the
 * columns that nobody has written since.  If the last writer of a column was
 * this client, with the same stamp and another value, the order of arrival
 * decides.  A deletion that stands stays a deletion; the columns are kept for
 * a change that revives the row.
 */
static void
merge_columns(Decision *d, const Incoming *in, const Current *current)
{
	int			att = -1;

	while (!in->is_delete && (att = bms_next_member(in->columns, att)) >= 0)
	{
		const Stamp *clock = &current->clocks[att - 1];
		Stamp		known = as_known(in, current, clock);
		bool		twin = stamp_compare(&known, &in->stamp) == 0 &&
			bms_is_member(att, current->differs);

		if (!twin && stamp_compare(&known, &d->stored) >= 0)
			continue;
		d->wins = bms_add_member(d->wins, att);
		d->replaces_twin |= twin;
		if (stamp_counts(clock, current->limit) &&
			stamp_compare(&d->column_stamp, clock) <= 0)
			d->column_stamp.time = time_above(clock->time, current->unit);
	}
	if (d->replaces_twin)
		d->note = SAME_STAMP;
	d->verdict = bms_is_empty(d->wins) ? VERDICT_SUPERSEDED : VERDICT_MERGED;
	d->stored = current->stamp;
	/* no column is newer than its row */
	if (d->verdict == VERDICT_MERGED && stamp_compare(&d->stored, &d->column_stamp) < 0)
		d->stored = d->column_stamp;
}

/*
 * Decide by stamps alone.  A change without a stamp gets one on arrival, above
 * what is there.
 */
static bool
is_older(const Decision *d, const Incoming *in, const Current *current)
{
	Stamp		known;

	if (!in->has_stamp)
		return false;
	known = as_known(in, current, &current->stamp);
	return stamp_compare(&in->stamp, &known) != 0 &&
		stamp_compare(&d->stored, &known) <= 0;
}

static void
decide_by_policy(Decision *d, ConflictPolicy policy, const Incoming *in,
				 const Current *current)
{
	/* the resolver is asked only if a row exists and the change leaves one */
	if (policy == POLICY_RESOLVER && current->is_row && !in->is_delete)
	{
		d->overrules = is_older(d, in, current);
		d->asks = true;
	}
	else if (policy == POLICY_CLIENT_WINS)
		d->overrules = true;
	else if (policy == POLICY_SERVER_WINS && current->is_row)
		d->verdict = VERDICT_SUPERSEDED;
	else if (!is_older(d, in, current))
		;						/* the greater stamp stands */
	else if (policy == POLICY_MERGE)
		merge_columns(d, in, current);
	else
		d->verdict = VERDICT_SUPERSEDED;
}

/* a change that stands as a whole and replaces the version that is there */
static void
settle_stored(Decision *d, ConflictPolicy policy, const Incoming *in, const Current *current)
{
	Stamp		known = as_known(in, current, &current->stamp);

	/*
	 * If this client's clock was set back, the version that it stored before
	 * would count as newer when it comes again.  So this change is known by a
	 * time above that one.  That is not needed where all that is stored is
	 * remembered.  Under "server_wins" it is done whoever wrote that version.
	 */
	if (in->has_stamp && !policy_forgets(policy) && known.has_time &&
		(policy == POLICY_SERVER_WINS || same_client(&current->stamp, &in->stamp)) &&
		stamp_compare(&in->stamp, &known) < 0)
		d->known_as = known.time + 1;

	/* the server's own time lies in a later millisecond */
	if (in->is_ahead && stamp_counts(&current->stamp, current->limit))
		d->stored.time = Max(d->stored.time, current->server_time);
	if (in->has_stamp && stamp_compare(&in->stamp, &known) == 0)
	{
		d->note = SAME_STAMP;
		d->replaces_twin = true;
	}
	raise_stamp(d, current);
	d->column_stamp = d->stored;
}

/*
 * Before any policy: what is stored with this stamp, as sent, and this content
 * is a replay; a change made upon the current version (base) has no conflict at
 * all, whatever the clocks say; and what lost before has lost, unless its base
 * says that the winner has been seen since.
 */
Decision
decide(ConflictPolicy policy, const Incoming *in, const Current *current)
{
	bool		known = in->has_stamp && in->known != KNOWN_NOT;
	Decision	d;

	memset(&d, 0, sizeof(d));
	d.verdict = VERDICT_APPLIED;
	d.stored = in->stamp;
	d.known_as = in->stamp.time;
	if (known && in->known == KNOWN_STORED)
	{
		d.verdict = verdict_of_replay(in, current);
		return d;
	}
	if (in->has_stamp && current->exists && current->same)
	{
		Stamp		stamp = as_known(in, current, &current->stamp);

		if (stamp_compare(&in->stamp, &stamp) == 0)
		{
			d.verdict = VERDICT_UNCHANGED;
			return d;
		}
	}

	if (!in->has_stamp)
	{
		d.stored.has_time = true;
		d.stored.time = current->exists ? current->server_time : current->now;
	}
	else if (in->is_ahead)
	{
		d.stored.time = current->now;
		d.note = AHEAD;
	}
	d.column_stamp = d.stored;
	if (current->exists && (in->stands || base_stands(in, current)))
		settle_stored(&d, policy, in, current);
	else if (known)
	{
		d.verdict = verdict_of_replay(in, current);
		d.note = NULL;
	}
	else if (current->exists)
	{
		decide_by_policy(&d, policy, in, current);
		if (d.verdict == VERDICT_APPLIED)
			settle_stored(&d, policy, in, current);
	}
	return d;
}
