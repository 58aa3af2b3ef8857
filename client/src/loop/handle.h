/*
 * handle.h
 *	  A handle, for the files that implement tide.h.
 */
#ifndef TIDE_LOOP_HANDLE_H
#define TIDE_LOOP_HANDLE_H

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
	Http	   *http;			/* of tide_run(), NULL before the first */
	tide_progress progress;
	void	   *progress_arg;
	int64_t		progress_at;	/* when it was called last */
};

/* Milliseconds since 1970, by the system's clock. */
int64_t		tide_now(void);

#endif
