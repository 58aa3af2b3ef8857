/*-------------------------------------------------------------------------
 *
 * dispatch.c
 *	  From a whole request to its job, and from the job's outcome to the reply.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "database/database.h"
#include "http/body.h"
#include "http/dispatch.h"
#include "http/etag.h"
#include "http/exchange.h"
#include "http/openapi.h"
#include "http/pending.h"
#include "http/reply.h"
#include "http/underway.h"
#include "util/clock.h"

/* ---------- from a request to its job ---------- */

/* Turn parameters and body into the job's arguments. */
static bool
fill_job(Request *request)
{
	Job		   *job = &request->job;

	if (!exchange_read_parameters(request->connection, request->settings,
								  &request->fields, &request->failure))
		return false;
	if (request->method == METHOD_POST)
		return body_fill_job(request);
	return sync_fill_job(job, &request->fields, request->settings,
						 &request->failure);
}

/*
 * Likewise, and keep nothing else: a list takes twenty times what its text does,
 * and nobody counts it.
 */
static bool
prepare_job(Request *request)
{
	bool		good = fill_job(request);

	if (request->job.prepare == NULL)
		sync_free_fields(&request->fields);
	return good;
}

/* A request that asks for a job of this kind. */
static bool
start_job(Request *request, JobKind kind)
{
	request->job.kind = kind;
	if (!prepare_job(request))
		return reply_failure(request);
	if (kind == JOB_PULL)
		pending_poll(request);
	else
		pending_ask(request);
	return true;
}

/* A pull.  If its reply is a stream, there is a job for each page. */
static bool
start_pull(Request *request)
{
	if (request->takes_lines)
	{
		request->stream = stream_create(request->takes_gzip);
		if (request->stream == NULL)
		{
			failure_try_again(&request->failure, "the server is short of memory");
			return reply_failure(request);
		}
		request->job.as_lines = true;
		request->rows = 0;
	}
	return start_job(request, JOB_PULL);
}

/* A stream of events, which is a pull that waits, again and again. */
static bool
start_events(Request *request)
{
	Job		   *job = &request->job;

	job->kind = JOB_PULL;
	if (!prepare_job(request))
		return reply_failure(request);

	/*
	 * once its head is sent it could only end, and the client come again at
	 * once
	 */
	if (!live_has_room(request->settings))
	{
		pending_refuse_to_wait(&request->failure);
		return reply_failure(request);
	}
	request->events = events_create(request->identity.expires -
									(double) time(NULL));
	if (job->since == NULL)
		job->since = strdup("now");
	if (request->events == NULL || job->since == NULL)
	{
		failure_try_again(&request->failure, "the server is short of memory");
		return reply_failure(request);
	}
	free(job->refresh);
	job->refresh = NULL;
	/* its head is sent before it waits */
	job->wait_until = 0;
	pending_poll(request);
	return true;
}

/* A request below /auth. */
static bool
start_login(Request *request, LoginKind kind)
{
	Address		address = exchange_address(request->connection,
										   &request->settings->trusted_proxies);

	if (!body_check(request))
		return reply_failure(request);
	request->job.kind = JOB_AUTH;
	request->login = calloc(1, sizeof(Login));
	if (request->login == NULL)
	{
		failure_try_again(&request->failure, "the server is short of memory");
		return reply_failure(request);
	}
	if (!login_begin(request->login, kind, request->settings,
					 request->body.data, request->body.length, &address,
					 &request->job, &request->failure))
		return reply_failure(request);
	pending_ask(request);
	return true;
}

/* Replicas are told of, and are no condition: the primary serves without them. */
static bool
reply_ready(Request *request)
{
	Buffer	   *text = &request->made;

	if (underway_is_leaving())
		failure_try_again(&request->failure, "the server is stopping");
	else
		database_is_ready(&request->failure);
	if (request->failure.status != 0)
		return reply_failure(request);
	buffer_append_text(text, "{\"status\":\"ready\"");
	if (database_replica_count() > 0)
	{
		buffer_append_text(text, ",\"replicas\":");
		database_write_replicas(text);
	}
	buffer_append_char(text, '}');
	if (!text->failed)
		return reply_send(request, 200, text->data, text->length);
	failure_try_again(&request->failure, "the server is short of memory");
	return reply_failure(request);
}

/* The whole request is there. */
bool
dispatch_request(Request *request)
{
	if (request->failure.status != 0)
		return reply_failure(request);
	if (request->is_preflight)
		return reply_text(request, 204, "");

	switch (request->route->endpoint)
	{
		case ENDPOINT_HEALTH:
			return reply_text(request, 200, "{\"status\":\"ok\"}");
		case ENDPOINT_OPENAPI:
			return reply_text(request, 200, openapi_text);
		case ENDPOINT_READY:
			return reply_ready(request);
		case ENDPOINT_SCHEMA:
			return start_job(request, JOB_SCHEMA);
		case ENDPOINT_KEYS:
			return start_job(request, JOB_KEYS);
		case ENDPOINT_DIGEST:
			return start_job(request, JOB_DIGEST);
		case ENDPOINT_ROWS:
			return start_job(request, JOB_ROWS);
		case ENDPOINT_SCOPES:
			return start_job(request, JOB_SCOPES);
		case ENDPOINT_PULL:
			return start_pull(request);
		case ENDPOINT_EVENTS:
			return start_events(request);
		case ENDPOINT_PUSH:
			return start_job(request, JOB_PUSH);
		case ENDPOINT_LOGIN:
			return start_login(request, LOGIN_PASSWORD);
		case ENDPOINT_REFRESH:
			return start_login(request, LOGIN_REFRESH);
		case ENDPOINT_LOGOUT:
			return start_login(request, LOGIN_LOGOUT);
	}
	return false;
}

/* ---------- from the outcome to the reply ---------- */

/* The job of a login is done; it may have another call to make. */
static bool
continue_login(Request *request)
{
	Login	   *login = request->login;

	switch (login_continue(login, request->settings, &request->job,
						   &request->failure))
	{
		case LOGIN_CONTINUE:
			pending_ask(request);
			return true;
		case LOGIN_REPLY:
			return reply_send(request, 200, login->reply.data,
							  login->reply.length);
		case LOGIN_FAILED:
			break;
	}
	return reply_failure(request);
}

/* The job has its outcome. */
bool
dispatch_outcome(Request *request)
{
	const Job  *job = &request->job;
	const char *reply = job->reply;
	size_t		length = job->reply_length;

	if (job->failure.status != 0)
	{
		request->failure = job->failure;
		return reply_failure(request);
	}
	if (request->login != NULL)
		return continue_login(request);
	/* what came meanwhile is not for a token that is good no more */
	if (request->has_waited && request->events == NULL &&
		!request_is_let_in(request))
		return reply_failure(request);
	if (request->etag[0] != '\0' &&
		etag_matches(request->etag, exchange_header(request->connection,
													"If-None-Match")))
	{
		database_free(&request->job);
		buffer_free(&request->packed);
		return reply_text(request, 304, "");
	}
	/* the body has been stored, so the reply takes its place in memory */
	body_drop(request);
	request->job.body = NULL;
	if (request->stream != NULL || request->events != NULL)
		return reply_stream(request);
	if (request->made.length > 0)
	{
		reply = request->made.data;
		length = request->made.length;
	}
	else if (request->packed.length > 0)
	{
		reply = request->packed.data;
		length = request->packed.length;
	}
	if (!client_take_bytes(request->client, length,
						   request->settings, &request->failure))
	{
		database_free(&request->job);
		buffer_free(&request->packed);
		return reply_failure(request);
	}
	return reply_send(request, 200, reply, length);
}

/* ---------- streams ---------- */

/* May a stream go on with the next page?  If not, the failure says why. */
static bool
may_go_on(Request *request)
{
	if (underway_refuses_new())
		return failure_try_again(&request->failure, "the server is stopping");
	return request_is_let_in(request);
}

/*
 * The client reads a piece from now on.  False: the connection must be closed.
 */
static bool
begin_piece(Request *request)
{
	Stream	   *stream = request->stream;

	stream->is_new = false;
	return !stream->piece.failed &&
		client_begin_reply(request->client, request->settings,
						   stream->piece.length);
}

/*
 * What the last job or seat has brought is told once everything that was said
 * before has been handed to the kernel.
 */
static long
read_events(Request *request, char *target, size_t most)
{
	Events	   *events = request->events;
	size_t		length;

	for (;;)
	{
		length = events_take(events, target, most);
		request->reply_bytes += length;
		if (length > 0)
			return (long) length;
		if (events->is_last)
			return DISPATCH_END;
		if (!client_begin_work(request->client))
			return DISPATCH_CUT;
		if (!request_is_let_in(request))
			return DISPATCH_END;
		if (!events_go_on(events, &request->job, underway_refuses_new(),
						  clock_now()))
		{
			database_free(&request->job);
			pending_poll(request);
			return 0;
		}
		if (!client_begin_reply(request->client, request->settings,
								events->text.length))
			return DISPATCH_CUT;
	}
}

/*
 * The next page is asked for once the last one has been handed to the kernel.
 * So a client that reads slowly holds one piece in memory, and no connection
 * to the database.
 */
long
dispatch_stream(Request *request, char *target, size_t most)
{
	Stream	   *stream = request->stream;
	size_t		length;

	if (request->events != NULL)
		return read_events(request, target, most);
	for (;;)
	{
		if (stream->is_new && !begin_piece(request))
			return DISPATCH_CUT;
		length = stream_take(stream, target, most);
		request->reply_bytes += length;
		if (length > 0)
			return (long) length;
		if (stream->is_last)
			return DISPATCH_END;
		if (!client_begin_work(request->client))
			return DISPATCH_CUT;
		if (may_go_on(request))
		{
			buffer_free(&stream->piece);
			request->has_waited = false;
			pending_ask(request);
			return 0;
		}
		stream_add_failure(stream, &request->failure);
	}
}
