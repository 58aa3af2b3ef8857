/*
 * steps.h
 *	  What the files of the engine share: how a sync ends, and how it waits.
 */
#ifndef TIDE_ENGINE_STEPS_H
#define TIDE_ENGINE_STEPS_H

#include "engine/engine.h"

/* The state, in the file for other programs to see. */
bool		engine_set_state(Engine *e, const char *state);

/* End the sync for the failure that was just set; false, for `return`. */
bool		engine_give_up(Engine *e, int64_t now);

/*
 * After a failure: was it that the file was replaced by another one?  Then what
 * was asked for the one before is dropped, and that one is to be synced.
 */
bool		engine_begin_anew(Engine *e);

#define BATCH_ROWS 1000

/* The server is not there: later.  False, for `return`. */
bool		engine_come_back_later(Engine *e, int64_t now, const char *code,
								   const char *why);

/* The token is still that of the file's owner. */
bool		engine_check_owner(Engine *e);

/*
 * Waiting for news
 */

/* The request for news, if it is time for one. */
bool		listen_begin(Engine *e, int64_t now, bool *send, int *wait, int64_t *until);

/* A piece of a stream of events came in. */
void		listen_take_piece(Engine *e);

/* The answer to the request for news is complete, or was cut off. */
bool		listen_take_answer(Engine *e, int64_t now);
bool		listen_cut_off(Engine *e, int64_t now);

#endif
