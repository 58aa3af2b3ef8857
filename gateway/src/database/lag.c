/*-------------------------------------------------------------------------
 *
 * lag.c
 *	  How far behind the primary is a replica?
 *
 * By the gateway's own clock: the age of the oldest position of the primary that
 * the replica has not replayed.  What a standby says by itself will not do: the
 * time of its last replayed commit grows old on an idle primary, and one whose
 * connection to the primary is lost believes that it has all there is.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "database/lag.h"

#define LAG_PRECISION	16

/*
 * Make room: the older samples are, the farther apart they may be.  A lag is then
 * told to within a few per cent, however long it grows.
 */
static void
thin_out(LagBook *book)
{
	LagSample  *samples = book->samples;
	int64_t		newest = samples[book->count - 1].at;
	int			kept = 1;
	int			i;

	for (i = 1; i < book->count; i++)
	{
		if (i + 1 < book->count &&
			samples[i + 1].at - samples[kept - 1].at < (newest - samples[i + 1].at) / LAG_PRECISION)
			continue;
		samples[kept++] = samples[i];
	}
	/* centuries of them: the oldest goes */
	if (kept == book->count)
	{
		memmove(samples, samples + 1, sizeof(LagSample) * (size_t) (kept - 1));
		kept--;
	}
	book->count = kept;
}

/* The primary was there at this moment. */
void
lag_note(LagBook *book, int64_t at, uint64_t position)
{
	LagSample  *newest = book->count == 0 ? NULL : &book->samples[book->count - 1];

	/* another history: a failover has lost the end of the one that we knew */
	if (position < book->last)
	{
		book->count = 0;
		newest = NULL;
	}
	book->last = position;
	book->seen = at;
	if (newest != NULL &&
		(position <= newest->position || at < newest->at + LAG_INTERVAL))
		return;
	if (book->count == LAG_SAMPLES)
		thin_out(book);
	book->samples[book->count].at = at;
	book->samples[book->count].position = position;
	book->count++;
}

/* Microseconds; 0 if it has all that was seen of the primary. */
int64_t
lag_time(const LagBook *book, uint64_t replayed, int64_t now)
{
	int			low = 0;
	int			high = book->count;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (book->samples[middle].position <= replayed)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == book->count || now < book->samples[low].at)
		return 0;
	return now - book->samples[low].at;
}

uint64_t
lag_bytes(const LagBook *book, uint64_t replayed)
{
	return book->last > replayed ? book->last - replayed : 0;
}
