/*
 * step.c
 *	  The engine's requests over libcurl, one at a time.
 */
#include <string.h>
#include <time.h>

#include "engine/refusal.h"
#include "loop/handle.h"

#define BUSY_WAIT_MS 50
#define MOST_BUSY_MS 10000
/* a request for news is silent for longer than others */
#define NEWS_SILENCE_S 45

int64_t
tide_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
tide_steady(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int
loop_prepare(tide *t)
{
	if (t->http == NULL && (t->http = http_new()) == NULL)
	{
		failure_memory(&t->engine.store.failure);
		return TIDE_LOCAL;
	}
	return TIDE_OK;
}

bool
loop_enter(tide *t)
{
	bool		mine;

	pthread_mutex_lock(&t->mutex);
	mine = !t->working;
	t->working = true;
	pthread_mutex_unlock(&t->mutex);
	return mine;
}

void
loop_leave(tide *t)
{
	pthread_mutex_lock(&t->mutex);
	t->working = false;
	pthread_cond_broadcast(&t->changed);
	pthread_mutex_unlock(&t->mutex);
}

/* Must what is being done be left for something more urgent? */
static bool
is_interrupted(tide *t)
{
	if (atomic_load(&t->stop))
		return true;
	if (t->deadline != 0)
		return tide_steady() >= t->deadline;
	return atomic_load(&t->pause_asked);
}

/*
 * Call it again while another program holds the file, for a while.  SQLite waits,
 * too, for as long as the connection's busy timeout says, in each call.
 */
static int
patiently(tide *t, int (*call) (tide *t, void *arg), void *arg)
{
	int64_t		end = tide_steady() + MOST_BUSY_MS;
	int			code;

	while ((code = call(t, arg)) == TIDE_BUSY && tide_steady() < end && !is_interrupted(t))
		http_wait(t->http, BUSY_WAIT_MS, -1);
	return code;
}

static int
call_next(tide *t, void *arg)
{
	return tide_next(t, tide_now(), arg);
}

static int
call_reply_end(tide *t, void *arg)
{
	(void) arg;
	return tide_reply_end(t, tide_now());
}

static int
call_no_answer(tide *t, void *arg)
{
	return tide_no_answer(t, tide_now(), arg);
}

/* what the callbacks of a request need */
typedef struct Sending
{
	tide	   *t;
	bool		listens;
	bool		streams;
	bool		begun;			/* the answer's status is handed in */
	int			code;			/* of handing it in */
} Sending;

static bool
carry_on(void *arg)
{
	Sending    *s = arg;

	if (is_interrupted(s->t))
		return false;
	/* the file is no longer the one that asked, or has to grow first */
	if (s->streams && s->t->engine.dropped)
		return false;
	if (s->streams)
		state_tell(s->t, false);
	if (!s->listens)
		return true;
	/* the end of the sync before, which was too soon to be told */
	state_tell(s->t, false);
	return !atomic_load(&s->t->network_back) && tide_is_due(s->t, tide_now()) == 0;
}

/* A piece of a stream. */
static bool
take_piece(void *arg, int status, const char *headers, const char *data, size_t length)
{
	Sending    *s = arg;

	if (!s->begun)
		s->code = tide_reply_begin(s->t, status, headers);
	s->begun = true;
	if (s->code == TIDE_OK)
		s->code = tide_reply(s->t, data, length);
	return s->code == TIDE_OK;
}

static int
take_answer(tide *t, Sending *s, HttpAnswer *answer)
{
	int			code = s->begun ? s->code :
		tide_reply_begin(t, answer->status, answer->headers.data);

	if (code == TIDE_OK && answer->body.length > 0)
		code = tide_reply(t, answer->body.data, answer->body.length);
	return code == TIDE_OK ? patiently(t, call_reply_end, NULL) : code;
}

/* Send what a step says, and hand the answer in. */
static int
send_step(tide *t, const tide_step *step)
{
	Sending		sending = {.t = t, .listens = step->listens, .streams = step->streams};
	HttpRequest request = {
		.method = step->method,
		.url = step->url,
		.headers = step->headers,
		.body = step->body,
		.body_length = step->body_length,
		.silence = step->listens ? NEWS_SILENCE_S : 0,
		.carry_on = carry_on,
		.take = step->listens || step->streams ? take_piece : NULL,
		.arg = &sending
	};
	HttpAnswer	answer;
	int			code;

	http_send(t->http, &request, &answer);
	if (answer.given_up)
		code = TIDE_OK;
	else if (sending.code != TIDE_OK)
		code = sending.code;
	else if (answer.status == 0)
		code = patiently(t, call_no_answer, answer.why);
	else
		code = take_answer(t, &sending, &answer);
	/* that it is too large is known while it comes */
	if (code == TIDE_OFFLINE && t->engine.sent)
		code = patiently(t, call_no_answer, (void *) ANSWER_TOO_LARGE);
	http_answer_free(&answer);
	return code;
}

int
loop_step(tide *t, int *wait, int64_t *until)
{
	tide_step	step;
	int			code;

	*wait = -1;
	code = patiently(t, call_next, &step);
	if (code != TIDE_OK)
		return code;
	state_tell(t, false);
	if (step.kind == TIDE_SEND)
		return send_step(t, &step);
	*wait = step.wait;
	*until = step.until;
	return TIDE_OK;
}

int
loop_misuse(tide *t, const char *what)
{
	if (t)
	{
		failure_clear(&t->engine.store.failure);
		failure_set(&t->engine.store.failure, TIDE_USAGE, "usage", "%s", what);
	}
	return TIDE_USAGE;
}

int
loop_abandon(tide *t)
{
	bool		good;

	failure_clear(&t->engine.store.failure);
	good = engine_abandon(&t->engine);
	lock_release(&t->lock);
	return good ? TIDE_OK : t->engine.store.failure.result;
}

int
loop_get_token(tide *t)
{
	int			code = t->token_source ? t->token_source(t->token_arg, t) : TIDE_SIGNED_OUT;

	if (code == TIDE_SIGNED_OUT && t->engine.store.failure.result == TIDE_OK)
		failure_set(&t->engine.store.failure, TIDE_SIGNED_OUT, "signed_out", "not logged in");
	return code;
}
