/*
 * engine.c
 *	  One sync after another, as requests out and answers in.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/engine.h"
#include "engine/request.h"
#include "engine/schedule.h"
#include "engine/steps.h"
#include "store/apply.h"
#include "store/commands.h"
#include "store/file.h"
#include "store/place.h"
#include "store/settings.h"
#include "store/sql.h"
#include "store/views.h"
#include "util/random.h"
#include "wire/time.h"

#define BATCH_BYTES ((size_t) 4 * 1024 * 1024)
/* of a stream, in one transaction */
#define STREAM_BYTES ((size_t) 2 * 1024 * 1024)
/* also without news: a cursor must not fall behind what the server remembers */
#define SYNC_EVERY_MS (60 * 60 * 1000)
/* of both schedules, which multiply it */
#define MOST_BASE_MS (24 * 60 * 60 * 1000)

void
engine_init(Engine *e)
{
	const char *base = getenv("TIDE_RETRY_BASE_MS");

	memset(e, 0, sizeof(*e));
	e->base = base ? strtoll(base, NULL, 10) : 0;
	if (e->base <= 0 || e->base > MOST_BASE_MS)
		e->base = SCHEDULE_BASE_MS;
	e->retry_after = -1;
	e->due_at = INT64_MAX;
	e->seen_seq = -1;
	e->stream_bytes = STREAM_BYTES;
	e->state = "idle";
}

void
engine_free(Engine *e)
{
	file_close(&e->store);
	batch_free(&e->batch);
	buffer_free(&e->url);
	buffer_free(&e->headers);
	buffer_free(&e->body);
	buffer_free(&e->answer);
	sqlite3_free(e->token);
	sqlite3_free(e->token_user);
	e->token = NULL;
	e->token_user = NULL;
}

const char *
engine_phase_name(Phase phase)
{
	switch (phase)
	{
		case PHASE_SCHEMA:
			return "schema";
		case PHASE_PULL:
		case PHASE_FOLLOW:
			return "pull";
		case PHASE_RESEND:
		case PHASE_PUSH:
		case PHASE_RETRY:
			return "push";
		case PHASE_LISTEN:
		case PHASE_IDLE:
			break;
	}
	return "idle";
}

bool
engine_is_idle(const Engine *e)
{
	return e->phase == PHASE_IDLE || e->phase == PHASE_LISTEN;
}

/*
 * States, in the file for other programs to see
 */

bool
engine_set_state(Engine *e, const char *state)
{
	if (!setting_is(&e->store, "state", state) &&
		(e->store.failure.result != TIDE_OK || !setting_set(&e->store, "state", state)))
		return false;
	e->state = state;
	return true;
}

static const char *
state_of(int result)
{
	switch (result)
	{
		case TIDE_OK:
		case TIDE_SOME_FAILED:
			return "idle";
		case TIDE_OFFLINE:
			return "offline";
		case TIDE_SIGNED_OUT:
			return "signed_out";
		default:
			return "error";
	}
}

static bool
tell_end(Engine *e, const Failure *why, int64_t now)
{
	char		text[TIME_SIZE];
	bool		done = why == NULL;

	time_format(now, text);
	if (!sql_begin(&e->store))
		return false;
	return sql_end(&e->store, engine_set_state(e, state_of(done ? TIDE_OK : why->result)) &&
				   setting_set(&e->store, "last_error", done ? NULL : why->message) &&
				   (!done || setting_set(&e->store, "last_sync_at", text)));
}

bool
engine_finish(Engine *e, const Failure *why, int64_t now)
{
	if (!tell_end(e, why, now))
		return false;
	e->phase = PHASE_IDLE;
	e->sent = false;
	e->complete = false;
	e->hurry = false;
	e->result = why ? why->result : TIDE_OK;
	if (why)
		e->last = *why;
	else
		failure_clear(&e->last);
	if (why == NULL)
	{
		e->failures = 0;
		e->synced_at = now;
	}
	if (e->tally.pulled > 0)
	{
		e->quick = 0;
		e->next_listen = 0;
	}
	batch_free(&e->batch);
	return true;
}

/* The failure remains to be told. */
bool
engine_give_up(Engine *e, int64_t now)
{
	Failure		why = e->store.failure;

	failure_clear(&e->store.failure);
	if (!engine_finish(e, &why, now))
		return false;
	e->store.failure = why;
	return false;
}

bool
engine_begin_anew(Engine *e)
{
	if (e->store.failure.result != TIDE_LOCAL ||
		strcmp(e->store.failure.code, PLACE_REPLACED) != 0)
		return false;
	failure_clear(&e->store.failure);
	e->phase = PHASE_IDLE;
	e->asked = true;
	e->sent = false;
	e->complete = false;
	batch_free(&e->batch);
	return true;
}

/*
 * A sync, step by step
 */

static bool
begin_sync(Engine *e, int64_t now)
{
	int64_t		run = setting_number(&e->store, "run") + 1;
	int64_t		seq;

	if (!file_check(&e->store) || !engine_check_owner(e) ||
		!views_note_temp_triggers(&e->store) ||
		!apply_refused(&e->store, now) ||
		!setting_set_number(&e->store, "run", run) ||
		!sql_number(&e->store, &seq, "SELECT seq FROM tide_state") ||
		!engine_set_state(e, "syncing"))
		return false;
	e->run = run;
	e->seen_seq = seq;
	e->asked = false;
	e->phase = e->hurry ? PHASE_RESEND : PHASE_SCHEMA;
	e->limits.rows = BATCH_ROWS;
	e->limits.bytes = BATCH_BYTES;
	e->schema_again = false;
	e->take_unknown = false;
	e->pushed_any = false;
	e->resyncs = 0;
	e->bytes = 0;
	memset(&e->tally, 0, sizeof(e->tally));
	return true;
}

bool
engine_is_push(const Engine *e)
{
	return e->phase == PHASE_RESEND || e->phase == PHASE_PUSH || e->phase == PHASE_RETRY;
}

/*
 * The batch to be sent next: the one that was never answered, or a new one.
 * Without any the phase moves on.
 *
 * What was never answered goes before a pull.  Its answer may be a first reply
 * given again, older than what the pull would bring: taken after that, it would
 * put the older version back, and no pull would bring the newer one again.
 */
static bool
prepare_push(Engine *e, int64_t now)
{
	batch_free(&e->batch);
	if (!batch_load(&e->store, &e->batch))
		return false;
	if (e->phase == PHASE_RESEND && e->batch.id == 0)
		e->phase = e->hurry ? PHASE_PUSH : PHASE_PULL;
	while (e->batch.id == 0 && (e->phase == PHASE_PUSH || e->phase == PHASE_RETRY))
	{
		if (!batch_freeze(&e->store, &e->limits, e->phase == PHASE_RETRY, e->run, now,
						  &e->batch))
			return false;
		e->tally.lost += e->batch.lost;
		if (e->batch.id == 0)
			e->phase = e->phase == PHASE_PUSH ? PHASE_RETRY : PHASE_FOLLOW;
	}
	return true;
}

static bool
prepare_request(Engine *e, int64_t now, bool *ready)
{
	*ready = true;
	/* edits are frozen with the columns that the types say */
	if (!place_note(&e->store))
		return false;
	if (engine_is_push(e))
	{
		if (!prepare_push(e, now))
			return false;
		if (e->batch.id != 0)
			return request_push(e);
	}
	if (e->phase == PHASE_FOLLOW && (e->hurry || !e->pushed_any))
	{
		*ready = false;
		return engine_finish(e, NULL, now);
	}
	return e->phase == PHASE_SCHEMA ? request_schema(e) : request_pull(e);
}

/*
 * Have there been edits since the last sync began?  With a host that listens
 * they are a reason for the next.  In a file that was restored from a backup
 * their count begins again where it was before: place_is_same() tells that.
 */
static bool
look_for_edits(Engine *e, bool *edited)
{
	int64_t		seq;

	*edited = false;
	if (!e->listening)
		return true;
	if (!sql_number(&e->store, &seq, "SELECT seq FROM tide_state"))
		return false;
	if (seq == e->seen_seq)
		return true;
	return freeze_has_queued(&e->store, edited);
}

static bool
has_commands(Engine *e, bool *commands)
{
	int64_t		n;
	bool		good = sql_number(&e->store, &n, "SELECT EXISTS (SELECT 1 FROM tide_command)");

	*commands = n > 0;
	return good;
}

/*
 * What tells that the file was written, by others and on this connection.  A
 * backup that is restored on this connection counts as written by others.
 */
static bool
file_version(Engine *e, int64_t *version, int *changes)
{
	int64_t		schema;

	*changes = sqlite3_total_changes(e->store.db);
	if (!sql_number(&e->store, version, "PRAGMA data_version") ||
		!sql_number(&e->store, &schema, "PRAGMA schema_version"))
		return false;
	*version = (*version << 32) + schema;
	return true;
}

/*
 * A clock that was set back makes a time that was noted before it lie far ahead.
 * What lies further ahead than any wait is long is over; how long the server
 * said that a wait for news is to be is not kept, so an hour more is taken.
 */
static void
mend_times(Engine *e, int64_t now)
{
	int64_t		longest = schedule_transport_longest(e->base);

	if (e->retry_after > longest)
		longest = e->retry_after;
	if (e->next_try > 0 && e->next_try - now > longest)
		e->next_try = 0;
	if (e->next_listen > 0 && e->next_listen - now > longest + SYNC_EVERY_MS)
		e->next_listen = 0;
	if (e->synced_at > now)
		e->synced_at = now;
	e->limits.latest_retry = now > INT64_MAX - schedule_row_longest(e->base) ? INT64_MAX :
		now + schedule_row_longest(e->base);
}

bool
engine_look(Engine *e, int64_t now, bool *asked, int *wait, int64_t *until)
{
	bool		commands,
				edited,
				sync = false;
	int64_t		version;

	*wait = TIDE_FOR_SYNC;
	*until = INT64_MAX;
	*asked = e->asked;
	mend_times(e, now);
	if (!engine_is_idle(e) || e->paused)
		return true;
	/* before the look itself: what is written meanwhile is seen next time */
	if (!file_version(e, &version, &e->seen_changes) ||
		!has_commands(e, &commands) ||
		(commands && !command_run_table(&e->store, now, &sync)) ||
		!look_for_edits(e, &edited) ||
		!freeze_next_retry(&e->store, e->limits.latest_retry, until))
		return false;
	e->seen_version = version;
	if (e->listening && *until > e->synced_at + SYNC_EVERY_MS)
		*until = e->synced_at + SYNC_EVERY_MS;
	if (sync || edited || *until <= now)
		e->asked = true;
	e->due_at = *until;
	*asked = e->asked;
	*wait = *until == INT64_MAX ? TIDE_FOR_SYNC : TIDE_FOR_RETRY;
	return true;
}

bool
engine_is_due(Engine *e, int64_t now, bool *due)
{
	int64_t		version;
	int			changes;
	bool		commands,
				edited,
				same = true;

	*due = e->dropped ||
		(engine_is_idle(e) && !e->paused && (e->asked || now >= e->due_at));
	if (*due || !engine_is_idle(e) || e->paused)
		return true;
	if (!file_version(e, &version, &changes))
		return false;
	if (version == e->seen_version && changes == e->seen_changes)
		return true;
	if (!has_commands(e, &commands) || !look_for_edits(e, &edited))
		return false;
	/* news are waited for from where the file was; it may have gone back */
	if (e->phase == PHASE_LISTEN && !place_is_same(&e->store, &same))
		return false;
	e->asked = e->asked || !same;
	*due = commands || edited || e->asked;
	if (!*due)
	{
		e->seen_version = version;
		e->seen_changes = changes;
	}
	return true;
}

bool
engine_abandon(Engine *e)
{
	/* what was under way is asked for again */
	if (!engine_is_idle(e))
	{
		/* a server that is away has not come back by that */
		if (e->failures == 0 && !engine_set_state(e, "idle"))
			return false;
		e->asked = true;
	}
	e->phase = PHASE_IDLE;
	e->sent = false;
	e->complete = false;
	e->hurry = false;
	batch_free(&e->batch);
	return true;
}

bool
engine_hurry(Engine *e)
{
	if (e->paused || e->token == NULL || e->token_refused || !engine_has_queued(e))
		return false;
	/* a push that is under way goes on, anything else is left */
	if (!engine_is_push(e) && !engine_abandon(e))
		return false;
	e->hurry = true;
	e->asked = true;
	e->next_try = 0;
	return true;
}

bool
engine_pause(Engine *e)
{
	if (!engine_abandon(e) || !engine_set_state(e, "paused"))
		return false;
	e->paused = true;
	return true;
}

void
engine_pause_untold(Engine *e)
{
	e->asked = e->asked || !engine_is_idle(e);
	e->phase = PHASE_IDLE;
	e->sent = false;
	e->complete = false;
	e->hurry = false;
	batch_free(&e->batch);
	e->state = "paused";
	e->paused = true;
}

bool
engine_resume(Engine *e)
{
	if (!e->paused)
		return true;
	if (!engine_set_state(e, "idle"))
		return false;
	e->paused = false;
	e->asked = true;
	e->failures = 0;
	e->next_try = 0;
	return true;
}

/* Is there something that keeps a request from being sent now? */
static bool
must_wait(Engine *e, int64_t now, int *wait, int64_t *until, bool *waits)
{
	*waits = true;
	*until = INT64_MAX;
	if (e->paused)
		*wait = TIDE_FOR_RESUME;
	else if (e->token == NULL || e->token_refused)
	{
		*wait = TIDE_FOR_TOKEN;
		return engine_set_state(e, "signed_out");
	}
	else if (now < e->next_try)
	{
		*wait = TIDE_FOR_NETWORK;
		*until = e->next_try;
	}
	else
		*waits = false;
	return true;
}

bool
engine_next(Engine *e, int64_t now, bool *send, int *wait, int64_t *until)
{
	bool		ready,
				asked,
				waits;

	*send = false;
	if (e->dropped)
		answer_taken(e);
	/* an answer that could not be taken when it came */
	if (e->complete && !engine_end_answer(e, now))
		return false;
	if (e->phase == PHASE_LISTEN)
	{
		e->phase = PHASE_IDLE;
		e->sent = false;
	}
	for (;;)
	{
		if (e->phase == PHASE_IDLE && !e->paused)
		{
			if (!engine_look(e, now, &asked, wait, until))
				return false;
			if (!asked && !e->listening)
				return true;
		}
		else
			asked = true;
		if (!must_wait(e, now, wait, until, &waits))
			return false;
		if (waits)
			return true;
		if (!asked)
		{
			if (listen_begin(e, now, send, wait, until))
				return true;
			if (!engine_begin_anew(e))
				return false;
			continue;
		}
		if (e->phase == PHASE_IDLE && !begin_sync(e, now))
			return false;
		if (e->failures == 0 && strcmp(e->state, "syncing") != 0 &&
			!engine_set_state(e, "syncing"))
			return false;
		if (prepare_request(e, now, &ready))
		{
			if (ready)
				break;
		}
		else if (!engine_begin_anew(e))
			return false;
	}
	e->sent = true;
	e->status = 0;
	e->asked_at = now;
	buffer_reset(&e->answer);
	*send = true;
	return true;
}

bool
engine_has_queued(Engine *e)
{
	bool		queued;

	return freeze_has_queued(&e->store, &queued) && queued;
}
