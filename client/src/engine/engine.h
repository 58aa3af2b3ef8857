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
	PHASE_FOLLOW,				/* a pull of what the push caused */
	PHASE_LISTEN				/* idle, with a request that waits for news */
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
	const char *state;			/* as in tide_status */
	bool		asked;			/* a sync is to follow the one under way */
	bool		paused;
	int64_t		base;			/* of both schedules, milliseconds */

	/* who we are to the server */
	char	   *token;
	char	   *token_user;		/* its sub */
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

	/* an answer that is a stream of lines: see stream.c */
	bool		streams;		/* it may be one */
	bool		stream_begun;	/* lines of it were taken */
	bool		dropped;		/* the rest of it is of no use */
	size_t		stream_bytes;	/* so much of it is taken at a time */
	size_t		lines_read;		/* of the answer, whole lines up to here */
	size_t		lines_end;		/* behind the last cursor in them */
	size_t		lines_wait;		/* nothing is taken before there is so much */
	int64_t		asked_at;

	/* a server that does not answer */
	int64_t		failures;
	int64_t		next_try;

	/* reasons for a sync that were there already when it was last looked */
	int64_t		due_at;			/* when time alone is one */
	int64_t		seen_seq;		/* edits up to here have been in a sync */
	int64_t		seen_version;
	int64_t		synced_at;
	int			seen_changes;

	/* news of the server */
	bool		listening;		/* ask for them whenever there is nothing to
								 * do */
	bool		no_events;		/* the server has no stream of them that gets
								 * here */
	int64_t		events_again;	/* when that is tried again */
	bool		events_heard;	/* the stream has said something */
	size_t		events_read;	/* of the answer, up to here */
	int64_t		quick;			/* answers in a row that came at once, without
								 * news */
	int64_t		listen_began;
	int64_t		next_listen;

	/* the sync under way */
	int64_t		run;
	FreezeLimits limits;
	bool		from_start;		/* the pull began without a cursor */
	bool		schema_again;	/* a page had what the schema lacks */
	bool		take_unknown;
	bool		pushed_any;
	bool		hurry;			/* only push: there is no time for more */
	int			resyncs;
	int64_t		bytes;			/* of answers */
	Tally		tally;
	int			result;			/* of the last sync that finished */
	Failure		last;			/* why it ended so */
} Engine;

void		engine_init(Engine *e);
void		engine_free(Engine *e);

/*
 * Is there a reason to sync: commands of other programs, edits, a row that is
 * due?  *asked says so; with nothing to do, *wait and *until say for what and
 * how long.  Commands are run.
 */
bool		engine_look(Engine *e, int64_t now, bool *asked, int *wait, int64_t *until);

/*
 * The next request: *send, or wait, see *wait and *until.  A request for news
 * that is out is given up.
 */
bool		engine_next(Engine *e, int64_t now, bool *send, int *wait, int64_t *until);
bool		engine_begin_answer(Engine *e, int status, const char *headers);
bool		engine_add_answer(Engine *e, const void *data, size_t length);
bool		engine_end_answer(Engine *e, int64_t now);
bool		engine_no_answer(Engine *e, int64_t now, const char *why);

/* End the sync under way; the failure, if there is one, is told in the file. */
bool		engine_finish(Engine *e, const Failure *why, int64_t now);

/*
 * While it waits, or a request for news is out: has something come up that
 * engine_next() should know?  Reading only.
 */
bool		engine_is_due(Engine *e, int64_t now, bool *due);

/* Leave a sync where it is: the next one goes on from what is in the file. */
bool		engine_abandon(Engine *e);

/* Nothing is sent until it is resumed, which begins with a sync. */
bool		engine_pause(Engine *e);
void		engine_pause_untold(Engine *e); /* where the file cannot be
											 * written */
bool		engine_resume(Engine *e);

/* Begin a sync that only pushes; false: there is nothing that it would. */
bool		engine_hurry(Engine *e);

bool		engine_is_push(const Engine *e);

/* Who a token is of: its sub, to be freed; NULL if it is no JWT. */
char	   *engine_token_user(const char *token);
bool		engine_set_token(Engine *e, const char *token);

/* Are there edits that were never tried? */
bool		engine_has_queued(Engine *e);

bool		engine_is_idle(const Engine *e);
const char *engine_phase_name(Phase phase);

#endif
