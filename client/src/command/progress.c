/*
 * progress.c
 *	  What a command that takes its time is doing, on standard error.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command/progress.h"

#define BAR_WIDTH 24

/* What is done of what there is; where that is not known, something that moves. */
static void
draw_bar(const tide_state *state)
{
	static int	position;
	char		bar[BAR_WIDTH + 1];
	int			i,
				done = state->share >= 0 ? (int) (state->share * BAR_WIDTH) : 0;

	position = (position + 1) % BAR_WIDTH;
	for (i = 0; i < BAR_WIDTH; i++)
		bar[i] = state->share >= 0 ? (i < done ? '#' : '.') :
			(i == position ? '#' : '.');
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r%-8s [%s] %lld rows, %.1f MB\033[K", state->phase, bar,
			(long long) state->rows, (double) state->bytes / 1000000);
}

static void
show(void *arg, const tide_state *state)
{
	static char phase[16];

	(void) arg;
	if (isatty(STDERR_FILENO))
	{
		if (state->kind == TIDE_STATE_SYNCING)
			draw_bar(state);
		else
			fputs("\r\033[K", stderr);
		fflush(stderr);
	}
	else if (state->kind == TIDE_STATE_SYNCING && strcmp(phase, state->phase) != 0)
	{
		snprintf(phase, sizeof(phase), "%s", state->phase);
		fprintf(stderr, "%s\n", phase);
	}
}

void
progress_show(tide *t)
{
	tide_on_state(t, show, NULL);
}
