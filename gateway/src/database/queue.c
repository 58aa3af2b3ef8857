/*-------------------------------------------------------------------------
 *
 * queue.c
 *	  The bounded queue between requests and database threads.
 *
 * There are five lanes: writes, reads, checks, which read all rows of a user,
 * logins, which check a password, and pulls that have waited for something to
 * come and are woken.  They take turns, and within a lane users take turns,
 * whatever number of jobs each of them has queued.  Reads, checks and those that
 * are woken never hold all connections, so that a push is taken while reads wait
 * for a lock or run long; nor does one user.  Of one user one check runs at a
 * time.
 *
 * Those that are woken hold half of the reads' connections at most: one change
 * of a shared table wakes everybody, and nobody else must be kept waiting for
 * them, however many they are.  They have their place already, so there is room
 * for all of them.
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
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "database/group.h"
#include "database/queue.h"
#include "util/clock.h"

#define KEEPER_INTERVAL	(CLOCK_SECOND / 20)

/* so many users are looked at for a group, so that a long queue costs no more */
#define MOST_LOOKED_AT	64

TAILQ_HEAD(JobList, Job);

typedef enum Lane
{
	LANE_WRITES,
	LANE_READS,
	LANE_CHECKS,
	LANE_LOGINS,
	LANE_WOKEN,
	LANES
} Lane;

/* A user that has jobs queued or running. */
typedef struct Turn
{
	char	   *user;
	struct JobList jobs[LANES];
	int			running[LANES];
	bool		in_group;		/* a push of the user's runs in one */
	int			count;			/* jobs in the lists and running */
				TAILQ_ENTRY(Turn) link[LANES];
} Turn;

TAILQ_HEAD(Ring, Turn);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t jobs_changed; /* a job came, or the gateway stops */
static pthread_cond_t stop_requested;	/* for threads that take no job now */
static pthread_cond_t keeper_wanted;
static pthread_cond_t cancel_wanted;
static pthread_t keeper;

static void *turns = NULL;		/* tsearch's tree, by user */
static struct Ring rings[LANES];	/* users with jobs queued, in turn */
static int	running[LANES];
static int	most[LANES];		/* that may run at a time */
static int	connections = 1;
static int	next_lane = 0;

static struct JobList under_way = TAILQ_HEAD_INITIALIZER(under_way);
static struct JobList ended = TAILQ_HEAD_INITIALIZER(ended);
static int	ready_count = 0;	/* queued; those below and maintenance are not
								 * counted */
static int	login_count = 0;
static int	woken_count = 0;
static uint64_t last_number = 0;
static bool maintenance_ended = false;
static bool stopping = false;
static bool keeper_ends = false;

static void *keep(void *unused);

/* ---------- start ---------- */

/* Once, before the first thread.  False: there is no thread for the keeper. */
bool
queue_start(void)
{
	pthread_condattr_t attributes;
	int			i;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&jobs_changed, &attributes);
	pthread_cond_init(&stop_requested, &attributes);
	pthread_cond_init(&keeper_wanted, &attributes);
	pthread_cond_init(&cancel_wanted, &attributes);
	pthread_condattr_destroy(&attributes);
	for (i = 0; i < LANES; i++)
	{
		TAILQ_INIT(&rings[i]);
		most[i] = 1;
	}
	return pthread_create(&keeper, NULL, keep, NULL) == 0;
}

/*
 * So many connections are up; reads and checks together leave one of them to
 * writes, and checks leave half of them to reads.
 */
void
queue_set_connections(int count)
{
	pthread_mutex_lock(&lock);
	connections = count < 1 ? 1 : count;
	most[LANE_WRITES] = connections;
	most[LANE_READS] = connections > 1 ? connections - 1 : 1;
	most[LANE_CHECKS] = connections > 3 ? connections / 2 : 1;
	most[LANE_WOKEN] = most[LANE_READS] > 1 ? most[LANE_READS] / 2 : 1;
	pthread_cond_broadcast(&jobs_changed);
	pthread_mutex_unlock(&lock);
}

/* ---------- turns ---------- */

static Lane
lane_of(const Job *job)
{
	if (job->is_login)
		return LANE_LOGINS;
	if (job->kind == JOB_DIGEST || (job->kind == JOB_KEYS && job->buckets != NULL))
		return LANE_CHECKS;
	if (job->is_woken)
		return LANE_WOKEN;
	return job->kind == JOB_PUSH || job->kind == JOB_AUTH ||
		job->kind == JOB_MAINTAIN ? LANE_WRITES : LANE_READS;
}

static int
compare_turns(const void *a, const void *b)
{
	return strcmp(((const Turn *) a)->user, ((const Turn *) b)->user);
}

/* The turn of a user, made if it is not there; NULL: no memory. */
static Turn *
find_turn(const char *user)
{
	Turn	   *made = calloc(1, sizeof(Turn));
	Turn	  **found;
	int			i;

	if (made == NULL)
		return NULL;
	made->user = strdup(user == NULL ? "" : user);
	found = made->user == NULL ? NULL : tsearch(made, &turns, compare_turns);
	if (found == NULL || *found != made)
	{
		free(made->user);
		free(made);
		return found == NULL ? NULL : *found;
	}
	for (i = 0; i < LANES; i++)
		TAILQ_INIT(&made->jobs[i]);
	return made;
}

/* One job less; the turn may be gone afterwards. */
static void
leave_turn(Job *job)
{
	Turn	   *turn = job->turn;

	job->turn = NULL;
	if (--turn->count > 0)
		return;
	tdelete(turn, &turns, compare_turns);
	free(turn->user);
	free(turn);
}

/* How many places a job takes: maintenance takes none. */
static void
count_place(const Job *job, int change)
{
	if (job->is_login)
		login_count += change;
	else if (job->is_woken)
		woken_count += change;
	else if (job->kind != JOB_MAINTAIN)
		ready_count += change;
}

static void
add_to_turn(Job *job, bool first)
{
	Lane		lane = lane_of(job);
	Turn	   *turn = job->turn;

	if (first)
	{
		if (!TAILQ_EMPTY(&turn->jobs[lane]))
			TAILQ_REMOVE(&rings[lane], turn, link[lane]);
		TAILQ_INSERT_HEAD(&rings[lane], turn, link[lane]);
	}
	else if (TAILQ_EMPTY(&turn->jobs[lane]))
		TAILQ_INSERT_TAIL(&rings[lane], turn, link[lane]);
	if (first)
		TAILQ_INSERT_HEAD(&turn->jobs[lane], job, link);
	else
		TAILQ_INSERT_TAIL(&turn->jobs[lane], job, link);
	job->place = PLACE_QUEUED;
	count_place(job, 1);
}

/* Take a queued job out of its list. */
static void
remove_from_turn(Job *job)
{
	Lane		lane = lane_of(job);
	Turn	   *turn = job->turn;

	TAILQ_REMOVE(&turn->jobs[lane], job, link);
	count_place(job, -1);
	if (TAILQ_EMPTY(&turn->jobs[lane]))
		TAILQ_REMOVE(&rings[lane], turn, link[lane]);
}

/* ---------- putting jobs in ---------- */

static bool
put(Job *job)
{
	job->turn = find_turn(job->user);
	if (job->turn == NULL)
		return false;
	job->turn->count++;
	job->abandoned = job->cancel_sent = job->is_alone = false;
	job->is_grouped = job->is_member = false;
	add_to_turn(job, false);
	pthread_cond_signal(&jobs_changed);
	pthread_cond_signal(&keeper_wanted);
	return true;
}

/*
 * Queue a job.  False: "length" jobs wait already, the gateway is stopping, or
 * there is no memory.
 */
bool
queue_put(Job *job, int length)
{
	bool		accepted;

	pthread_mutex_lock(&lock);
	job->is_woken = false;
	accepted = !stopping && ready_count < length && put(job);
	pthread_mutex_unlock(&lock);
	return accepted;
}

/*
 * Queue a pull that has waited.  False: the gateway is stopping, or there is no
 * memory.
 */
bool
queue_put_woken(Job *job)
{
	bool		accepted;

	pthread_mutex_lock(&lock);
	job->is_woken = true;
	accepted = !stopping && put(job);
	pthread_mutex_unlock(&lock);
	return accepted;
}

/*
 * Queue a job that checks a password.  At most "most" of them run at a time.
 * False as in queue_put.
 */
bool
queue_put_login(Job *job, int length, int at_a_time)
{
	bool		accepted;

	pthread_mutex_lock(&lock);
	most[LANE_LOGINS] = at_a_time;
	accepted = !stopping && login_count < length && put(job);
	pthread_mutex_unlock(&lock);
	return accepted;
}

/* A job that was taken no longer runs. */
static void
end_run(Job *job)
{
	Lane		lane = lane_of(job);

	TAILQ_REMOVE(&under_way, job, link);
	if (!job->is_member)
		running[lane]--;
	job->turn->running[lane]--;
	if (job->is_grouped)
		job->turn->in_group = false;
	job->is_grouped = job->is_member = false;
	/* a thread may have found that all it could take were at their bounds */
	pthread_cond_signal(&jobs_changed);
}

/* A job that was taken has been run. */
void
queue_done(Job *job)
{
	pthread_mutex_lock(&lock);
	end_run(job);
	leave_turn(job);
	job->place = PLACE_NOWHERE;
	pthread_mutex_unlock(&lock);
}

/* Put a job back that was taken, to the front and even if there is no room. */
void
queue_put_back(Job *job)
{
	pthread_mutex_lock(&lock);
	end_run(job);
	add_to_turn(job, true);
	pthread_mutex_unlock(&lock);
}

/* ---------- taking jobs out ---------- */

/* Do as many jobs run in this lane as may? */
static bool
lane_is_full(Lane lane)
{
	if (running[lane] >= most[lane])
		return true;
	return (lane == LANE_READS || lane == LANE_CHECKS || lane == LANE_WOKEN) &&
		running[LANE_READS] + running[LANE_CHECKS] + running[LANE_WOKEN] >=
		most[LANE_READS];
}

/* May one more job of this user run in this lane? */
static bool
turn_is_free(const Turn *turn, Lane lane)
{
	int			user_most = connections > 1 ? connections - 1 : 1;
	int			lane_most = lane == LANE_READS && most[lane] > 1 ?
	most[lane] - 1 : most[lane];
	int			all = 0;
	int			i;

	if (lane == LANE_CHECKS)
		lane_most = 1;

	/*
	 * As the gateway stops, a waiting pull may have to ask once more while a
	 * push of the same user waits for a lock.  No requests come any more, so
	 * there is nobody to keep a connection for.
	 */
	if (maintenance_ended)
		user_most = connections;
	for (i = 0; i < LANES; i++)
		all += turn->running[i];
	if (lane == LANE_WRITES && turn->in_group)
		return false;
	return all < user_most && turn->running[lane] < lane_most;
}

/* Take a turn's first job, and let other users have theirs. */
static Job *
take_first(Turn *turn, Lane lane)
{
	Job		   *job = TAILQ_FIRST(&turn->jobs[lane]);

	remove_from_turn(job);
	if (!TAILQ_EMPTY(&turn->jobs[lane]))
	{
		TAILQ_REMOVE(&rings[lane], turn, link[lane]);
		TAILQ_INSERT_TAIL(&rings[lane], turn, link[lane]);
	}
	return job;
}

/* The job whose turn it is in this lane; NULL: none may run. */
static Job *
next_in_lane(Lane lane)
{
	Turn	   *turn;

	if (lane_is_full(lane) && !stopping)
		return NULL;
	/* those that are passed over have a job running, so they are few */
	TAILQ_FOREACH(turn, &rings[lane], link[lane])
	{
		if (stopping || turn_is_free(turn, lane))
			return take_first(turn, lane);
	}
	return NULL;
}

/* A job that was taken out of its list runs from now on. */
static void
begin_run(Job *job)
{
	job->turn->running[lane_of(job)]++;
	job->place = PLACE_RUNNING;
	job->number = ++last_number;
	job->cancel_sent = false;
	TAILQ_INSERT_TAIL(&under_way, job, link);
}

/* The job whose turn it is, which runs from now on; NULL: there is none. */
static Job *
next_job(void)
{
	Job		   *job = NULL;
	Lane		lane;
	int			i;

	for (i = 0; i < LANES && job == NULL; i++)
	{
		lane = (Lane) ((next_lane + i) % LANES);
		job = next_in_lane(lane);
	}
	if (job != NULL)
		next_lane = (lane_of(job) + 1) % LANES;
	else
		return NULL;

	running[lane_of(job)]++;
	begin_run(job);
	return job;
}

/*
 * Wait for the next job; queue_done or queue_put_back end its run.
 * NULL: "until" has come, or the gateway stops.
 */
Job *
queue_take(int64_t until)
{
	Job		   *job;

	pthread_mutex_lock(&lock);
	for (;;)
	{
		struct timespec moment = clock_timespec(until);

		/* those that may not run wait for the end of a run */
		job = next_job();
		if (job != NULL || stopping || clock_now() >= until)
			break;
		pthread_cond_timedwait(&jobs_changed, &lock, &moment);
	}
	/* another thread may sleep although there is a job that it could take */
	if (job != NULL && (ready_count > 0 || login_count > 0 || woken_count > 0))
		pthread_cond_signal(&jobs_changed);
	pthread_mutex_unlock(&lock);
	return job;
}

/*
 * Pushes that wait, to be run in one transaction with a push that was taken: as
 * many as there are now, for none is waited for.  "jobs" has room for GROUP_MOST;
 * the first is the one that was taken.  1: it stays alone.
 */
int
queue_take_more(Job *first, Job **jobs, int64_t now)
{
	size_t		bytes = first->body_length;
	int			looked_at = 0;
	int			count = 1;
	Turn	   *turn;
	Turn	   *next;

	jobs[0] = first;
	if (!group_may_have(first, 0, now))
		return 1;
	pthread_mutex_lock(&lock);
	for (turn = TAILQ_FIRST(&rings[LANE_WRITES]);
		 turn != NULL && count < first->push_group && looked_at++ < MOST_LOOKED_AT;
		 turn = next)
	{
		next = TAILQ_NEXT(turn, link[LANE_WRITES]);
		if (turn == first->turn || !turn_is_free(turn, LANE_WRITES) ||
			!group_may_have(TAILQ_FIRST(&turn->jobs[LANE_WRITES]), bytes, now))
			continue;
		jobs[count] = take_first(turn, LANE_WRITES);
		jobs[count]->is_grouped = jobs[count]->is_member = true;
		turn->in_group = true;
		begin_run(jobs[count]);
		bytes += jobs[count++]->body_length;
	}
	if (count > 1)
		first->is_grouped = first->turn->in_group = true;
	pthread_mutex_unlock(&lock);
	return count;
}

/* ---------- ending jobs that are not run ---------- */

/* A queued job will not be run any more; the keeper finishes it. */
static void
end_job(Job *job)
{
	remove_from_turn(job);
	leave_turn(job);
	job->place = PLACE_ENDED;
	TAILQ_INSERT_TAIL(&ended, job, link);
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
	if (job->place == PLACE_QUEUED)
	{
		end_job(job);
		failure_try_again(&job->failure, "the client has gone");
		pthread_cond_signal(&keeper_wanted);
	}
	else if (job->place == PLACE_RUNNING)
	{
		job->abandoned = true;
		pthread_cond_signal(&cancel_wanted);
	}
	pthread_mutex_unlock(&lock);
	return here;
}

/* Has the client of a running job gone? */
bool
queue_is_abandoned(Job *job)
{
	bool		result;

	pthread_mutex_lock(&lock);
	result = job->abandoned;
	pthread_mutex_unlock(&lock);
	return result;
}

/*
 * Wait for a run that must be cancelled because its job was abandoned, and
 * return its number; 0: the gateway stops.
 */
uint64_t
queue_take_abandoned(void)
{
	uint64_t	number = 0;
	Job		   *job;

	pthread_mutex_lock(&lock);
	while (number == 0 && !stopping)
	{
		TAILQ_FOREACH(job, &under_way, link)
		{
			if (job->abandoned && !job->cancel_sent)
			{
				job->cancel_sent = true;
				number = job->number;
				break;
			}
		}
		if (number == 0)
			pthread_cond_wait(&cancel_wanted, &lock);
	}
	pthread_mutex_unlock(&lock);
	return number;
}

/* End queued jobs of a lane whose deadline has passed. */
static void
end_late_jobs(Lane lane, int64_t now)
{
	Turn	   *turn;
	Turn	   *next_turn;
	Job		   *job;
	Job		   *next;

	for (turn = TAILQ_FIRST(&rings[lane]); turn != NULL; turn = next_turn)
	{
		next_turn = TAILQ_NEXT(turn, link[lane]);
		turn->count++;			/* it must outlive its last job */
		for (job = TAILQ_FIRST(&turn->jobs[lane]); job != NULL; job = next)
		{
			next = TAILQ_NEXT(job, link);
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
		}
		if (--turn->count == 0)
		{
			tdelete(turn, &turns, compare_turns);
			free(turn->user);
			free(turn);
		}
	}
}

/* End what must not be run any more; under the lock. */
static void
end_jobs(int64_t now)
{
	int			i;

	for (i = 0; i < LANES; i++)
		end_late_jobs((Lane) i, now);
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
		if (turns == NULL)
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

/* How many jobs wait for a thread? */
int
queue_count(void)
{
	int			result;

	pthread_mutex_lock(&lock);
	result = ready_count + login_count + woken_count;
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

/*
 * The first step of a stop: maintenance that has not begun does not begin, and
 * the connection that is kept from each user is there for all.
 */
void
queue_end_maintenance(void)
{
	pthread_mutex_lock(&lock);
	maintenance_ended = true;
	pthread_cond_broadcast(&jobs_changed);
	pthread_cond_signal(&keeper_wanted);
	pthread_mutex_unlock(&lock);
}

/* Accept no more jobs; those that wait are handed out without delay. */
void
queue_stop(void)
{
	pthread_mutex_lock(&lock);
	maintenance_ended = true;
	stopping = true;
	pthread_cond_broadcast(&jobs_changed);
	pthread_cond_broadcast(&stop_requested);
	pthread_cond_broadcast(&cancel_wanted);
	pthread_cond_signal(&keeper_wanted);
	pthread_mutex_unlock(&lock);
}

/* After the last job has been finished. */
void
queue_free(void)
{
	pthread_mutex_lock(&lock);
	keeper_ends = true;
	pthread_cond_signal(&keeper_wanted);
	pthread_mutex_unlock(&lock);
	pthread_join(keeper, NULL);
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
