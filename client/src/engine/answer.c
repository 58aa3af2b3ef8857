/*
 * answer.c
 *	  Answers to the requests of a sync, and what each means for it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/engine.h"
#include "engine/refusal.h"
#include "engine/schedule.h"
#include "engine/steps.h"
#include "store/apply.h"
#include "store/file.h"
#include "store/place.h"
#include "store/settings.h"
#include "store/sql.h"
#include "util/random.h"

#define MOST_RESYNCS 2
#define MOST_RETRY_AFTER_S (15 * 60)

/* The value of a header, without the space around it. */
static bool
header_value(const char *headers, const char *name, char *value, size_t size)
{
	const char *line = headers;
	size_t		length = strlen(name);

	while (line && *line)
	{
		const char *end = strpbrk(line, "\r\n");

		if (end == NULL)
			end = line + strlen(line);
		if (strncasecmp(line, name, length) == 0 && line[length] == ':')
		{
			const char *start = line + length + 1;

			while (start < end && *start == ' ')
				start++;
			while (end > start && end[-1] == ' ')
				end--;
			if ((size_t) (end - start) >= size)
				return false;
			memcpy(value, start, (size_t) (end - start));
			value[end - start] = '\0';
			return true;
		}
		line = end + strspn(end, "\r\n");
	}
	return false;
}

/* What a server says, but not for so long that all else it comes to is missed. */
static int64_t
retry_after(const char *value)
{
	int64_t		seconds = strtoll(value, NULL, 10);

	return (seconds > MOST_RETRY_AFTER_S ? MOST_RETRY_AFTER_S : seconds) * 1000;
}

bool
engine_begin_answer(Engine *e, int status, const char *headers)
{
	char		value[32];

	if (!e->sent)
		return failure_set(&e->store.failure, TIDE_USAGE, "no_request",
						   "there is no request that this could be the answer to");
	e->status = status;
	buffer_reset(&e->answer);
	e->stream_begun = false;
	e->lines_read = e->lines_end = e->lines_wait = 0;
	e->etag[0] = '\0';
	e->retry_after = -1;
	if (headers)
	{
		(void) header_value(headers, "ETag", e->etag, sizeof(e->etag));
		if (header_value(headers, "Retry-After", value, sizeof(value)) &&
			value[0] >= '0' && value[0] <= '9')
			e->retry_after = retry_after(value);
	}
	return true;
}

bool
engine_add_answer(Engine *e, const void *data, size_t length)
{
	if (!e->sent || e->complete)
		return failure_set(&e->store.failure, TIDE_USAGE, "no_request",
						   "there is no request that this could be the answer to");
	e->bytes += (int64_t) length;
	if (e->dropped)
		return true;
	if (length > TIDE_ANSWER_BYTES || e->answer.length > TIDE_ANSWER_BYTES - length)
		return failure_set(&e->store.failure, TIDE_OFFLINE, "answer_too_large", "%s",
						   ANSWER_TOO_LARGE);
	buffer_append(&e->answer, data, length);
	if (e->answer.failed)
		return failure_memory(&e->store.failure);
	if (e->phase == PHASE_LISTEN)
		listen_take_piece(e);
	return !stream_is(e) || stream_take_piece(e);
}

static bool
tell_offline(Engine *e, const char *why)
{
	if (!engine_set_state(e, "offline"))
		return false;
	if (setting_is(&e->store, "last_error", why))
		return true;
	return e->store.failure.result == TIDE_OK && setting_set(&e->store, "last_error", why);
}

bool
engine_come_back_later(Engine *e, int64_t now, const char *code, const char *why)
{
	int64_t		delay = schedule_transport(e->failures + 1, e->base, random_number());

	if (!tell_offline(e, why))
		return false;
	/* what was asked for at last is not known to be taken: all of it again */
	if (e->phase == PHASE_LISTEN)
	{
		e->phase = PHASE_IDLE;
		e->asked = true;
	}
	e->sent = false;
	e->complete = false;
	/* it may have been a large one */
	buffer_free(&e->answer);
	e->failures++;
	if (e->retry_after > delay)
		delay = e->retry_after;
	e->next_try = now + delay;
	return failure_set(&e->store.failure, TIDE_OFFLINE, code, "%s", why);
}

bool
engine_no_answer(Engine *e, int64_t now, const char *why)
{
	if (!e->sent)
		return failure_set(&e->store.failure, TIDE_USAGE, "no_request",
						   "there is no request that could be without an answer");
	e->retry_after = -1;
	if (stream_is(e) && !stream_take_rest(e))
		return false;
	if (e->dropped)
	{
		answer_taken(e);
		return true;
	}
	if (e->phase == PHASE_LISTEN && e->status == 200)
		return listen_cut_off(e, now);
	return engine_come_back_later(e, now, "no_answer", why);
}

static int64_t
row_delay(int64_t tries, void *arg)
{
	return schedule_row(tries, *(int64_t *) arg);
}

/* What an answer that is an error says; false, for `return`. */
static bool
read_error(Engine *e, int result)
{
	char		status[64];

	snprintf(status, sizeof(status), "the server answered with status %d", e->status);
	return refusal_read(&e->store.failure, result, &e->answer, status);
}

static bool
error_is(Engine *e, const char *code)
{
	Json		json;
	bool		same = false;

	if (e->answer.data && json_parse(&json, e->answer.data, e->answer.length))
		same = json_is(&json, json_member(&json, json_member(&json, json.nodes, "error"),
										  "code"), code);
	if (e->answer.data)
		json_free(&json);
	return same;
}

void
answer_taken(Engine *e)
{
	e->sent = false;
	e->complete = false;
	e->dropped = false;
	e->failures = 0;
	e->next_try = 0;
}

/* The document of a 200, which has to be JSON. */
static bool
read_answer(Engine *e, Json *json)
{
	if (e->answer.data && json_parse(json, e->answer.data, e->answer.length))
		return true;
	if (e->answer.data && json->no_memory)
		failure_memory(&e->store.failure);
	else
		failure_set(&e->store.failure, TIDE_REFUSED, "bad_reply",
					"the server's answer is not JSON");
	if (e->answer.data)
		json_free(json);
	return false;
}

static bool
take_schema(Engine *e)
{
	const char *schema = e->answer.data ? e->answer.data : "";

	/* 304: the schema that the file had when it asked is still the server's */
	if (e->status == 304 ? !place_check(&e->store) :
		!file_take_schema(&e->store, schema, e->answer.length, e->etag[0] ? e->etag : NULL))
		return false;
	e->phase = PHASE_RESEND;
	answer_taken(e);
	return true;
}

void
answer_count(Engine *e, const PageResult *page)
{
	if (page->unknown)
	{
		/* the schema that we know is old; if a new one does not help, go on */
		e->take_unknown = e->schema_again;
		e->schema_again = true;
		e->phase = PHASE_SCHEMA;
		return;
	}
	e->tally.pulled += page->changed;
	e->tally.lost += page->lost;
}

bool
answer_end_pull(Engine *e, int64_t now)
{
	if (e->phase == PHASE_FOLLOW)
		return engine_finish(e, NULL, now);
	e->phase = PHASE_PUSH;
	return true;
}

static bool
take_page(Engine *e, int64_t now)
{
	Json		json;
	PageResult	page;
	bool		good;

	if (stream_is(e))
		return stream_take_end(e, now);
	if (!read_answer(e, &json))
		return false;
	good = apply_page(&e->store, &json, e->from_start, e->take_unknown, now, &page);
	json_free(&json);
	if (!good)
		return false;
	answer_taken(e);
	answer_count(e, &page);
	return page.unknown || page.has_more || answer_end_pull(e, now);
}

static void
count_batch(Engine *e, const SettleResult *result)
{
	e->tally.pushed += result->pushed;
	e->tally.failed += result->failed;
	e->tally.lost += result->lost;
	e->pushed_any = e->pushed_any || result->pushed > 0;
	batch_free(&e->batch);
	answer_taken(e);
}

static bool
take_verdicts(Engine *e, int64_t now)
{
	RowSchedule schedule = {row_delay, &e->base};
	SettleResult result;
	Json		json;
	bool		good;

	if (!read_answer(e, &json))
		return false;
	good = batch_settle(&e->store, &e->batch, &json, &schedule, now, &result);
	json_free(&json);
	if (!good)
		return false;
	count_batch(e, &result);
	return true;
}

/*
 * The batch as a whole was not taken.  Halve it, down to the one row that is
 * to blame; that one is refused.
 */
static bool
split_batch(Engine *e, int64_t now)
{
	RowSchedule schedule = {row_delay, &e->base};
	SettleResult result;
	Failure		why;
	bool		good;

	if (e->batch.rows > 1)
	{
		if (!batch_thaw(&e->store))
			return false;
		e->limits.rows = e->batch.rows / 2;
		batch_free(&e->batch);
		answer_taken(e);
		return true;
	}
	read_error(e, TIDE_REFUSED);
	why = e->store.failure;
	failure_clear(&e->store.failure);
	good = batch_refuse(&e->store, why.code, why.message, e->status == 413, &schedule, now,
						&result);
	if (!good)
		return false;
	count_batch(e, &result);
	e->limits.rows = BATCH_ROWS;
	return true;
}

/* What is to help at once has been tried again and again. */
static bool
is_in_circles(Engine *e)
{
	return ++e->resyncs > MOST_RESYNCS;
}

static bool
give_up_refused(Engine *e, int64_t now)
{
	read_error(e, TIDE_REFUSED);
	return engine_give_up(e, now);
}

/* Another request had this id: the same rows under a new one. */
static bool
rename_batch(Engine *e, int64_t now)
{
	if (is_in_circles(e))
		return give_up_refused(e, now);
	if (!batch_thaw(&e->store))
		return false;
	batch_free(&e->batch);
	answer_taken(e);
	return true;
}

/*
 * We were away for longer than the server remembers: pull first, which starts
 * over, then push what still has a place.
 */
static bool
resync(Engine *e, int64_t now)
{
	if (is_in_circles(e))
		return give_up_refused(e, now);
	if (e->batch.id != 0 && !batch_thaw(&e->store))
		return false;
	batch_free(&e->batch);
	e->phase = PHASE_PULL;
	answer_taken(e);
	return true;
}

/*
 * The cursor is of no use to the server: read everything.  A first sync has put
 * rows into the tables already, some of which may be gone since.
 */
static bool
start_over(Engine *e, int64_t now)
{
	if (is_in_circles(e))
		return give_up_refused(e, now);
	if (!apply_from_start(&e->store))
		return false;
	answer_taken(e);
	return true;
}

/*
 * A network that wants a log-in first, or a proxy whose server is away, answers in
 * the server's place, with a page or a redirection.  Who listens outlives that, like
 * any network that is away; for a single sync it may as well be a wrong URL.
 */
static bool
is_from_elsewhere(Engine *e)
{
	/* a proxy may be the one that finds a push too large; see split_batch() */
	if (!e->listening || e->status == 401 || stream_is(e) ||
		(engine_is_push(e) && (e->status == 413 || e->status == 400)))
		return false;
	return refusal_is_from_elsewhere(&e->answer, e->status == 200 ? NULL : "error");
}

static bool
wait_for_server(Engine *e, int64_t now)
{
	failure_clear(&e->store.failure);
	return engine_come_back_later(e, now, NOT_THE_SERVER, NOT_THE_SERVER_SAYS);
}

/* An answer that does what the phase wants. */
static bool
take_answer(Engine *e, int64_t now)
{
	bool		good;

	switch (e->phase)
	{
		case PHASE_SCHEMA:
			good = take_schema(e);
			break;
		case PHASE_PULL:
		case PHASE_FOLLOW:
			good = take_page(e, now);
			break;
		case PHASE_RESEND:
		case PHASE_PUSH:
		case PHASE_RETRY:
			good = take_verdicts(e, now);
			break;
		default:
			good = true;
			break;
	}
	if (good || e->store.failure.result != TIDE_REFUSED)
		return good;
	return is_from_elsewhere(e) ? wait_for_server(e, now) : engine_give_up(e, now);
}

bool
engine_refuse_token(Engine *e)
{
	Failure		why = e->store.failure;

	failure_clear(&e->store.failure);
	if (!engine_set_state(e, "signed_out"))
		return false;
	e->store.failure = why;
	e->token_refused = true;
	e->asked = e->asked || e->phase == PHASE_LISTEN;
	e->sent = false;
	e->complete = false;
	e->store.failure.result = TIDE_SIGNED_OUT;
	return false;
}

static bool
take_refusal(Engine *e, int64_t now)
{
	if (e->status == 401)
	{
		(void) read_error(e, TIDE_SIGNED_OUT);
		return engine_refuse_token(e);
	}
	if (is_from_elsewhere(e))
		return wait_for_server(e, now);
	if (e->status == 410)
		return resync(e, now);
	if (engine_is_push(e) && e->status == 409 && error_is(e, "batch_id_reused"))
		return rename_batch(e, now);
	if (error_is(e, "malformed_cursor"))
		return engine_is_push(e) ? resync(e, now) : start_over(e, now);
	if (engine_is_push(e) && (e->status == 413 || e->status == 400))
		return split_batch(e, now);
	return give_up_refused(e, now);
}

static bool
end_answer(Engine *e, int64_t now)
{
	if (e->phase == PHASE_LISTEN && e->status != 401 && e->status < 500)
		return listen_take_answer(e, now);
	if (e->status >= 500 || e->status == 429 || e->status == 408)
	{
		read_error(e, TIDE_OFFLINE);
		if (e->store.failure.result == TIDE_OFFLINE)
		{
			Failure		why = e->store.failure;

			failure_clear(&e->store.failure);
			return engine_come_back_later(e, now, why.code, why.message);
		}
		return false;
	}
	if (e->status == 200 || (e->status == 304 && e->phase == PHASE_SCHEMA))
		return take_answer(e, now);
	return take_refusal(e, now);
}

bool
engine_end_answer(Engine *e, int64_t now)
{
	if (!e->sent)
		return failure_set(&e->store.failure, TIDE_USAGE, "no_request",
						   "there is no request that this could be the answer to");
	e->complete = true;
	if (e->dropped)
	{
		answer_taken(e);
		return true;
	}
	return end_answer(e, now) || engine_begin_anew(e);
}
