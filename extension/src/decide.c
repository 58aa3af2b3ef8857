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

/*
 * The greater stamp stands.  Two things come before that: the very stamp that
 * is stored is a replay, and a change made upon the current version (base)
 * has no conflict at all, whatever the clocks say.
 */
Decision
decide_last_write_wins(const Incoming *in, const Current *current)
{
	Decision	d = {VERDICT_APPLIED, in->stamp, NULL};
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

	if (!stamped)
	{
		d.stored.has_time = true;
		d.stored.time = current->exists ? current->server_time : current->now;
		return d;
	}
	if (in->is_ahead)
	{
		d.stored.time = current->now;
		d.note = "the client's clock is ahead, so the stamp was brought back to the server's time";
	}
	if (!current->exists)
		return d;
	if (in->has_base && current->stamp.has_time && in->base == current->stamp.time)
	{
		if (stamp_compare(&d.stored, &current->stamp) <= 0)
			d.stored.time = current->just_above;
		return d;
	}
	if (stamp_compare(&d.stored, &current->stamp) <= 0)
		d.verdict = VERDICT_SUPERSEDED;
	return d;
}
