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
 * Between two events its request has a job or a seat, as a pull that waits.  A
 * page that it asked for is written down by a database thread and told by the one
 * for all connections, never at the same time.
 */
typedef struct Events
{
	Buffer		text;			/* to be sent */
	size_t		taken;			/* of the text */
	bool		has_begun;		/* the reply has */
	bool		is_held;		/* the text waits for what comes next to be asked for */
	bool		is_last;		/* nothing comes after this text */
	bool		has_page;		/* the job's page is still to be told */
	bool		is_complete;	/* that page: what comes next goes on from it */
	char	   *changed;		/* that page: JSON array of its types, or NULL */
	int64_t		next_comment;	/* on the monotonic clock */
	int64_t		expires;		/* likewise, when the token does */
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
