/*-------------------------------------------------------------------------
 *
 * database.c
 *	  The servers: which of them a job goes to, and what is known about them.
 *
 * There is one primary, for all that writes, and any number of replicas, hot
 * standbys of it, for reads.  A read that comes here is held at the replica that
 * has least to do, until the replica has replayed what the primary had when the
 * read came.  So it sees every push that was acknowledged before, whichever
 * gateway took it, as it would on the primary.  Where the primary is, and how
 * far a replica has come, is asked once for all that wait at that moment.
 *
 * What waits too long goes to the primary, and so does everything while no
 * replica is fit.  While there is no primary, a replica serves what cursor and
 * acks allow.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database/connection.h"
#include "database/database.h"
#include "database/held.h"
#include "database/lag.h"
#include "database/pool.h"
#include "util/clock.h"
#include "util/log.h"

typedef struct Replica
{
	Pool	   *pool;
	int			number;			/* counted from 1 */
	/* under the lock */
	Replay		replay;			/* how far it has come */
	uint32_t	timeline;		/* which that is on */
	bool		is_behind;		/* it gets no requests until it has caught up */
} Replica;

static Pool *primary;
static Replica *replicas = NULL;
static int	replica_count = 0;
static int64_t most_lag;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static LagBook lag_book;
static uint32_t primary_timeline = 0;	/* 0: there is no primary */
static int	next_replica = 0;	/* where the search for one begins */

/* ---------- what the looks bring ---------- */

/*
 * Under the lock.  A standby that was ahead of the one that took over has
 * replayed more, of a history that is lost: that counts for nothing.
 */
static uint64_t
replayed_of(const Replica *replica)
{
	return primary_timeline == 0 || replica->timeline == primary_timeline ?
		replica->replay.position : 0;
}

/*
 * A line when a replica falls behind, and when it has caught up; under the lock.
 * Of a primary that is away nobody knows how far it would be: what counts is the
 * moment when it was seen last.  What it had not sent then never comes.
 */
static void
judge_lag(Replica *replica)
{
	uint64_t	replayed = replayed_of(replica);
	int64_t		lag = lag_time(&lag_book, replayed, lag_book.seen);
	bool		is_behind = replayed == 0 ||
		(replica->is_behind ? lag > most_lag / 2 : lag > most_lag);
	char		number[16];
	char		seconds[32];

	if (is_behind == replica->is_behind)
		return;
	replica->is_behind = is_behind;
	snprintf(number, sizeof(number), "%d", replica->number);
	snprintf(seconds, sizeof(seconds), "%.1f", (double) lag / CLOCK_SECOND);
	log_event(is_behind ? LOG_WARNING : LOG_INFO,
			  is_behind ? "replica-behind" : "replica-caught-up",
			  "replica", number, "lag", seconds, NULL);
}

/* Queue what a replica need not keep waiting; true: it needs another look. */
static bool
release(Replica *replica)
{
	Replay		replay;

	pthread_mutex_lock(&lock);
	replay = replica->replay;
	replay.position = replayed_of(replica);
	pthread_mutex_unlock(&lock);
	return held_note_replayed(pool_queue(replica->pool), &replay);
}

/*
 * Is there no primary that could say where it is?  One that lets no more sessions
 * in, or is slow to, goes on with those that it has; above all, with that of the
 * thread that looks.
 */
static bool
primary_is_gone(void)
{
	Health	   *health = pool_health(primary);
	Failure		unused;
	bool		is_bad = health_is_bad(health, &unused);
	bool		hangs = health_hangs(health);

	if (health_has_session(health) && !hangs)
		return false;
	if (is_bad && health_state(health) != OPEN_REFUSED)
		return true;
	return (is_bad || hangs) && !pool_answers(primary);
}

/*
 * What waits at replicas, and came before "begun", knows now what it waits for.
 * True: others came later.
 */
static bool
tell_replicas(int64_t begun, uint64_t position)
{
	bool		more = false;
	int			i;

	for (i = 0; i < replica_count; i++)
	{
		more |= held_note_position(pool_queue(replicas[i].pool), begun, position);
		if (release(&replicas[i]))
			health_want_look(pool_health(replicas[i].pool));
	}
	return more;
}

/* Likewise, but there is no primary: all may be served as their cursors allow. */
static bool
let_replicas_serve(void)
{
	pthread_mutex_lock(&lock);
	primary_timeline = 0;
	pthread_mutex_unlock(&lock);
	return tell_replicas(clock_now(), TARGET_ANY);
}

/* The primary was looked at. */
static bool
primary_looked(void *unused, OpenResult result, const Replay *seen, uint32_t timeline)
{
	int			i;

	(void) unused;
	if (result == OPEN_DONE)
	{
		pthread_mutex_lock(&lock);
		lag_note(&lag_book, seen->since, seen->position);
		primary_timeline = timeline;
		pthread_mutex_unlock(&lock);
		return tell_replicas(seen->since, seen->position);
	}
	if (primary_is_gone())
		return let_replicas_serve();
	/* nobody can tell what a replica must have, and the primary serves */
	for (i = 0; i < replica_count && result == OPEN_REFUSED; i++)
		held_leave_all(pool_queue(replicas[i].pool), FALLBACK_NONE_SERVES);
	return false;
}

/* A replica was looked at. */
static bool
replica_looked(void *owner, OpenResult result, const Replay *seen, uint32_t timeline)
{
	Replica    *replica = owner;

	pthread_mutex_lock(&lock);
	replica->replay = *seen;
	replica->timeline = timeline;
	if (result == OPEN_DONE)
		judge_lag(replica);
	pthread_mutex_unlock(&lock);
	if (result == OPEN_DONE)
	{
		/* a look at a primary that hangs may end long after that is known */
		if (primary_is_gone())
			let_replicas_serve();
		return release(replica);
	}
	held_leave_all(pool_queue(replica->pool), FALLBACK_LOST);
	if (result == OPEN_AWAY)
		pool_cut(replica->pool);
	return false;
}

/* ---------- where a job goes ---------- */

static bool
is_fit(Replica *replica, bool may_be_behind)
{
	bool		is_behind;

	pthread_mutex_lock(&lock);
	is_behind = replica->is_behind;
	pthread_mutex_unlock(&lock);
	return (may_be_behind || !is_behind) && pool_connected(replica->pool) > 0 &&
		health_serves(pool_health(replica->pool));
}

/* The fit replica that has least to do; NULL: there is none. */
static Replica *
choose_replica(bool may_be_behind)
{
	Replica    *chosen = NULL;
	int			least = 0;
	int			start;
	int			i;

	pthread_mutex_lock(&lock);
	start = next_replica++;
	if (next_replica >= replica_count)
		next_replica = 0;
	pthread_mutex_unlock(&lock);
	for (i = 0; i < replica_count; i++)
	{
		Replica    *replica = &replicas[(start + i) % replica_count];
		int			jobs;

		if (!is_fit(replica, may_be_behind))
			continue;
		jobs = queue_count_of(pool_queue(replica->pool));
		if (chosen == NULL || jobs < least)
		{
			chosen = replica;
			least = jobs;
		}
	}
	return chosen;
}

/* Have a read held at a replica; false: it must go to the primary. */
static bool
put_at_replica(Job *job, const Settings *settings, bool is_woken)
{
	Replica    *replica = choose_replica(false);
	bool		is_gone = primary_is_gone();

	/* without the primary, one that is behind is better than none */
	if (replica == NULL && is_gone)
		replica = choose_replica(true);
	job->replica_wait = settings->replica_wait * CLOCK_MILLISECOND;
	if (replica == NULL)
	{
		held_count_fallback(FALLBACK_NONE_SERVES);
		return false;
	}
	if (!held_put(pool_queue(replica->pool), job, settings->queue_length, is_woken))
	{
		held_count_fallback(FALLBACK_BUSY);
		return false;
	}
	if (is_gone)
		let_replicas_serve();
	health_want_look(pool_health(primary));
	return true;
}

/*
 * Queue a job; "is_woken": a pull that has waited.  False: too many wait, the
 * gateway is stopping, or there is no memory.
 */
bool
database_put(Job *job, const Settings *settings, bool is_woken)
{
	job->may_be_stale = false;
	if (replica_count > 0 && pool_is_read(job) &&
		put_at_replica(job, settings, is_woken))
		return true;
	return queue_put(pool_queue(primary), job, settings->queue_length, is_woken);
}

/* Passwords leave at least one connection to the others, if there are two. */
bool
database_put_login(Job *job, const Settings *settings)
{
	int			most = settings->max_logins;

	if (most > settings->db_connections - 1)
		most = settings->db_connections - 1;
	return queue_put_login(pool_queue(primary), job, settings->queue_length,
						   most < 1 ? 1 : most);
}

bool
database_put_maintenance(Job *job)
{
	return queue_put(pool_queue(primary), job, QUEUE_UNBOUNDED, false);
}

/* ---------- start and stop ---------- */

static bool
create_replica(const Settings *settings, int index, char *problem,
			   size_t problem_size)
{
	const char *conninfo = settings->replica_urls.items[index];
	Replica    *replica = &replicas[index];
	char		number[16];
	char		server[128];

	if (!connection_check_conninfo("replica-url", conninfo, problem, problem_size))
		return false;
	replica->number = index + 1;
	replica->pool = pool_create(conninfo, index + 1, settings->replica_connections,
								primary, replica_looked, replica);
	if (replica->pool == NULL)
	{
		snprintf(problem, problem_size, "out of memory");
		return false;
	}
	connection_describe(conninfo, server, sizeof(server));
	snprintf(number, sizeof(number), "%d", index + 1);
	log_event(LOG_INFO, "replica", "replica", number, "server", server, NULL);
	return true;
}

/*
 * Start the threads, which connect by themselves.  It is no failure if a server
 * is away.
 */
bool
database_start(const Settings *settings, char *problem, size_t problem_size)
{
	int			count = settings->replica_urls.count;
	int			i;

	if (!connection_check_conninfo("database-url", settings->database_url,
								   problem, problem_size))
		return false;
	most_lag = settings->replica_max_lag * CLOCK_MILLISECOND;
	primary = pool_create(settings->database_url, 0, settings->db_connections,
						  NULL, primary_looked, NULL);
	replicas = calloc((size_t) count + 1, sizeof(Replica));
	if (primary == NULL || replicas == NULL)
	{
		snprintf(problem, problem_size, "out of memory");
		return false;
	}
	for (i = 0; i < count; i++)
	{
		if (!create_replica(settings, i, problem, problem_size))
			return false;
	}
	replica_count = count;
	for (i = 0; i < count; i++)
	{
		if (!pool_start(replicas[i].pool, problem, problem_size))
			return false;
	}
	return pool_start(primary, problem, problem_size);
}

/* Open all connections anew, each before its next job, as long as that succeeds. */
void
database_reconnect(void)
{
	int			i;

	health_reload(pool_health(primary));
	for (i = 0; i < replica_count; i++)
		health_reload(pool_health(replicas[i].pool));
}

/*
 * Wait for the threads to end; after queue_stop.  Looks at the primary release
 * jobs of replicas, and replicas leave theirs to it.
 */
void
database_stop(void)
{
	int			i;

	pool_end(primary);
	for (i = 0; i < replica_count; i++)
		pool_end(replicas[i].pool);
	for (i = 0; i < replica_count; i++)
		pool_free(replicas[i].pool);
	pool_free(primary);
	free(replicas);
	replicas = NULL;
	replica_count = 0;
}

/* Free the outcome of a job. */
void
database_free(Job *job)
{
	connection_free_result(job);
}

/* ---------- what is known ---------- */

/* How many threads have a connection to the primary? */
int
database_connected(void)
{
	return pool_connected(primary);
}

/*
 * Does the primary serve, and does it let those in who ask for clients?  Else the
 * failure is set.
 */
bool
database_is_ready(Failure *failure)
{
	Health	   *health = pool_health(primary);

	return health_check(health, failure) &&
		(pool_connected(primary) > 0 || !health_is_bad(health, failure));
}

int
database_replica_count(void)
{
	return replica_count;
}

/* "number" is counted from 1. */
void
database_report_replica(int number, ReplicaReport *report)
{
	Replica    *replica = &replicas[number - 1];
	OpenResult	result = health_state(pool_health(replica->pool));

	pthread_mutex_lock(&lock);
	report->state = result == OPEN_DONE && replica->is_behind ? "behind" :
		health_word(result);
	report->lag = (double) lag_time(&lag_book, replayed_of(replica), lag_book.seen) / CLOCK_SECOND;
	report->lag_bytes = lag_bytes(&lag_book, replayed_of(replica));
	/* where it is is not known, so neither is how far behind */
	if (replayed_of(replica) == 0)
	{
		report->lag = -1;
		report->lag_bytes = 0;
	}
	pthread_mutex_unlock(&lock);
	report->reads = pool_reads(replica->pool);
	report->connections = pool_connected(replica->pool);
}

uint64_t
database_primary_reads(void)
{
	return pool_reads(primary);
}

/* A JSON array, an element a replica, without names of servers. */
void
database_write_replicas(Buffer *json)
{
	ReplicaReport report;
	char		element[128];
	int			i;

	buffer_append_char(json, '[');
	for (i = 1; i <= replica_count; i++)
	{
		database_report_replica(i, &report);
		snprintf(element, sizeof(element),
				 "%s{\"replica\":%d,\"state\":\"%s\",\"lagSeconds\":",
				 i > 1 ? "," : "", i, report.state);
		buffer_append_text(json, element);
		snprintf(element, sizeof(element), "%.3f}", report.lag);
		buffer_append_text(json, report.lag < 0 ? "null}" : element);
	}
	buffer_append_char(json, ']');
}
