/*-------------------------------------------------------------------------
 *
 * pool.c
 *	  The threads that run the jobs of one server, each on a connection of its
 *	  own.
 *
 * This file decides when to connect, when to run a job again and with which
 * failure it ends; run.c runs one transaction.
 *
 * A job that writes is never run again here once its transaction may have been
 * committed: the client gets 503 and sends it again, which has no second
 * effect.
 *
 * What fails at a replica goes on to the primary.  A replica may lack what a job
 * needs, a grant or a table that it has not replayed yet, so that only the
 * primary can say what is wrong.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database/connection.h"
#include "database/group.h"
#include "database/held.h"
#include "database/pool.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/metrics.h"

#define IDLE_INTERVAL		(2 * CLOCK_SECOND)
#define MAX_CONFLICT_RUNS	6	/* the first and five more */

/*
 * A connection is opened anew at this age: settings of the database and of the
 * role (ALTER DATABASE, ALTER ROLE) count for new sessions only.
 */
#define MAX_AGE				(45 * CLOCK_SECOND)

/* how often a job is tried that waits for a replica without the primary */
#define REPLAY_PAUSE		(20 * CLOCK_MILLISECOND)

/* how often a thread of a replica that does not serve looks whether it does */
#define LEFT_OUT_INTERVAL	(CLOCK_SECOND / 10)

typedef struct Worker
{
	pthread_t	thread;
	Pool	   *pool;
	Connection *connection;		/* it may not be open */
	bool		connected;		/* counted in the pool */
	int64_t		next_attempt;	/* to connect; 0: at once */
	int64_t		left_at;		/* since when it leaves sessions to the thread
								 * that looks; 0: it does not */
	int64_t		max_age;		/* of the connection */
	int			generation;		/* of the pool's health, as the connection was
								 * opened */
	int			reload;			/* likewise */
	unsigned int random;		/* state of rand_r */
} Worker;

struct Pool
{
	int			number;			/* of the replica; 0: the primary */
	Pool	   *primary;		/* of a replica's, else NULL */
	Queue	   *queue;
	Health	   *health;
	pthread_mutex_t renewal;	/* of a connection that could be used on */
	Worker	   *workers;
	int			size;
	int			worker_count;	/* that have been started */
	pthread_t	canceller;
	bool		canceller_runs;
	atomic_int	connected;
	atomic_ullong reads;		/* that were served, of those replicas serve */
};

static void
set_connected(Worker *worker, bool connected)
{
	Pool	   *pool = worker->pool;
	int			change = connected ? 1 : -1;

	if (worker->connected == connected)
		return;
	pool->connected += change;
	worker->connected = connected;
	queue_add_connections(pool->queue, change);
	if (!connected)
		health_doubt(pool->health);
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

	worker->generation = health_generation(worker->pool->health);
	worker->reload = health_reload_number(worker->pool->health);
	result = connection_open(worker->connection, detail, sizeof(detail));
	worker->max_age = jitter(worker, MAX_AGE / 2) + MAX_AGE / 2;
	/* counted before another may try, see leaves_session */
	set_connected(worker, result == OPEN_DONE);
	if (asked)
		health_end_attempt(worker->pool->health, result, detail);
	else
		health_opened(worker->pool->health, result, detail);
	return result == OPEN_DONE;
}

/*
 * If few sessions are allowed, the first is for requests, and the second for the
 * thread that looks at the server, or the gateway would serve and never be ready.
 * For a while: if that thread cannot connect, others may be able to.
 */
static bool
leaves_session(Worker *worker)
{
	Pool	   *pool = worker->pool;
	int64_t		now = clock_now();

	if (pool->connected == 0 || health_has_session(pool->health))
		worker->left_at = 0;
	else if (worker->left_at == 0)
		worker->left_at = now;
	return worker->left_at != 0 && now < worker->left_at + HEALTH_STALE;
}

/* Try to connect; false: next_attempt says when to try again. */
static bool
connect_worker(Worker *worker)
{
	Pool	   *pool = worker->pool;

	set_connected(worker, false);
	worker->next_attempt = clock_now() + LEFT_OUT_INTERVAL;
	/* a replica is tried by the thread that looks at it */
	if (pool->number != 0)
		return health_serves(pool->health) && open_worker(worker, false);
	return !leaves_session(worker) &&
		health_begin_attempt(pool->health, &worker->next_attempt) &&
		open_worker(worker, true);
}

/* Is it from before a reload?  Not where it could not be had again. */
static bool
is_reloaded(Worker *worker)
{
	Health	   *health = worker->pool->health;
	Failure		unused;

	return worker->reload != health_reload_number(health) &&
		!health_is_bad(health, &unused);
}

/*
 * Is the connection there, and to be used on?  One that is old is kept where the
 * last attempt to connect has failed: it could not be had again.
 */
static bool
is_current(Worker *worker)
{
	Health	   *health = worker->pool->health;
	Failure		unused;

	return connection_is_alive(worker->connection) &&
		worker->generation == health_generation(health) && !is_reloaded(worker) &&
		(connection_age(worker->connection) < worker->max_age ||
		 health_is_bad(health, &unused));
}

static bool
reopen(Worker *worker)
{
	connection_close(worker->connection);
	return (worker->pool->number == 0 || health_serves(worker->pool->health)) &&
		open_worker(worker, false);
}

/*
 * Is there a connection that a job can be run on?  Those that are there are opened
 * anew one after the other: after a reload all would be closed before the first
 * has found out that none can be had.
 */
static bool
has_connection(Worker *worker)
{
	Pool	   *pool = worker->pool;
	bool		good;

	if (is_current(worker))
		return true;
	if (!connection_is_alive(worker->connection))
		return reopen(worker);
	pthread_mutex_lock(&pool->renewal);
	good = is_current(worker) || reopen(worker);
	pthread_mutex_unlock(&pool->renewal);
	return good;
}

/* Is this a job that replicas serve, too? */
bool
pool_is_read(const Job *job)
{
	return job->kind == JOB_PULL || job->kind == JOB_KEYS ||
		job->kind == JOB_DIGEST || job->kind == JOB_ROWS;
}

static void
finish(Worker *worker, Job *job)
{
	if (job->failure.status == 0 && pool_is_read(job))
		worker->pool->reads++;
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
leave_to_others(Worker *worker, Job *job)
{
	if (worker->pool->connected == 0 || queue_is_stopping())
		return false;
	queue_put_back(job);
	return true;
}

/*
 * Is there nobody any more who waits for this job?  Then it has its failure.
 * Opening a connection may have taken longer than the job has time.
 */
static bool
is_too_late(Job *job)
{
	if (queue_is_abandoned(job))
		failure_try_again(&job->failure, "the client has gone");
	else if (clock_now() >= job->deadline)
		failure_try_again(&job->failure, "the server is too busy");
	return job->failure.status != 0;
}

/* The failure of a job for which there is no connection. */
static void
set_unavailable(Worker *worker, Job *job)
{
	if (!health_is_bad(worker->pool->health, &job->failure))
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
			if (leave_to_others(worker, job))
				return false;
			set_unavailable(worker, job);
			return true;
		}
		if (is_too_late(job))
			return true;

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

/* Why must a job that was run at a replica go on to the primary? */
static Fallback
fallback_of(const Job *job, RunResult result)
{
	if (result == RUN_LOST || result == RUN_LOST_BEFORE_SENT)
		return FALLBACK_LOST;
	if (result == RUN_CONFLICT)
		return FALLBACK_CONFLICT;
	return strcmp(job->sqlstate, "TD017") == 0 || strcmp(job->sqlstate, "TD012") == 0 ?
		FALLBACK_BEHIND : FALLBACK_FAILED;
}

/*
 * Has a job its outcome that was run at a replica?  What the client is to blame
 * for counts if there is no primary that could say another thing.
 */
static bool
is_settled(Worker *worker, Job *job)
{
	Failure		unused;

	if (job->failure.status == 0 || clock_now() >= job->deadline ||
		queue_is_abandoned(job))
		return true;
	return job->failure.status < 500 &&
		health_is_bad(worker->pool->primary->health, &unused);
}

/*
 * Run a job at a replica.  False: it has gone on to the primary, or waits.  The
 * connection must be to the server whose position was looked at, which must not
 * have crashed since: another may have replayed less.
 */
static bool
run_at_replica(Worker *worker, Job *job)
{
	RunResult	result;
	int			conflicts = 0;

	for (;;)
	{
		if (!has_connection(worker) ||
			!connection_has_replayed(worker->connection, &job->replay, job->target))
		{
			held_leave(job, FALLBACK_LOST);
			return false;
		}
		if (is_too_late(job))
			return true;
		result = connection_run(worker->connection, job);
		if (is_settled(worker, job))
			return true;
		if (result != RUN_AGAIN && (result != RUN_CONFLICT || ++conflicts > 1))
			break;
		job->failure.status = 0;
	}
	if (result == RUN_LOST || result == RUN_LOST_BEFORE_SENT)
		health_doubt(worker->pool->health);
	/* without the primary, the pull itself says whether it comes too early */
	if (job->may_be_stale && fallback_of(job, result) == FALLBACK_BEHIND)
		held_put_again(job, clock_now() + REPLAY_PAUSE);
	else
		held_leave(job, fallback_of(job, result));
	return false;
}

/* A group was rolled back: remember whose fault it was, if it was a push's. */
static void
blame(Job *job)
{
	log_event(LOG_DEBUG, "group-rolled-back", "sqlstate", job->sqlstate, NULL);
	if (strcmp(job->sqlstate, "TD019") == 0)
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
		connection_free_result(jobs[i]);
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
			finish(worker, jobs[i]);
		else
		{
			jobs[i]->is_alone = true;
			queue_put_back(jobs[i]);
		}
	}
}

/* What is left to do for a job before it is run; false: it has its failure. */
static bool
prepare(Job *job)
{
	bool		good = job->prepare == NULL || job->prepare(job);

	job->prepare = NULL;
	return good;
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
	connection_free_result(job);
	job->failure.status = 0;
	if (is_too_late(job) || !prepare(job) ||
		(worker->pool->number == 0 ? run : run_at_replica) (worker, job))
		finish(worker, job);
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

	if (worker->pool->number != 0)
	{
		if (worker->pool->connected == 0)
			held_leave_all(worker->pool->queue, FALLBACK_LOST);
		queue_pause(worker->next_attempt);
		return;
	}
	if (worker->pool->connected > 0 || !health_is_bad(worker->pool->health, &failure))
	{
		queue_pause(worker->next_attempt);
		return;
	}
	while ((job = queue_take(worker->pool->queue, worker->next_attempt)) != NULL)
	{
		if (leave_to_others(worker, job))
			return;
		connection_free_result(job);
		set_unavailable(worker, job);
		finish(worker, job);
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
			job = queue_take(worker->pool->queue, clock_now() + IDLE_INTERVAL);
			if (job != NULL)
				handle(worker, job);

			/*
			 * After a restart of the server the connection is there again
			 * before the next request, which need not wait for it.
			 */
			else if (!connection_is_alive(worker->connection) ||
					 worker->generation !=
					 health_generation(worker->pool->health))
			{
				connection_close(worker->connection);
				set_connected(worker, false);
			}
			else if (is_reloaded(worker))
				has_connection(worker);
		}
	}

	/* jobs that were accepted are run before the end */
	while ((job = queue_take(worker->pool->queue, 0)) != NULL)
		handle(worker, job);
	connection_close(worker->connection);
	return NULL;
}

/*
 * Cancel runs of jobs whose clients have gone, or of all when the gateway stops.
 * That can take for ever, if the server takes no connections, so it is no other
 * server's thread.
 */
static void *
cancel_main(void *argument)
{
	Pool	   *pool = argument;
	uint64_t	number;
	int			i;

	while ((number = queue_take_abandoned(pool->queue)) != 0)
	{
		log_event(LOG_DEBUG, "cancelled", NULL);
		for (i = 0; i < pool->worker_count; i++)
			connection_cancel_run(pool->workers[i].connection, number);
	}
	return NULL;
}

/* NULL: no memory. */
Pool *
pool_create(const char *conninfo, int number, int connections, Pool *primary,
			HealthLooked looked, void *owner)
{
	Pool	   *pool = calloc(1, sizeof(Pool));
	int			i;

	if (pool == NULL)
		return NULL;
	pthread_mutex_init(&pool->renewal, NULL);
	pool->number = number;
	pool->primary = primary;
	pool->size = connections;
	pool->queue = queue_create(primary == NULL ? NULL : primary->queue);
	pool->health = health_create(conninfo, number, looked, owner);
	pool->workers = calloc((size_t) connections, sizeof(Worker));
	if (pool->queue == NULL || pool->health == NULL || pool->workers == NULL)
		return NULL;
	for (i = 0; i < connections; i++)
	{
		Worker	   *worker = &pool->workers[i];

		worker->pool = pool;
		worker->connection = connection_create(conninfo, number != 0, NULL);
		worker->random = (unsigned int) clock_now() + (unsigned int) i;
		if (worker->connection == NULL)
			return NULL;
	}
	return pool;
}

/*
 * Start the threads, which connect by themselves.  It is no failure if the
 * server is away.
 */
bool
pool_start(Pool *pool, char *problem, size_t problem_size)
{
	if (!health_start(pool->health))
	{
		snprintf(problem, problem_size, "could not start a thread");
		return false;
	}
	while (pool->worker_count < pool->size)
	{
		Worker	   *worker = &pool->workers[pool->worker_count];

		if (pthread_create(&worker->thread, NULL, worker_main, worker) != 0)
		{
			snprintf(problem, problem_size, "could not start thread %d",
					 pool->worker_count + 1);
			return false;
		}
		pool->worker_count++;
	}
	pool->canceller_runs =
		pthread_create(&pool->canceller, NULL, cancel_main, pool) == 0;
	if (!pool->canceller_runs)
		snprintf(problem, problem_size, "could not start a thread");
	return pool->canceller_runs;
}

Queue *
pool_queue(Pool *pool)
{
	return pool->queue;
}

Health *
pool_health(Pool *pool)
{
	return pool->health;
}

/* How many threads have a connection? */
int
pool_connected(const Pool *pool)
{
	return pool->connected;
}

/* Has it a connection by which the server has answered lately? */
bool
pool_answers(Pool *pool)
{
	return pool->connected > 0 &&
		clock_now() < queue_answered_at(pool->queue) + HEALTH_STALE;
}

/* How many of the reads that a replica may serve have been served here? */
uint64_t
pool_reads(Pool *pool)
{
	return pool->reads;
}

/*
 * The server does not answer any more: what runs there has lost its connection,
 * and need not wait for the deadline to find out.  From any thread.
 */
void
pool_cut(Pool *pool)
{
	int			i;

	for (i = 0; i < pool->worker_count; i++)
		connection_cut(pool->workers[i].connection);
}

/* Wait for the threads to end; after queue_stop. */
void
pool_end(Pool *pool)
{
	int			i;

	health_stop(pool->health);
	if (pool->canceller_runs)
		pthread_join(pool->canceller, NULL);
	for (i = 0; i < pool->worker_count; i++)
		pthread_join(pool->workers[i].thread, NULL);
}

/* After the threads of all pools have ended. */
void
pool_free(Pool *pool)
{
	int			i;

	for (i = 0; i < pool->size; i++)
		connection_free(pool->workers[i].connection);
	health_free(pool->health);
	pthread_mutex_destroy(&pool->renewal);
	free(pool->workers);
	free(pool);
}
