/*
 * watch.c
 *	  tide watch: syncs a file for as long as it runs.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "command/watch.h"
#include "loop/handle.h"

/* the handle that a signal stops; signals come once, to the one that watches */
static tide *volatile watched;
static volatile sig_atomic_t stopped;

static void
on_signal(int number)
{
	(void) number;
	stopped = 1;
	if (watched)
		tide_stop(watched);
}

static void
catch_signals(void)
{
	struct sigaction action;

	memset(&action, 0, sizeof(action));
	action.sa_handler = on_signal;
	sigemptyset(&action.sa_mask);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	/* who reads our output may go before us */
	signal(SIGPIPE, SIG_IGN);
}

/* what was said last */
typedef struct Said
{
	Session    *s;
	int			kind;
	int64_t		pulled;
	int64_t		pushed;
} Said;

/* A line when the network comes and goes, and for what has moved. */
static void
say(void *arg, const tide_state *state)
{
	Said	   *said = arg;
	const Tally *tally = &said->s->t->engine.tally;

	if (state->kind == TIDE_STATE_SYNCING || state->kind == TIDE_STATE_IDLE)
	{
		if (said->kind == TIDE_STATE_OFFLINE)
			puts("online");
		if (state->kind == TIDE_STATE_IDLE &&
			(tally->pulled != said->pulled || tally->pushed != said->pushed))
		{
			if (tally->pulled + tally->pushed > 0)
				printf("pulled %lld, pushed %lld\n", (long long) tally->pulled,
					   (long long) tally->pushed);
			said->pulled = tally->pulled;
			said->pushed = tally->pushed;
		}
		else if (state->kind == TIDE_STATE_SYNCING)
			said->pulled = said->pushed = 0;
	}
	else if (state->kind != said->kind)
		puts(state->name);
	if (state->kind != TIDE_STATE_SYNCING || said->kind != TIDE_STATE_OFFLINE)
		said->kind = state->kind;
	fflush(stdout);
}

static int
watch_once(Session *s, const Options *options, Said *said)
{
	int			code = session_open(s, options->arguments[0], SESSION_OURS);

	if (code != TIDE_OK)
		return code;
	code = session_sign_in(s, NULL, NULL);
	if (code != TIDE_OK)
		return code;
	watched = s->t;
	tide_on_state(s->t, say, said);
	if (stopped)
		return TIDE_OK;
	code = tide_watch(s->t);
	watched = NULL;
	return code;
}

int
watch_run(Session *s, const Options *options)
{
	Said		said = {.s = s, .kind = -1};
	int			code;

	catch_signals();
	for (;;)
	{
		bool		again;

		if (said.kind == -1)
		{
			puts("watching");
			fflush(stdout);
		}
		code = watch_once(s, options, &said);
		/* a file that was swapped for another is watched from then on */
		again = code == TIDE_LOCAL && !stopped &&
			strcmp(session_failure(s)->code, "file_replaced") == 0;
		if (!again)
			return code == TIDE_SOME_FAILED ? TIDE_OK : code;
		puts("the file was replaced");
		session_close(s);
	}
}
