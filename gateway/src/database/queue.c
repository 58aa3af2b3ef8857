/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  The bounded queues between requests and database threads.
 *
 * There is one queue for each server: the primary's, and one for each replica.
 * turns.c decides whose turn it is in each of them.
 *
 * A job comes to a replica's queue by queue_hold.  It is held, without a
 * connection, until the replica has replayed what was there on the primary when
 * the job came; then it is queued for the replica's threads.  What is not taken
 * in time, for whatever reason, goes on to the primary's queue, so that a replica
 * costs a job some waiting at most.
 *
 * Pulls that are woken, because something came that they waited for, have their
 * place already, so there is room for all of them.
 *
 * A group of pushes is a run in one transaction of pushes that wait, see group.c.
 * It holds one connection.  It has one push of a user at most, and no other one of
 * that user begins before the group has ended: so a group that has to be done
 * again, push by push, does not change their order.
 *
 * One thread, the keeper, ends what must not be run any more: jobs whose
 * deadline has passed, jobs whose client has gone.  It does so while all
 * database threads are busy.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdlib.h>

#include "database/group.h"
#include "database/queue.h"
#include "database/turns.h"
#include "util/clock.h"

#define KEEPER_INTERVAL	(CLOCK_SECOND / 20)

/*
 * For so long a read waits for a word of a primary that answers nobody; by then it
 * is known to hang, and replicas serve without it.
 */
#define SILENCE			(8 * CLOCK_SECOND)

/*
 * A run is asked to end again and again: a cancel that comes before its statement,
 * because the connection is being opened or the body still sent, is lost.
 */
#define CANCEL_INTERVAL	CLOCK_SECOND

/* so many users are looked at for a group, so that a long queue costs no more */
#define MOST_LOOKED_AT	64

struct Queue
{
	Queue	   *primary;		/* where the jobs of a replica go; NULL: it is
								 * the primary's own */
	Turns		turns;
	int			connections;	/* that are up */
	pthread_cond_t jobs_changed;	/* a job came, or the gateway stops */
	pthread_cond_t cancel_wanted;	/* likewise, a running job was abandoned */
	struct JobList held;
	int			held_count;
	int			ready_count;	/* queued; those below and maintenance are not
								 * counted */
	int			login_count;	/* whatever is below /auth */
	int			woken_count;
	int64_t		answered_at;	/* when the server last answered a job */
	Queue	   *next;			/* of all */
};

const char *const fallback_names[FALLBACKS] = {
	"none-serves", "busy", "behind", "lost", "conflict", "failed"
};

/* of all queues, so that a job goes from one to another in one step */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t stop_requested;	/* for threads that take no job now */
static pthread_cond_t keeper_wanted;
static pthread_t keeper;

static Queue *queues = NULL;
static struct JobList under_way = TAILQ_HEAD_INITIALIZER(under_way);
static struct JobList ended = TAILQ_HEAD_INITIALIZER(ended);
static uint64_t last_number = 0;
static uint64_t fallbacks[FALLBACKS];
static bool maintenance_ended = false;
static bool all_abandoned = false;
static bool stopping = false;
static bool keeper_ends = false;

static void *keep(void *unused);

/* ---------- start ---------- */

/* Once, before the first thread.  False: there is no thread for the keeper. */
bool
queue_start(void)
{
	clock_init_condition(&stop_requested);
	clock_init_condition(&keeper_wanted);
	return pthread_create(&keeper, NULL, keep, NULL) == 0;
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
	pthread_mutex_lock(&lock);
	queue->next = queues;
	queues = queue;
	pthread_mutex_unlock(&lock);
	return queue;
}

/*
 * So many more connections are up, or fewer.  Counted here, because threads that
 * come one after the other with a number each may come in the other order.
 */
void
queue_add_connections(Queue *queue, int change)
{
	pthread_mutex_lock(&lock);
	queue->connections += change;
	turns_set_connections(&queue->turns, queue->connections);
	pthread_cond_broadcast(&queue->jobs_changed);
	pthread_mutex_unlock(&lock);
}

/* ---------- putting jobs in ---------- */

/* How many places a job takes: maintenance takes none. */
static void
count_place(const Job *job, int change)
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

static void
add(Job *job, bool first)
{
	turns_add(&job->queue->turns, job, first);
	job->place = PLACE_QUEUED;
	count_place(job, 1);
	pthread_cond_signal(&job->queue->jobs_changed);
}

static void
add_held(Job *job)
{
	TAILQ_INSERT_TAIL(&job->queue->held, job, link);
	job->place = PLACE_HELD;
	count_place(job, 1);
}

/* Take a job out that is held or queued. */
static void
remove_job(Job *job)
{
	count_place(job, -1);
	if (job->place == PLACE_HELD)
		TAILQ_REMOVE(&job->queue->held, job, link);
	else
		turns_remove(&job->queue->turns, job);
}

static bool
join(Queue *queue, Job *job)
{
	if (!turns_join(&queue->turns, job))
		return false;
	job->queue = queue;
	job->abandoned = job->is_alone = false;
	job->is_grouped = job->is_member = false;
	job->leave_at = 0;
	pthread_cond_signal(&keeper_wanted);
	return true;
}

static bool
put(Queue *queue, Job *job)
{
	if (!join(queue, job))
		return false;
	add(job, false);
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

	pthread_mutex_lock(&lock);
	job->is_woken = is_woken;
	accepted = !stopping && (is_woken || has_place(queue, job, length)) &&
		put(queue, job);
	pthread_mutex_unlock(&lock);
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

	pthread_mutex_lock(&lock);
	queue->turns.most[LANE_LOGINS] = at_a_time;
	accepted = !stopping && has_place(queue, job, length) && put(queue, job);
	pthread_mutex_unlock(&lock);
	return accepted;
}

/* A job that was taken no longer runs. */
static void
end_run(Job *job)
{
	TAILQ_REMOVE(&under_way, job, link);
	turns_end_run(&job->queue->turns, job);
	if (stopping)
		pthread_cond_signal(&job->queue->cancel_wanted);
	/* a thread may have found that all it could take were at their bounds */
	pthread_cond_signal(&job->queue->jobs_changed);
}

/* A job that is in no list will not be run any more; the keeper finishes it. */
static void
end_unlisted(Job *job)
{
	turns_leave(&job->queue->turns, job);
	job->place = PLACE_ENDED;
	TAILQ_INSERT_TAIL(&ended, job, link);
	pthread_cond_signal(&keeper_wanted);
}

static bool
is_abandoned(const Job *job)
{
	return job->abandoned || all_abandoned;
}

/*
 * A job that was taken is to have another turn.  False: its client went while it
 * ran, so it has ended instead.
 */
static bool
may_run_again(Job *job)
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
	pthread_mutex_lock(&lock);
	if (job->failure.status == 0)
		job->queue->answered_at = clock_now();
	end_run(job);
	turns_leave(&job->queue->turns, job);
	job->place = PLACE_NOWHERE;
	pthread_mutex_unlock(&lock);
}

/* When did the server last answer a job? */
int64_t
queue_answered_at(Queue *queue)
{
	int64_t		result;

	pthread_mutex_lock(&lock);
	result = queue->answered_at;
	pthread_mutex_unlock(&lock);
	return result;
}

/* Put a job back that was taken, to the front and even if there is no room. */
void
queue_put_back(Job *job)
{
	pthread_mutex_lock(&lock);
	if (may_run_again(job))
		add(job, true);
	pthread_mutex_unlock(&lock);
}

/* ---------- jobs at a replica ---------- */

/*
 * Have a job held at a replica.  False: "length" jobs are there already, the
 * gateway is stopping, or there is no memory.
 */
bool
queue_hold(Queue *queue, Job *job, int length, bool is_woken)
{
	bool		accepted;

	pthread_mutex_lock(&lock);
	job->is_woken = is_woken;
	accepted = !stopping &&
		(is_woken || queue->held_count + queue->ready_count < length) &&
		join(queue, job);
	if (accepted)
	{
		job->held_at = clock_now();
		job->leave_at = job->held_at + job->replica_wait;
		job->target = TARGET_UNKNOWN;
		job->due = 0;
		add_held(job);
	}
	pthread_mutex_unlock(&lock);
	return accepted;
}

/* A job that was taken must wait a little more. */
void
queue_hold_again(Job *job, int64_t until)
{
	pthread_mutex_lock(&lock);
	job->due = until;
	if (may_run_again(job))
		add_held(job);
	pthread_mutex_unlock(&lock);
}

/* A job that is in no list goes on to the primary, even if there is no room. */
static void
move_on(Job *job, Fallback why)
{
	Queue	   *queue = job->queue;

	fallbacks[why]++;
	turns_leave(&queue->turns, job);
	job->queue = queue->primary;
	job->leave_at = 0;
	job->may_be_stale = false;
	if (turns_join(&job->queue->turns, job))
	{
		add(job, false);
		return;
	}
	failure_try_again(&job->failure, "the server is short of memory");
	job->place = PLACE_ENDED;
	TAILQ_INSERT_TAIL(&ended, job, link);
	pthread_cond_signal(&keeper_wanted);
}

/* A job that was taken goes on to the primary. */
void
queue_leave(Job *job, Fallback why)
{
	pthread_mutex_lock(&lock);
	if (may_run_again(job))
		move_on(job, why);
	pthread_mutex_unlock(&lock);
}

static void
leave_all(Queue *queue, Fallback why)
{
	Job		   *job;

	while ((job = TAILQ_FIRST(&queue->held)) != NULL)
	{
		remove_job(job);
		move_on(job, why);
	}
	while ((job = turns_next(&queue->turns, BOUNDS_NONE)) != NULL)
	{
		count_place(job, -1);
		turns_end_run(&queue->turns, job);
		move_on(job, why);
	}
}

/* All that wait at a replica go on to the primary. */
void
queue_leave_all(Queue *queue, Fallback why)
{
	pthread_mutex_lock(&lock);
	leave_all(queue, why);
	pthread_mutex_unlock(&lock);
}

/*
 * The primary was at this position at some moment after "asked_at", or nobody
 * can tell (TARGET_ANY): what came before knows now what it waits for.  True:
 * others came later.
 */
bool
queue_note_position(Queue *queue, int64_t asked_at, uint64_t position)
{
	bool		more = false;
	Job		   *job;

	pthread_mutex_lock(&lock);
	TAILQ_FOREACH(job, &queue->held, link)
	{
		if (job->target != TARGET_UNKNOWN)
			continue;
		if (job->held_at <= asked_at)
			job->target = position;
		else
			more = true;
	}
	pthread_mutex_unlock(&lock);
	return more;
}

/*
 * A replica has replayed so far: what waits for no more is queued.  True: others
 * wait for more.
 */
bool
queue_note_replayed(Queue *queue, const Replay *replay)
{
	int64_t		now = clock_now();
	bool		more = false;
	Job		   *job;
	Job		   *next;

	pthread_mutex_lock(&lock);
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
		remove_job(job);
		job->replay = *replay;
		job->may_be_stale = job->target == TARGET_ANY;
		add(job, false);
	}
	pthread_mutex_unlock(&lock);
	return more;
}

/* A job that never came to a replica. */
void
queue_count_fallback(Fallback why)
{
	pthread_mutex_lock(&lock);
	fallbacks[why]++;
	pthread_mutex_unlock(&lock);
}

/* For the metrics: by reason. */
void
queue_count_fallbacks(uint64_t *counts)
{
	int			i;

	pthread_mutex_lock(&lock);
	for (i = 0; i < FALLBACKS; i++)
		counts[i] = fallbacks[i];
	pthread_mutex_unlock(&lock);
}

/* ---------- taking jobs out ---------- */

/* A job that was taken out of its list runs from now on. */
static void
begin_run(Job *job)
{
	count_place(job, -1);
	job->place = PLACE_RUNNING;
	job->number = ++last_number;
	job->cancel_at = 0;
	TAILQ_INSERT_TAIL(&under_way, job, link);
}

/* The job whose turn it is, which runs from now on; NULL: there is none. */
static Job *
next_job(Queue *queue)
{
	Job		   *job = turns_next(&queue->turns, stopping ? BOUNDS_NONE :
								 maintenance_ended ? BOUNDS_NO_SPARE : BOUNDS_ALL);

	if (job != NULL)
		begin_run(job);
	return job;
}

/*
 * Wait for the next job; queue_done, queue_put_back, queue_hold_again or
 * queue_leave end its run.  NULL: "until" has come, or the gateway stops.
 */
Job *
queue_take(Queue *queue, int64_t until)
{
	Job		   *job;

	pthread_mutex_lock(&lock);
	for (;;)
	{
		struct timespec moment = clock_timespec(until);

		/* those that may not run wait for the end of a run */
		job = next_job(queue);
		if (job != NULL || stopping || clock_now() >= until)
			break;
		pthread_cond_timedwait(&queue->jobs_changed, &lock, &moment);
	}
	/* another thread may sleep although there is a job that it could take */
	if (job != NULL && (queue->ready_count > 0 || queue->login_count > 0 ||
						queue->woken_count > 0))
		pthread_cond_signal(&queue->jobs_changed);
	pthread_mutex_unlock(&lock);
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
	pthread_mutex_lock(&lock);
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
	pthread_mutex_unlock(&lock);
	return count;
}

/* ---------- ending jobs that are not run ---------- */

/* Likewise, one that is held or queued. */
static void
end_job(Job *job)
{
	remove_job(job);
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

	pthread_mutex_lock(&lock);
	here = job->place != PLACE_NOWHERE;
	if (job->place == PLACE_QUEUED || job->place == PLACE_HELD)
	{
		end_job(job);
		failure_try_again(&job->failure, "the client has gone");
	}
	else if (job->place == PLACE_RUNNING)
	{
		job->abandoned = true;
		pthread_cond_signal(&job->queue->cancel_wanted);
	}
	pthread_mutex_unlock(&lock);
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

	pthread_mutex_lock(&lock);
	all_abandoned = true;
	for (queue = queues; queue != NULL; queue = queue->next)
		pthread_cond_signal(&queue->cancel_wanted);
	pthread_mutex_unlock(&lock);
}

/* Has the client of a running job gone, or is there no more time? */
bool
queue_is_abandoned(Job *job)
{
	bool		result;

	pthread_mutex_lock(&lock);
	result = is_abandoned(job);
	pthread_mutex_unlock(&lock);
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

	pthread_mutex_lock(&lock);
	while (number == 0)
	{
		now = clock_now();
		next = INT64_MAX;
		TAILQ_FOREACH(job, &under_way, link)
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
		if (number == 0 && next == INT64_MAX && stopping)
			break;
		if (number == 0 && next == INT64_MAX)
			pthread_cond_wait(&queue->cancel_wanted, &lock);
		else if (number == 0)
		{
			struct timespec moment = clock_timespec(next);

			pthread_cond_timedwait(&queue->cancel_wanted, &lock, &moment);
		}
	}
	pthread_mutex_unlock(&lock);
	return number;
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
		end_job(job);
		failure_try_again(&job->failure, "the server is too busy");
	}
	else if (job->kind == JOB_MAINTAIN && maintenance_ended)
	{
		/* a stop waits for requests, not for maintenance */
		end_job(job);
		failure_try_again(&job->failure, "the gateway is stopping");
	}
	else if (job->leave_at != 0 &&
			 ((job->leave_at <= now && !waits_for_silence(job, now)) ||
			  (maintenance_ended && job->place == PLACE_HELD)))
	{
		Fallback	why = job->place == PLACE_HELD ? FALLBACK_BEHIND : FALLBACK_BUSY;

		remove_job(job);
		move_on(job, why);
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

	for (queue = queues; queue != NULL; queue = queue->next)
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
	Queue	   *queue = queues;

	while (queue != NULL && queue->turns.users == NULL)
		queue = queue->next;
	return queue == NULL;
}

static void *
keep(void *unused)
{
	Job		   *job;

	(void) unused;
	pthread_mutex_lock(&lock);
	while (!keeper_ends)
	{
		end_jobs(clock_now());
		while ((job = TAILQ_FIRST(&ended)) != NULL)
		{
			TAILQ_REMOVE(&ended, job, link);
			job->place = PLACE_NOWHERE;
			pthread_mutex_unlock(&lock);
			job->finished(job);
			pthread_mutex_lock(&lock);
		}
		if (keeper_ends)
			break;
		if (all_are_empty())
			pthread_cond_wait(&keeper_wanted, &lock);
		else
		{
			struct timespec moment = clock_timespec(clock_now() + KEEPER_INTERVAL);

			pthread_cond_timedwait(&keeper_wanted, &lock, &moment);
		}
	}
	pthread_mutex_unlock(&lock);
	return NULL;
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

	pthread_mutex_lock(&lock);
	for (queue = queues; queue != NULL; queue = queue->next)
		result += count(queue);
	pthread_mutex_unlock(&lock);
	return result;
}

/* Likewise, for those of one server; what runs there included. */
int
queue_count_of(Queue *queue)
{
	int			result;
	int			i;

	pthread_mutex_lock(&lock);
	result = count(queue);
	for (i = 0; i < LANES; i++)
		result += queue->turns.running[i];
	pthread_mutex_unlock(&lock);
	return result;
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

/* Under the lock: whatever thread waits for jobs looks again. */
static void
wake_all(void)
{
	Queue	   *queue;

	for (queue = queues; queue != NULL; queue = queue->next)
		pthread_cond_broadcast(&queue->jobs_changed);
	pthread_cond_signal(&keeper_wanted);
}

/*
 * The first step of a stop: maintenance that has not begun does not begin, and
 * the connection that is kept from each user is there for all.
 */
void
queue_end_maintenance(void)
{
	pthread_mutex_lock(&lock);
	maintenance_ended = true;
	wake_all();
	pthread_mutex_unlock(&lock);
}

/* Accept no more jobs; those that wait are handed out without delay. */
void
queue_stop(void)
{
	Queue	   *queue;

	pthread_mutex_lock(&lock);
	maintenance_ended = true;
	stopping = true;
	for (queue = queues; queue != NULL; queue = queue->next)
	{
		if (queue->primary != NULL)
			leave_all(queue, FALLBACK_NONE_SERVES);
		pthread_cond_signal(&queue->cancel_wanted);
	}
	wake_all();
	pthread_cond_broadcast(&stop_requested);
	pthread_mutex_unlock(&lock);
}

/* After the last job has been finished. */
void
queue_free(void)
{
	Queue	   *queue;

	pthread_mutex_lock(&lock);
	keeper_ends = true;
	pthread_cond_signal(&keeper_wanted);
	pthread_mutex_unlock(&lock);
	pthread_join(keeper, NULL);
	while ((queue = queues) != NULL)
	{
		queues = queue->next;
		free(queue);
	}
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
