/*
 * state.c
 *	  What a handle is doing, for those who show it.
 */
#include <string.h>

#include "loop/handle.h"
#include "store/names.h"
#include "store/sql.h"

#define TELL_EVERY_MS 200

static int
kind_of(const char *state)
{
	static const char *const names[] = {"idle", "syncing", "offline", "error", "signed_out",
	"paused"};
	int			i;

	for (i = 0; i < 6; i++)
	{
		if (strcmp(names[i], state) == 0)
			return i;
	}
	return TIDE_STATE_ERROR;
}

/* Of a push one knows how much there is; of a pull the server does not say. */
static double
share_of(Engine *e)
{
	int64_t		done = e->tally.pushed + e->tally.failed;
	int64_t		left;

	if (!engine_is_push(e) ||
		!sql_number(&e->store, &left, "SELECT pending - parked FROM tide_status"))
		return -1;
	return done + left > 0 ? (double) done / (double) (done + left) : 1;
}

int
tide_get_state(tide *t, tide_state *state)
{
	Engine	   *e;

	if (t == NULL || state == NULL)
		return loop_misuse(t, "there is no place for the state");
	e = &t->engine;
	memset(state, 0, sizeof(*state));
	state->name = e->state;
	state->kind = kind_of(e->state);
	state->phase = engine_phase_name(e->phase);
	state->rows = e->tally.pulled + e->tally.pushed;
	state->bytes = e->bytes;
	state->share = -1;
	state->changed_tables = "[]";
	if (e->store.db == NULL || !t->set_up)
		return TIDE_OK;
	state->share = share_of(e);
	if (!sql_number(&e->store, &state->change_seq, "SELECT change_seq FROM tide_state"))
		return e->store.failure.result;
	if (e->store.changed.count > 0)
	{
		buffer_reset(&t->tables);
		names_append_json(&e->store.changed, &t->tables);
		if (!t->tables.failed)
			state->changed_tables = t->tables.data;
	}
	return TIDE_OK;
}

void
tide_on_state(tide *t, tide_observer observer, void *arg)
{
	if (t == NULL)
		return;
	t->observer = observer;
	t->observer_arg = arg;
	t->told_at = 0;
	t->told.kind = -1;
}

static bool
is_news(const tide_state *now, const tide_state *told)
{
	return now->kind != told->kind || now->rows != told->rows || now->bytes != told->bytes ||
		now->change_seq != told->change_seq || now->changed_tables[1] != ']' ||
		told->phase == NULL || strcmp(now->phase, told->phase) != 0;
}

void
state_tell(tide *t, bool last)
{
	Failure		failure = t->engine.store.failure;
	int64_t		now = tide_steady();
	tide_state	state;

	if (t->observer == NULL || (!last && now - t->told_at < TELL_EVERY_MS))
		return;
	if (tide_get_state(t, &state) == TIDE_OK && is_news(&state, &t->told))
	{
		t->told_at = now;
		t->told = state;
		t->told.changed_tables = "[]";
		t->observer(t->observer_arg, &state);
		names_free(&t->engine.store.changed);
	}
	/* looking must not change what went wrong */
	t->engine.store.failure = failure;
}
