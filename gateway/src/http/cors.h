/*-------------------------------------------------------------------------
 *
 * cors.h
 *	  Which pages of other origins may call: a pure decision.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CORS_H
#define CORS_H

#include "util/settings.h"

#define CORS_ALLOW_HEADERS	"authorization, content-type, content-encoding, if-none-match"
#define CORS_EXPOSE_HEADERS "retry-after, x-request-id, etag"
#define CORS_MAX_AGE		"600"

/* The value of Access-Control-Allow-Origin; NULL: none is to be sent. */
static inline const char *
cors_allow_origin(const Settings *settings, const char *origin)
{
	if (origin == NULL)
		return NULL;
	if (settings->cors_any)
		return "*";
	return list_contains(&settings->cors_origins, origin) ? origin : NULL;
}

/* Does a reply depend on the Origin header, so that caches must know? */
static inline bool
cors_varies(const Settings *settings)
{
	return settings->cors_origins.count > 0 && !settings->cors_any;
}

#endif							/* CORS_H */
