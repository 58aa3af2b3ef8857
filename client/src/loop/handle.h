/*
 * handle.h
 *	  A handle, for the files that implement tide.h.
 */
#ifndef TIDE_LOOP_HANDLE_H
#define TIDE_LOOP_HANDLE_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/engine.h"
#include "loop/http.h"
#include "tide.h"
#include "util/lock.h"

struct tide
{
	Engine		engine;
	sqlite3    *own;			/* a connection that we opened, or NULL */
	bool		set_up;
	Lock		lock;			/* held while a sync is under way */
	char		identity[LOCK_IDENTITY_SIZE];	/* of the file when it was
												 * opened */
	Http	   *http;			/* of the loop, NULL before the first */

	tide_token_source token_source;
	void	   *token_arg;

	/* the state as it was told last */
	tide_observer observer;
	void	   *observer_arg;
	int64_t		told_at;
	tide_state	told;
	Buffer		tables;			/* those that changed, as JSON */

	/*
	 * Other threads ask for a stop, a pause, or say that the network is back.
	 * The flags are looked at several times a second; what is behind the
	 * mutex says who is at work.
	 */
	atomic_bool stop;
	atomic_bool network_back;
	atomic_bool pause_asked;
	_Atomic int64_t pause_until;	/* monotonic */
	pthread_mutex_t mutex;
	pthread_cond_t changed;		/* working or paused did */
	bool		working;		/* a thread is in tide_run() or tide_watch() */
	bool		paused;
	int64_t		deadline;		/* of the requests on the way to a pause, 0:
								 * none */
};

/* Milliseconds since 1970, by the system's clock; and from anywhere, steadily. */
int64_t		tide_now(void);
int64_t		tide_steady(void);

/*
 * The loop
 */

/* Make what it needs; a code of enum tide_result. */
int			loop_prepare(tide *t);

/* Is this thread the one that works?  False if another is. */
bool		loop_enter(tide *t);
void		loop_leave(tide *t);

/*
 * One step: a request and its answer, or a wait.  *wait is then what for, else
 * -1.  An answer that ends the sync gives why.
 */
int			loop_step(tide *t, int *wait, int64_t *until);

/* One sync, as tide_run(); *stopped: by tide_stop(). */
int			loop_run(tide *t, bool *stopped);

/* Go on, if a resume says so and nobody has yet. */
int			loop_take_resume(tide *t);

/* A call that makes no sense: TIDE_USAGE, with words where there is a handle. */
int			loop_misuse(tide *t, const char *what);

/* Leave what is under way, and let others at the file. */
int			loop_abandon(tide *t);

/* Have a token that the server takes: TIDE_OK, or why there is none. */
int			loop_get_token(tide *t);

/* Push what is queued, if there is time, and pause; the handle's thread only. */
void		loop_pause(tide *t);

/* Tell the observer, at most five times a second but for the last of a sync. */
void		state_tell(tide *t, bool last);

#endif
