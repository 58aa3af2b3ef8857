/*
 * freeze.h
 *	  Batches: edits as they stand at one moment, stored before they are sent,
 *	  and sent again byte for byte until they are answered.
 */
#ifndef TIDE_STORE_FREEZE_H
#define TIDE_STORE_FREEZE_H

#include "store/store.h"

typedef struct Batch
{
	int64_t		id;				/* 0: there is none */
	int64_t		rows;
	int64_t		lost;			/* edits that had no row any more */
	char	   *body;			/* to be freed by batch_free() */
} Batch;

typedef struct FreezeLimits
{
	int64_t		rows;
	size_t		bytes;
	int64_t		latest_retry;	/* a time beyond it is of a clock that was set
								 * back: it has come */
} FreezeLimits;

/* The batch that is on its way, if there is one. */
bool		batch_load(Store *store, Batch *batch);
void		batch_free(Batch *batch);

/*
 * Freeze edits that are due into a new batch: first those never tried, or,
 * with `retries`, those whose time has come again.  `run` numbers the syncs:
 * nothing is tried twice in one.  Without any, batch->id is 0.
 */
bool		batch_freeze(Store *store, const FreezeLimits *limits, bool retries,
						 int64_t run, int64_t now, Batch *batch);

/* The batch was not taken as a whole: its rows are queued as before. */
bool		batch_thaw(Store *store);

/* Are there edits that were never tried? */
bool		freeze_has_queued(Store *store, bool *queued);

/*
 * When the next of the refused rows is due, INT64_MAX if none is.  One that is
 * due after `latest` is due already.
 */
bool		freeze_next_retry(Store *store, int64_t latest, int64_t *at);

#endif
