/*
 * watch.c
 *	  tide_watch(): sync whenever there is a reason, until told to stop; and how
 *	  other threads tell it.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "loop/handle.h"
#include "loop/link.h"

/* how long nothing is looked at: edits go within a second */
#define SLICE_MS 200
/* before a pause must be over, what SQLite is doing is interrupted */
#define INTERRUPT_MS 250
/* another syncer, or a writer, has the file */
#define BUSY_WAIT_MS 100
#define TOKEN_WAIT_MS 1000
/* tokens that are refused one after the other */
#define MOST_DOUBLINGS 4

static void
wait_for_reason(tide *t, int64_t until, int link)
{
	int64_t		now = tide_now();
	/* the clock may be set back meanwhile */
	int64_t		end = until == INT64_MAX ? until : tide_steady() + (until - now);

	while ((now = tide_now()) < until && tide_steady() < end && !atomic_load(&t->stop) &&
		   !atomic_load(&t->pause_asked) && !atomic_load(&t->network_back) &&
		   tide_is_due(t, now) == 0)
	{
		http_wait(t->http, until - now < SLICE_MS ? (int) (until - now) : SLICE_MS, link);
		if (link_is_up_again(link))
			tide_network_is_back(t);
		state_tell(t, false);
	}
}

static int
resume(tide *t)
{
	failure_clear(&t->engine.store.failure);
	return engine_resume(&t->engine) ? TIDE_OK : t->engine.store.failure.result;
}

/*
 * A thread that resumes while another works leaves it to that one, which may
 * have been ending.
 */
int
loop_take_resume(tide *t)
{
	bool		paused;

	pthread_mutex_lock(&t->mutex);
	paused = t->paused;
	pthread_mutex_unlock(&t->mutex);
	return paused || t->engine.store.db == NULL ? TIDE_OK : resume(t);
}

/* Until it is resumed, or all is to stop. */
static int
wait_for_resume(tide *t)
{
	int			code;

	pthread_mutex_lock(&t->mutex);
	while (t->paused && !atomic_load(&t->stop))
	{
		struct timespec end;

		clock_gettime(CLOCK_REALTIME, &end);
		end.tv_sec += (end.tv_nsec + SLICE_MS * 1000000L) / 1000000000L;
		end.tv_nsec = (end.tv_nsec + SLICE_MS * 1000000L) % 1000000000L;
		pthread_cond_timedwait(&t->changed, &t->mutex, &end);
	}
	pthread_mutex_unlock(&t->mutex);
	while ((code = resume(t)) == TIDE_BUSY && !atomic_load(&t->stop))
		http_wait(t->http, BUSY_WAIT_MS, -1);
	return code == TIDE_BUSY ? TIDE_OK : code;
}

/*
 * Get a token.  One that the server does not take is no reason to ask for the
 * next at once: there may be no other.
 */
static int
get_token(tide *t, int *refused)
{
	int64_t		end = tide_steady();
	int64_t		now;
	int			code;

	if (*refused > 0)
		end += t->engine.base << (*refused <= MOST_DOUBLINGS ? *refused - 1 : MOST_DOUBLINGS);
	while ((now = tide_steady()) < end && !atomic_load(&t->stop) &&
		   !atomic_load(&t->pause_asked) && !atomic_load(&t->network_back))
	{
		http_wait(t->http, end - now < SLICE_MS ? (int) (end - now) : SLICE_MS, -1);
		state_tell(t, false);
	}
	if (atomic_load(&t->stop) || atomic_load(&t->pause_asked))
		return TIDE_OK;
	code = loop_get_token(t);
	if (code == TIDE_OK)
		(*refused)++;
	return code;
}

/*
 * What a code means for a watch: whether it goes on.  A server that is away, or
 * a file that another program holds, is waited for.
 */
static int
judge(tide *t, int code, int *refused)
{
	if (code == TIDE_BUSY)
	{
		http_wait(t->http, BUSY_WAIT_MS, -1);
		return TIDE_OK;
	}
	if (code == TIDE_SIGNED_OUT)
	{
		code = get_token(t, refused);
		if (code != TIDE_OFFLINE)
			return code;
		/* the server that has the tokens is the one that is away */
		http_wait(t->http, TOKEN_WAIT_MS, -1);
		return TIDE_OK;
	}
	return code == TIDE_OFFLINE || code == TIDE_SOME_FAILED ? TIDE_OK : code;
}

static int
watch(tide *t, int link)
{
	Engine	   *e = &t->engine;
	int64_t		until;
	int			refused = 0;
	int			wait,
				code = loop_take_resume(t);

	if (code == TIDE_OK)
		code = tide_sync(t);
	while (code == TIDE_OK && !atomic_load(&t->stop))
	{
		if (atomic_load(&t->pause_asked))
		{
			loop_pause(t);
			code = wait_for_resume(t);
			continue;
		}
		code = loop_step(t, &wait, &until);
		if (code == TIDE_OK && wait == TIDE_FOR_TOKEN)
			code = TIDE_SIGNED_OUT;
		/* a sync was done: the token is good */
		else if (code == TIDE_OK && engine_is_idle(e) && e->result == TIDE_OK)
			refused = 0;
		if (code != TIDE_OK)
			code = judge(t, code, &refused);
		else if (wait == TIDE_FOR_RESUME)
			code = wait_for_resume(t);
		else if (wait != -1)
			wait_for_reason(t, until, link);
	}
	return code;
}

int
tide_watch(tide *t)
{
	int			code = t ? loop_prepare(t) : TIDE_USAGE;
	int			link;

	if (code != TIDE_OK)
		return code;
	if (!loop_enter(t))
		return TIDE_BUSY;
	link = link_open();
	t->engine.listening = true;
	code = watch(t, link);
	t->engine.listening = false;
	if (code == TIDE_OK)
		code = loop_abandon(t);
	link_close(link);
	/* it is done with; the next one goes on until it is stopped, too */
	atomic_store(&t->stop, false);
	loop_leave(t);
	state_tell(t, true);
	return code;
}

/*
 * A pause
 */

/* Only the push, and only until the deadline. */
static void
push_in_a_hurry(tide *t)
{
	int64_t		until;
	int			wait = -1;

	if (!engine_hurry(&t->engine))
		return;
	while (tide_steady() < t->deadline && !atomic_load(&t->stop) &&
		   loop_step(t, &wait, &until) == TIDE_OK && wait == -1)
		;
}

void
loop_pause(tide *t)
{
	Failure    *failure = &t->engine.store.failure;

	failure_clear(failure);
	t->deadline = atomic_load(&t->pause_until);
	push_in_a_hurry(t);
	t->deadline = 0;
	failure_clear(failure);
	/* a file that somebody else holds cannot be told, but all else is true */
	if (!engine_pause(&t->engine))
		engine_pause_untold(&t->engine);
	failure_clear(failure);
	lock_release(&t->lock);
	/* before the pause is announced: telling looks at the file */
	state_tell(t, true);
	pthread_mutex_lock(&t->mutex);
	t->paused = true;
	atomic_store(&t->pause_asked, false);
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->mutex);
}

/* Wait until the thread that works has paused, or it is over with. */
static bool
wait_for_pause(tide *t, int64_t end)
{
	struct timespec until;
	int64_t		interrupt = end - INTERRUPT_MS;
	int64_t		now;

	while (!t->paused && t->working && (now = tide_steady()) < end)
	{
		if (now >= interrupt)
			sqlite3_interrupt(t->engine.store.db);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += 10 * 1000000L;
		if (until.tv_nsec >= 1000000000L)
		{
			until.tv_sec++;
			until.tv_nsec -= 1000000000L;
		}
		pthread_cond_timedwait(&t->changed, &t->mutex, &until);
	}
	return t->paused;
}

int
tide_pause(tide *t, int64_t milliseconds)
{
	int64_t		end = tide_steady() + (milliseconds > 0 ? milliseconds : 0);
	bool		paused;

	if (t == NULL)
		return TIDE_USAGE;
	if (t->engine.store.db == NULL || !t->set_up)
		return TIDE_LOCAL;
	/* what remains is for leaving the file in order */
	atomic_store(&t->pause_until, end - (milliseconds > 2 * INTERRUPT_MS ? INTERRUPT_MS :
										 milliseconds / 2));
	pthread_mutex_lock(&t->mutex);
	if (t->working)
	{
		atomic_store(&t->pause_asked, true);
		http_wake(t->http);
		paused = wait_for_pause(t, end);
		if (!t->working)
			atomic_store(&t->pause_asked, false);
		pthread_mutex_unlock(&t->mutex);
		if (paused)
			return TIDE_OK;
	}
	else
		pthread_mutex_unlock(&t->mutex);
	/* no other thread is at work: the push is this one's */
	if (!loop_enter(t))
		return TIDE_BUSY;
	if (loop_prepare(t) == TIDE_OK)
		loop_pause(t);
	loop_leave(t);
	return t->paused ? TIDE_OK : TIDE_LOCAL;
}

int
tide_resume(tide *t)
{
	bool		working;

	if (t == NULL)
		return TIDE_USAGE;
	pthread_mutex_lock(&t->mutex);
	t->paused = false;
	working = t->working;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->mutex);
	atomic_store(&t->pause_asked, false);
	/* the thread that works resumes by itself, and syncs */
	return working ? TIDE_OK : resume(t);
}

void
tide_stop(tide *t)
{
	if (t)
		atomic_store(&t->stop, true);
}
