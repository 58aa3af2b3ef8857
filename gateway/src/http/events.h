/*-------------------------------------------------------------------------
 *
 * events.h
 *	  A stream of server-sent events: when a pull would bring something.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EVENTS_H
#define EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/sync.h"
#include "database/job.h"
#include "live/interest.h"
#include "util/buffer.h"

/*
 * Between two events, the request has a job or a seat, as a pull that waits.
 * A database thread notes what a page has, and the thread for all connections
 * tells it, never at the same time.
 */
typedef struct Events
{
	Buffer		text;			/* to be sent */
	size_t		taken;			/* how much of the text */
	bool		is_held;		/* the text waits until the next page has been
								 * asked for */
	bool		is_last;		/* nothing comes after this text */
	bool		has_page;		/* the page of the job is still to be told */
	bool		is_complete;	/* what comes next goes on from that page */
	char	   *changed;		/* the types of that page as a JSON array, or
								 * NULL */
	int64_t		next_comment;	/* on the monotonic clock */
	int64_t		expires;		/* when the token expires, likewise */
} Events;

/* NULL: no memory.  The token expires in so many seconds. */
extern Events *events_create(double seconds_left);
extern void events_free(Events *events);

/* the job is a pull that has come to its end */
extern void events_take_page(Events *events, PageAbout *about);

/*
 * Say what is to be said of the job's outcome, and set the job to ask for what
 * comes next.  False: there is nothing to say, and nobody ends it; then the
 * request waits until job->wait_until.
 */
extern bool events_go_on(Events *events, Job *job, bool is_stopping,
						 int64_t now);

/* take up to so many bytes of the text; 0: that was all of it */
extern size_t events_take(Events *events, char *target, size_t most);

#endif							/* EVENTS_H */
