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

#include "decide.h"

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
 * Three things come before any policy: the very stamp that is stored is a
 * replay, one that is remembered is, too; and a change made upon the current
 * version (base) has no conflict at all, whatever the clocks say.
 */
Decision
decide(ConflictPolicy policy, const Incoming *in, const Current *current)
{
	Decision	d = {VERDICT_APPLIED, in->stamp, false, NULL};
	bool		stamped = in->has_stamp;

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
	if (!current->exists)
		return d;
	if (in->stands ||
		(in->has_base && current->stamp.has_time && in->base == current->stamp.time))
	{
		raise_stamp(&d, current);
		return d;
	}

	switch (policy)
	{
		case POLICY_CLIENT_WINS:
			raise_stamp(&d, current);
			d.overrules = true;
			break;
		case POLICY_SERVER_WINS:
			if (current->is_row)
			{
				d.verdict = VERDICT_SUPERSEDED;
				break;
			}
			/* a deleted row is none that could stand */
			/* FALLTHROUGH */
		case POLICY_LAST_WRITE_WINS:
			if (stamped && stamp_compare(&d.stored, &current->stamp) <= 0)
				d.verdict = VERDICT_SUPERSEDED;
			break;
	}
	return d;
}
