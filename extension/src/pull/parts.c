/*-------------------------------------------------------------------------
 *
 * parts.c
 *	  The parts of a page, in their order.
 *
 * Each place that is asked for is brought up to now.  A new place is read from
 * the tables, over as many pages as that takes, and then from the log,
 * beginning with the snapshot at which that reading began.  The part in which
 * the last page ended comes first, because otherwise it might never end.  Then
 * come the known places, from the log, and then the new ones.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"

#include "pull/parts.h"

/* whose turn it is: the lowest first */
static int
turn(const Place *place)
{
	switch (place->phase)
	{
		case CURSOR_IN_LOG:
			return 0;
		case CURSOR_IN_TABLES:
			return place->reg != 0 || place->done_types.n > 0 ? 1 : 3;
		default:
			return 2;
	}
}

/* true: the place is complete up to now */
static bool
read_place(Pull *pull, Place *place)
{
	bool		is_new = (turn(place) == 3);

	pull->place = place;

	/* of what is read in full, the client drops the rows that do not come */
	pull->takes_acks = (pull->nacked > 0 && place->phase != CURSOR_IN_TABLES &&
						place->resets.n == 0);
	if (place->phase == CURSOR_IN_TABLES)
	{
		if (!pull_read_tables(pull))
			return false;
		place->phase = CURSOR_AT_REST;

		/*
		 * What was read from beginning to end with this snapshot has nothing
		 * in the log.  On a later page it may, also with an equal snapshot:
		 * of the caller's own transaction.
		 */
		if (is_new && snapshot_equal(&place->seen, &pull->asked.now))
			return true;
	}
	return pull_read_log(pull);
}

/* whose turn it is when, and what there is before that */
static void
line_up(Pull *pull)
{
	Begin	   *begin = &pull->begin;
	int			t;
	int			i;

	pull->order = palloc(sizeof(Place *) * (begin->nasked + 1));
	pull->norder = 0;
	for (t = 0; t <= 3; t++)
		for (i = 0; i < begin->nasked; i++)
			if (turn(&begin->asked[i]) == t)
				pull->order[pull->norder++] = &begin->asked[i];
	pull->before = palloc(sizeof(Place) * (begin->nasked + 1));
	if (begin->nasked > 0)
		memcpy(pull->before, begin->asked, sizeof(Place) * begin->nasked);
	pull->refreshed = begin->refreshed;
}

/* the places, as far as the page goes; true: complete up to now */
bool
pull_read_parts(Pull *pull)
{
	int			i;

	line_up(pull);
	pull->goes_on = pull->norder > 0 && turn(pull->order[0]) < 2;
	pull->own_xid = U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
	for (i = 0; i < pull->norder; i++)
		if (!read_place(pull, pull->order[i]))
			return false;
	pull->begin.refreshed.n = 0;
	return true;
}

/*
 * The place in which the nth item was found goes back to where it was then, and
 * those that were read later to where they were before.
 */
void
pull_end_after(Pull *pull, int n)
{
	PullMark   *mark = &pull->marks[n - 1];
	bool		later = false;
	int			i;

	for (i = 0; i < pull->norder; i++)
	{
		Place	   *place = pull->order[i];

		if (later)
			*place = pull->before[place - pull->begin.asked];
		if (place == mark->place)
		{
			*place = mark->after;
			later = true;
		}
	}
	pull->begin.refreshed = pull->refreshed;
	pull->items = list_truncate(pull->items, n);
	pull->nitems = n;
	pull->has_more = true;
}
