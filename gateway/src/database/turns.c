/*-------------------------------------------------------------------------
 *
 * turns.c
 *	  Whose turn it is: jobs that are queued, by lane and user.
 *
 * There are six lanes: writes, reads, checks, which read all rows of a user,
 * logins, which check a password, sessions, which is what else needs no token,
 * the first steps of logins among it, and pulls that have waited for something to
 * come and are woken.  They take turns, and within a lane users take turns,
 * whatever number of jobs each of them has queued.  Reads, checks and those that
 * are woken never hold all connections, so that a push is taken while reads wait
 * for a lock or run long; nor does one user.  Of one user one check runs at a
 * time.
 *
 * Logins and sessions never hold all connections, either: a user is an address
 * there, and anybody may have as many addresses as he likes.
 *
 * Those that are woken hold half of the reads' connections at most: one change
 * of a shared table wakes everybody, and nobody else must be kept waiting for
 * them, however many they are.
 *
 *-------------------------------------------------------------------------
 */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "database/turns.h"

void
turns_init(Turns *turns, bool only_reads)
{
	int			i;

	memset(turns, 0, sizeof(Turns));
	turns->connections = 1;
	turns->only_reads = only_reads;
	for (i = 0; i < LANES; i++)
	{
		TAILQ_INIT(&turns->rings[i]);
		turns->most[i] = 1;
	}
}

/*
 * So many connections are up; reads and checks together leave one of them to
 * writes, checks leave half of them to reads, and sessions to all others.
 */
void
turns_set_connections(Turns *turns, int count)
{
	int			connections = count < 1 ? 1 : count;
	int		   *most = turns->most;

	turns->connections = connections;
	most[LANE_WRITES] = connections;
	most[LANE_READS] = connections > 1 ? connections - 1 : 1;
	if (turns->only_reads)
		most[LANE_READS] = connections;
	most[LANE_CHECKS] = connections > 3 ? connections / 2 : 1;
	most[LANE_SESSIONS] = connections > 3 ? connections / 2 : 1;
	most[LANE_WOKEN] = most[LANE_READS] > 1 ? most[LANE_READS] / 2 : 1;
}

Lane
turns_lane(const Job *job)
{
	if (job->is_login)
		return LANE_LOGINS;
	if (job->kind == JOB_DIGEST || (job->kind == JOB_KEYS && job->buckets != NULL))
		return LANE_CHECKS;
	if (job->is_woken)
		return LANE_WOKEN;
	if (job->kind == JOB_AUTH)
		return LANE_SESSIONS;
	return job->kind == JOB_PUSH || job->kind == JOB_MAINTAIN ? LANE_WRITES : LANE_READS;
}

/* ---------- users ---------- */

static int
compare_turns(const void *a, const void *b)
{
	return strcmp(((const Turn *) a)->user, ((const Turn *) b)->user);
}

/* The turn of a user, made if it is not there; NULL: no memory. */
static Turn *
find_turn(Turns *turns, const char *user)
{
	Turn	   *made = calloc(1, sizeof(Turn));
	Turn	  **found;
	int			i;

	if (made == NULL)
		return NULL;
	made->user = strdup(user == NULL ? "" : user);
	found = made->user == NULL ? NULL : tsearch(made, &turns->users, compare_turns);
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

/* How many jobs has this user here? */
int
turns_count(const Turns *turns, const char *user)
{
	const Turn	wanted = {.user = (char *) (user == NULL ? "" : user)};
	Turn	  **found = tfind(&wanted, &turns->users, compare_turns);

	return found == NULL ? 0 : (*found)->count;
}

/* The job is one of its user's from now on; false: no memory. */
bool
turns_join(Turns *turns, Job *job)
{
	job->turn = find_turn(turns, job->user);
	if (job->turn == NULL)
		return false;
	job->turn->count++;
	return true;
}

/* It is not to go with its last job. */
void
turns_keep(Turn *turn)
{
	turn->count++;
}

/* After turns_keep, or for a job that has left; it may be gone afterwards. */
void
turns_let_go(Turns *turns, Turn *turn)
{
	if (--turn->count > 0)
		return;
	tdelete(turn, &turns->users, compare_turns);
	free(turn->user);
	free(turn);
}

/* One job less. */
void
turns_leave(Turns *turns, Job *job)
{
	Turn	   *turn = job->turn;

	job->turn = NULL;
	turns_let_go(turns, turn);
}

/* ---------- queued jobs ---------- */

void
turns_add(Turns *turns, Job *job, bool first)
{
	Lane		lane = turns_lane(job);
	Turn	   *turn = job->turn;

	if (first)
	{
		if (!TAILQ_EMPTY(&turn->jobs[lane]))
			TAILQ_REMOVE(&turns->rings[lane], turn, link[lane]);
		TAILQ_INSERT_HEAD(&turns->rings[lane], turn, link[lane]);
	}
	else if (TAILQ_EMPTY(&turn->jobs[lane]))
		TAILQ_INSERT_TAIL(&turns->rings[lane], turn, link[lane]);
	if (first)
		TAILQ_INSERT_HEAD(&turn->jobs[lane], job, link);
	else
		TAILQ_INSERT_TAIL(&turn->jobs[lane], job, link);
}

/* Take a queued job out of its list. */
void
turns_remove(Turns *turns, Job *job)
{
	Lane		lane = turns_lane(job);
	Turn	   *turn = job->turn;

	TAILQ_REMOVE(&turn->jobs[lane], job, link);
	if (TAILQ_EMPTY(&turn->jobs[lane]))
		TAILQ_REMOVE(&turns->rings[lane], turn, link[lane]);
}

/* Do as many jobs run in this lane as may? */
static bool
lane_is_full(const Turns *turns, Lane lane)
{
	const int  *running = turns->running;

	if (running[lane] >= turns->most[lane])
		return true;
	if (lane == LANE_LOGINS || lane == LANE_SESSIONS)
		return turns->connections > 1 &&
			running[LANE_LOGINS] + running[LANE_SESSIONS] >= turns->connections - 1;
	return (lane == LANE_READS || lane == LANE_CHECKS || lane == LANE_WOKEN) &&
		running[LANE_READS] + running[LANE_CHECKS] + running[LANE_WOKEN] >=
		turns->most[LANE_READS];
}

/* May one more job of this user run in this lane? */
bool
turns_is_free(const Turns *turns, const Turn *turn, Lane lane, TurnsBounds bounds)
{
	int			connections = turns->connections;
	int			user_most = connections > 1 ? connections - 1 : 1;
	int			lane_most = lane == LANE_READS && turns->most[lane] > 1 ?
		turns->most[lane] - 1 : turns->most[lane];
	int			all = 0;
	int			i;

	if (lane == LANE_CHECKS)
		lane_most = 1;

	/*
	 * As the gateway stops, a waiting pull may have to ask once more while a
	 * push of the same user waits for a lock.  No requests come any more, so
	 * there is nobody to keep a connection for.
	 */
	if (bounds != BOUNDS_ALL)
		user_most = connections;
	for (i = 0; i < LANES; i++)
		all += turn->running[i];
	if (lane == LANE_WRITES && turn->in_group)
		return false;
	return all < user_most && turn->running[lane] < lane_most;
}

/* Take a turn's first job, and let other users have theirs. */
Job *
turns_take_first(Turns *turns, Turn *turn, Lane lane)
{
	Job		   *job = TAILQ_FIRST(&turn->jobs[lane]);

	turns_remove(turns, job);
	if (!TAILQ_EMPTY(&turn->jobs[lane]))
	{
		TAILQ_REMOVE(&turns->rings[lane], turn, link[lane]);
		TAILQ_INSERT_TAIL(&turns->rings[lane], turn, link[lane]);
	}
	return job;
}

/* The job whose turn it is in this lane; NULL: none may run. */
static Job *
next_in_lane(Turns *turns, Lane lane, TurnsBounds bounds)
{
	Turn	   *turn;

	if (lane_is_full(turns, lane) && bounds != BOUNDS_NONE)
		return NULL;
	/* those that are passed over have a job running, so they are few */
	TAILQ_FOREACH(turn, &turns->rings[lane], link[lane])
	{
		if (bounds == BOUNDS_NONE || turns_is_free(turns, turn, lane, bounds))
			return turns_take_first(turns, turn, lane);
	}
	return NULL;
}

/*
 * The job whose turn it is, which runs until turns_end_run; NULL: there is none
 * that may.
 */
Job *
turns_next(Turns *turns, TurnsBounds bounds)
{
	Job		   *job = NULL;
	Lane		lane;
	int			i;

	for (i = 0; i < LANES && job == NULL; i++)
	{
		lane = (Lane) ((turns->next_lane + i) % LANES);
		job = next_in_lane(turns, lane, bounds);
	}
	if (job == NULL)
		return NULL;
	lane = turns_lane(job);
	turns->next_lane = (lane + 1) % LANES;
	turns->running[lane]++;
	job->turn->running[lane]++;
	return job;
}

/*
 * A job that turns_next gave no longer runs, or one that joined a group: the
 * group holds one connection, which counts with its first push.
 */
void
turns_end_run(Turns *turns, Job *job)
{
	Lane		lane = turns_lane(job);

	if (!job->is_member)
		turns->running[lane]--;
	job->turn->running[lane]--;
	if (job->is_grouped)
		job->turn->in_group = false;
	job->is_grouped = job->is_member = false;
}
