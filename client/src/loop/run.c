/*
 * run.c
 *	  tide_run(): one sync over libcurl.
 */
#include <string.h>

#include "loop/handle.h"

#define MOST_ROUNDS 5			/* of a sync while others go on editing */

static int
say_paused(tide *t)
{
	failure_clear(&t->engine.store.failure);
	failure_set(&t->engine.store.failure, TIDE_BUSY, "paused", "syncing is paused");
	return TIDE_BUSY;
}

/* Until there is nothing to send any more; a token is fetched once. */
static int
run_once(tide *t)
{
	bool		fetched = false;
	int64_t		until;
	int			wait,
				code;

	for (;;)
	{
		if (atomic_load(&t->stop))
			return loop_abandon(t);
		if (atomic_load(&t->pause_asked))
		{
			loop_pause(t);
			return say_paused(t);
		}
		code = loop_step(t, &wait, &until);
		if (code == TIDE_OK && wait != -1 && wait != TIDE_FOR_TOKEN)
			return wait == TIDE_FOR_RESUME ? say_paused(t) : TIDE_OK;
		if ((code == TIDE_SIGNED_OUT || wait == TIDE_FOR_TOKEN) && !fetched)
		{
			fetched = true;
			code = loop_get_token(t);
		}
		else if (wait == TIDE_FOR_TOKEN)
			code = TIDE_SIGNED_OUT;
		if (code != TIDE_OK)
			return code;
	}
}

/* Edits that were made meanwhile go, too. */
static int
run_rounds(tide *t)
{
	Tally		total = {0};
	int			round;
	int			code = TIDE_OK;

	for (round = 0; round < MOST_ROUNDS; round++)
	{
		/* one that stopped halfway, for a token say, goes on */
		code = engine_is_idle(&t->engine) ? tide_sync(t) : TIDE_OK;
		if (code == TIDE_OK)
			code = run_once(t);
		total.pulled += t->engine.tally.pulled;
		total.pushed += t->engine.tally.pushed;
		total.failed += t->engine.tally.failed;
		total.lost += t->engine.tally.lost;
		if (code != TIDE_OK || atomic_load(&t->stop) || !engine_has_queued(&t->engine))
			break;
	}
	t->engine.tally = total;
	return code;
}

int
loop_run(tide *t, bool *stopped)
{
	tide_summary summary;
	bool		listening = t->engine.listening;
	int			code = loop_prepare(t);

	*stopped = false;
	if (code != TIDE_OK)
		return code;
	if (!loop_enter(t))
		return TIDE_BUSY;
	(void) tide_network_is_back(t);
	t->engine.listening = false;
	/* one that came while the run before was ending */
	code = loop_take_resume(t);
	if (code == TIDE_OK)
		code = run_rounds(t);
	t->engine.listening = listening;
	lock_release(&t->lock);
	/* a stop ends one run, also when it came before that */
	*stopped = atomic_exchange(&t->stop, false);
	loop_leave(t);
	state_tell(t, true);
	if (code != TIDE_OK)
		return code;
	code = tide_summarize(t, &summary);
	if (code != TIDE_OK)
		return code;
	return summary.failed || summary.lost || summary.pending ? TIDE_SOME_FAILED : TIDE_OK;
}

int
tide_run(tide *t)
{
	bool		stopped;

	return t ? loop_run(t, &stopped) : TIDE_USAGE;
}
