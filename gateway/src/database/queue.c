/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  The bounded queue between requests and database threads.
 *
 * Three lists under one lock: jobs to run now, in order of arrival; pulls that
 * found nothing and will be run again at a certain moment; and logins, which
 * check a password.  Waiting pulls come after the jobs to run now, unless they
 * are overdue, so that they slow nobody down.  To check a password takes a
 * tenth of a second of computing: only some logins run at a time, and leave
 * the other threads to the other jobs.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>

#include "database/queue.h"
#include "util/clock.h"

#define MAX_OVERDUE		(CLOCK_SECOND / 2)

TAILQ_HEAD(JobList, Job);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t jobs_changed; /* a job came, or the gateway stops */
static pthread_cond_t stop_requested;	/* for threads that take no job now */
static struct JobList ready = TAILQ_HEAD_INITIALIZER(ready);
static struct JobList later = TAILQ_HEAD_INITIALIZER(later);	/* by run_at */
static struct JobList logins = TAILQ_HEAD_INITIALIZER(logins);
static int	ready_count = 0;	/* jobs in it, maintenance not counted */
static int	later_count = 0;
static int	login_count = 0;
static int	logins_running = 0;
static int	most_logins = 1;	/* that may run at a time */
static bool login_went_last = false;	/* now a job of another list goes
										 * first */
static bool waits_ended = false;
static bool stopping = false;

/* Once, before the first thread. */
void
queue_start(void)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&jobs_changed, &attributes);
	pthread_cond_init(&stop_requested, &attributes);
	pthread_condattr_destroy(&attributes);
}

/* How many places a job takes: maintenance takes none. */
static int
weight(const Job *job)
{
	return job->kind == JOB_MAINTAIN ? 0 : 1;
}

/*
 * Queue a job to be run now.  False: "length" jobs wait already, or the gateway
 * is stopping.
 */
bool
queue_put(Job *job, int length)
{
	bool		accepted;

	pthread_mutex_lock(&lock);
	accepted = !stopping && ready_count < length;
	if (accepted)
	{
		TAILQ_INSERT_TAIL(&ready, job, link);
		ready_count += weight(job);
		pthread_cond_signal(&jobs_changed);
	}
	pthread_mutex_unlock(&lock);
	return accepted;
}

/*
 * Queue a job that checks a password.  At most "most" of them run at a time.
 * False as in queue_put.
 */
bool
queue_put_login(Job *job, int length, int most)
{
	bool		accepted;

	pthread_mutex_lock(&lock);
	most_logins = most;
	accepted = !stopping && login_count < length;
	if (accepted)
	{
		TAILQ_INSERT_TAIL(&logins, job, link);
		login_count++;
		pthread_cond_signal(&jobs_changed);
	}
	pthread_mutex_unlock(&lock);
	return accepted;
}

/* A job that checks a password has been run: another one may. */
void
queue_login_done(void)
{
	pthread_mutex_lock(&lock);
	logins_running--;
	if (!TAILQ_EMPTY(&logins))
		pthread_cond_signal(&jobs_changed);
	pthread_mutex_unlock(&lock);
}

/* Put a job back that was taken, to the front and even if there is no room. */
void
queue_put_back(Job *job)
{
	pthread_mutex_lock(&lock);
	if (job->is_login)
	{
		TAILQ_INSERT_HEAD(&logins, job, link);
		login_count++;
		logins_running--;
	}
	else
	{
		TAILQ_INSERT_HEAD(&ready, job, link);
		ready_count += weight(job);
	}
	pthread_cond_signal(&jobs_changed);
	pthread_mutex_unlock(&lock);
}

/* Queue a job for job->run_at.  False as in queue_put. */
bool
queue_put_later(Job *job, int length)
{
	Job		   *before;
	bool		accepted;

	pthread_mutex_lock(&lock);
	accepted = !waits_ended && later_count < length;
	if (accepted)
	{
		/* nearly all jobs wait equally long, so the place is near the end */
		before = TAILQ_LAST(&later, JobList);
		while (before != NULL && before->run_at > job->run_at)
			before = TAILQ_PREV(before, JobList, link);
		if (before == NULL)
			TAILQ_INSERT_HEAD(&later, job, link);
		else
			TAILQ_INSERT_AFTER(&later, before, job, link);
		later_count += weight(job);
		pthread_cond_signal(&jobs_changed);
	}
	pthread_mutex_unlock(&lock);
	return accepted;
}

/* May the first of the logins be run?  Under the lock. */
static bool
login_is_due(void)
{
	return !TAILQ_EMPTY(&logins) && (logins_running < most_logins || stopping);
}

/* The job whose turn it is, or NULL; under the lock. */
static Job *
next_job(int64_t now)
{
	Job		   *first_ready = TAILQ_FIRST(&ready);
	Job		   *login;
	Job		   *first_later = TAILQ_FIRST(&later);
	bool		due;
	bool		overdue;

	if (login_is_due() && !(login_went_last && first_ready != NULL))
	{
		login_went_last = true;
		login = TAILQ_FIRST(&logins);
		TAILQ_REMOVE(&logins, login, link);
		login_count--;
		logins_running++;
		return login;
	}
	login_went_last = false;
	due = first_later != NULL && (waits_ended || first_later->run_at <= now);
	overdue = due && first_later->run_at + MAX_OVERDUE < now;
	if (first_ready != NULL && !overdue)
	{
		TAILQ_REMOVE(&ready, first_ready, link);
		ready_count -= weight(first_ready);
		return first_ready;
	}
	if (due)
	{
		TAILQ_REMOVE(&later, first_later, link);
		later_count -= weight(first_later);
		return first_later;
	}
	return NULL;
}

/* Wait for the next job.  NULL: "until" has come, or the gateway stops. */
Job *
queue_take(int64_t until)
{
	Job		   *job;

	pthread_mutex_lock(&lock);
	for (;;)
	{
		int64_t		now = clock_now();
		int64_t		wake = until;
		struct timespec moment;

		job = next_job(now);
		if (job != NULL || stopping || now >= until)
			break;

		if (!TAILQ_EMPTY(&later) && TAILQ_FIRST(&later)->run_at < wake)
			wake = TAILQ_FIRST(&later)->run_at;
		moment = clock_timespec(wake);
		pthread_cond_timedwait(&jobs_changed, &lock, &moment);
	}
	/* another thread may sleep although there is a job that it could take */
	if (job != NULL &&
		!(TAILQ_EMPTY(&ready) && TAILQ_EMPTY(&later) && !login_is_due()))
		pthread_cond_signal(&jobs_changed);
	pthread_mutex_unlock(&lock);
	return job;
}

/* How many jobs wait for a thread, and how many for their moment? */
void
queue_count(int *queued, int *waiting)
{
	pthread_mutex_lock(&lock);
	*queued = ready_count + login_count;
	*waiting = later_count;
	pthread_mutex_unlock(&lock);
}

/* Wait until then, or until the gateway stops, without taking jobs. */
void
queue_pause(int64_t until)
{
	struct timespec moment = clock_timespec(until);

	pthread_mutex_lock(&lock);
	while (!stopping && clock_now() < until)
		pthread_cond_timedwait(&stop_requested, &lock, &moment);
	pthread_mutex_unlock(&lock);
}

/* The first step of a stop: pulls no longer wait for something to come. */
void
queue_end_waits(void)
{
	pthread_mutex_lock(&lock);
	waits_ended = true;
	pthread_cond_broadcast(&jobs_changed);
	pthread_mutex_unlock(&lock);
}

bool
queue_waits_ended(void)
{
	bool		result;

	pthread_mutex_lock(&lock);
	result = waits_ended;
	pthread_mutex_unlock(&lock);
	return result;
}

/* Accept no more jobs; those that wait are handed out without delay. */
void
queue_stop(void)
{
	pthread_mutex_lock(&lock);
	waits_ended = true;
	stopping = true;
	pthread_cond_broadcast(&jobs_changed);
	pthread_cond_broadcast(&stop_requested);
	pthread_mutex_unlock(&lock);
}

bool
queue_is_stopping(void)
{
	bool		result;

	pthread_mutex_lock(&lock);
	result = stopping;
	pthread_mutex_unlock(&lock);
	return result;
}
