/*-------------------------------------------------------------------------
 *
 * body.c
 *	  The body of a request: received, unpacked, and looked at.
 *
 * One thread serves all connections.  To read megabytes of JSON takes it tenths of
 * a second, and thirty kilobytes can be packed megabytes: a few dozen such requests
 * of one user would keep everybody waiting for seconds.  So a long body is unpacked
 * and read by the thread that runs the job, when it is its user's turn.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "api/sync.h"
#include "http/body.h"
#include "http/check.h"

/* what takes the thread of all connections less than a millisecond */
#define MOST_AT_ONCE	((size_t) 65536)

/* The body is in no memory any more; nor counted. */
void
body_drop(Request *request)
{
	if (request->route != NULL && route_is_login(request->route) &&
		request->body.data != NULL)
		explicit_bzero(request->body.data, request->body.length);
	client_give_bytes(request->client, request->body.capacity);
	buffer_free(&request->body);
}

/* Add a piece, packed or not; false with the failure set: it is refused. */
bool
body_append(Request *request, const char *data, size_t length)
{
	Buffer	   *body = &request->body;
	size_t		before = body->capacity;

	if (body->length + length > request->max_body)
		return check_refuse_length(request->max_body, &request->failure);
	buffer_append(body, data, length);
	return client_take_bytes(request->client, body->capacity - before,
							 request->settings, &request->failure);
}

/* ---------- packed bodies ---------- */

/*
 * Put the text in the place of what it came as.  GZIP_TOO_LONG: it has more than
 * "most" bytes, and the body is as before.
 */
static GzipState
unpack(Request *request, size_t most, Failure *failure)
{
	Buffer	   *body = &request->body;
	Buffer		text = {0};
	GzipReader *reader = gzip_open();
	GzipState	state;

	if (reader == NULL)
	{
		failure_try_again(failure, "the server is short of memory");
		return GZIP_BROKEN;
	}
	state = gzip_unpack(reader, body->data, body->length, most, &text);
	gzip_close(reader);
	if (state == GZIP_BROKEN)
		failure_set(failure, 400, "malformed_request",
					"the body is not gzip, as its encoding says", NULL);
	else if (state == GZIP_MORE)
		failure_set(failure, 400, "malformed_request",
					"the body ends in the middle of its gzip data", NULL);
	if (state != GZIP_DONE)
	{
		buffer_free(&text);
		return state;
	}
	body_drop(request);
	*body = text;
	request->is_packed = false;
	if (!client_take_bytes(request->client, body->capacity, request->settings,
						   failure))
	{
		/* it is not counted */
		buffer_free(body);
		return GZIP_BROKEN;
	}
	return GZIP_DONE;
}

/* Likewise, with all that the body may have; false: the failure is set. */
static bool
unpack_all(Request *request, Failure *failure)
{
	GzipState	state;

	if (!request->is_packed)
		return true;
	state = unpack(request, request->max_body, failure);
	if (state == GZIP_TOO_LONG)
		return check_refuse_length(request->max_body, failure);
	return state == GZIP_DONE;
}

/* ---------- what is in it ---------- */

/* The text is there: is it JSON? */
static bool
check_text(Request *request, Failure *failure)
{
	const Buffer *body = &request->body;

	if (body->failed)
		return failure_try_again(failure, "the server is short of memory");
	if (body->length == 0 && request->route->endpoint != ENDPOINT_PULL)
		return failure_set(failure, 400, "malformed_request",
						   "the body is empty", NULL);
	return sync_check_body(request->job.kind, body->data, body->length,
						   request->settings, failure);
}

/*
 * The text is there: is it good?  Then the job has its arguments, those of the query
 * among them.
 */
static bool
read_text(Request *request, Failure *failure)
{
	Job		   *job = &request->job;
	const Buffer *body = &request->body;

	if (!check_text(request, failure) ||
		(job->kind == JOB_PULL &&
		 !sync_take_body(&request->fields, request->settings,
						 body->data, body->length, failure)))
		return false;
	job->body = body->data;
	job->body_length = body->length;
	return sync_fill_job(job, &request->fields, request->settings, failure);
}

/* Called by the thread that runs the job, before it does. */
static bool
prepare(Job *job)
{
	Request    *request = job->owner;
	bool		good = unpack_all(request, &job->failure) &&
		read_text(request, &job->failure);

	sync_free_fields(&request->fields);
	return good;
}

/* A body that is short: is it good? */
bool
body_check(Request *request)
{
	return unpack_all(request, &request->failure) &&
		check_text(request, &request->failure);
}

/*
 * The body of a POST is there: the job's arguments from it, and from the fields of
 * the query.  If that takes long, it is done later, see above; job->prepare is set
 * then.
 */
bool
body_fill_job(Request *request)
{
	bool		is_long = request->body.length > MOST_AT_ONCE;
	GzipState	state;

	if (request->body.failed)
		return failure_try_again(&request->failure,
								 "the server is short of memory");
	if (!is_long && request->is_packed && request->max_body > MOST_AT_ONCE)
	{
		state = unpack(request, MOST_AT_ONCE, &request->failure);
		is_long = state == GZIP_TOO_LONG;
		if (!is_long && state != GZIP_DONE)
			return false;
	}
	if (is_long)
	{
		request->job.prepare = prepare;
		return true;
	}
	return unpack_all(request, &request->failure) &&
		read_text(request, &request->failure);
}
