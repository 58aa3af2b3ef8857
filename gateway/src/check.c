/*-------------------------------------------------------------------------
 *
 * check.c
 *	  What a request's head alone is refused for: path, method, token, what
 *	  its user has open, media type, declared length.
 *
 * All of it before a byte of the body is read or the database is asked.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "media.h"
#include "request.h"

bool
check_refuse(Request *request, int status, const char *code, const char *message,
			 const char *hint)
{
	failure_set(&request->failure, status, code, message, hint);
	return false;
}

/* Path and method. */
static bool
check_route(Request *request, bool stopping)
{
	const Route *route = request->route;

	if (route == NULL)
		return check_refuse(request, 404, "not_found", "there is nothing here", NULL);
	if (request->method == METHOD_OPTIONS)
	{
		request->is_preflight = true;
		return true;
	}
	if ((request->method & route->methods) == 0)
		return check_refuse(request, 405, "method_not_allowed",
							"this path does not know this method", NULL);
	if (stopping)
		return check_refuse(request, 503, "try_again", "the server is stopping", NULL);
	return true;
}

/* Who asks, and as which database role? */
static bool
check_token(Request *request)
{
	const char *value = http_header(request, "Authorization");
	const Identity *identity = &request->identity;
	const TokenRules rules = {
		.issuer = request->settings->jwt_issuer,
		.audiences = &request->settings->jwt_audiences
	};
	const KeySet *keys;
	const char *problem;
	const char *role;

	if (value == NULL || strncasecmp(value, "Bearer ", 7) != 0)
		return check_refuse(request, 401, "unauthorized", "a bearer token is needed",
							"Send the header \"Authorization: Bearer <token>\".");
	value += 7;
	value += strspn(value, " ");

	keys = keys_acquire();
	problem = token_check(value, keys, &rules, time(NULL), &request->identity);
	keys_release(keys);
	if (problem != NULL)
		return check_refuse(request, 401, "unauthorized", problem, NULL);

	/* to SET ROLE, "none" means the gateway's own role; auth-role is ours */
	role = identity->role ? identity->role : request->settings->default_role;
	if (strcmp(role, "none") == 0 ||
		(request->settings->login_call != NULL &&
		 strcmp(role, request->settings->auth_role) == 0))
		return check_refuse(request, 403, "not_allowed",
							"the token's role may not be used here", NULL);
	request->job.role = role;
	request->job.claims = identity->claims;
	return true;
}

bool
check_refuse_length(Request *request)
{
	char		hint[128];

	snprintf(hint, sizeof(hint),
			 "Send at most %zu bytes, in several requests.", request->max_body);
	return check_refuse(request, 413, "too_large", "the body is too large", hint);
}

/* The length that the client declares; 0: none, or it will be chunked. */
unsigned long long
check_declared_length(const Request *request)
{
	const char *length = http_header(request, "Content-Length");

	return length == NULL ? 0 : strtoull(length, NULL, 10);
}

/* A body that holds but fields need not be long. */
static void
limit_body(Request *request)
{
	size_t		most = request->max_body;

	if (request->route->endpoint == ENDPOINT_PULL)
		most = SYNC_MAX_FIELDS_BYTES;
	else if (route_is_login(request->route))
		most = LOGIN_MAX_BODY_BYTES;
	if (request->max_body > most)
		request->max_body = most;
}

/* All that can be said before the body is there. */
bool
check_head(Request *request, bool stopping)
{
	const char *problem;

	if (!check_route(request, stopping))
		return false;
	if (request->is_preflight)
		return true;
	if (request->route->needs_token &&
		!(check_token(request) &&
		  client_begin_request(request->client, request->identity.user,
							   request->settings, &request->failure)))
		return false;
	if (request->route->endpoint == ENDPOINT_PULL &&
		media_wants_stream(http_header(request, "Accept")))
		return check_refuse(request, 406, "not_supported",
							"streams of application/x-ndjson are not supported yet",
							NULL);
	if (request->method != METHOD_POST)
		return true;
	if (route_is_login(request->route) &&
		request->settings->login_call == NULL)
		return check_refuse(request, 404, "login_not_configured",
							"nobody logs in here: tokens come from elsewhere", NULL);
	limit_body(request);
	problem = media_refusal(http_header(request, "Content-Type"),
							http_header(request, "Content-Encoding"));
	if (problem != NULL)
		return check_refuse(request, 415, "unsupported_media_type", problem,
							"Send application/json, in UTF-8, not compressed.");
	if (check_declared_length(request) > request->max_body)
		return check_refuse_length(request);
	return true;
}
