/*-------------------------------------------------------------------------
 *
 * health.c
 *	  Is there a database that serves, and when may it be tried again?
 *
 * All threads that want a connection report here what came of it.  While there
 * is none, they try one after the other, with growing pauses, and the log gets
 * a line only when the reason changes.
 *
 * /ready is answered from what one more thread has found out last, on a
 * connection of its own: so it is answered at once, whatever the others do.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database/database.h"
#include "database/health.h"
#include "util/clock.h"
#include "util/log.h"

#define FIRST_BACKOFF	(100 * CLOCK_MILLISECOND)
#define AWAY_BACKOFF	(2 * CLOCK_SECOND)	/* the longest */
#define REFUSED_BACKOFF (30 * CLOCK_SECOND) /* likewise; only people can mend
											 * this */

#define CHECK_INTERVAL	CLOCK_SECOND
#define CHECK_TIMEOUT	(3 * CLOCK_SECOND / 2)
#define DOUBT_INTERVAL	(CLOCK_SECOND / 20)
#define STALE			(4 * CLOCK_SECOND)	/* after this time the result of a
											 * check is no longer believed */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* what came of the last attempt to connect */
static bool known = false;
static OpenResult state = OPEN_AWAY;
static char logged[320];		/* the last line about a failure; empty: that
								 * is over */
static char versions[128];		/* of the database that was connected last */

/* attempts while there is no connection */
static bool attempting = false;
static int64_t next_attempt = 0;
static int64_t backoff = FIRST_BACKOFF;

/* the thread that checks */
static pthread_t checker;
static pthread_cond_t check_wanted;
static bool checker_runs = false;
static bool stopping = false;
static bool doubted = false;
static Connection *connection;
static int64_t checked_at = 0;	/* 0: never */
static OpenResult checked = OPEN_AWAY;

static const struct
{
	OpenResult	result;
	int			status;
	const char *code;
	const char *message;
	const char *event;
}			texts[] = {
	{OPEN_AWAY, 503, "try_again", "the database is not available",
	"database-away"},
	{OPEN_REFUSED, 503, "not_ready", "the database refuses the gateway's login",
	"database-refuses"},
	{OPEN_STANDBY, 503, "try_again",
		"the database is a standby, which takes no changes",
	"database-is-standby"},
	{OPEN_UNFIT, 503, "not_ready",
		"this database has no pg_tide that the gateway can use",
	"database-unfit"},
	{.message = NULL}
};

static int
find_text(OpenResult result)
{
	int			i = 0;

	while (texts[i + 1].message != NULL && texts[i].result != result)
		i++;
	return i;
}

static bool
set_failure(Failure *failure, OpenResult result)
{
	int			i = find_text(result);

	return failure_set(failure, texts[i].status, texts[i].code,
					   texts[i].message, NULL);
}

/* ---------- attempts to connect ---------- */

/*
 * May this thread try to connect now?  Then health_end_attempt() must follow.
 * False: it may try again at "next".
 */
bool
health_begin_attempt(int64_t *next)
{
	int64_t		now = clock_now();
	bool		allowed;

	pthread_mutex_lock(&lock);
	allowed = !attempting && now >= next_attempt;
	if (allowed)
		attempting = true;
	else
		*next = attempting ? now + DOUBT_INTERVAL : next_attempt;
	pthread_mutex_unlock(&lock);
	return allowed;
}

/* Write a line to the log if there is news.  Under the lock. */
static void
log_change(OpenResult result, const char *detail)
{
	char		line[320];
	int			i = find_text(result);

	if (result == OPEN_DONE)
	{
		if (logged[0] != '\0' || strcmp(versions, detail) != 0)
			log_event(LOG_INFO, "connected", "versions", detail, NULL);
		snprintf(versions, sizeof(versions), "%s", detail);
		logged[0] = '\0';
		return;
	}
	snprintf(line, sizeof(line), "%s %s", texts[i].event, detail);
	if (strcmp(line, logged) == 0)
		return;
	snprintf(logged, sizeof(logged), "%s", line);
	log_event(result == OPEN_AWAY || result == OPEN_STANDBY ?
			  LOG_WARNING : LOG_ERROR, "connect-failed",
			  "reason", texts[i].event, "message", detail, NULL);
}

/* Note what came of an attempt; under the lock. */
static void
note(OpenResult result, const char *detail)
{
	int64_t		now = clock_now();
	int64_t		longest = result == OPEN_REFUSED ? REFUSED_BACKOFF : AWAY_BACKOFF;

	known = true;
	state = result;
	log_change(result, detail);
	if (result == OPEN_DONE)
	{
		backoff = FIRST_BACKOFF;
		next_attempt = 0;
		return;
	}
	/* several threads may lose their connections at the same moment */
	if (now < next_attempt)
		return;
	next_attempt = now + backoff / 2 + random() % backoff;
	backoff = backoff * 2 > longest ? longest : backoff * 2;
}

/* "detail" has versions, or the reason. */
void
health_end_attempt(OpenResult result, const char *detail)
{
	pthread_mutex_lock(&lock);
	attempting = false;
	note(result, detail);
	pthread_mutex_unlock(&lock);
}

/* Note what came of an attempt that was not asked for here. */
void
health_opened(OpenResult result, const char *detail)
{
	pthread_mutex_lock(&lock);
	note(result, detail);
	pthread_mutex_unlock(&lock);
}

/* Has the last attempt to connect failed?  Then the failure is set. */
bool
health_is_bad(Failure *failure)
{
	bool		bad;

	pthread_mutex_lock(&lock);
	bad = known && state != OPEN_DONE;
	if (bad)
		set_failure(failure, state);
	pthread_mutex_unlock(&lock);
	return bad;
}

/* ---------- /ready ---------- */

/* What the checking thread finds out now. */
static OpenResult
check(void)
{
	char		detail[256];
	int64_t		next = 0;
	OpenResult	result;

	if (connection_is_alive(connection))
	{
		result = connection_check(connection, CHECK_TIMEOUT, detail,
								  sizeof(detail));
		if (result != OPEN_DONE)
			connection_close(connection);
		/* the others have yet to see it */
		if (result != OPEN_DONE && result != OPEN_AWAY)
			database_reconnect();
		return result;
	}
	if (!health_begin_attempt(&next))
	{
		Failure		failure;

		return health_is_bad(&failure) ? state : OPEN_AWAY;
	}
	result = connection_open(connection, detail, sizeof(detail));
	health_end_attempt(result, detail);
	return result;
}

static void *
check_main(void *unused)
{
	struct timespec moment;
	OpenResult	result;

	(void) unused;
	pthread_mutex_lock(&lock);
	while (!stopping)
	{
		doubted = false;
		pthread_mutex_unlock(&lock);
		result = check();
		pthread_mutex_lock(&lock);
		checked = result;
		checked_at = clock_now();
		moment = clock_timespec(checked_at + (result == OPEN_DONE ?
											  CHECK_INTERVAL : DOUBT_INTERVAL));
		while (!stopping && !doubted &&
			   pthread_cond_timedwait(&check_wanted, &lock, &moment) == 0)
			;
	}
	pthread_mutex_unlock(&lock);
	connection_close(connection);
	return NULL;
}

bool
health_start(const char *conninfo)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&check_wanted, &attributes);
	pthread_condattr_destroy(&attributes);
	connection = connection_create(conninfo, "tide-gateway-ready");
	checker_runs = connection != NULL &&
		pthread_create(&checker, NULL, check_main, NULL) == 0;
	return checker_runs;
}

/* Did the database serve at the last check?  Otherwise the failure is set. */
bool
health_check(Failure *failure)
{
	bool		good;

	pthread_mutex_lock(&lock);
	good = checked_at != 0 && checked == OPEN_DONE && !doubted &&
		clock_now() < checked_at + STALE;
	if (!good)
		set_failure(failure, checked == OPEN_DONE ? OPEN_AWAY : checked);
	pthread_mutex_unlock(&lock);
	return good;
}

/* A connection was lost: what was found out may no longer be true. */
void
health_doubt(void)
{
	pthread_mutex_lock(&lock);
	doubted = true;
	pthread_cond_signal(&check_wanted);
	pthread_mutex_unlock(&lock);
}

void
health_stop(void)
{
	if (!checker_runs)
		return;
	pthread_mutex_lock(&lock);
	stopping = true;
	pthread_cond_signal(&check_wanted);
	pthread_mutex_unlock(&lock);
	pthread_join(checker, NULL);
	connection_free(connection);
	checker_runs = false;
}
