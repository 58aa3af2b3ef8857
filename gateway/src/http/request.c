/*-------------------------------------------------------------------------
 *
 * request.c
 *	  The life of a request, step by step.
 *
 * A request is one struct, made when its head is there and freed in
 * request_end().  While its job is with the database, its connection is
 * suspended and costs no thread.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "auth/keys.h"
#include "database/database.h"
#include "http/body.h"
#include "http/check.h"
#include "http/cors.h"
#include "http/dispatch.h"
#include "http/exchange.h"
#include "http/head.h"
#include "http/linger.h"
#include "http/media.h"
#include "http/reply.h"
#include "http/request.h"
#include "http/underway.h"
#include "util/clock.h"

/*
 * A refused body up to this length is read, so that the connection can stay
 * open.
 */
#define SMALL_BODY				65536

/* A refused body of unknown length is read up to so far beyond the limit. */
#define MAX_DISCARDED			((size_t) 64 << 20)

/* ---------- the struct ---------- */

/* The id of a proxy is kept, so that its log can be compared with ours. */
static void
set_id(Request *request)
{
	const char *id = exchange_header(request->connection, "X-Request-Id");

	if (id != NULL && head_id_is_sane(id))
		snprintf(request->id, sizeof(request->id), "%s", id);
	else
		underway_make_id(request->id, sizeof(request->id));
}

/* NULL: no memory. */
Request *
request_create(struct MHD_Connection *connection, const char *path,
			   const char *method)
{
	Request    *request = calloc(1, sizeof(Request));

	if (request == NULL)
		return NULL;
	request->path = strndup(path, 256);
	request->method_name = strndup(method, 16);
	if (request->path == NULL || request->method_name == NULL)
	{
		free(request->path);
		free(request->method_name);
		free(request);
		return NULL;
	}
	request->connection = connection;
	request->rows = -1;
	request->client = exchange_client(connection);
	request->settings = settings_acquire();
	request->route = route_find(path);
	request->method = route_method(method);
	request->takes_gzip =
		media_takes_gzip(exchange_header(connection, "Accept-Encoding"));
	request->max_body = (size_t) request->settings->max_body_bytes;
	request->started = clock_now();
	set_id(request);
	underway_add();
	return request;
}

static void
free_request(Request *request)
{
	database_free(&request->job);
	buffer_free(&request->packed);
	stream_free(request->stream);
	events_free(request->events);
	buffer_free(&request->made);
	sync_free_job(&request->job);
	if (request->login != NULL)
		login_free(request->login);
	free(request->login);
	sync_free_fields(&request->fields);
	identity_free(&request->identity);
	body_drop(request);
	settings_release(request->settings);
	free(request->path);
	free(request->method_name);
	free(request);
	underway_remove();
}

/* ---------- checks of a request's head ---------- */

/*
 * Can the head be read in one way only, whatever is asked for?  If not, nobody
 * knows where the next request begins.
 */
static bool
check_form(Request *request, const char *version, bool target_is_plain)
{
	Failure    *failure = &request->failure;
	const char *problem = exchange_form_problem(request->connection, version);

	if (problem == NULL && target_is_plain)
		return true;
	request->must_close = true;
	if (problem != NULL)
		return failure_set(failure, 400, "malformed_request", problem, NULL);
	return failure_set(failure, 400, "malformed_request",
					   "the request's target is not a plain path",
					   "Send a path that begins with / and has no %-escapes; "
					   "those in the query must be whole.");
}

/*
 * The request line and the headers together, and which of them are too long.
 */
static bool
check_length(Request *request)
{
	size_t		most = (size_t) request->settings->max_header_bytes;

	if (exchange_head_size(request->connection) <= most)
		return true;
	request->must_close = true;
	if (exchange_fields_size(request->connection) < most / 2)
		return check_refuse_target("path and parameters are too long", &request->failure);
	return failure_set(&request->failure, 431, "headers_too_large",
					   "the headers are too long", NULL);
}

/* The token, and how much its user has open already. */
static bool
authenticate(Request *request, const RequestHead *head)
{
	const KeySet *keys = keys_acquire();

	request->job.role = check_token(head, request->settings, keys, time(NULL),
									&request->identity, &request->failure);
	keys_release(keys);
	request->job.claims = request->identity.claims;
	return request->job.role != NULL &&
		client_begin_request(request->client, request->identity.user,
							 request->settings, &request->failure);
}

/*
 * A request may take a minute, and a stream as long as its token is good.  Would it
 * be let in now, as the same role, by the keys and settings that are in force?  If
 * not, its failure says why.
 */
bool
request_is_let_in(Request *request)
{
	const Settings *settings = settings_acquire();
	const KeySet *keys = keys_acquire();
	Identity	identity = {0};
	RequestHead head;
	const char *role;
	bool		good;

	exchange_read_head(request->connection, &head);
	role = check_token(&head, settings, keys, time(NULL), &identity, &request->failure);
	good = role != NULL;
	if (good && strcmp(role, request->job.role) != 0)
		good = failure_try_again(&request->failure, "default-role is another one now");
	identity_free(&identity);
	keys_release(keys);
	settings_release(settings);
	return good;
}

/* All that can be decided before the body is there. */
static bool
check_head(Request *request, const RequestHead *head)
{
	Failure		refusal;

	if (!check_route(request->route, request->method, underway_refuses_new(),
					 &request->failure))
		return false;
	request->is_preflight = request->method == METHOD_OPTIONS;
	if (request->method != METHOD_POST && head->has_body)
	{
		request->must_close = true;
		return failure_set(&request->failure, 400, "malformed_request",
						   "this method takes no body", NULL);
	}
	/* a page can read a refusal only if its preflight was accepted */
	if (client_is_refused(request->client, &refusal))
	{
		request->must_close = true;
		if (!request->is_preflight)
			request->failure = refusal;
		return request->is_preflight;
	}
	if (request->is_preflight)
		return true;
	if (request->route->needs_token && !authenticate(request, head))
		return false;
	if (request->method == METHOD_POST)
		request->max_body = check_body_limit(request->route, request->settings);
	if (!check_content(head, request->route, request->method,
					   request->settings, &request->failure))
		return false;
	/* there is nothing to stream for a HEAD */
	request->takes_lines = request->route->endpoint == ENDPOINT_PULL &&
		media_wants_stream(head->accept) &&
		strcmp(request->method_name, "HEAD") != 0;
	request->is_packed = request->method == METHOD_POST &&
		check_is_packed(head, request->route);
	return true;
}

/* ---------- head and body ---------- */

/*
 * The head is there.  A refusal is sent at once if the body would be long, or
 * waits for "100 Continue", which costs the connection; else after the body.
 */
bool
request_begin(Request *request, const char *version, bool target_is_plain)
{
	RequestHead head;
	bool		good;

	if (!client_begin_body(request->client, request->settings,
						   cors_allow_origin(request->settings,
											 exchange_header(request->connection,
															 "Origin"))))
		return false;
	exchange_read_head(request->connection, &head);
	good = check_form(request, version, target_is_plain) &&
		check_length(request) && check_head(request, &head);
	if (request->method == METHOD_POST)
		exchange_acknowledge(request->connection);
	if (good)
		return true;
	if (request->failure.status != 413 && !request->must_close &&
		exchange_header(request->connection, "Expect") == NULL &&
		head.length <= SMALL_BODY)
		return true;

	linger_adopt(exchange_socket(request->connection));
	return reply_failure(request);
}

/*
 * A piece of the body.  No reply can be sent here.  So a body that is refused
 * is read and forgotten, up to a limit, and answered at its end.
 */
bool
request_receive(Request *request, const char *data, size_t length)
{
	if (!client_add_body(request->client, length))
		return false;
	exchange_acknowledge(request->connection);
	request->received += length;
	if (request->failure.status == 0 && body_append(request, data, length))
		return true;
	body_drop(request);
	return request->received <= request->max_body + MAX_DISCARDED;
}

/* ---------- its end ---------- */

/* The end of the request is there, or its job is done. */
bool
request_continue(Request *request)
{
	if (!client_begin_work(request->client))
		return false;
	return request->job_done ? dispatch_outcome(request) : dispatch_request(request);
}

/* The reply has been sent, or the connection is gone. */
void
request_end(Request *request)
{
	if (request->status == 0)
		request->status = client_cut_status(request->client);
	reply_record(request);
	client_end_request(request->client);
	client_begin_idle(request->client);
	free_request(request);
}
