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
#include "store/apply.h"
#include "store/commands.h"
#include "store/file.h"
#include "store/settings.h"
#include "store/sql.h"
#include "util/random.h"
#include "wire/time.h"

#define BATCH_ROWS 1000
#define BATCH_BYTES ((size_t) 4 * 1024 * 1024)
#define MOST_RESYNCS 2

void
engine_init(Engine *e)
{
	const char *base = getenv("TIDE_RETRY_BASE_MS");

	memset(e, 0, sizeof(*e));
	e->base = base ? strtoll(base, NULL, 10) : 0;
	if (e->base <= 0)
		e->base = SCHEDULE_BASE_MS;
	e->retry_after = -1;
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
	e->token = NULL;
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
		case PHASE_IDLE:
			break;
	}
	return "idle";
}

/*
 * States, in the file for other programs to see
 */

static bool
set_state(Engine *e, const char *state)
{
	if (setting_is(&e->store, "state", state))
		return true;
	return e->store.failure.result == TIDE_OK &&
		setting_set(&e->store, "state", state);
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
	return sql_end(&e->store, set_state(e, state_of(done ? TIDE_OK : why->result)) &&
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
	e->result = why ? why->result : TIDE_OK;
	if (why)
		e->last = *why;
	else
		failure_clear(&e->last);
	if (why == NULL)
		e->failures = 0;
	batch_free(&e->batch);
	return true;
}

/* End the sync for the failure that was just set; it remains to be told. */
static bool
give_up(Engine *e, int64_t now)
{
	Failure		why = e->store.failure;

	failure_clear(&e->store.failure);
	if (!engine_finish(e, &why, now))
		return false;
	e->store.failure = why;
	return false;
}

/*
 * Tokens
 */

static int
base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-' || c == '+')
		return 62;
	if (c == '_' || c == '/')
		return 63;
	return -1;
}

/* The sub of a JWT.  It is not verified: that is the server's to do. */
char *
engine_token_user(const char *token)
{
	const char *at = strchr(token, '.');
	Buffer		claims = {0};
	Json		json;
	char	   *user = NULL;
	unsigned int bits = 0;
	int			n = 0;

	for (at = at ? at + 1 : ""; *at && *at != '.'; at++)
	{
		int			digit = base64_digit(*at);

		if (digit < 0)
			break;
		bits = bits << 6 | (unsigned int) digit;
		n += 6;
		if (n >= 8)
		{
			n -= 8;
			buffer_char(&claims, (char) (bits >> n & 0xff));
		}
	}
	if (!claims.failed && claims.data && json_parse(&json, claims.data, claims.length))
	{
		user = json_text(&json, json_member(&json, json.nodes, "sub"));
		json_free(&json);
	}
	buffer_free(&claims);
	return user;
}

static bool
check_user(Engine *e, const char *user)
{
	char	   *owner;
	bool		same;

	if (e->store.db == NULL || !setting_get(&e->store, "user", &owner))
		return false;
	if (owner == NULL)
		return setting_set(&e->store, "user", user);
	same = strcmp(owner, user) == 0;
	if (!same)
		failure_set(&e->store.failure, TIDE_SIGNED_OUT, "other_user",
					"the file belongs to user \"%s\", the token is of \"%s\"",
					owner, user);
	sqlite3_free(owner);
	return same;
}

bool
engine_set_token(Engine *e, const char *token)
{
	char	   *user,
			   *copy;
	bool		good;

	if (token == NULL)
	{
		sqlite3_free(e->token);
		e->token = NULL;
		return true;
	}
	user = engine_token_user(token);
	if (user == NULL || strpbrk(token, "\r\n") != NULL)
	{
		sqlite3_free(user);
		return failure_set(&e->store.failure, TIDE_SIGNED_OUT, "bad_token",
						   "the token is not a JWT with a user in it");
	}
	good = check_user(e, user);
	sqlite3_free(user);
	if (!good)
		return false;
	copy = text_copy(token);
	if (copy == NULL)
		return failure_memory(&e->store.failure);
	sqlite3_free(e->token);
	e->token = copy;
	e->token_refused = false;
	return true;
}

/*
 * A sync, step by step
 */

static bool
begin_sync(Engine *e, int64_t now)
{
	int64_t		run = setting_number(&e->store, "run") + 1;

	if (!file_check(&e->store) || !apply_refused(&e->store, now) ||
		!setting_set_number(&e->store, "run", run) || !set_state(e, "syncing"))
		return false;
	e->run = run;
	e->asked = false;
	e->phase = PHASE_SCHEMA;
	e->limits.rows = BATCH_ROWS;
	e->limits.bytes = BATCH_BYTES;
	e->schema_again = false;
	e->take_unknown = false;
	e->pushed_any = false;
	e->resyncs = 0;
	memset(&e->tally, 0, sizeof(e->tally));
	return true;
}

static bool
is_push(const Engine *e)
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
		e->phase = PHASE_PULL;
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
	if (is_push(e))
	{
		if (!prepare_push(e, now))
			return false;
		if (e->batch.id != 0)
			return request_push(e);
	}
	if (e->phase == PHASE_FOLLOW && !e->pushed_any)
	{
		*ready = false;
		return engine_finish(e, NULL, now);
	}
	return e->phase == PHASE_SCHEMA ? request_schema(e) : request_pull(e);
}

/* Is there a reason to sync? */
static bool
look_for_reason(Engine *e, int64_t now, int *wait, int64_t *until)
{
	int64_t		commands;
	bool		sync = false;

	if (!sql_number(&e->store, "SELECT EXISTS (SELECT 1 FROM tide_command)", &commands))
		return false;
	if (commands > 0 && !command_run_table(&e->store, now, &sync))
		return false;
	if (!freeze_next_retry(&e->store, until))
		return false;
	if (sync || *until <= now)
		e->asked = true;
	*wait = *until == INT64_MAX ? TIDE_FOR_SYNC : TIDE_FOR_RETRY;
	return true;
}

bool
engine_next(Engine *e, int64_t now, bool *send, int *wait, int64_t *until)
{
	bool		ready;

	*send = false;
	*wait = TIDE_FOR_SYNC;
	*until = INT64_MAX;
	/* an answer that could not be taken when it came */
	if (e->complete && !engine_end_answer(e, now))
		return false;
	for (;;)
	{
		if (e->phase == PHASE_IDLE)
		{
			if (!look_for_reason(e, now, wait, until))
				return false;
			if (!e->asked)
				return true;
		}
		if (e->token == NULL || e->token_refused)
		{
			*wait = TIDE_FOR_TOKEN;
			*until = INT64_MAX;
			return set_state(e, "signed_out");
		}
		if (now < e->next_try)
		{
			*wait = TIDE_FOR_NETWORK;
			*until = e->next_try;
			return true;
		}
		if (e->phase == PHASE_IDLE && !begin_sync(e, now))
			return false;
		if (!prepare_request(e, now, &ready))
			return false;
		if (ready)
			break;
	}
	e->sent = true;
	e->status = 0;
	buffer_reset(&e->answer);
	*send = true;
	return true;
}

/*
 * Answers
 */

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

bool
engine_begin_answer(Engine *e, int status, const char *headers)
{
	char		value[32];

	if (!e->sent)
		return failure_set(&e->store.failure, TIDE_USAGE, "no_request",
						   "there is no request that this could be the answer to");
	e->status = status;
	buffer_reset(&e->answer);
	e->etag[0] = '\0';
	e->retry_after = -1;
	if (headers)
	{
		(void) header_value(headers, "ETag", e->etag, sizeof(e->etag));
		if (header_value(headers, "Retry-After", value, sizeof(value)) &&
			value[0] >= '0' && value[0] <= '9')
			e->retry_after = strtoll(value, NULL, 10) * 1000;
	}
	return true;
}

bool
engine_add_answer(Engine *e, const void *data, size_t length)
{
	if (!e->sent || e->complete)
		return failure_set(&e->store.failure, TIDE_USAGE, "no_request",
						   "there is no request that this could be the answer to");
	buffer_append(&e->answer, data, length);
	return !e->answer.failed || failure_memory(&e->store.failure);
}

/* The server is not there: later. */
static bool
come_back_later(Engine *e, int64_t now, const char *code, const char *why)
{
	int64_t		delay = schedule_transport(e->failures + 1, e->base, random_number());

	if (!set_state(e, "offline"))
		return false;
	e->sent = false;
	e->complete = false;
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
	return come_back_later(e, now, "no_answer", why);
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
	Json		json;
	const JsonNode *error;
	char	   *code = NULL;
	char	   *message = NULL;
	char	   *hint = NULL;
	char		status[64];

	snprintf(status, sizeof(status), "the server answered with status %d", e->status);
	if (e->answer.data && json_parse(&json, e->answer.data, e->answer.length))
	{
		error = json_member(&json, json.nodes, "error");
		code = json_text(&json, json_member(&json, error, "code"));
		message = json_text(&json, json_member(&json, error, "message"));
		hint = json_text(&json, json_member(&json, error, "hint"));
		json_free(&json);
	}
	else if (e->answer.data)
		json_free(&json);
	failure_set(&e->store.failure, result, code ? code : "status", "%s",
				message ? message : status);
	if (hint)
		failure_hint(&e->store.failure, "%s", hint);
	sqlite3_free(code);
	sqlite3_free(message);
	sqlite3_free(hint);
	return false;
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

static void
answer_taken(Engine *e)
{
	e->sent = false;
	e->complete = false;
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
	if (e->status == 200 &&
		!file_take_schema(&e->store, e->answer.data ? e->answer.data : "", e->answer.length,
						  e->etag[0] ? e->etag : NULL))
		return false;
	e->phase = PHASE_RESEND;
	answer_taken(e);
	return true;
}

/* The pull is complete: the acks that it named have done their work. */
static bool
end_pull(Engine *e, int64_t now)
{
	if (!sql_run(&e->store, "DELETE FROM tide_acks"))
		return false;
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

	if (!read_answer(e, &json))
		return false;
	good = apply_page(&e->store, &json, e->from_start, e->take_unknown, now, &page);
	json_free(&json);
	if (!good)
		return false;
	answer_taken(e);
	e->tally.pulled += page.changed;
	if (page.unknown)
	{
		/* the schema that we know is old; if a new one does not help, go on */
		e->take_unknown = e->schema_again;
		e->schema_again = true;
		e->phase = PHASE_SCHEMA;
		return true;
	}
	return page.has_more || end_pull(e, now);
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

/* Another request had this id: the same rows under a new one. */
static bool
rename_batch(Engine *e)
{
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
	if (++e->resyncs > MOST_RESYNCS)
	{
		read_error(e, TIDE_REFUSED);
		return give_up(e, now);
	}
	if (e->batch.id != 0 && !batch_thaw(&e->store))
		return false;
	batch_free(&e->batch);
	e->phase = PHASE_PULL;
	answer_taken(e);
	return true;
}

/* The cursor is of no use to the server: read everything. */
static bool
start_over(Engine *e)
{
	if (!sql_begin(&e->store) ||
		!sql_end(&e->store, setting_set(&e->store, "cursor", NULL) &&
				 setting_set(&e->store, "stage_cursor", NULL) &&
				 sql_run(&e->store, "DELETE FROM tide_stage")))
		return false;
	answer_taken(e);
	return true;
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
	if (!good && e->store.failure.result == TIDE_REFUSED)
		return give_up(e, now);
	return good;
}

static bool
take_refusal(Engine *e, int64_t now)
{
	if (e->status == 401)
	{
		if (!set_state(e, "signed_out"))
			return false;
		e->token_refused = true;
		e->sent = false;
		e->complete = false;
		return read_error(e, TIDE_SIGNED_OUT);
	}
	if (e->status == 410)
		return resync(e, now);
	if (is_push(e) && e->status == 409 && error_is(e, "batch_id_reused"))
		return rename_batch(e);
	if (error_is(e, "malformed_cursor"))
		return is_push(e) ? resync(e, now) : start_over(e);
	if (is_push(e) && (e->status == 413 || e->status == 400))
		return split_batch(e, now);
	read_error(e, TIDE_REFUSED);
	return give_up(e, now);
}

bool
engine_end_answer(Engine *e, int64_t now)
{
	if (!e->sent)
		return failure_set(&e->store.failure, TIDE_USAGE, "no_request",
						   "there is no request that this could be the answer to");
	e->complete = true;
	if (e->status >= 500 || e->status == 429 || e->status == 408)
	{
		read_error(e, TIDE_OFFLINE);
		if (e->store.failure.result == TIDE_OFFLINE)
		{
			Failure		why = e->store.failure;

			failure_clear(&e->store.failure);
			return come_back_later(e, now, why.code, why.message);
		}
		return false;
	}
	if (e->status == 200 || (e->status == 304 && e->phase == PHASE_SCHEMA))
		return take_answer(e, now);
	return take_refusal(e, now);
}

bool
engine_has_queued(Engine *e)
{
	bool		queued;

	return freeze_has_queued(&e->store, &queued) && queued;
}
