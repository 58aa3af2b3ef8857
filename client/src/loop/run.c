/*
 * run.c
 *	  tide_run(): one sync over libcurl.
 */
#include <string.h>
#include <time.h>

#include "loop/http.h"
#include "loop/handle.h"

#define BUSY_WAIT_MS 50
#define MOST_BUSY_MS 10000
#define PROGRESS_MS 200
#define MOST_ROUNDS 5			/* of a sync while others go on editing */

int64_t
tide_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
pause_ms(long ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000L};

	nanosleep(&time, NULL);
}

/* Call it again while another program holds the file, for a while. */
static int
patiently(tide *t, int (*call) (tide *t, void *arg), void *arg)
{
	int			waited = 0;
	int			code;

	while ((code = call(t, arg)) == TIDE_BUSY && waited < MOST_BUSY_MS)
	{
		pause_ms(BUSY_WAIT_MS);
		waited += BUSY_WAIT_MS;
	}
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

/* Send what a step says, and hand the answer in. */
static int
send_step(tide *t, const tide_step *step)
{
	HttpAnswer	answer;
	int			code;

	http_send(t->http, step->method, step->url, step->headers, step->body,
			  step->body_length, &answer);
	if (answer.status == 0)
		code = patiently(t, call_no_answer, answer.why);
	else
	{
		code = tide_reply_begin(t, answer.status, answer.headers.data);
		if (code == TIDE_OK && answer.body.length > 0)
			code = tide_reply(t, answer.body.data, answer.body.length);
		if (code == TIDE_OK)
			code = patiently(t, call_reply_end, NULL);
	}
	http_answer_free(&answer);
	return code;
}

static void
tell_progress(tide *t)
{
	tide_summary summary;
	int64_t		now = tide_now();

	if (t->progress == NULL || now - t->progress_at < PROGRESS_MS)
		return;
	if (tide_summarize(t, &summary) != TIDE_OK)
		return;
	t->progress_at = now;
	t->progress(t->progress_arg, &summary);
}

void
tide_on_progress(tide *t, tide_progress progress, void *arg)
{
	t->progress = progress;
	t->progress_arg = arg;
	t->progress_at = 0;
}

/* Until there is nothing to send any more. */
static int
run_once(tide *t)
{
	tide_step	step;
	int			code;

	for (;;)
	{
		code = patiently(t, call_next, &step);
		if (code != TIDE_OK)
			return code;
		if (step.kind == TIDE_WAIT)
			break;
		code = send_step(t, &step);
		if (code != TIDE_OK)
			return code;
		tell_progress(t);
	}
	if (step.wait == TIDE_FOR_TOKEN)
	{
		failure_set(&t->engine.store.failure, TIDE_SIGNED_OUT, "signed_out",
					"not logged in");
		return TIDE_SIGNED_OUT;
	}
	return TIDE_OK;
}

int
tide_run(tide *t)
{
	Tally		total = {0};
	tide_summary summary;
	int			round;
	int			code = TIDE_OK;

	if (t->http == NULL && (t->http = http_new()) == NULL)
	{
		failure_memory(&t->engine.store.failure);
		return TIDE_LOCAL;
	}
	tide_network_is_back(t);
	/* edits that were made meanwhile go, too */
	for (round = 0; round < MOST_ROUNDS; round++)
	{
		/* one that stopped halfway, for a token say, goes on */
		code = t->engine.phase == PHASE_IDLE ? tide_sync(t) : TIDE_OK;
		if (code == TIDE_OK)
			code = run_once(t);
		total.pulled += t->engine.tally.pulled;
		total.pushed += t->engine.tally.pushed;
		total.failed += t->engine.tally.failed;
		total.lost += t->engine.tally.lost;
		if (code != TIDE_OK || !engine_has_queued(&t->engine))
			break;
	}
	t->engine.tally = total;
	if (code != TIDE_OK)
		return code;
	code = tide_summarize(t, &summary);
	if (code != TIDE_OK)
		return code;
	return summary.failed || summary.lost || summary.pending ? TIDE_SOME_FAILED : TIDE_OK;
}
