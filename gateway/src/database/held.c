/*-------------------------------------------------------------------------
 *
 * held.c
 *	  Jobs at a replica: held until they can be served there, or going on to the
 *	  primary.
 *
 * A job comes to a replica's queue by held_put.  It is held, without a
 * connection, until the replica has replayed what was there on the primary when
 * the job came; then it is queued for the replica's threads.  What is not taken
 * in time, for whatever reason, goes on to the primary's queue, so that a replica
 * costs a job some waiting at most.
 *
 *-------------------------------------------------------------------------
 */
#include "database/queues.h"
#include "util/clock.h"

const char *const fallback_names[FALLBACKS] = {
	"none-serves", "busy", "behind", "lost", "conflict", "failed"
};

static uint64_t fallbacks[FALLBACKS];

static void
add_held(Job *job)
{
	TAILQ_INSERT_TAIL(&job->queue->held, job, link);
	job->place = PLACE_HELD;
	queue_count_place(job, 1);
}

/*
 * Have a job held at a replica.  False: "length" jobs are there already, the
 * gateway is stopping, or there is no memory.
 */
bool
held_put(Queue *queue, Job *job, int length, bool is_woken)
{
	bool		accepted;

	pthread_mutex_lock(&queues.lock);
	job->is_woken = is_woken;
	accepted = !queues.stopping &&
		(is_woken || queue->held_count + queue->ready_count < length) &&
		queue_join(queue, job);
	if (accepted)
	{
		job->held_at = clock_now();
		job->leave_at = job->held_at + job->replica_wait;
		job->target = TARGET_UNKNOWN;
		job->due = 0;
		add_held(job);
	}
	pthread_mutex_unlock(&queues.lock);
	return accepted;
}

/* A job that was taken must wait a little more. */
void
held_put_again(Job *job, int64_t until)
{
	pthread_mutex_lock(&queues.lock);
	job->due = until;
	if (queue_may_run_again(job))
		add_held(job);
	pthread_mutex_unlock(&queues.lock);
}

/* A job that is in no list goes on to the primary, even if there is no room. */
void
held_move_on(Job *job, Fallback why)
{
	Queue	   *queue = job->queue;

	fallbacks[why]++;
	turns_leave(&queue->turns, job);
	job->queue = queue->primary;
	job->leave_at = 0;
	job->may_be_stale = false;
	if (turns_join(&job->queue->turns, job))
	{
		queue_add(job, false);
		return;
	}
	failure_try_again(&job->failure, "the server is short of memory");
	keeper_take(job);
}

/* A job that was taken goes on to the primary. */
void
held_leave(Job *job, Fallback why)
{
	pthread_mutex_lock(&queues.lock);
	if (queue_may_run_again(job))
		held_move_on(job, why);
	pthread_mutex_unlock(&queues.lock);
}

void
held_move_all(Queue *queue, Fallback why)
{
	Job		   *job;

	while ((job = TAILQ_FIRST(&queue->held)) != NULL)
	{
		queue_remove(job);
		held_move_on(job, why);
	}
	while ((job = turns_next(&queue->turns, BOUNDS_NONE)) != NULL)
	{
		queue_count_place(job, -1);
		turns_end_run(&queue->turns, job);
		held_move_on(job, why);
	}
}

/* All that wait at a replica go on to the primary. */
void
held_leave_all(Queue *queue, Fallback why)
{
	pthread_mutex_lock(&queues.lock);
	held_move_all(queue, why);
	pthread_mutex_unlock(&queues.lock);
}

/*
 * Does the call itself say what its client has seen, so that a replica can tell
 * whether it has come so far?  A client drops what keys and rows do not name.  A
 * first pull has seen nothing, and its cursor is no younger than its rows.
 */
static bool
says_what_is_seen(const Job *job)
{
	return job->kind == JOB_PULL || job->kind == JOB_DIGEST;
}

/*
 * The primary was at this position at some moment after "asked_at", or nobody
 * can tell (TARGET_ANY): what came before knows now what it waits for, or goes on
 * to the primary, because nobody will ever know.  True: others came later.
 */
bool
held_note_position(Queue *queue, int64_t asked_at, uint64_t position)
{
	bool		more = false;
	Job		   *job;
	Job		   *next;

	pthread_mutex_lock(&queues.lock);
	for (job = TAILQ_FIRST(&queue->held); job != NULL; job = next)
	{
		next = TAILQ_NEXT(job, link);
		if (job->target != TARGET_UNKNOWN)
			continue;
		if (job->held_at > asked_at)
			more = true;
		else if (position == TARGET_ANY && !says_what_is_seen(job))
		{
			queue_remove(job);
			held_move_on(job, FALLBACK_BEHIND);
		}
		else
			job->target = position;
	}
	pthread_mutex_unlock(&queues.lock);
	return more;
}

/*
 * A replica has replayed so far: what waits for no more is queued.  True: others
 * wait for more.
 */
bool
held_note_replayed(Queue *queue, const Replay *replay)
{
	int64_t		now = clock_now();
	bool		more = false;
	Job		   *job;
	Job		   *next;

	pthread_mutex_lock(&queues.lock);
	for (job = TAILQ_FIRST(&queue->held); job != NULL; job = next)
	{
		next = TAILQ_NEXT(job, link);
		if (job->target == TARGET_UNKNOWN)
			continue;
		if (job->target > replay->position || job->due > now)
		{
			more = true;
			continue;
		}
		queue_remove(job);
		job->replay = *replay;
		job->may_be_stale = job->target == TARGET_ANY;
		queue_add(job, false);
	}
	pthread_mutex_unlock(&queues.lock);
	return more;
}

/* A job that never came to a replica. */
void
held_count_fallback(Fallback why)
{
	pthread_mutex_lock(&queues.lock);
	fallbacks[why]++;
	pthread_mutex_unlock(&queues.lock);
}

/* For the metrics: by reason. */
void
held_count_fallbacks(uint64_t *counts)
{
	int			i;

	pthread_mutex_lock(&queues.lock);
	for (i = 0; i < FALLBACKS; i++)
		counts[i] = fallbacks[i];
	pthread_mutex_unlock(&queues.lock);
}
