/*-------------------------------------------------------------------------
 *
 * live.c
 *	  Waiting for changes: the book under its lock, the watcher's thread, and
 *	  one that ends waits.
 *
 * One connection looks for everybody, and only while somebody waits: at once
 * for those who want an answer, every few milliseconds for those who have time.
 * book.c decides whom a look answers or wakes; the owners are told without the
 * lock, so that they may sit down again.
 *
 * Without a look, because the database is away or EXECUTE was not granted,
 * nothing is remembered, and whoever waits asks the database every second.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "live/live.h"
#include "live/watcher.h"
#include "util/buffer.h"
#include "util/clock.h"
#include "util/log.h"

/* between looks, if nobody wants an answer at once */
#define SHORTEST_REST	(5 * CLOCK_MILLISECOND)
#define LONGEST_REST	(15 * CLOCK_MILLISECOND)

/* of a thread that has nothing to do */
#define LONGEST_SLEEP	(60 * CLOCK_SECOND)

/* how often a waiting request asks the database if there are no looks */
#define BLIND_INTERVAL	CLOCK_SECOND

/*
 * how often it asks if there are looks, for changes that have no entry in the
 * log; see docs/gateway.md
 */
#define ASK_INTERVAL	(10 * CLOCK_SECOND)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static pthread_cond_t ends_changed;
static pthread_t thread;
static pthread_t ender;
static Book *book;
static bool running = false;
static bool stopping = false;
static bool waits_ended = false;
static bool resting = false;	/* the thread waits on "changed" */
static int64_t next_look = 0;	/* the next look is not before this moment */
static int64_t rest = SHORTEST_REST;
static int	waiting_count = 0;	/* seats of requests that have time */
static struct SeatList left;	/* seats of requests that have gone */
static int64_t ends_at = 0;		/* when the ender looks next */
static uint64_t look_count = 0;
static uint64_t answered_count = 0;
static uint64_t woken_count = 0;

/* ---------- telling owners ---------- */

static LiveSeat *
owner_of(Seat *seat)
{
	return (LiveSeat *) ((char *) seat - offsetof(LiveSeat, seat));
}

/* Count what becomes of these.  Under the lock. */
static void
note_done(struct SeatList *done)
{
	Seat	   *seat;

	TAILQ_FOREACH(seat, done, link)
	{
		if (seat->until != 0)
			waiting_count--;
		if (seat->outcome == SEAT_EMPTY)
			answered_count++;
		else
			woken_count++;
	}
}

/* Tell the owners, who may sit down again at once.  Without the lock. */
static void
tell(struct SeatList *done, bool have_gone)
{
	Seat	   *seat;

	while ((seat = TAILQ_FIRST(done)) != NULL)
	{
		LiveSeat   *live = owner_of(seat);

		TAILQ_REMOVE(done, seat, link);
		live->outcome = have_gone ? LIVE_GONE :
			seat->outcome == SEAT_EMPTY ? LIVE_EMPTY : LIVE_ASK;
		live->finished(live);
	}
}

/*
 * Tell the owners of seats that are done.  Under the lock, which is given up.
 */
static void
finish(struct SeatList *done)
{
	if (TAILQ_EMPTY(done))
		return;
	note_done(done);
	pthread_mutex_unlock(&lock);
	tell(done, false);
	pthread_mutex_lock(&lock);
}

/* ---------- the watcher's thread ---------- */

/* When a look has found something, more is likely to come soon. */
static void
set_rest(bool found)
{
	rest = found ? SHORTEST_REST : rest + CLOCK_MILLISECOND;
	if (rest > LONGEST_REST)
		rest = LONGEST_REST;
	next_look = clock_now() + rest;
}

/* One look.  Under the lock, which is given up meanwhile. */
static void
look_once(void)
{
	struct SeatList done = TAILQ_HEAD_INITIALIZER(done);
	Look		look;
	int64_t		retry_at = 0;
	bool		good;

	pthread_mutex_unlock(&lock);
	good = watcher_connect(&retry_at);
	pthread_mutex_lock(&lock);
	if (!good)
	{
		book_forget(book, &done);
		next_look = retry_at;
		finish(&done);
		return;
	}

	book_begin_look(book);
	look_count++;
	pthread_mutex_unlock(&lock);
	good = watcher_look(&look, &retry_at);
	pthread_mutex_lock(&lock);
	if (good)
	{
		book_end_look(book, &look, clock_now(), &done);
		set_rest(look.name_count > 0 || !look.known);
		watcher_free_look(&look);
	}
	else
	{
		book_forget(book, &done);
		next_look = retry_at;
	}
	finish(&done);
}

/* Is it time for a look?  If not, "wake" is lowered to that time. */
static bool
look_is_due(int64_t now, int64_t *wake)
{
	/* if no look counts yet, one is needed before anybody waits */
	bool		works = book_last_look(book) != 0;

	if (works && book_wants_look_at_once(book))
		return true;
	if (works && !book_wants_looks(book))
		return false;
	if (next_look <= now)
		return true;
	if (next_look < *wake)
		*wake = next_look;
	return false;
}

static void *
watch(void *unused)
{
	(void) unused;
	pthread_mutex_lock(&lock);
	while (!stopping)
	{
		int64_t		now = clock_now();
		int64_t		wake = now + LONGEST_SLEEP;
		struct timespec moment;

		if (look_is_due(now, &wake))
		{
			look_once();
			continue;
		}
		moment = clock_timespec(wake);
		resting = true;
		pthread_cond_timedwait(&changed, &lock, &moment);
		resting = false;
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* ---------- the thread that ends waits ---------- */

/*
 * A look, or an attempt to connect, may hang as the server does.  So another
 * thread ends what must not wait any more.
 */
static void *
end_waits(void *unused)
{
	struct SeatList done = TAILQ_HEAD_INITIALIZER(done);

	(void) unused;
	pthread_mutex_lock(&lock);
	while (!stopping)
	{
		int64_t		now = clock_now();
		struct timespec moment;

		book_expire(book, now, &done);
		finish(&done);
		if (!TAILQ_EMPTY(&left))
		{
			TAILQ_CONCAT(&done, &left, link);
			pthread_mutex_unlock(&lock);
			tell(&done, true);
			pthread_mutex_lock(&lock);
			/* more may have left meanwhile, without waking us */
			continue;
		}
		ends_at = now + LONGEST_SLEEP;
		if (book_next_due(book) < ends_at)
			ends_at = book_next_due(book);
		moment = clock_timespec(ends_at);
		pthread_cond_timedwait(&ends_changed, &lock, &moment);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* Somebody has sat down.  Under the lock. */
static void
wake_threads(void)
{
	if (resting)
		pthread_cond_signal(&changed);
	if (book_next_due(book) < ends_at)
		pthread_cond_signal(&ends_changed);
}

/* False: there is no memory or no thread. */
bool
live_start(const char *conninfo)
{
	clock_init_condition(&changed);
	clock_init_condition(&ends_changed);
	TAILQ_INIT(&left);
	book = book_create(0);
	running = book != NULL && watcher_create(conninfo) &&
		pthread_create(&thread, NULL, watch, NULL) == 0 &&
		pthread_create(&ender, NULL, end_waits, NULL) == 0;
	return running;
}

/*
 * The first step of a stop: nobody waits any more, and everybody gets an
 * answer.
 */
void
live_end_waits(void)
{
	struct SeatList done = TAILQ_HEAD_INITIALIZER(done);

	pthread_mutex_lock(&lock);
	waits_ended = true;
	book_empty(book, &done);
	finish(&done);
	pthread_mutex_unlock(&lock);
}

/* After the last request has ended. */
void
live_stop(void)
{
	if (!running)
		return;
	pthread_mutex_lock(&lock);
	stopping = true;
	pthread_cond_signal(&changed);
	pthread_cond_signal(&ends_changed);
	pthread_mutex_unlock(&lock);
	pthread_join(thread, NULL);
	pthread_join(ender, NULL);
	watcher_close();
	book_free(book);
	running = false;
}

/* The settings have been read again; from any thread. */
void
live_reconnect(void)
{
	watcher_reconnect();
}

/* ---------- polls ---------- */

static void
add_part(Buffer *buffer, const char *part)
{
	size_t		length = part == NULL ? SIZE_MAX : strlen(part);

	/*
	 * with its length before it, so that no two lists of parts have the same
	 * bytes
	 */
	buffer_append(buffer, &length, sizeof(length));
	if (part != NULL)
		buffer_append(buffer, part, length);
}

/* False: there is no memory. */
bool
live_key(const PollParts *parts, unsigned char *key)
{
	Buffer		buffer = {0};
	unsigned int length = 0;
	bool		good;

	add_part(&buffer, parts->cursor);
	add_part(&buffer, parts->claims);
	add_part(&buffer, parts->role);
	add_part(&buffer, parts->scopes);
	add_part(&buffer, parts->entity_types);
	add_part(&buffer, parts->acks);
	add_part(&buffer, parts->client_id);
	good = !buffer.failed &&
		EVP_Digest(buffer.data, buffer.length, key, &length, EVP_sha256(), NULL) == 1 &&
		length == BOOK_KEY_SIZE;
	buffer_free(&buffer);
	return good;
}

/*
 * The last look that is complete.  Ask before a pull is queued. 0: no look
 * counts.
 */
uint64_t
live_last_look(void)
{
	uint64_t	result;

	pthread_mutex_lock(&lock);
	result = book_last_look(book);
	pthread_mutex_unlock(&lock);
	return result;
}

/* Under the lock. */
static bool
is_full(const Settings *settings)
{
	return waiting_count >= settings->max_waiting;
}

/* Sit down, if there is room; under the lock. */
static LiveSat
sit(const unsigned char *key, LiveSeat *seat, bool is_poll,
	const Settings *settings)
{
	int64_t		now = clock_now();
	int64_t		until = seat->seat.until;
	bool		waits = until != 0;

	if (waits_ended)
		return LIVE_ENDED;
	if (waits && is_full(settings))
		return LIVE_FULL;
	if (key == NULL ?
		!book_sit_blind(book, &seat->seat, until < now + BLIND_INTERVAL ?
						until : now + BLIND_INTERVAL) :
		!book_sit(book, key, &seat->seat, is_poll, now))
		return LIVE_NOT_REMEMBERED;
	if (waits)
		waiting_count++;
	if (waits && !seat->said)
		log_event(LOG_DEBUG, "waiting", NULL);
	seat->said = true;
	wake_threads();
	return LIVE_SEATED;
}

/*
 * A poll has arrived: is it a remembered one?  Its owner has set seat.until to
 * the time up to which it may wait, or to 0.
 */
LiveSat
live_poll(const unsigned char *key, LiveSeat *seat, const Settings *settings)
{
	LiveSat		result = LIVE_NOT_REMEMBERED;

	if (settings->remembered_polls == 0)
		return result;
	pthread_mutex_lock(&lock);
	result = sit(key, seat, true, settings);
	pthread_mutex_unlock(&lock);
	return result;
}

/*
 * A pull has come to its end, and polls with this key go on from there.
 * "base" is what live_last_look() said before the pull was queued, at
 * "asked_at".
 */
void
live_remember(const unsigned char *key, PageAbout *about, uint64_t base,
			  int64_t asked_at, const Settings *settings)
{
	struct SeatList done = TAILQ_HEAD_INITIALIZER(done);
	int64_t		age = settings->max_grants_age;
	Trust		trust;

	if (!about->is_complete)
		return;
	if (about->by_function && settings->max_scopes_age < age)
		age = settings->max_scopes_age;
	age *= CLOCK_SECOND;
	trust.base = base;
	trust.poll_until = asked_at + age;
	trust.wait_until = clock_now() + (age > ASK_INTERVAL ? age : ASK_INTERVAL);
	trust.renew_at = asked_at + about->remember * CLOCK_SECOND;
	pthread_mutex_lock(&lock);
	book_set_most(book, settings->remembered_polls);
	book_remember(book, key, &about->interest, &trust, &done);
	finish(&done);
	pthread_mutex_unlock(&lock);
}

/* May one more wait, as things are?  For who has to know before it waits. */
bool
live_has_room(const Settings *settings)
{
	bool		result;

	pthread_mutex_lock(&lock);
	result = !is_full(settings);
	pthread_mutex_unlock(&lock);
	return result;
}

/* A pull that found nothing waits for more, after live_remember. */
LiveSat
live_wait(const unsigned char *key, LiveSeat *seat, const Settings *settings)
{
	LiveSat		result;

	pthread_mutex_lock(&lock);
	result = sit(key, seat, false, settings);
	pthread_mutex_unlock(&lock);
	return result;
}

/* Likewise, but nobody knows what it waits for. */
LiveSat
live_wait_blindly(LiveSeat *seat, const Settings *settings)
{
	LiveSat		result;

	pthread_mutex_lock(&lock);
	result = sit(NULL, seat, false, settings);
	pthread_mutex_unlock(&lock);
	return result;
}

/*
 * Nobody waits on this seat any more.  Its finished() is called soon all the
 * same.  False: that is being called already, or the seat was not taken.
 */
bool
live_abandon(LiveSeat *seat)
{
	bool		here;

	pthread_mutex_lock(&lock);
	here = book_leave(book, &seat->seat);
	if (here)
	{
		if (seat->seat.until != 0)
			waiting_count--;
		TAILQ_INSERT_TAIL(&left, &seat->seat, link);
		pthread_cond_signal(&ends_changed);
	}
	pthread_mutex_unlock(&lock);
	return here;
}

void
live_count(LiveCounts *counts)
{
	pthread_mutex_lock(&lock);
	counts->waiting = waiting_count;
	counts->remembered = book_count_remembered(book);
	counts->looks = look_count;
	counts->answered = answered_count;
	counts->woken = woken_count;
	pthread_mutex_unlock(&lock);
}
