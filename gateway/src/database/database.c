/*-------------------------------------------------------------------------
 *
 * database.c
 *	  The threads that run jobs, each on a connection of its own.
 *
 * This file decides when to connect, when to run a job again and with which
 * failure it ends; connection.c runs one transaction.
 *
 * A job that writes is never run again here once its transaction may have been
 * committed: the client gets 503 and sends it again, which has no second
 * effect.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database/connection.h"
#include "database/database.h"
#include "database/group.h"
#include "database/health.h"
#include "database/queue.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/metrics.h"
#include "util/settings.h"

#define IDLE_INTERVAL		(2 * CLOCK_SECOND)
#define MAX_CONFLICT_RUNS	6	/* the first and five more */

/*
 * A connection is opened anew at this age: settings of the database and of the
 * role (ALTER DATABASE, ALTER ROLE) count for new sessions only.
 */
#define MAX_AGE				(45 * CLOCK_SECOND)

typedef struct Worker
{
	pthread_t	thread;
	Connection *connection;		/* it may not be open */
	bool		connected;		/* counted in connected_workers */
	int64_t		next_attempt;	/* to connect; 0: at once */
	int64_t		max_age;		/* of the connection */
	int			generation;		/* of database_reconnect, as the connection
								 * was opened */
	unsigned int random;		/* state of rand_r */
} Worker;

static Worker *workers;
static int	worker_count;
static atomic_int connected_workers;
static atomic_int generation = 0;
static pthread_t canceller;

static void
set_connected(Worker *worker, bool connected)
{
	if (worker->connected == connected)
		return;
	connected_workers += connected ? 1 : -1;
	worker->connected = connected;
	queue_set_connections(connected_workers);
	if (!connected)
		health_doubt();
}

/* A random time around "interval": threads must not march in step. */
static int64_t
jitter(Worker *worker, int64_t interval)
{
	return interval / 2 + rand_r(&worker->random) % interval;
}

/* Connect; "asked" as health_begin_attempt was. */
static bool
open_worker(Worker *worker, bool asked)
{
	char		detail[256];
	OpenResult	result;

	worker->generation = generation;
	result = connection_open(worker->connection, detail, sizeof(detail));
	if (asked)
		health_end_attempt(result, detail);
	else
		health_opened(result, detail);
	worker->max_age = jitter(worker, MAX_AGE / 2) + MAX_AGE / 2;
	set_connected(worker, result == OPEN_DONE);
	return result == OPEN_DONE;
}

/* Try to connect; false: next_attempt says when to try again. */
static bool
connect_worker(Worker *worker)
{
	set_connected(worker, false);
	return health_begin_attempt(&worker->next_attempt) &&
		open_worker(worker, true);
}

/* Is the connection there, and to be used on? */
static bool
is_current(Worker *worker)
{
	return connection_is_alive(worker->connection) &&
		worker->generation == generation &&
		connection_age(worker->connection) < worker->max_age;
}

/* Is there a connection that a job can be run on? */
static bool
has_connection(Worker *worker)
{
	if (is_current(worker))
		return true;
	connection_close(worker->connection);
	return open_worker(worker, false);
}

static void
finish(Job *job)
{
	queue_done(job);
	job->finished(job);
}

/* Before a job is run again after a conflict: a short, growing pause. */
static void
pause_after_conflict(Worker *worker, int run)
{
	queue_pause(clock_now() +
				jitter(worker, (5 * CLOCK_MILLISECOND) << run));
}

/*
 * A thread that cannot connect leaves its job to the threads that have a
 * connection.  False: no thread has one.  A thread that has lost its connection
 * without noticing finds out when it takes the job, so this comes to an end.
 */
static bool
leave_to_others(Job *job)
{
	if (connected_workers == 0 || queue_is_stopping())
		return false;
	queue_put_back(job);
	return true;
}

/* The failure of a job for which there is no connection. */
static void
set_unavailable(Job *job)
{
	if (!health_is_bad(&job->failure))
		failure_try_again(&job->failure, "the database is not available");
}

/*
 * Run a job until it has an outcome.  False: it was left to another thread.  A
 * lost connection is opened again at once, and only once: if the server is away
 * for longer, the job fails with 503.
 */
static bool
run(Worker *worker, Job *job)
{
	int			conflicts = 0;
	int			losses = 0;

	for (;;)
	{
		if (!has_connection(worker))
		{
			if (leave_to_others(job))
				return false;
			set_unavailable(job);
			return true;
		}

		switch (connection_run(worker->connection, job))
		{
			case RUN_DONE:
				return true;
			case RUN_CONFLICT:
				if (++conflicts >= MAX_CONFLICT_RUNS)
					return true;
				pause_after_conflict(worker, conflicts);
				break;
			case RUN_LOST_BEFORE_SENT:
				if (++losses > 1)
					return true;
				break;
			case RUN_LOST:
				if (job->kind == JOB_PUSH || job->kind == JOB_AUTH || ++losses > 1)
					return true;
				break;
			case RUN_AGAIN:
				break;
		}
		if (clock_now() >= job->deadline || queue_is_abandoned(job))
			return true;
		job->failure.status = 0;
	}
}

/* A group was rolled back: remember whose fault it was, if it was a push's. */
static void
blame(Job *job)
{
	log_event(LOG_DEBUG, "group-rolled-back", "sqlstate", job->sqlstate, NULL);
	if (strcmp(job->sqlstate, "TD017") == 0)
		group_refused(job, clock_now());
	else
		group_failed(job, clock_now());
	job->sqlstate[0] = '\0';
}

/*
 * Run pushes in one transaction.  If that does not succeed, each is run again,
 * alone and by any thread; but not one that may have been committed, see above.
 */
static void
handle_group(Worker *worker, Job **jobs, int count)
{
	RunResult	outcome;
	int			blamed;
	int			i;

	for (i = 0; i < count; i++)
	{
		database_free(jobs[i]);
		jobs[i]->failure.status = 0;
	}
	outcome = connection_run_group(worker->connection, jobs, count, &blamed);
	metrics_count_group(count, outcome == RUN_DONE);
	if (outcome == RUN_AGAIN && blamed >= 0)
		blame(jobs[blamed]);
	/* from the last to the first: each is put before those that wait */
	for (i = count - 1; i >= 0; i--)
	{
		if (outcome == RUN_DONE || outcome == RUN_LOST ||
			clock_now() >= jobs[i]->deadline || queue_is_abandoned(jobs[i]))
			finish(jobs[i]);
		else
		{
			jobs[i]->is_alone = true;
			queue_put_back(jobs[i]);
		}
	}
}

/* All that a thread does with one job, and with those that may go with it. */
static void
handle(Worker *worker, Job *job)
{
	Job		   *jobs[GROUP_MOST];
	int			count = 1;

	if (job->kind == JOB_PUSH && connection_may_group(worker->connection) &&
		is_current(worker))
		count = queue_take_more(job, jobs, clock_now());
	if (count > 1)
	{
		handle_group(worker, jobs, count);
		return;
	}
	database_free(job);
	job->failure.status = 0;
	if (clock_now() >= job->deadline)
		failure_try_again(&job->failure, "the server is too busy");
	else if (!run(worker, job))
		return;
	finish(job);
}

/*
 * Without a connection a thread takes jobs only if no other thread has one:
 * then the jobs must fail instead of waiting.
 */
static void
wait_unconnected(Worker *worker)
{
	Failure		failure;
	Job		   *job;

	if (connected_workers > 0 || !health_is_bad(&failure))
	{
		queue_pause(worker->next_attempt);
		return;
	}
	while ((job = queue_take(worker->next_attempt)) != NULL)
	{
		if (leave_to_others(job))
			return;
		database_free(job);
		set_unavailable(job);
		finish(job);
	}
}

static void *
worker_main(void *argument)
{
	Worker	   *worker = argument;
	Job		   *job;

	while (!queue_is_stopping())
	{
		if (!worker->connected && !connect_worker(worker))
			wait_unconnected(worker);
		else
		{
			job = queue_take(clock_now() + IDLE_INTERVAL);
			if (job != NULL)
				handle(worker, job);

			/*
			 * After a restart of the server the connection is there again
			 * before the next request, which need not wait for it.
			 */
			else if (!connection_is_alive(worker->connection) ||
					 worker->generation != generation)
			{
				connection_close(worker->connection);
				set_connected(worker, false);
			}
		}
	}

	/* jobs that were accepted are run before the end */
	while ((job = queue_take(0)) != NULL)
		handle(worker, job);
	connection_close(worker->connection);
	return NULL;
}

/* Cancel runs of jobs whose clients have gone. */
static void *
cancel_main(void *unused)
{
	uint64_t	number;
	int			i;

	(void) unused;
	while ((number = queue_take_abandoned()) != 0)
	{
		log_event(LOG_DEBUG, "client-gone", NULL);
		for (i = 0; i < worker_count; i++)
			connection_cancel_run(workers[i].connection, number);
	}
	return NULL;
}

/*
 * Start the threads, which connect by themselves.  It is no failure if the
 * server is away.
 */
bool
database_start(const char *conninfo, int connections,
			   char *problem, size_t problem_size)
{
	int			i;

	if (!connection_check_conninfo(conninfo, problem, problem_size))
		return false;

	workers = calloc((size_t) connections, sizeof(Worker));
	if (workers == NULL)
	{
		snprintf(problem, problem_size, "out of memory");
		return false;
	}
	if (!health_start(conninfo))
	{
		snprintf(problem, problem_size, "could not start a thread");
		return false;
	}
	for (i = 0; i < connections; i++)
	{
		workers[i].connection = connection_create(conninfo, NULL);
		workers[i].random = (unsigned int) clock_now() + (unsigned int) i;
		if (workers[i].connection == NULL ||
			pthread_create(&workers[i].thread, NULL, worker_main,
						   &workers[i]) != 0)
		{
			snprintf(problem, problem_size, "could not start thread %d", i + 1);
			return false;
		}
		worker_count++;
	}
	if (pthread_create(&canceller, NULL, cancel_main, NULL) != 0)
	{
		snprintf(problem, problem_size, "could not start a thread");
		return false;
	}
	return true;
}

/* Open all connections anew, each before its next job. */
void
database_reconnect(void)
{
	generation++;
}

/* Ask the server to cancel all running jobs; from any thread. */
void
database_cancel(void)
{
	int			i;

	for (i = 0; i < worker_count; i++)
		connection_cancel(workers[i].connection);
}

/* Wait for the threads to end; after queue_stop. */
void
database_stop(void)
{
	int			i;

	pthread_join(canceller, NULL);
	health_stop();
	for (i = 0; i < worker_count; i++)
	{
		pthread_join(workers[i].thread, NULL);
		connection_free(workers[i].connection);
	}
	free(workers);
	workers = NULL;
	worker_count = 0;
}

/* Free the outcome of a job. */
void
database_free(Job *job)
{
	connection_free_result(job);
}

/* How many threads have a connection? */
int
database_connected(void)
{
	return connected_workers;
}
