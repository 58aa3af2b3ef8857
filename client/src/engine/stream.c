/*
 * stream.c
 *	  An answer that is a stream of lines: all of a first sync.
 *
 * Lines are taken into the file when there are enough of them, up to the last
 * cursor among them, in one transaction.  So memory is bounded, the file is not
 * locked while the network is waited for, and a stream that is cut anywhere goes
 * on from the last cursor that came.
 */
#include <string.h>

#include "engine/refusal.h"
#include "engine/steps.h"

/* while another program holds the file, so much more is read before it is tried again */
#define WAIT_BYTES ((size_t) 1024 * 1024)
#define MOST_BYTES ((size_t) 32 * 1024 * 1024)

static const char first_line[] = "{\"begin\":";

static bool
starts_with(const char *line, size_t length, const char *start)
{
	return length >= strlen(start) && memcmp(line, start, strlen(start)) == 0;
}

bool
stream_is(const Engine *e)
{
	/* what was taken already is no longer there */
	return e->streams && e->status == 200 && strcmp(engine_phase_name(e->phase), "pull") == 0 &&
		(e->stream_begun || (e->answer.length > 0 &&
							 starts_with(e->answer.data, e->answer.length, first_line)));
}

/* Look at the lines that have come since, for cursors. */
static void
scan(Engine *e)
{
	const char *text = e->answer.data;
	const char *newline;

	while (e->lines_read < e->answer.length &&
		   (newline = memchr(text + e->lines_read, '\n', e->answer.length - e->lines_read)))
	{
		size_t		next = (size_t) (newline - text) + 1;

		if (starts_with(text + e->lines_read, next - e->lines_read, "{\"cursor\":"))
			e->lines_end = next;
		e->lines_read = next;
	}
}

/* Take the lines up to there. */
static bool
take(Engine *e, size_t length, bool *more)
{
	PageResult	page;

	if (!apply_lines(&e->store, e->answer.data, length, e->take_unknown, e->asked_at, &page))
		return false;
	*more = page.has_more;
	answer_count(e, &page);
	e->dropped = page.unknown;
	if (e->dropped)
		return true;
	/* a network that brings something is no reason to wait longer and longer */
	e->failures = 0;
	e->stream_begun = true;
	buffer_remove(&e->answer, length);
	e->lines_read -= length;
	e->lines_end = 0;
	e->lines_wait = 0;
	return true;
}

bool
stream_take_rest(Engine *e)
{
	bool		more;

	scan(e);
	if (e->lines_end == 0 || e->dropped)
		return true;
	if (take(e, e->lines_end, &more))
		return true;
	if (!engine_begin_anew(e))
		return false;
	/* what else comes of the answer is let pass */
	e->sent = true;
	e->dropped = true;
	return true;
}

bool
stream_take_piece(Engine *e)
{
	scan(e);
	if (e->lines_end < e->stream_bytes || e->answer.length < e->lines_wait)
		return true;
	if (stream_take_rest(e))
		return true;
	if (e->store.failure.result != TIDE_BUSY || e->answer.length > MOST_BYTES)
		return false;
	failure_clear(&e->store.failure);
	e->lines_wait = e->answer.length + WAIT_BYTES;
	return true;
}

/* The last line says why the stream does not go on. */
static bool
take_error(Engine *e, const char *line, size_t length, int64_t now)
{
	Buffer		text = {0};
	Failure    *failure = &e->store.failure;

	buffer_append(&text, line, length);
	(void) refusal_read(failure, TIDE_REFUSED, &text, "the server ended its answer");
	buffer_free(&text);
	if (strcmp(failure->code, "unauthorized") == 0)
		return engine_refuse_token(e);
	if (strcmp(failure->code, "try_again") == 0)
	{
		Failure		why = *failure;

		failure_clear(failure);
		return engine_come_back_later(e, now, why.code, why.message);
	}
	return engine_give_up(e, now);
}

/* A last line without its end was cut, or is all but complete. */
static bool
end_last_line(Engine *e)
{
	Buffer	   *answer = &e->answer;

	scan(e);
	if (e->lines_read == answer->length)
		return true;
	if (json_is_valid(answer->data + e->lines_read, answer->length - e->lines_read))
		buffer_char(answer, '\n');
	else
		buffer_truncate(answer, e->lines_read);
	scan(e);
	return !answer->failed || failure_memory(&e->store.failure);
}

bool
stream_take_end(Engine *e, int64_t now)
{
	const char *line;
	size_t		length,
				last;
	bool		more = true;

	if (!end_last_line(e))
		return false;
	last = e->answer.length > 0 ? e->answer.length - 1 : 0;
	while (last > 0 && e->answer.data[last - 1] != '\n')
		last--;
	line = e->answer.data + last;
	length = e->answer.length - last;
	if (starts_with(line, length, "{\"end\":"))
	{
		if (!take(e, e->answer.length, &more))
			return false;
		answer_taken(e);
		return more || answer_end_pull(e, now);
	}
	if (!stream_take_rest(e))
		return false;
	if (e->dropped)
	{
		answer_taken(e);
		return true;
	}
	/* it has moved to the front */
	line = e->answer.data + e->answer.length - length;
	if (e->answer.length >= length && starts_with(line, length, "{\"error\":"))
		return take_error(e, line, length, now);
	return engine_come_back_later(e, now, "no_answer", "the server's answer was cut off");
}
