/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  The bounded queues between requests and database threads.
 *
 * There is one queue for each server: the primary's, and one for each replica.
 * turns.c decides whose turn it is in each of them.
 *
 * Pulls that are woken, because something came that they waited for, have their
 * place already, so there is room for all of them.
 *
 * A group of pushes is a run in one transaction of pushes that wait, see group.c.
 * It holds one connection.  It has one push of a user at most, and no other one of
 * that user begins before the group has ended: so a group that has to be done
 * again, push by push, does not change their order.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdlib.h>

#include "database/group.h"
#include "database/queues.h"
#include "util/clock.h"

/*
 * A run is asked to end again and again: a cancel that comes before its statement,
 * because the connection is being opened or the body still sent, is lost.
 */
#define CANCEL_INTERVAL	CLOCK_SECOND

/* so many users are looked at for a group, so that a long queue costs no more */
#define MOST_LOOKED_AT	64

Queues		queues = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.under_way = TAILQ_HEAD_INITIALIZER(queues.under_way),
	.ended = TAILQ_HEAD_INITIALIZER(queues.ended),
};

/* ---------- start ---------- */

/* Once, before the first thread.  False: there is no thread for the keeper. */
bool
queue_start(void)
{
	clock_init_condition(&queues.stop_requested);
	return keeper_start();
}

/*
 * A queue; before the first job.  "primary": the queue that jobs go on to, if
 * this one is a replica's, else NULL.  NULL: no memory.
 */
Queue *
queue_create(Queue *primary)
{
	Queue	   *queue = calloc(1, sizeof(Queue));

	if (queue == NULL)
		return NULL;
	queue->primary = primary;
	turns_init(&queue->turns, primary != NULL);
	TAILQ_INIT(&queue->held);
	clock_init_condition(&queue->jobs_changed);
	clock_init_condition(&queue->cancel_wanted);
	pthread_mutex_lock(&queues.lock);
	queue->next = queues.first;
	queues.first = queue;
	pthread_mutex_unlock(&queues.lock);
	return queue;
}

/*
 * So many more connections are up, or fewer.  Counted here, because threads that
 * come one after the other with a number each may come in the other order.
 */
void
queue_add_connections(Queue *queue, int change)
{
	pthread_mutex_lock(&queues.lock);
	queue->connections += change;
	turns_set_connections(&queue->turns, queue->connections);
	pthread_cond_broadcast(&queue->jobs_changed);
	pthread_mutex_unlock(&queues.lock);
}

/* ---------- putting jobs in ---------- */

/* How many places a job takes: maintenance takes none. */
void
queue_count_place(const Job *job, int change)
{
	Queue	   *queue = job->queue;

	if (job->place == PLACE_HELD)
		queue->held_count += change;
	else if (job->kind == JOB_AUTH)
		queue->login_count += change;
	else if (job->is_woken)
		queue->woken_count += change;
	else if (job->kind != JOB_MAINTAIN)
		queue->ready_count += change;
}

void
queue_add(Job *job, bool first)
{
	turns_add(&job->queue->turns, job, first);
	job->place = PLACE_QUEUED;
	queue_count_place(job, 1);
	pthread_cond_signal(&job->queue->jobs_changed);
}

/* Take a job out that is held or queued. */
void
queue_remove(Job *job)
{
	queue_count_place(job, -1);
	if (job->place == PLACE_HELD)
		TAILQ_REMOVE(&job->queue->held, job, link);
	else
		turns_remove(&job->queue->turns, job);
}

bool
queue_join(Queue *queue, Job *job)
{
	if (!turns_join(&queue->turns, job))
		return false;
	job->queue = queue;
	job->abandoned = job->is_alone = false;
	job->is_grouped = job->is_member = false;
	job->leave_at = 0;
	pthread_cond_signal(&queues.keeper_wanted);
	return true;
}

static bool
put(Queue *queue, Job *job)
{
	if (!queue_join(queue, job))
		return false;
	queue_add(job, false);
	return true;
}

/*
 * Is there a place for a job that has come anew?  What anybody may ask for
 * without a token has places of its own, so that it takes none of those who have
 * one, and one address has half of these at most.
 */
static bool
has_place(Queue *queue, Job *job, int length)
{
	if (job->kind != JOB_AUTH)
		return queue->ready_count < length;
	return queue->login_count < length &&
		turns_count(&queue->turns, job->user) < (length + 1) / 2;
}

/*
 * Queue a job; "is_woken": a pull that has waited, for which there is room.
 * False: "length" jobs wait already, the gateway is stopping, or there is no
 * memory.
 */
bool
queue_put(Queue *queue, Job *job, int length, bool is_woken)
{
	bool		accepted;

	pthread_mutex_lock(&queues.lock);
	job->is_woken = is_woken;
	accepted = !queues.stopping && (is_woken || has_place(queue, job, length)) &&
		put(queue, job);
	pthread_mutex_unlock(&queues.lock);
	return accepted;
}

/*
 * Queue a job that checks a password.  At most "most" of them run at a time.
 * False as in queue_put.
 */
bool
queue_put_login(Queue *queue, Job *job, int length, int at_a_time)
{
	bool		accepted;

	pthread_mutex_lock(&queues.lock);
	queue->turns.most[LANE_LOGINS] = at_a_time;
	accepted = !queues.stopping && has_place(queue, job, length) && put(queue, job);
	pthread_mutex_unlock(&queues.lock);
	return accepted;
}

/* A job that was taken no longer runs. */
static void
end_run(Job *job)
{
	TAILQ_REMOVE(&queues.under_way, job, link);
	turns_end_run(&job->queue->turns, job);
	if (queues.stopping)
		pthread_cond_signal(&job->queue->cancel_wanted);
	/* a thread may have found that all it could take were at their bounds */
	pthread_cond_signal(&job->queue->jobs_changed);
}

/* A job that is in no list will not be run any more. */
static void
end_unlisted(Job *job)
{
	turns_leave(&job->queue->turns, job);
	keeper_take(job);
}

static bool
is_abandoned(const Job *job)
{
	return job->abandoned || queues.all_abandoned;
}

/*
 * A job that was taken is to have another turn.  False: its client went while it
 * ran, so it has ended instead.
 */
bool
queue_may_run_again(Job *job)
{
	end_run(job);
	if (!is_abandoned(job))
		return true;
	failure_try_again(&job->failure, "the client has gone");
	end_unlisted(job);
	return false;
}

/* A job that was taken has been run. */
void
queue_done(Job *job)
{
	pthread_mutex_lock(&queues.lock);
	if (job->failure.status == 0)
		job->queue->answered_at = clock_now();
	end_run(job);
	turns_leave(&job->queue->turns, job);
	job->place = PLACE_NOWHERE;
	pthread_mutex_unlock(&queues.lock);
}

/* When did the server last answer a job? */
int64_t
queue_answered_at(Queue *queue)
{
	int64_t		result;

	pthread_mutex_lock(&queues.lock);
	result = queue->answered_at;
	pthread_mutex_unlock(&queues.lock);
	return result;
}

/* Put a job back that was taken, to the front and even if there is no room. */
void
queue_put_back(Job *job)
{
	pthread_mutex_lock(&queues.lock);
	if (queue_may_run_again(job))
		queue_add(job, true);
	pthread_mutex_unlock(&queues.lock);
}

/* ---------- taking jobs out ---------- */

/* A job that was taken out of its list runs from now on. */
static void
begin_run(Job *job)
{
	queue_count_place(job, -1);
	job->place = PLACE_RUNNING;
	job->number = ++queues.last_number;
	job->cancel_at = 0;
	TAILQ_INSERT_TAIL(&queues.under_way, job, link);
}

/* The job whose turn it is, which runs from now on; NULL: there is none. */
static Job *
next_job(Queue *queue)
{
	Job		   *job = turns_next(&queue->turns, queues.stopping ? BOUNDS_NONE :
								 queues.maintenance_ended ? BOUNDS_NO_SPARE : BOUNDS_ALL);

	if (job != NULL)
		begin_run(job);
	return job;
}

/*
 * Wait for the next job; queue_done, queue_put_back, held_put_again or
 * held_leave end its run.  NULL: "until" has come, or the gateway stops.
 */
Job *
queue_take(Queue *queue, int64_t until)
{
	Job		   *job;

	pthread_mutex_lock(&queues.lock);
	for (;;)
	{
		struct timespec moment = clock_timespec(until);

		/* those that may not run wait for the end of a run */
		job = next_job(queue);
		if (job != NULL || queues.stopping || clock_now() >= until)
			break;
		pthread_cond_timedwait(&queue->jobs_changed, &queues.lock, &moment);
	}
	/* another thread may sleep although there is a job that it could take */
	if (job != NULL && (queue->ready_count > 0 || queue->login_count > 0 ||
						queue->woken_count > 0))
		pthread_cond_signal(&queue->jobs_changed);
	pthread_mutex_unlock(&queues.lock);
	return job;
}

/*
 * Pushes that wait, to be run in one transaction with a push that was taken: as
 * many as there are now, for none is waited for, up to the first that must be
 * alone.  "jobs" has room for GROUP_MOST;
 * the first is the one that was taken.  1: it stays alone.
 */
int
queue_take_more(Job *first, Job **jobs, int64_t now)
{
	Turns	   *turns = &first->queue->turns;
	size_t		bytes = first->body_length;
	int			looked_at = 0;
	int			count = 1;
	Turn	   *turn;
	Turn	   *next;

	jobs[0] = first;
	if (!group_may_have(first, 0, now))
		return 1;
	pthread_mutex_lock(&queues.lock);
	for (turn = TAILQ_FIRST(&turns->rings[LANE_WRITES]);
		 turn != NULL && count < first->push_group && looked_at++ < MOST_LOOKED_AT;
		 turn = next)
	{
		next = TAILQ_NEXT(turn, link[LANE_WRITES]);
		if (turn == first->turn || !turns_is_free(turns, turn, LANE_WRITES, BOUNDS_ALL))
			continue;
		/* nobody behind it goes before it */
		if (!group_may_have(TAILQ_FIRST(&turn->jobs[LANE_WRITES]), bytes, now))
			break;
		jobs[count] = turns_take_first(turns, turn, LANE_WRITES);
		jobs[count]->is_grouped = jobs[count]->is_member = true;
		turn->in_group = true;
		turn->running[LANE_WRITES]++;
		begin_run(jobs[count]);
		bytes += jobs[count++]->body_length;
	}
	if (count > 1)
		first->is_grouped = first->turn->in_group = true;
	pthread_mutex_unlock(&queues.lock);
	return count;
}

/* ---------- ending jobs that are not run ---------- */

/* Likewise, one that is held or queued. */
void
queue_end(Job *job)
{
	queue_remove(job);
	end_unlisted(job);
}

/*
 * Nobody waits for this job's outcome any more: it is not run, or what runs of
 * it is cancelled.  Its finished() is called all the same, soon.  False: the
 * job is not here yet.
 */
bool
queue_abandon(Job *job)
{
	bool		here;

	pthread_mutex_lock(&queues.lock);
	here = job->place != PLACE_NOWHERE;
	if (job->place == PLACE_QUEUED || job->place == PLACE_HELD)
	{
		queue_end(job);
		failure_try_again(&job->failure, "the client has gone");
	}
	else if (job->place == PLACE_RUNNING)
	{
		job->abandoned = true;
		pthread_cond_signal(&job->queue->cancel_wanted);
	}
	pthread_mutex_unlock(&queues.lock);
	return here;
}

/*
 * The gateway stops, and has no more time: whatever runs is cancelled, and nothing
 * more is run.
 */
void
queue_abandon_all(void)
{
	Queue	   *queue;

	pthread_mutex_lock(&queues.lock);
	queues.all_abandoned = true;
	for (queue = queues.first; queue != NULL; queue = queue->next)
		pthread_cond_signal(&queue->cancel_wanted);
	pthread_mutex_unlock(&queues.lock);
}

/* Has the client of a running job gone, or is there no more time? */
bool
queue_is_abandoned(Job *job)
{
	bool		result;

	pthread_mutex_lock(&queues.lock);
	result = is_abandoned(job);
	pthread_mutex_unlock(&queues.lock);
	return result;
}

/*
 * Wait for a run here that must be cancelled because its job was abandoned, and
 * return its number; 0: the gateway stops, and none is left.
 */
uint64_t
queue_take_abandoned(Queue *queue)
{
	uint64_t	number = 0;
	int64_t		now;
	int64_t		next;
	Job		   *job;

	pthread_mutex_lock(&queues.lock);
	while (number == 0)
	{
		now = clock_now();
		next = INT64_MAX;
		TAILQ_FOREACH(job, &queues.under_way, link)
		{
			if (job->queue != queue || !is_abandoned(job))
				continue;
			if (job->cancel_at <= now)
			{
				job->cancel_at = now + CANCEL_INTERVAL;
				number = job->number;
				break;
			}
			if (job->cancel_at < next)
				next = job->cancel_at;
		}
		if (number == 0 && next == INT64_MAX && queues.stopping)
			break;
		if (number == 0 && next == INT64_MAX)
			pthread_cond_wait(&queue->cancel_wanted, &queues.lock);
		else if (number == 0)
		{
			struct timespec moment = clock_timespec(next);

			pthread_cond_timedwait(&queue->cancel_wanted, &queues.lock, &moment);
		}
	}
	pthread_mutex_unlock(&queues.lock);
	return number;
}

/* ---------- counting, pausing, stopping ---------- */

static int
count(const Queue *queue)
{
	return queue->held_count + queue->ready_count + queue->login_count +
		queue->woken_count;
}

/* How many jobs wait for a thread? */
int
queue_count(void)
{
	int			result = 0;
	Queue	   *queue;

	pthread_mutex_lock(&queues.lock);
	for (queue = queues.first; queue != NULL; queue = queue->next)
		result += count(queue);
	pthread_mutex_unlock(&queues.lock);
	return result;
}

/* Likewise, for those of one server; what runs there included. */
int
queue_count_of(Queue *queue)
{
	int			result;
	int			i;

	pthread_mutex_lock(&queues.lock);
	result = count(queue);
	for (i = 0; i < LANES; i++)
		result += queue->turns.running[i];
	pthread_mutex_unlock(&queues.lock);
	return result;
}

/* Wait until then, or until the gateway stops, without taking jobs. */
void
queue_pause(int64_t until)
{
	struct timespec moment = clock_timespec(until);

	pthread_mutex_lock(&queues.lock);
	while (!queues.stopping && clock_now() < until)
		pthread_cond_timedwait(&queues.stop_requested, &queues.lock, &moment);
	pthread_mutex_unlock(&queues.lock);
}

/* Under the lock: whatever thread waits for jobs looks again. */
static void
wake_all(void)
{
	Queue	   *queue;

	for (queue = queues.first; queue != NULL; queue = queue->next)
		pthread_cond_broadcast(&queue->jobs_changed);
	pthread_cond_signal(&queues.keeper_wanted);
}

/*
 * The first step of a stop: maintenance that has not begun does not begin, and
 * the connection that is kept from each user is there for all.
 */
void
queue_end_maintenance(void)
{
	pthread_mutex_lock(&queues.lock);
	queues.maintenance_ended = true;
	wake_all();
	pthread_mutex_unlock(&queues.lock);
}

/* Accept no more jobs; those that wait are handed out without delay. */
void
queue_stop(void)
{
	Queue	   *queue;

	pthread_mutex_lock(&queues.lock);
	queues.maintenance_ended = true;
	queues.stopping = true;
	for (queue = queues.first; queue != NULL; queue = queue->next)
	{
		if (queue->primary != NULL)
			held_move_all(queue, FALLBACK_NONE_SERVES);
		pthread_cond_signal(&queue->cancel_wanted);
	}
	wake_all();
	pthread_cond_broadcast(&queues.stop_requested);
	pthread_mutex_unlock(&queues.lock);
}

/* After the last job has been finished. */
void
queue_free(void)
{
	Queue	   *queue;

	keeper_end();
	while ((queue = queues.first) != NULL)
	{
		queues.first = queue->next;
		free(queue);
	}
}

bool
queue_is_stopping(void)
{
	bool		result;

	pthread_mutex_lock(&queues.lock);
	result = queues.stopping;
	pthread_mutex_unlock(&queues.lock);
	return result;
}
