/*-------------------------------------------------------------------------
 *
 * check.c
 *	  Why a request is refused when only its head is there: path, method,
 *	  token, media types, declared length.
 *
 * Pure decisions: they neither ask the database nor wait for the body.  Each
 * returns false, or NULL, with the failure set if the request is refused.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/login.h"
#include "api/sync.h"
#include "http/check.h"
#include "http/media.h"

/* Path and method; "route" is NULL if no endpoint has the path. */
bool
check_route(const Route *route, int method, bool stopping, Failure *failure)
{
	if (route == NULL)
		return failure_set(failure, 404, "not_found", "no endpoint has this path", NULL);
	if (method == METHOD_OPTIONS)
		return true;
	if ((method & route->methods) == 0)
		return failure_set(failure, 405, "method_not_allowed",
						   "this path does not support this method", NULL);
	if (stopping)
		return failure_set(failure, 503, "try_again", "the server is stopping", NULL);
	return true;
}

/*
 * The database role of the user whose token this is.  The role lives as long
 * as "identity" and "settings"; the caller frees the identity in any case.
 */
const char *
check_token(const RequestHead *head, const Settings *settings,
			const KeySet *keys, time_t now, Identity *identity,
			Failure *failure)
{
	const TokenRules rules = token_rules(settings);
	const char *token = head->authorization;
	const char *problem;
	const char *role;

	if (token == NULL || strncasecmp(token, "Bearer ", 7) != 0)
	{
		failure_set(failure, 401, "unauthorized", "a bearer token is required",
					"Send the header \"Authorization: Bearer <token>\".");
		return NULL;
	}
	token += 7;
	token += strspn(token, " ");
	problem = token_check(token, keys, &rules, now, identity);
	if (problem != NULL)
	{
		/*
		 * of what can be wrong with a token, only this may be the gateway's
		 * fault
		 */
		failure_set(failure, 401, "unauthorized", problem,
					strstr(problem, "sign") == NULL ? NULL :
					"Tokens are signed with the text of jwt-secret-file, or a private key whose public one the gateway has.");
		return NULL;
	}

	/*
	 * SET ROLE takes "none" for the gateway's own role, and auth-role is the
	 * gateway's own, too
	 */
	role = identity->role ? identity->role : settings->default_role;
	if (strcmp(role, "none") == 0 ||
		(settings->login_call != NULL &&
		 strcmp(role, settings->auth_role) == 0))
	{
		failure_set(failure, 403, "not_allowed",
					"the token's role may not be used here", NULL);
		return NULL;
	}
	return role;
}

/* The longest body that this route takes, in bytes. */
size_t
check_body_limit(const Route *route, const Settings *settings)
{
	size_t		limit = (size_t) settings->max_body_bytes;
	size_t		most = limit;

	if (route->endpoint == ENDPOINT_PULL || route->endpoint == ENDPOINT_ROWS)
		most = SYNC_MAX_FIELDS_BYTES;
	else if (route_is_login(route))
		most = LOGIN_MAX_BODY_BYTES;
	return limit < most ? limit : most;
}

/* "message": what of the target is too much. */
bool
check_refuse_target(const char *message, Failure *failure)
{
	return failure_set(failure, 414, "uri_too_long", message,
					   "A pull can also be sent by POST.");
}

bool
check_refuse_length(size_t limit, Failure *failure)
{
	char		hint[128];

	snprintf(hint, sizeof(hint),
			 "Send at most %zu bytes, in several requests.", limit);
	return failure_set(failure, 413, "too_large", "the body is too large", hint);
}

/* Is there a body that will be unpacked? */
bool
check_is_packed(const RequestHead *head, const Route *route)
{
	return media_is_gzip(head->encoding) && !route_is_login(route);
}

/* The reply that the request asks for, and the body that will follow. */
bool
check_content(const RequestHead *head, const Route *route, int method,
			  const Settings *settings, Failure *failure)
{
	size_t		limit = check_body_limit(route, settings);
	const char *problem;

	if (method != METHOD_POST)
		return true;
	if (route_is_login(route) && settings->login_call == NULL)
		return failure_set(failure, 404, "login_not_configured",
						   "logging in is not configured on this gateway", NULL);
	problem = media_refusal(head->content_type,
							check_is_packed(head, route) ? NULL : head->encoding);
	if (problem != NULL)
		return failure_set(failure, 415, "unsupported_media_type", problem,
						   "Send application/json, in UTF-8, as it is or, when pulling or pushing, as gzip.");
	if (head->length > limit)
		return check_refuse_length(limit, failure);
	return true;
}
