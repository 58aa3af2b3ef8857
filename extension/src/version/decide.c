/*-------------------------------------------------------------------------
 *
 * decide.c
 *	  Which of two versions of a row stands.
 *
 * Pure: stamps in, a verdict out.  Reading the current version and carrying
 * the verdict out is apply.c's business.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "version/clocks.h"
#include "version/decide.h"

/* whatever stands against the order of stamps gets one above what it replaces */
static void
raise_stamp(Decision *d, const Current *current)
{
	if (stamp_compare(&d->stored, &current->stamp) <= 0)
		d->stored.time = current->just_above;
}

/*
 * A change that was judged before.  It has no second effect: either it is what
 * stands, or something else does by now.
 */
static Verdict
verdict_of_replay(const Incoming *in, const Current *current)
{
	if (in->known_stored.has_time && current->exists &&
		stamp_compare(&in->known_stored, &current->stamp) == 0)
		return VERDICT_UNCHANGED;
	return VERDICT_SUPERSEDED;
}

/*
 * A change that is older than the row, under merge: it stands in the columns
 * that nobody has written since.  A deletion that stands stays one; the columns
 * are kept for who revives the row.
 */
static void
merge_columns(Decision *d, const Incoming *in, const Current *current)
{
	if (!in->is_delete)
		d->wins = clocks_below(current->clocks, in->columns, &d->stored);
	d->verdict = bms_is_empty(d->wins) ? VERDICT_SUPERSEDED : VERDICT_MERGED;
	d->stored = current->stamp;
}

/* what stands if there is no other claim than the stamps' */
static bool
is_older(const Decision *d, const Current *current, bool stamped)
{
	return stamped && stamp_compare(&d->stored, &current->stamp) <= 0;
}

static void
decide_by_policy(Decision *d, ConflictPolicy policy, const Incoming *in,
				 const Current *current, bool stamped)
{
	/* the resolver is asked about rows that are there, on both sides */
	if (policy == POLICY_RESOLVER && current->is_row && !in->is_delete)
	{
		d->overrules = is_older(d, current, stamped);
		d->asks = true;
		raise_stamp(d, current);
	}
	else if (policy == POLICY_CLIENT_WINS)
	{
		raise_stamp(d, current);
		d->overrules = true;
	}
	else if (policy == POLICY_SERVER_WINS && current->is_row)
		d->verdict = VERDICT_SUPERSEDED;
	else if (!is_older(d, current, stamped))
		;						/* the greater stamp stands */
	else if (policy == POLICY_MERGE)
		merge_columns(d, in, current);
	else
		d->verdict = VERDICT_SUPERSEDED;
}

/*
 * Three things come before any policy: the very stamp that is stored is a
 * replay, one that is remembered is, too; and a change made upon the current
 * version (base) has no conflict at all, whatever the clocks say.
 */
Decision
decide(ConflictPolicy policy, const Incoming *in, const Current *current)
{
	Decision	d = {VERDICT_APPLIED};
	bool		stamped = in->has_stamp;

	d.stored = in->stamp;
	if (stamped && current->exists && stamp_compare(&in->stamp, &current->stamp) == 0)
	{
		if (current->same)
		{
			d.verdict = VERDICT_UNCHANGED;
			return d;
		}
		stamped = false;
		d.note = "the stored version has the same stamp and other values, so the change was stamped on arrival";
	}
	else if (stamped && in->is_known)
	{
		d.verdict = verdict_of_replay(in, current);
		return d;
	}

	if (!stamped)
	{
		d.stored.has_time = true;
		d.stored.time = current->exists ? current->server_time : current->now;
	}
	else if (in->is_ahead)
	{
		d.stored.time = current->now;
		d.note = "the client's clock is ahead, so the stamp was brought back to the server's time";
	}
	d.column_stamp = d.stored;
	if (!current->exists)
		return d;
	if (in->stands ||
		(in->has_base && current->stamp.has_time && in->base == current->stamp.time))
		raise_stamp(&d, current);
	else
		decide_by_policy(&d, policy, in, current, stamped);
	if (d.verdict == VERDICT_APPLIED)
		d.column_stamp = d.stored;
	return d;
}
