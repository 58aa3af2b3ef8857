/*-------------------------------------------------------------------------
 *
 * reply.c
 *	  The reply to a request, and what is written down about it.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include <microhttpd.h>

#include "http/cors.h"
#include "http/dispatch.h"
#include "http/exchange.h"
#include "http/reply.h"
#include "http/underway.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/metrics.h"

#define STREAM_BLOCK	32768	/* bytes that are asked for at a time, at the
								 * most */

/* ---------- headers ---------- */

static void
add_header(struct MHD_Response *response, const char *name, const char *value)
{
	if (value != NULL)
		MHD_add_response_header(response, name, value);
}

static void
add_cors_headers(const Request *request, struct MHD_Response *response)
{
	const char *origin = cors_allow_origin(request->settings,
										   exchange_header(request->connection,
														   "Origin"));

	if (cors_varies(request->settings))
		add_header(response, "Vary", "Origin");
	if (origin == NULL)
		return;
	add_header(response, "Access-Control-Allow-Origin", origin);
	add_header(response, "Access-Control-Expose-Headers", CORS_EXPOSE_HEADERS);
	if (!request->is_preflight)
		return;
	add_header(response, "Access-Control-Allow-Methods", request->route->allow);
	add_header(response, "Access-Control-Allow-Headers", CORS_ALLOW_HEADERS);
	add_header(response, "Access-Control-Max-Age", CORS_MAX_AGE);
}

/* The headers that go with some failures. */
static void
add_failure_headers(const Request *request, struct MHD_Response *response)
{
	const Failure *failure = &request->failure;
	char		seconds[16];

	if (failure->status == 401)
		add_header(response, "WWW-Authenticate",
				   exchange_header(request->connection, "Authorization") == NULL ?
				   "Bearer" : "Bearer error=\"invalid_token\"");
	if (failure->status == 405)
		add_header(response, "Allow", request->route->allow);
	if (failure->retry_after > 0)
	{
		snprintf(seconds, sizeof(seconds), "%d", failure->retry_after);
		add_header(response, "Retry-After", seconds);
	}
}

/* ---------- sending ---------- */

/* Headers of all replies, and sending. */
static bool
send_response(Request *request, int status, struct MHD_Response *response,
			  size_t length)
{
	bool		good = false;

	request->status = status;
	if (request->etag[0] != '\0' && status < 400)
	{
		/*
		 * clients may keep it but must ask each time, because it depends on
		 * the token
		 */
		add_header(response, "ETag", request->etag);
		add_header(response, "Cache-Control", "private, no-cache");
	}
	else
		add_header(response, "Cache-Control", "no-store");
	add_header(response, "X-Content-Type-Options", "nosniff");
	add_header(response, "X-Request-Id", request->id);
	add_cors_headers(request, response);
	add_failure_headers(request, response);
	if (underway_is_leaving() || request->must_close)
		add_header(response, "Connection", "close");

	if (client_begin_reply(request->client, request->settings, length))
		good = MHD_queue_response(request->connection, (unsigned int) status,
								  response) == MHD_YES;
	MHD_destroy_response(response);
	return good;
}

static bool
send_body(Request *request, int status, const char *body, size_t length,
		  enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *response;

	response = MHD_create_response_from_buffer(length, (void *) body, mode);
	if (response == NULL)
		return false;

	request->reply_bytes = length;
	if (status != 204 && status != 304)
		add_header(response, "Content-Type", "application/json");
	if (body != NULL && body == request->packed.data)
		add_header(response, "Content-Encoding", "gzip");
	if (request->packed.length > 0 || length >= REPLY_LEAST_PACKED)
		add_header(response, "Vary", "Accept-Encoding");
	return send_response(request, status, response, length);
}

/* The library asks for more of a stream. */
static ssize_t
read_stream(void *context, uint64_t position, char *target, size_t most)
{
	long		length = dispatch_stream(context, target, most);

	(void) position;
	if (length == DISPATCH_END)
		return MHD_CONTENT_READER_END_OF_STREAM;
	return length == DISPATCH_CUT ? MHD_CONTENT_READER_END_WITH_ERROR : length;
}

/* Begin a stream; its first piece is there. */
bool
reply_stream(Request *request)
{
	struct MHD_Response *response;
	const Stream *stream = request->stream;

	response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK,
												 read_stream, request, NULL);
	if (response == NULL)
		return false;
	add_header(response, "Content-Type", request->events != NULL ?
			   "text/event-stream" : "application/x-ndjson");
	if (stream != NULL && stream->packer != NULL)
		add_header(response, "Content-Encoding", "gzip");
	if (stream != NULL)
		add_header(response, "Vary", "Accept, Accept-Encoding");
	/* some proxies would otherwise keep everything until the reply ends */
	add_header(response, "X-Accel-Buffering", "no");
	return send_response(request, 200, response, stream != NULL ?
						 stream->piece.length : request->events->text.length);
}

/* Send a reply whose body lives as long as the request. */
bool
reply_send(Request *request, int status, const char *body, size_t length)
{
	return send_body(request, status, body, length, MHD_RESPMEM_PERSISTENT);
}

/* Likewise, with a text. */
bool
reply_text(Request *request, int status, const char *text)
{
	return reply_send(request, status, text, strlen(text));
}

/* Send the request's failure. */
bool
reply_failure(Request *request)
{
	Buffer		body = {0};
	bool		good = false;

	failure_write(&request->failure, &body);
	if (!body.failed)
		good = send_body(request, request->failure.status, body.data,
						 body.length, MHD_RESPMEM_MUST_COPY);
	buffer_free(&body);
	return good;
}

/* ---------- writing down ---------- */

static void
log_request(const Request *request)
{
	char		status[16];
	char		milliseconds[32];
	char		bytes[32];
	char		received[32];
	char		rows[32];

	snprintf(status, sizeof(status), "%d", request->status);
	snprintf(milliseconds, sizeof(milliseconds), "%.1f",
			 (double) (clock_now() - request->started) / CLOCK_MILLISECOND);
	snprintf(bytes, sizeof(bytes), "%zu", request->reply_bytes);
	snprintf(received, sizeof(received), "%zu", request->received);
	snprintf(rows, sizeof(rows), "%ld", request->rows);
	log_event(LOG_INFO, "request", "id", request->id,
			  "method", request->method_name, "path", request->path,
			  "status", status, "ms", milliseconds,
			  "user", request->login != NULL ? request->login->user :
			  request->identity.user,
			  "rows", request->rows < 0 ? NULL : rows,
			  "code", request->failure.status ? request->failure.code : NULL,
			  "received", received, "bytes", bytes, NULL);
}

static void
measure_request(const Request *request)
{
	Measured	measured = {
		.path = request->route != NULL ? request->route->path : NULL,
		.status = request->status,
		.duration = clock_now() - request->started,
		.received = request->received,
		.sent = request->reply_bytes,
		.rows = request->rows
	};

	metrics_count_request(&measured);
}

/* A request has ended: its line in the log, and its share of the metrics. */
void
reply_record(const Request *request)
{
	log_request(request);
	measure_request(request);
}
