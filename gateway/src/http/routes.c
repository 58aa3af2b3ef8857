/*-------------------------------------------------------------------------
 *
 * routes.c
 *	  The table of endpoints.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "http/routes.h"

static const Route routes[] = {
	{"/health", ENDPOINT_HEALTH, METHOD_GET, false, "GET, HEAD, OPTIONS"},
	{"/ready", ENDPOINT_READY, METHOD_GET, false, "GET, HEAD, OPTIONS"},
	{"/openapi.json", ENDPOINT_OPENAPI, METHOD_GET, false, "GET, HEAD, OPTIONS"},
	{"/api/v1/sync/schema", ENDPOINT_SCHEMA, METHOD_GET, true,
	"GET, HEAD, OPTIONS"},
	{"/api/v1/sync/keys", ENDPOINT_KEYS, METHOD_GET, true,
	"GET, HEAD, OPTIONS"},
	{"/api/v1/sync/digest", ENDPOINT_DIGEST, METHOD_GET, true,
	"GET, HEAD, OPTIONS"},
	{"/api/v1/sync/rows", ENDPOINT_ROWS, METHOD_POST, true, "POST, OPTIONS"},
	{"/api/v1/sync/scopes", ENDPOINT_SCOPES, METHOD_GET, true,
	"GET, HEAD, OPTIONS"},
	{"/api/v1/sync/events", ENDPOINT_EVENTS, METHOD_GET, true,
	"GET, HEAD, OPTIONS"},
	{"/api/v1/sync/pull", ENDPOINT_PULL, METHOD_GET | METHOD_POST, true,
	"GET, HEAD, POST, OPTIONS"},
	{"/api/v1/sync/push", ENDPOINT_PUSH, METHOD_POST, true, "POST, OPTIONS"},
	{"/api/v1/auth/login", ENDPOINT_LOGIN, METHOD_POST, false, "POST, OPTIONS"},
	{"/api/v1/auth/refresh", ENDPOINT_REFRESH, METHOD_POST, false,
	"POST, OPTIONS"},
	{"/api/v1/auth/logout", ENDPOINT_LOGOUT, METHOD_POST, false, "POST, OPTIONS"},
	{.path = NULL}
};

/* The route of a path; NULL: there is none. */
const Route *
route_find(const char *path)
{
	const Route *route;

	for (route = routes; route->path != NULL; route++)
	{
		if (strcmp(route->path, path) == 0)
			return route;
	}
	return NULL;
}

/* The bit of a method; 0: no endpoint supports it. */
int
route_method(const char *method)
{
	if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
		return METHOD_GET;
	if (strcmp(method, "POST") == 0)
		return METHOD_POST;
	if (strcmp(method, "OPTIONS") == 0)
		return METHOD_OPTIONS;
	return 0;
}

/* Is this a path below /auth, whose bodies and replies are secret? */
bool
route_is_login(const Route *route)
{
	return route->endpoint == ENDPOINT_LOGIN ||
		route->endpoint == ENDPOINT_REFRESH ||
		route->endpoint == ENDPOINT_LOGOUT;
}
