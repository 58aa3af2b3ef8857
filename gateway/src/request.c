/*-------------------------------------------------------------------------
 *
 * request.c
 *	  The life of a request, and its reply.
 *
 * A request is one struct, made at the first call of request_handle(), freed
 * in request_completed().  While its job is with the database, its connection
 * is suspended and costs no thread.
 *
 *-------------------------------------------------------------------------
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "cors.h"
#include "database.h"
#include "head.h"
#include "linger.h"
#include "log.h"
#include "mhd.h"
#include "metrics.h"
#include "openapi.h"
#include "queue.h"
#include "request.h"
#include "settings.h"
#include "token.h"
#include "version.h"

#define READY_TIMEOUT			(5 * CLOCK_SECOND)

/* A refused body up to this length is read, so that the connection stays. */
#define SMALL_BODY				65536

/* A refused body of unknown length is read so far beyond the limit. */
#define MAX_DISCARDED			((size_t) 64 << 20)

/* All bodies in memory together: so many times the longest that is allowed. */
#define MAX_BODIES				32

static atomic_bool refusing = false;
static bool head_in_place;		/* lines are left as head.c says */
static atomic_int with_database = 0;	/* suspended requests */
static atomic_size_t body_bytes = 0;	/* of all requests */

/* Requests between request_handle() and request_completed(). */
static pthread_mutex_t active_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t active_changed;
static int	active = 0;

static atomic_uint_fast64_t next_id;
static uint32_t id_prefix;

static const char *
header(const Request *request, const char *name)
{
	return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND,
									   name);
}

/* The same for check.c. */
const char *
http_header(const Request *request, const char *name)
{
	return header(request, name);
}

/*
 * What request_target_arrived() hands to request_handle() in the place of a request: there is
 * none yet, and its target is refused.
 */
static char refused_target;

static Client *
client_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
	MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info == NULL ? NULL : info->socket_context;
}

/* ---------- the request's struct ---------- */

static void
drop_body(Request *request)
{
	if (request->route != NULL && route_is_login(request->route) &&
		request->body.data != NULL)
		explicit_bzero(request->body.data, request->body.length);
	body_bytes -= request->body.length;
	buffer_free(&request->body);
}

/* The id that a proxy gave, so that its log and ours can be put together. */
static void
set_id(Request *request)
{
	const char *id = header(request, "X-Request-Id");

	if (id != NULL && head_id_is_sane(id))
		snprintf(request->id, sizeof(request->id), "%s", id);
	else
		snprintf(request->id, sizeof(request->id), "%08x-%llu", id_prefix,
				 (unsigned long long) ++next_id);
}

static Request *
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
	request->client = client_of(connection);
	request->settings = settings_acquire();
	request->route = route_find(path);
	request->method = route_method(method);
	request->max_body = (size_t) request->settings->max_body_bytes;
	request->started = clock_now();
	set_id(request);

	pthread_mutex_lock(&active_lock);
	active++;
	pthread_mutex_unlock(&active_lock);
	return request;
}

static void
request_free(Request *request)
{
	database_free(&request->job);
	sync_free_job(&request->job);
	if (request->login != NULL)
		login_free(request->login);
	free(request->login);
	sync_free_fields(&request->fields);
	identity_free(&request->identity);
	drop_body(request);
	settings_release(request->settings);
	free(request->path);
	free(request->method_name);
	free(request);

	pthread_mutex_lock(&active_lock);
	active--;
	pthread_cond_broadcast(&active_changed);
	pthread_mutex_unlock(&active_lock);
}

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
	snprintf(received, sizeof(received), "%zu",
			 request->body.length + request->discarded);
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

/* ---------- replies ---------- */

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
										   header(request, "Origin"));

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

/* The headers that go with a certain failure. */
static void
add_failure_headers(const Request *request, struct MHD_Response *response)
{
	const Failure *failure = &request->failure;
	char		seconds[16];

	if (failure->status == 401)
		add_header(response, "WWW-Authenticate",
				   header(request, "Authorization") == NULL ?
				   "Bearer" : "Bearer error=\"invalid_token\"");
	if (failure->status == 405)
		add_header(response, "Allow", request->route->allow);
	if (failure->retry_after > 0)
	{
		snprintf(seconds, sizeof(seconds), "%d", failure->retry_after);
		add_header(response, "Retry-After", seconds);
	}
}

/*
 * Send a reply.  With MHD_RESPMEM_PERSISTENT the body must live as long as
 * the request.
 */
static enum MHD_Result
respond(Request *request, int status, const char *body, size_t length,
		enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *response;
	enum MHD_Result result;

	response = MHD_create_response_from_buffer(length, (void *) body, mode);
	if (response == NULL)
		return MHD_NO;

	request->status = status;
	request->reply_bytes = length;
	if (status != 204)
		add_header(response, "Content-Type", "application/json");
	add_header(response, "Cache-Control", "no-store");
	add_header(response, "X-Content-Type-Options", "nosniff");
	add_header(response, "X-Request-Id", request->id);
	add_cors_headers(request, response);
	add_failure_headers(request, response);
	if (refusing || request->must_close)
		add_header(response, "Connection", "close");

	if (!client_reads_reply(request->client, request->settings, length))
	{
		MHD_destroy_response(response);
		return MHD_NO;
	}
	result = MHD_queue_response(request->connection, (unsigned int) status,
								response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result
respond_failure(Request *request)
{
	Buffer		body = {0};
	enum MHD_Result result = MHD_NO;

	failure_write(&request->failure, &body);
	if (!body.failed)
		result = respond(request, request->failure.status, body.data,
						 body.length, MHD_RESPMEM_MUST_COPY);
	buffer_free(&body);
	return result;
}

static enum MHD_Result
respond_text(Request *request, int status, const char *text)
{
	return respond(request, status, text, strlen(text),
				   MHD_RESPMEM_PERSISTENT);
}

/* What the job brought. */
static enum MHD_Result
respond_job(Request *request)
{
	const Job  *job = &request->job;

	if (job->failure.status != 0)
	{
		request->failure = job->failure;
		return respond_failure(request);
	}
	if (job->kind == JOB_READY)
		return respond_text(request, 200, "{\"status\":\"ready\"}");
	request->rows = sync_count_rows(job->kind, job->reply, job->reply_length);
	return respond(request, 200, job->reply, job->reply_length,
				   MHD_RESPMEM_PERSISTENT);
}

/* ---------- checks of a request's head ---------- */

static enum MHD_Result
take_header(void *context, enum MHD_ValueKind kind, const char *name,
			size_t name_length, const char *value, size_t value_length)
{
	(void) kind;
	head_take_field(context, name, name_length, value ? value : "", value_length);
	return MHD_YES;
}

/*
 * Whatever the request is: is its head one that can be read in one way only?
 * If not, nobody knows where the next one begins.
 */
static bool
check_form(Request *request, const char *version, bool target_is_plain)
{
	HeadCheck	check;
	const char *problem;

	head_begin(&check, version, head_in_place);
	MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND,
								take_header, &check);
	problem = head_finish(&check);
	if (problem == NULL && target_is_plain)
		return true;
	request->must_close = true;
	if (problem != NULL)
		return check_refuse(request, 400, "malformed_request", problem, NULL);
	return check_refuse(request, 400, "malformed_request",
						"the request's target is not a plain path",
						"Send a path that begins with / and has no %-escapes; "
						"those in the query must be whole.");
}

static enum MHD_Result
add_length(void *context, enum MHD_ValueKind kind, const char *name,
		   size_t name_length, const char *value, size_t value_length)
{
	size_t	   *sum = context;

	(void) kind;
	(void) name;
	(void) value;
	*sum += name_length + value_length;
	return MHD_YES;
}

/* The request line and the headers together, and which of them is to blame. */
static bool
check_length(Request *request)
{
	const union MHD_ConnectionInfo *info =
	MHD_get_connection_info(request->connection,
							MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	size_t		most = (size_t) request->settings->max_header_bytes;
	size_t		headers = 0;

	if (info == NULL || info->header_size <= most)
		return true;
	request->must_close = true;
	MHD_get_connection_values_n(request->connection, MHD_HEADER_KIND,
								add_length, &headers);
	if (headers < most / 2)
		return check_refuse(request, 414, "uri_too_long",
							"path and parameters are too long",
							"A pull can also be sent by POST.");
	return check_refuse(request, 431, "headers_too_large",
						"the headers are too long", NULL);
}

/* ---------- the steps of a request ---------- */

static int
connection_socket(const Request *request)
{
	const union MHD_ConnectionInfo *info =
	MHD_get_connection_info(request->connection,
							MHD_CONNECTION_INFO_CONNECTION_FD);

	return info == NULL ? -1 : info->connect_fd;
}

/*
 * More of this request is to come: acknowledge what we have at once.  Many
 * clients send head and body in two writes, and their kernel holds the second
 * back until the first is acknowledged, which ours would put off for 40 ms.
 */
static void
acknowledge(const Request *request)
{
	int			on = 1;

	setsockopt(connection_socket(request), IPPROTO_TCP, TCP_QUICKACK,
			   &on, sizeof(on));
}

/*
 * First call.  A refusal is sent at once where the body would be long or
 * waits for "100 Continue", which costs the connection; else after the body.
 */
static enum MHD_Result
begin(Request *request, const char *version, bool target_is_plain)
{
	bool		good;

	if (!client_reads_body(request->client, request->settings))
		return MHD_NO;
	good = check_form(request, version, target_is_plain) &&
		check_length(request) && check_head(request, refusing);
	if (request->method == METHOD_POST)
		acknowledge(request);
	if (good)
		return MHD_YES;
	if (request->failure.status != 413 && !request->must_close &&
		header(request, "Expect") == NULL &&
		check_declared_length(request) <= SMALL_BODY)
		return MHD_YES;

	linger_adopt(connection_socket(request));
	return respond_failure(request);
}

/*
 * A piece of the body.  Here no reply can be sent: what is too long is read
 * and forgotten, within reason, and refused at its end.
 */
static enum MHD_Result
receive(Request *request, const char *data, size_t length)
{
	if (!client_sent(request->client, length))
		return MHD_NO;
	acknowledge(request);
	if (request->failure.status == 0)
	{
		if (request->body.length + length > request->max_body)
			check_refuse_length(request);
		else if (body_bytes + length >
				 (size_t) request->settings->max_body_bytes * MAX_BODIES)
			failure_try_again(&request->failure, "the server is too busy");
		else
		{
			size_t		before = request->body.length;

			buffer_append(&request->body, data, length);
			body_bytes += request->body.length - before;
			return MHD_YES;
		}
		request->discarded = request->body.length;
		drop_body(request);
	}
	request->discarded += length;
	return request->discarded <= request->max_body + MAX_DISCARDED ?
		MHD_YES : MHD_NO;
}

/* Called by a database thread: the request goes on. */
static void
job_finished(Job *job)
{
	Request    *request = job->owner;

	request->job_done = true;
	with_database--;
	MHD_resume_connection(request->connection);
}

/* Passwords leave at least one connection to the others, if there are two. */
static bool
put_job(Request *request)
{
	const Settings *settings = request->settings;
	int			most = settings->max_logins;

	if (!request->job.is_login)
		return queue_put(&request->job, settings->queue_length);
	if (most > settings->db_connections - 1)
		most = settings->db_connections - 1;
	return queue_put_login(&request->job, settings->queue_length,
						   most < 1 ? 1 : most);
}

/* Hand the job over and suspend the connection until it is done. */
static enum MHD_Result
enqueue(Request *request)
{
	Job		   *job = &request->job;

	job->finished = job_finished;
	job->owner = request;
	job->timeout = job->kind == JOB_READY ? READY_TIMEOUT :
		request->settings->request_timeout * CLOCK_SECOND;
	job->deadline = clock_now() + job->timeout;

	/* suspended first: the job may be done before queue_put returns */
	request->job_done = false;
	MHD_suspend_connection(request->connection);
	with_database++;
	if (put_job(request))
		return MHD_YES;

	failure_try_again(&job->failure, "the server is too busy");
	job_finished(job);
	return MHD_YES;
}

static enum MHD_Result
take_parameter(void *context, enum MHD_ValueKind kind, const char *name,
			   size_t name_length, const char *value, size_t value_length)
{
	Request    *request = context;

	(void) kind;
	if (value == NULL)
	{
		value = "";
		value_length = 0;
	}
	if (!text_is_utf8(name, name_length) || !text_is_utf8(value, value_length))
	{
		check_refuse(request, 400, "malformed_request",
					 "a parameter is not UTF-8 text", NULL);
		return MHD_NO;
	}
	sync_take_parameter(&request->fields, request->settings, name, value);
	return MHD_YES;
}

/* The body of a POST: is it there, and JSON? */
static bool
check_body(Request *request)
{
	const Buffer *body = &request->body;

	if (body->failed)
	{
		failure_try_again(&request->failure, "the server is short of memory");
		return false;
	}
	if (body->length == 0 && request->route->endpoint != ENDPOINT_PULL)
		return check_refuse(request, 400, "malformed_request",
							"the body is empty", NULL);
	return sync_check_body(request->job.kind, body->data, body->length,
						   request->settings, &request->failure);
}

/* Turn parameters and body into the job's arguments. */
static bool
prepare_job(Request *request)
{
	Job		   *job = &request->job;

	MHD_get_connection_values_n(request->connection, MHD_GET_ARGUMENT_KIND,
								take_parameter, request);
	if (request->failure.status != 0)
		return false;

	if (request->method == METHOD_POST && !check_body(request))
		return false;
	if (request->method == METHOD_POST && job->kind == JOB_PULL &&
		!sync_take_body(&request->fields, request->settings,
						request->body.data, request->body.length,
						&request->failure))
		return false;
	job->body = request->body.data;
	return sync_fill_job(job, &request->fields, request->settings,
						 &request->failure);
}

/*
 * All values of X-Forwarded-For in their order: a proxy may have added to the
 * client's header, or added one of its own.
 */
static enum MHD_Result
take_forwarded(void *context, enum MHD_ValueKind kind, const char *name,
			   const char *value)
{
	Buffer	   *forwarded = context;

	(void) kind;
	if (value != NULL && strcasecmp(name, "X-Forwarded-For") == 0)
	{
		if (forwarded->length > 0)
			buffer_append_char(forwarded, ',');
		buffer_append_text(forwarded, value);
	}
	return MHD_YES;
}

/* Where the request comes from, as far as we can believe it. */
static Address
client_address(const Request *request)
{
	const union MHD_ConnectionInfo *info =
	MHD_get_connection_info(request->connection,
							MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	Address		address = address_of_socket(info ? info->client_addr : NULL);
	Buffer		forwarded = {0};

	if (!networks_contain(&request->settings->trusted_proxies, &address))
		return address;
	MHD_get_connection_values(request->connection, MHD_HEADER_KIND,
							  take_forwarded, &forwarded);
	if (!forwarded.failed)
		address = address_of_client(address, forwarded.data,
									&request->settings->trusted_proxies);
	buffer_free(&forwarded);
	return address;
}

/* The body of a request of /auth is there. */
static enum MHD_Result
dispatch_login(Request *request, LoginKind kind)
{
	Address		address = client_address(request);

	if (!check_body(request))
		return respond_failure(request);
	request->job.kind = JOB_AUTH;
	request->login = calloc(1, sizeof(Login));
	if (request->login == NULL)
	{
		failure_try_again(&request->failure, "the server is short of memory");
		return respond_failure(request);
	}
	if (!login_begin(request->login, kind, request->settings,
					 request->body.data, request->body.length, &address,
					 &request->job, &request->failure))
		return respond_failure(request);
	return enqueue(request);
}

/* The job of a login is done; it may have another call to make. */
static enum MHD_Result
continue_login(Request *request)
{
	switch (login_continue(request->login, request->settings, &request->job,
						   &request->failure))
	{
		case LOGIN_CONTINUE:
			return enqueue(request);
		case LOGIN_REPLY:
			return respond(request, 200, request->login->reply.data,
						   request->login->reply.length,
						   MHD_RESPMEM_PERSISTENT);
		case LOGIN_FAILED:
			break;
	}
	return respond_failure(request);
}

/* The whole request is there. */
static enum MHD_Result
dispatch(Request *request)
{
	if (request->failure.status != 0)
		return respond_failure(request);
	if (request->is_preflight)
		return respond_text(request, 204, "");

	switch (request->route->endpoint)
	{
		case ENDPOINT_HEALTH:
			return respond_text(request, 200, "{\"status\":\"ok\"}");
		case ENDPOINT_OPENAPI:
			return respond_text(request, 200, openapi_text);
		case ENDPOINT_READY:
			request->job.kind = JOB_READY;
			return enqueue(request);
		case ENDPOINT_SCHEMA:
			request->job.kind = JOB_SCHEMA;
			break;
		case ENDPOINT_KEYS:
			request->job.kind = JOB_KEYS;
			break;
		case ENDPOINT_PULL:
			request->job.kind = JOB_PULL;
			break;
		case ENDPOINT_PUSH:
			request->job.kind = JOB_PUSH;
			break;
		case ENDPOINT_LOGIN:
			return dispatch_login(request, LOGIN_PASSWORD);
		case ENDPOINT_REFRESH:
			return dispatch_login(request, LOGIN_REFRESH);
		case ENDPOINT_LOGOUT:
			return dispatch_login(request, LOGIN_LOGOUT);
	}
	return prepare_job(request) ? enqueue(request) : respond_failure(request);
}

/*
 * The first line of a request is there; only here one sees the target as it
 * was sent.
 */
void *
request_target_arrived(void *unused, const char *target,
					   struct MHD_Connection *connection)
{
	(void) unused;
	(void) connection;
	return target != NULL && head_target_is_plain(target) ? NULL : &refused_target;
}

/*
 * libmicrohttpd's way in: with the head, with each piece of the body, at its
 * end, and again after a suspension.
 */
enum MHD_Result
request_handle(void *unused, struct MHD_Connection *connection, const char *url,
			   const char *method, const char *version, const char *data,
			   size_t *length, void **context)
{
	Request    *request = *context;
	enum MHD_Result result;

	(void) unused;
	if (*context == NULL || *context == &refused_target)
	{
		bool		target_is_plain = *context == NULL;

		request = request_create(connection, url, method);
		*context = request;
		return request == NULL ? MHD_NO : begin(request, version, target_is_plain);
	}
	if (*length > 0)
	{
		result = receive(request, data, *length);
		*length = 0;
		return result;
	}
	if (!client_waits_for_us(request->client))
		return MHD_NO;
	if (request->job_done)
		return request->login != NULL && request->job.failure.status == 0 ?
			continue_login(request) : respond_job(request);
	return dispatch(request);
}

static void
measure_request(const Request *request)
{
	Measured	measured = {
		.path = request->route != NULL ? request->route->path : NULL,
		.status = request->status,
		.duration = clock_now() - request->started,
		.received = request->body.length + request->discarded,
		.sent = request->reply_bytes,
		.rows = request->rows
	};

	metrics_count_request(&measured);
}

void
request_completed(void *unused, struct MHD_Connection *connection, void **context,
				  enum MHD_RequestTerminationCode reason)
{
	Request    *request = *context;

	(void) unused;
	(void) connection;
	(void) reason;
	if (*context == NULL || *context == &refused_target)
		return;
	if (request->status == 0 && client_was_cut(request->client))
		request->status = 408;
	log_request(request);
	measure_request(request);
	client_end_request(request->client);
	client_is_idle(request->client);
	request_free(request);
	*context = NULL;
}

/* ---------- all of them ---------- */

/* Before the first one comes. */
void
requests_start(void)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&active_changed, &attributes);
	pthread_condattr_destroy(&attributes);
	id_prefix = (uint32_t) time(NULL);
	/* that of the library that we run with, not of its headers */
	head_in_place = strncmp(MHD_get_version(), "0.", 2) == 0;
}

/* Answer new ones with 503. */
void
requests_refuse(void)
{
	refusing = true;
}

/* How many are under way. */
int
requests_active(void)
{
	int			result;

	pthread_mutex_lock(&active_lock);
	result = active;
	pthread_mutex_unlock(&active_lock);
	return result;
}

/* Wait until none is under way; false: it took too long. */
bool
requests_wait_idle(int64_t until)
{
	struct timespec moment = clock_timespec(until);
	bool		idle;

	pthread_mutex_lock(&active_lock);
	while (active > 0 && clock_now() < until)
		pthread_cond_timedwait(&active_changed, &active_lock, &moment);
	idle = active == 0;
	pthread_mutex_unlock(&active_lock);
	return idle;
}

/* Those whose job the database still has. */
int
requests_with_database(void)
{
	return with_database;
}

void
requests_stop(void)
{
	pthread_cond_destroy(&active_changed);
}
