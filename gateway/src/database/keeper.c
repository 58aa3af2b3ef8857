/*-------------------------------------------------------------------------
 *
 * keeper.c
 *	  The thread that ends what must not be run any more.
 *
 * Those are jobs whose deadline has passed, jobs whose client has gone, and what
 * has been at a replica for too long.  It does so while all database threads are
 * busy.
 *
 *-------------------------------------------------------------------------
 */
#include "database/queues.h"
#include "util/clock.h"

#define KEEPER_INTERVAL	(CLOCK_SECOND / 20)

/*
 * For so long a read waits for a word of a primary that answers nobody; by then it
 * is known to hang, and replicas serve without it.
 */
#define SILENCE			(8 * CLOCK_SECOND)

static pthread_t keeper;
static bool ends = false;

/*
 * A job that is in no list, and in no user's turns, will not be run any more: its
 * finished() is called soon.  Under the lock.
 */
void
keeper_take(Job *job)
{
	job->place = PLACE_ENDED;
	TAILQ_INSERT_TAIL(&queues.ended, job, link);
	pthread_cond_signal(&queues.keeper_wanted);
}

/*
 * Does a job wait at a replica for a primary that has answered nobody since the
 * job came?  There it would hang, too, until its deadline.
 */
static bool
waits_for_silence(const Job *job, int64_t now)
{
	return job->place == PLACE_HELD && job->target == TARGET_UNKNOWN &&
		job->queue->primary->answered_at < job->held_at &&
		now < job->held_at + SILENCE;
}

/*
 * What its deadline, the end of the gateway, or its time at a replica says.  A
 * stop does not wait for replicas: it may have less time.
 */
static void
end_if_late(Job *job, int64_t now)
{
	if (job->deadline <= now)
	{
		queue_end(job);
		failure_try_again(&job->failure, "the server is too busy");
	}
	else if (job->kind == JOB_MAINTAIN && queues.maintenance_ended)
	{
		/* a stop waits for requests, not for maintenance */
		queue_end(job);
		failure_try_again(&job->failure, "the gateway is stopping");
	}
	else if (job->leave_at != 0 &&
			 ((job->leave_at <= now && !waits_for_silence(job, now)) ||
			  (queues.maintenance_ended && job->place == PLACE_HELD)))
	{
		Fallback	why = job->place == PLACE_HELD ? FALLBACK_BEHIND : FALLBACK_BUSY;

		queue_remove(job);
		held_move_on(job, why);
	}
}

/* Likewise, the queued jobs of a lane. */
static void
end_late_jobs(Queue *queue, Lane lane, int64_t now)
{
	Turn	   *turn;
	Turn	   *next_turn;
	Job		   *job;
	Job		   *next;

	for (turn = TAILQ_FIRST(&queue->turns.rings[lane]); turn != NULL; turn = next_turn)
	{
		next_turn = TAILQ_NEXT(turn, link[lane]);
		turns_keep(turn);		/* it must outlive its last job */
		for (job = TAILQ_FIRST(&turn->jobs[lane]); job != NULL; job = next)
		{
			next = TAILQ_NEXT(job, link);
			end_if_late(job, now);
		}
		turns_let_go(&queue->turns, turn);
	}
}

/* End what must not be run any more; under the lock. */
static void
end_jobs(int64_t now)
{
	Queue	   *queue;
	Job		   *job;
	Job		   *next;
	int			i;

	for (queue = queues.first; queue != NULL; queue = queue->next)
	{
		for (job = TAILQ_FIRST(&queue->held); job != NULL; job = next)
		{
			next = TAILQ_NEXT(job, link);
			end_if_late(job, now);
		}
		for (i = 0; i < LANES; i++)
			end_late_jobs(queue, (Lane) i, now);
	}
}

/* Is there nothing that could become late? */
static bool
all_are_empty(void)
{
	Queue	   *queue = queues.first;

	while (queue != NULL && queue->turns.users == NULL)
		queue = queue->next;
	return queue == NULL;
}

static void *
keep(void *unused)
{
	Job		   *job;

	(void) unused;
	pthread_mutex_lock(&queues.lock);
	while (!ends)
	{
		end_jobs(clock_now());
		while ((job = TAILQ_FIRST(&queues.ended)) != NULL)
		{
			TAILQ_REMOVE(&queues.ended, job, link);
			job->place = PLACE_NOWHERE;
			pthread_mutex_unlock(&queues.lock);
			job->finished(job);
			pthread_mutex_lock(&queues.lock);
		}
		if (ends)
			break;
		if (all_are_empty())
			pthread_cond_wait(&queues.keeper_wanted, &queues.lock);
		else
		{
			struct timespec moment = clock_timespec(clock_now() + KEEPER_INTERVAL);

			pthread_cond_timedwait(&queues.keeper_wanted, &queues.lock, &moment);
		}
	}
	pthread_mutex_unlock(&queues.lock);
	return NULL;
}

/* Once, before the first thread.  False: there is no thread for it. */
bool
keeper_start(void)
{
	clock_init_condition(&queues.keeper_wanted);
	return pthread_create(&keeper, NULL, keep, NULL) == 0;
}

/* After the last job has been finished. */
void
keeper_end(void)
{
	pthread_mutex_lock(&queues.lock);
	ends = true;
	pthread_cond_signal(&queues.keeper_wanted);
	pthread_mutex_unlock(&queues.lock);
	pthread_join(keeper, NULL);
}
