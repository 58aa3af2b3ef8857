/*
 * steps.h
 *	  What the files of the engine share: how a sync ends, and how it waits.
 */
#ifndef TIDE_ENGINE_STEPS_H
#define TIDE_ENGINE_STEPS_H

#include "engine/engine.h"
#include "store/apply.h"

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

/* The server did not take the token; false, for `return`. */
bool		engine_refuse_token(Engine *e);

/* The token is still that of the file's owner. */
bool		engine_check_owner(Engine *e);

/*
 * Streams
 */

/* What a page or some lines did. */
void		answer_count(Engine *e, const PageResult *page);
bool		answer_end_pull(Engine *e, int64_t now);
void		answer_taken(Engine *e);

/* Is the answer a stream, so far? */
bool		stream_is(const Engine *e);

/* Take what has come, if it is enough; all of it that has a cursor. */
bool		stream_take_piece(Engine *e);
bool		stream_take_rest(Engine *e);

/* The stream is complete. */
bool		stream_take_end(Engine *e, int64_t now);

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
