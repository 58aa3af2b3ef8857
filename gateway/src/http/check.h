/*-------------------------------------------------------------------------
 *
 * check.h
 *	  Why a request is refused when only its head is there: pure decisions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "auth/keyset.h"
#include "auth/token.h"
#include "http/routes.h"
#include "util/failure.h"
#include "util/settings.h"

/* The headers that these decisions are made by; NULL: the header is absent. */
typedef struct RequestHead
{
	const char *authorization;
	const char *content_type;
	const char *encoding;		/* of the content */
	const char *accept;
	unsigned long long length;	/* as the client declares it; 0: it declares
								 * none, or sends chunks */
	bool		has_body;		/* there is a body, or there may be one */
} RequestHead;

extern bool check_route(const Route *route, int method, bool stopping,
						Failure *failure);
extern const char *check_token(const RequestHead *head,
							   const Settings *settings, const KeySet *keys,
							   time_t now, Identity *identity,
							   Failure *failure);
extern size_t check_body_limit(const Route *route, const Settings *settings);
extern bool check_is_packed(const RequestHead *head, const Route *route);
extern bool check_content(const RequestHead *head, const Route *route,
						  int method, const Settings *settings,
						  Failure *failure);
extern bool check_refuse_target(const char *message, Failure *failure);
extern bool check_refuse_length(size_t limit, Failure *failure);

#endif							/* CHECK_H */
