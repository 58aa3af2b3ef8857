/*-------------------------------------------------------------------------
 *
 * routes.h
 *	  The table of endpoints.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ROUTES_H
#define ROUTES_H

#include <stdbool.h>

#define METHOD_GET		1
#define METHOD_POST		2
#define METHOD_OPTIONS	4

typedef enum Endpoint
{
	ENDPOINT_HEALTH,
	ENDPOINT_READY,
	ENDPOINT_OPENAPI,
	ENDPOINT_SCHEMA,
	ENDPOINT_KEYS,
	ENDPOINT_DIGEST,
	ENDPOINT_ROWS,
	ENDPOINT_SCOPES,
	ENDPOINT_PULL,
	ENDPOINT_EVENTS,
	ENDPOINT_PUSH,
	ENDPOINT_LOGIN,
	ENDPOINT_REFRESH,
	ENDPOINT_LOGOUT
} Endpoint;

typedef struct Route
{
	const char *path;
	Endpoint	endpoint;
	int			methods;		/* HEAD counts as GET */
	bool		needs_token;
	const char *allow;			/* the Allow header */
} Route;

extern const Route *route_find(const char *path);
extern bool route_is_login(const Route *route);
extern int	route_method(const char *method);

#endif							/* ROUTES_H */
