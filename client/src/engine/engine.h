/*
 * engine.h
 *	  One sync after another, as requests out and answers in.
 *
 * What has to survive is in the file; in memory are the phase, the request
 * that is out and the answer as it comes in.  A step is computed, written to
 * the file, and only then taken over in memory: a busy database or a kill at
 * any point means "call it again".
 */
#ifndef TIDE_ENGINE_ENGINE_H
#define TIDE_ENGINE_ENGINE_H

#include "store/freeze.h"
#include "store/settle.h"
#include "store/store.h"

typedef enum Phase
{
	PHASE_IDLE,
	PHASE_SCHEMA,
	PHASE_RESEND,				/* the batch that was never answered */
	PHASE_PULL,
	PHASE_PUSH,					/* edits never tried */
	PHASE_RETRY,				/* refused ones whose time has come */
	PHASE_FOLLOW				/* a pull of what the push caused */
} Phase;

/* what one sync has done */
typedef struct Tally
{
	int64_t		pulled;
	int64_t		pushed;
	int64_t		failed;
	int64_t		lost;
} Tally;

typedef struct Engine
{
	Store		store;
	Phase		phase;
	bool		asked;			/* a sync is to follow the one under way */
	int64_t		base;			/* of both schedules, milliseconds */

	/* who we are to the server */
	char	   *token;
	bool		token_refused;	/* the server did not take it */

	/* the request that is out, and its answer */
	bool		sent;
	bool		complete;		/* the answer is, and is not taken yet */
	Buffer		url;
	Buffer		headers;
	Buffer		body;
	Batch		batch;
	int			status;
	Buffer		answer;
	char		etag[256];
	int64_t		retry_after;	/* milliseconds, -1: not said */

	/* a server that does not answer */
	int64_t		failures;
	int64_t		next_try;

	/* the sync under way */
	int64_t		run;
	FreezeLimits limits;
	bool		from_start;		/* the pull began without a cursor */
	bool		schema_again;	/* a page had what the schema lacks */
	bool		take_unknown;
	bool		pushed_any;
	int			resyncs;
	Tally		tally;
	int			result;			/* of the last sync that finished */
	Failure		last;			/* why it ended so */
} Engine;

void		engine_init(Engine *e);
void		engine_free(Engine *e);

/* true: there is a request to be sent; false: wait, see *wait and *until */
bool		engine_next(Engine *e, int64_t now, bool *send, int *wait, int64_t *until);
bool		engine_begin_answer(Engine *e, int status, const char *headers);
bool		engine_add_answer(Engine *e, const void *data, size_t length);
bool		engine_end_answer(Engine *e, int64_t now);
bool		engine_no_answer(Engine *e, int64_t now, const char *why);

/* End the sync under way; the failure, if there is one, is told in the file. */
bool		engine_finish(Engine *e, const Failure *why, int64_t now);

/* Who a token is of: its sub, to be freed; NULL if it is no JWT. */
char	   *engine_token_user(const char *token);
bool		engine_set_token(Engine *e, const char *token);

/* Are there edits that were never tried? */
bool		engine_has_queued(Engine *e);

const char *engine_phase_name(Phase phase);

#endif
