/*-------------------------------------------------------------------------
 *
 * health.c
 *	  Does a server serve, where in the WAL is it, and when may it be tried again?
 *
 * All threads that want a connection to a server report here what came of it.
 * While there is none, they try one after the other, with growing pauses, and the
 * log gets a line only when the reason changes.
 *
 * One more thread looks at the server on a connection of its own, each second
 * and whenever somebody wants to know where it is.  /ready, and whether a replica
 * may have requests, are answered from what it has found out last: so at once,
 * whatever the others do.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database/health.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/settings.h"

#define FIRST_BACKOFF	(100 * CLOCK_MILLISECOND)
#define AWAY_BACKOFF	(2 * CLOCK_SECOND)	/* the longest */
#define REFUSED_BACKOFF (30 * CLOCK_SECOND) /* likewise; only people can mend
											 * this */

#define CHECK_INTERVAL	CLOCK_SECOND
#define CHECK_TIMEOUT	(3 * CLOCK_SECOND / 2)
#define DOUBT_INTERVAL	(CLOCK_SECOND / 20)

/* between looks, however many want one */
#define LOOK_INTERVAL	CLOCK_MILLISECOND
#define REPLAY_INTERVAL	(4 * CLOCK_MILLISECOND) /* while a replica catches up */

struct Health
{
	int			number;			/* of the replica; 0: the primary */
	HealthLooked looked;
	void	   *owner;
	atomic_int	generation;		/* connections of another are opened anew */
	atomic_int	reload;			/* likewise, if they can be had */
	pthread_mutex_t lock;		/* of all that follows */

	/* what came of the last attempt to connect */
	bool		known;
	OpenResult	state;
	char		logged[320];	/* the last line about a failure; empty: that
								 * is over */
	char		versions[128];	/* of the database that was connected last */

	/* attempts while there is no connection */
	bool		attempting;
	int64_t		next_attempt;
	int64_t		backoff;

	/* the thread that looks */
	pthread_t	checker;
	pthread_cond_t check_wanted;
	bool		checker_runs;
	bool		stopping;
	bool		doubted;
	bool		look_wanted;
	Connection *connection;
	int64_t		checked_at;		/* 0: never */
	OpenResult	checked;
	int64_t		silent_since;	/* since when it has been asked without an
								 * answer; 0: it has answered */
	bool		role_asked;		/* what it lacks, since the server was last
								 * out of reach */
};

/* of the primary's database, once it is known; replicas must be of the same */
static pthread_mutex_t identity_lock = PTHREAD_MUTEX_INITIALIZER;
static char primary_identity[64];

static const struct
{
	OpenResult	result;
	int			status;
	const char *code;
	const char *message;
	const char *hint;
	const char *event;
	const char *word;			/* of a replica */
}			texts[] = {

	{OPEN_AWAY, 503, "try_again", "the database is not available",
		"Is PostgreSQL running where its URL says? The gateway's log has the reason.",
	"database-away", "away"},
	{OPEN_REFUSED, 503, "not_ready", "the database refuses the gateway's login",
		"Do role and database of database-url exist, and is the password in the gateway's passfile "
		"the role's, and has the server room for another session? The gateway's log has PostgreSQL's words.",
	"database-refuses", "refused"},
	{OPEN_STANDBY, 503, "try_again",
		"the database is a standby, which takes no changes",
		"Let database-url name the primary, or all servers with target_session_attrs=read-write.",
	"database-is-standby", "standby"},
	{OPEN_PROMOTED, 503, "try_again", "the replica is no standby",
		"Let replica-url name a standby.",
	"replica-was-promoted", "promoted"},
	{OPEN_FOREIGN, 503, "not_ready", "the replica is of another database",
		"Let replica-url name a standby of the database of database-url.",
	"replica-is-foreign", "foreign"},
	{OPEN_UNFIT, 503, "not_ready",
		"this database has no pg_tide that the gateway can use",
		"CREATE EXTENSION pg_tide in the database of database-url, or ALTER EXTENSION pg_tide UPDATE. "
		"The gateway's log has the reason.",
	"database-unfit", "unfit"},
	{.message = NULL}
};

static int
find_text(OpenResult result)
{
	int			i = 0;

	while (texts[i + 1].message != NULL && texts[i].result != result)
		i++;
	return i;
}

/* Why a replica does not serve. */
const char *
health_word(OpenResult result)
{
	return result == OPEN_DONE ? "serving" : texts[find_text(result)].word;
}

static bool
set_failure(Failure *failure, OpenResult result)
{
	int			i = find_text(result);

	return failure_set(failure, texts[i].status, texts[i].code,
					   texts[i].message, texts[i].hint);
}

/* ---------- attempts to connect ---------- */

/*
 * May this thread try to connect now?  Then health_end_attempt() must follow.
 * False: it may try again at "next".
 */
bool
health_begin_attempt(Health *health, int64_t *next)
{
	int64_t		now = clock_now();
	bool		allowed;

	pthread_mutex_lock(&health->lock);
	allowed = !health->attempting && now >= health->next_attempt;
	if (allowed)
		health->attempting = true;
	else
		*next = health->attempting ? now + DOUBT_INTERVAL : health->next_attempt;
	pthread_mutex_unlock(&health->lock);
	return allowed;
}

/* Write a line to the log if there is news.  Under the lock. */
static void
log_change(Health *health, OpenResult result, const char *detail)
{
	char		line[320];
	char		number[16];
	const char *replica = health->number == 0 ? NULL : number;
	int			i = find_text(result);

	snprintf(number, sizeof(number), "%d", health->number);
	if (result == OPEN_DONE)
	{
		if (health->logged[0] != '\0' || strcmp(health->versions, detail) != 0)
			log_event(LOG_INFO, "connected", "versions", detail,
					  "replica", replica, NULL);
		snprintf(health->versions, sizeof(health->versions), "%s", detail);
		health->logged[0] = '\0';
		return;
	}
	snprintf(line, sizeof(line), "%s %s", texts[i].event, detail);
	if (strcmp(line, health->logged) == 0)
		return;
	snprintf(health->logged, sizeof(health->logged), "%s", line);
	log_event(result == OPEN_AWAY || result == OPEN_STANDBY ||
			  result == OPEN_PROMOTED ? LOG_WARNING : LOG_ERROR, "connect-failed",
			  "reason", texts[i].event, "message", detail,
			  "replica", replica, "hint", texts[i].hint, NULL);
}

/* Note what came of an attempt; under the lock. */
static void
note(Health *health, OpenResult result, const char *detail)
{
	int64_t		now = clock_now();
	int64_t		longest = result == OPEN_REFUSED ? REFUSED_BACKOFF : AWAY_BACKOFF;

	health->known = true;
	health->state = result;
	log_change(health, result, detail);
	if (result == OPEN_DONE)
	{
		health->backoff = FIRST_BACKOFF;
		health->next_attempt = 0;
		return;
	}
	/* several threads may lose their connections at the same moment */
	if (now < health->next_attempt)
		return;
	health->next_attempt = now + health->backoff / 2 + random() % health->backoff;
	health->backoff = health->backoff * 2 > longest ? longest : health->backoff * 2;
}

/* "detail" has versions, or the reason. */
void
health_end_attempt(Health *health, OpenResult result, const char *detail)
{
	pthread_mutex_lock(&health->lock);
	health->attempting = false;
	note(health, result, detail);
	pthread_mutex_unlock(&health->lock);
}

/* Note what came of an attempt that was not asked for here. */
void
health_opened(Health *health, OpenResult result, const char *detail)
{
	pthread_mutex_lock(&health->lock);
	note(health, result, detail);
	pthread_mutex_unlock(&health->lock);
}

/* Has the last attempt to connect failed?  Then the failure is set. */
bool
health_is_bad(Health *health, Failure *failure)
{
	bool		bad;

	pthread_mutex_lock(&health->lock);
	bad = health->known && health->state != OPEN_DONE;
	if (bad)
		set_failure(failure, health->state);
	pthread_mutex_unlock(&health->lock);
	return bad;
}

/* The threads' connections are opened anew once this is another number. */
int
health_generation(Health *health)
{
	return health->generation;
}

int
health_reload_number(Health *health)
{
	return health->reload;
}

/* Open all connections anew, each before its next job, as long as that succeeds. */
void
health_reload(Health *health)
{
	health->reload++;
}

/* Use no connection on that is there: the server is another one now. */
void
health_reconnect(Health *health)
{
	health->generation++;
}

/*
 * A role that lacks a privilege gets replies without rows, not errors: whoever
 * sets a gateway up reads here what is missing.  That it cannot be asked is no
 * news: requests will say so.
 */
static void
log_what_role_lacks(Health *health)
{
	const Settings *settings = settings_acquire();
	char	   *lacks = NULL;
	char		detail[256];
	OpenResult	result;

	result = connection_ask(health->connection, NULL,
							"SELECT pg_catalog.string_agg(pg_catalog.format('%s: %s. %s', c.object, c.problem, c.hint), ' ')"
							" FROM tide.check($1) AS c WHERE c.severity OPERATOR(pg_catalog.=) 'error'",
							settings->default_role, clock_now() + CHECK_TIMEOUT, &lacks, 1,
							detail, sizeof(detail));
	if (lacks != NULL)
		log_event(LOG_WARNING, "role-lacks", "role", settings->default_role,
				  "message", lacks, NULL);
	/* what comes late would be taken for the answer to the next question */
	if (result == OPEN_AWAY)
		connection_close(health->connection);
	free(lacks);
	settings_release(settings);
}

/* ---------- the thread that looks ---------- */

/* A replica of another database would tell clients to start over. */
static OpenResult
compare_identity(const Health *health, char *detail, size_t detail_size)
{
	const char *identity = connection_identity(health->connection);
	OpenResult	result = OPEN_DONE;

	pthread_mutex_lock(&identity_lock);
	if (health->number == 0)
		snprintf(primary_identity, sizeof(primary_identity), "%s", identity);
	else if (primary_identity[0] != '\0' && strcmp(primary_identity, identity) != 0)
	{
		snprintf(detail, detail_size, "the replica is of another database than the primary");
		result = OPEN_FOREIGN;
	}
	pthread_mutex_unlock(&identity_lock);
	return result;
}

/* Open the connection, if others do not try just now. */
static OpenResult
open_connection(Health *health)
{
	char		detail[256];
	int64_t		next = 0;
	OpenResult	result;

	if (!health_begin_attempt(health, &next))
	{
		Failure		failure;

		return health_is_bad(health, &failure) ? health->state : OPEN_AWAY;
	}
	result = connection_open(health->connection, detail, sizeof(detail));
	if (result == OPEN_DONE)
		result = compare_identity(health, detail, sizeof(detail));
	if (result != OPEN_DONE)
		connection_close(health->connection);
	health_end_attempt(health, result, detail);
	if (result != OPEN_DONE)
		health->role_asked = false;
	else if (health->number == 0 && !health->role_asked)
	{
		/* once, because it ends the connection where it takes too long */
		health->role_asked = true;
		log_what_role_lacks(health);
	}
	return result;
}

/* What the thread finds out now; in full, or only where the server is. */
static OpenResult
check(Health *health, bool in_full)
{
	Connection *connection = health->connection;
	char		detail[256];
	OpenResult	result;

	if (!connection_is_alive(connection))
		return open_connection(health);
	result = in_full ?
		connection_check(connection, CHECK_TIMEOUT, detail, sizeof(detail)) :
		connection_look(connection, CHECK_TIMEOUT, detail, sizeof(detail));
	if (result == OPEN_DONE && in_full)
		result = compare_identity(health, detail, sizeof(detail));
	if (result != OPEN_DONE)
	{
		connection_close(connection);
		health->role_asked = false;
	}
	/* the others have yet to see it */
	if (result != OPEN_DONE && result != OPEN_AWAY)
	{
		health_reconnect(health);
		health_opened(health, result, detail);
	}
	return result;
}

/* One look and what follows from it; true: somebody waits for the next. */
static bool
look_once(Health *health, bool in_full)
{
	Replay		seen = {.since = clock_now()};
	OpenResult	result;
	bool		good;

	pthread_mutex_lock(&health->lock);
	if (health->silent_since == 0)
		health->silent_since = seen.since;
	pthread_mutex_unlock(&health->lock);
	result = check(health, in_full);
	good = result == OPEN_DONE;

	pthread_mutex_lock(&health->lock);
	health->checked = result;
	health->checked_at = clock_now();
	if (good)
		health->silent_since = 0;
	pthread_mutex_unlock(&health->lock);
	if (good)
	{
		seen.position = connection_position(health->connection);
		snprintf(seen.server, sizeof(seen.server), "%s",
				 connection_server(health->connection));
	}
	return health->looked(health->owner, result, &seen,
						  connection_timeline(health->connection));
}

/* Rest until the next look is due or wanted; under the lock. */
static void
rest(Health *health, int64_t next_check, bool more)
{
	int64_t		looked_at = health->checked_at;
	int64_t		until = more && health->number != 0 ?
		looked_at + REPLAY_INTERVAL : next_check;
	struct timespec moment;

	while (!health->stopping && !health->doubted && clock_now() < until)
	{
		if ((health->look_wanted || (more && health->number == 0)) &&
			until > looked_at + LOOK_INTERVAL)
			until = looked_at + LOOK_INTERVAL;
		moment = clock_timespec(until);
		pthread_cond_timedwait(&health->check_wanted, &health->lock, &moment);
	}
}

static void *
check_main(void *argument)
{
	Health	   *health = argument;
	int64_t		next_check = 0;
	bool		in_full;
	bool		more;

	pthread_mutex_lock(&health->lock);
	while (!health->stopping)
	{
		in_full = health->doubted || health->checked != OPEN_DONE ||
			clock_now() >= next_check;
		health->doubted = health->look_wanted = false;
		pthread_mutex_unlock(&health->lock);
		more = look_once(health, in_full);
		pthread_mutex_lock(&health->lock);
		if (health->checked != OPEN_DONE)
		{
			/* attempts have pauses of their own */
			next_check = health->checked_at + DOUBT_INTERVAL;
			more = health->look_wanted = false;
		}
		else if (in_full)
			next_check = health->checked_at + CHECK_INTERVAL;
		rest(health, next_check, more);
	}
	pthread_mutex_unlock(&health->lock);
	connection_close(health->connection);
	return NULL;
}

/* NULL: no memory. */
Health *
health_create(const char *conninfo, int number, HealthLooked looked, void *owner)
{
	Health	   *health = calloc(1, sizeof(Health));

	if (health == NULL)
		return NULL;
	health->number = number;
	health->looked = looked;
	health->owner = owner;
	health->state = health->checked = OPEN_AWAY;
	health->backoff = FIRST_BACKOFF;
	pthread_mutex_init(&health->lock, NULL);
	clock_init_condition(&health->check_wanted);
	health->connection = connection_create(conninfo, number != 0,
										   "tide-gateway-ready");
	if (health->connection == NULL)
	{
		free(health);
		return NULL;
	}
	return health;
}

/* False: there is no thread. */
bool
health_start(Health *health)
{
	health->checker_runs =
		pthread_create(&health->checker, NULL, check_main, health) == 0;
	return health->checker_runs;
}

/* Under the lock: is what was found out still believed? */
static bool
is_certain(const Health *health)
{
	return health->checked_at != 0 && !health->doubted &&
		clock_now() < health->checked_at + HEALTH_STALE;
}

/* Did the database serve at the last check?  Otherwise the failure is set. */
bool
health_check(Health *health, Failure *failure)
{
	bool		good;

	pthread_mutex_lock(&health->lock);
	good = is_certain(health) && health->checked == OPEN_DONE;
	if (!good)
		set_failure(failure, health->checked == OPEN_DONE ? OPEN_AWAY : health->checked);
	pthread_mutex_unlock(&health->lock);
	return good;
}

/* What was found out last; a server that does not answer any more is away. */
OpenResult
health_state(Health *health)
{
	OpenResult	result;

	pthread_mutex_lock(&health->lock);
	result = is_certain(health) || health->checked != OPEN_DONE ?
		health->checked : OPEN_AWAY;
	pthread_mutex_unlock(&health->lock);
	return result;
}

bool
health_serves(Health *health)
{
	return health_state(health) == OPEN_DONE;
}

/*
 * Has it given no answer for so long that it is not slow, but away?  An attempt to
 * connect may hang as the server does, and its outcome come late.
 */
bool
health_hangs(Health *health)
{
	bool		result;

	pthread_mutex_lock(&health->lock);
	result = health->silent_since != 0 &&
		clock_now() >= health->silent_since + HEALTH_STALE;
	pthread_mutex_unlock(&health->lock);
	return result;
}

/* Had the thread that looks a session of its own, when it looked last? */
bool
health_has_session(Health *health)
{
	bool		result;

	pthread_mutex_lock(&health->lock);
	result = health->checked == OPEN_DONE;
	pthread_mutex_unlock(&health->lock);
	return result;
}

/* A connection was lost: what was found out may no longer be true. */
void
health_doubt(Health *health)
{
	pthread_mutex_lock(&health->lock);
	health->doubted = true;
	pthread_cond_signal(&health->check_wanted);
	pthread_mutex_unlock(&health->lock);
}

/* Somebody wants to know where the server is from now on. */
void
health_want_look(Health *health)
{
	pthread_mutex_lock(&health->lock);
	health->look_wanted = true;
	pthread_cond_signal(&health->check_wanted);
	pthread_mutex_unlock(&health->lock);
}

void
health_stop(Health *health)
{
	if (!health->checker_runs)
		return;
	pthread_mutex_lock(&health->lock);
	health->stopping = true;
	pthread_cond_signal(&health->check_wanted);
	pthread_mutex_unlock(&health->lock);
	pthread_join(health->checker, NULL);
	health->checker_runs = false;
}

/* After all threads have ended. */
void
health_free(Health *health)
{
	connection_free(health->connection);
	pthread_mutex_destroy(&health->lock);
	free(health);
}
