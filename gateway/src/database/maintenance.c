/*-------------------------------------------------------------------------
 *
 * maintenance.c
 *	  tide.maintain() every maintain-interval.
 *
 * The main thread, which has nothing else to do, calls maintenance_tick at the
 * moment that the last call returned, and after each reload.  There is one job,
 * so there is never more than one run at a time.  A run that takes longer than
 * the interval makes the next one wait for its next turn.
 *
 *-------------------------------------------------------------------------
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include "database/database.h"
#include "database/maintenance.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/metrics.h"
#include "util/settings.h"

#define FIRST_DELAY		(5 * CLOCK_SECOND)	/* at most */
#define GRANT_HINT		"GRANT EXECUTE ON FUNCTION tide.maintain() TO tide_gateway"

static Job	job;
static atomic_bool busy = false;	/* the job is queued or running */
static atomic_bool stopping = false;
static int64_t next_run = 0;	/* 0: none is planned */

/*
 * A random delay after the start, so that gateways which are started together
 * do not run maintenance together.
 */
static int64_t
first_delay(int64_t interval)
{
	int64_t		longest = interval < FIRST_DELAY ? interval : FIRST_DELAY;
	uint32_t	number = 0;

	if (RAND_bytes((unsigned char *) &number, sizeof(number)) != 1)
		return longest;
	return longest * (number % 1000 + 1) / 1000;
}

/* Called by a database thread: the run is over. */
static void
finished(Job *done)
{
	const Failure *failure = &done->failure;

	if (failure->status == 0)
		log_event(LOG_DEBUG, "maintained", "removed", done->reply, NULL);
	else if (!stopping)
		log_event(LOG_WARNING, "maintain-failed", "code", failure->code,
				  "sqlstate", done->sqlstate[0] ? done->sqlstate : NULL,
				  "message", failure->message, "hint",
				  strcmp(failure->code, "not_allowed") == 0 ? GRANT_HINT : NULL,
				  NULL);
	if (!stopping)
		metrics_count_maintenance(failure->status == 0);
	database_free(done);
	busy = false;
}

static void
start_run(const Settings *settings)
{
	if (busy)
		return;
	busy = true;
	memset(&job, 0, sizeof(job));
	job.kind = JOB_MAINTAIN;
	job.finished = finished;
	job.timeout = settings->request_timeout * CLOCK_SECOND;
	job.deadline = clock_now() + job.timeout;
	log_event(LOG_DEBUG, "maintaining", NULL);
	if (!database_put_maintenance(&job))
		busy = false;
}

/*
 * Start a run if it is time.  Returns the moment at which this must be called
 * again; call it also when the settings have changed.  By one thread only.
 */
int64_t
maintenance_tick(void)
{
	const Settings *settings = settings_acquire();
	int64_t		interval = settings->maintain_interval * CLOCK_SECOND;
	int64_t		now = clock_now();

	if (interval == 0)
		next_run = 0;
	else if (next_run == 0)
		next_run = now + first_delay(interval);
	else if (now >= next_run)
	{
		start_run(settings);
		next_run = now + interval;
	}
	else if (next_run > now + interval)
		next_run = now + interval;	/* the interval is shorter than before */
	settings_release(settings);
	return next_run == 0 ? MAINTENANCE_NEVER : next_run;
}

/* A run that is cut short from now on does not count as failed. */
void
maintenance_stop(void)
{
	stopping = true;
}
