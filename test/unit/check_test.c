/*-------------------------------------------------------------------------
 *
 * check_test.c
 *	  Unit tests of the gateway's check.c: what a request is refused for when
 *	  only its head is there, and in which order.
 *
 * Seen to fail without each of the conditions in check.c, and with ">=" in the
 * place of ">" where a declared length is compared to the limit.
 *
 * Prints TAP.  Usage: check_test.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/login.h"
#include "api/sync.h"
#include "http/check.h"
#include "tap.h"

#define NOW		((time_t) 1700000000)

static Settings settings = {
	.jwt_issuer = "",
	.default_role = "tide_user",
	.auth_role = "tide_auth",
	.max_body_bytes = 4 << 20
};
static KeySet *keys;

/* The outcome of a check: nothing, or a refusal with this status and code. */
static void
is_refused(bool good, const Failure *failure, int status, const char *code,
		   const char *name)
{
	bool		as_expected = status == 0 ? good && failure->status == 0 :
	!good && failure->status == status && strcmp(failure->code, code) == 0;

	ok(as_expected, name);
	if (!as_expected)
		printf("# it is %s, with %d %s\n", good ? "taken" : "refused",
			   failure->status, failure->status == 0 ? "" : failure->code);
}

/* ---------- paths and methods ---------- */

static void
route_is(const char *path, const char *method, bool stopping, int status,
		 const char *code)
{
	Failure		failure = {0};
	char		name[128];
	bool		good = check_route(route_find(path), route_method(method),
								   stopping, &failure);

	snprintf(name, sizeof(name), "%s %s%s: %d", method, path,
			 stopping ? ", while we stop" : "", status);
	is_refused(good, &failure, status, code, name);
}

static void
test_routes(void)
{
	route_is("/nothing", "GET", false, 404, "not_found");
	route_is("/nothing", "OPTIONS", true, 404, "not_found");
	route_is("/health", "GET", false, 0, NULL);
	route_is("/health", "HEAD", false, 0, NULL);
	route_is("/health", "POST", false, 405, "method_not_allowed");
	route_is("/api/v1/sync/push", "GET", false, 405, "method_not_allowed");
	route_is("/api/v1/sync/push", "get", false, 405, "method_not_allowed");
	route_is("/api/v1/sync/push", "BREW", true, 405, "method_not_allowed");
	route_is("/api/v1/sync/push", "POST", false, 0, NULL);
	route_is("/api/v1/sync/push", "POST", true, 503, "try_again");
	route_is("/api/v1/sync/push", "OPTIONS", true, 0, NULL);
}

/* ---------- tokens ---------- */

/* "Bearer " and a token with this role; NULL: without a role. */
static char *
bearer(const char *prefix, const char *role)
{
	TokenClaims claims = {.user = "ana",.role = role,.issued_at = NOW,.ttl = 60};
	char	   *token = token_create(keys, &claims);
	char	   *value;

	if (token == NULL || asprintf(&value, "%s%s", prefix, token) < 0)
		abort();
	free(token);
	return value;
}

/* The role that a header gives, or with NULL the refusal. */
static void
token_is(char *authorization, const char *role, int status, const char *code,
		 const char *name)
{
	RequestHead head = {.authorization = authorization};
	Failure		failure = {0};
	Identity	identity = {0};
	const char *found = check_token(&head, &settings, keys, NOW, &identity,
									&failure);

	is_refused(found != NULL, &failure, status, code, name);
	if (role != NULL)
	{
		ok(found != NULL && strcmp(found, role) == 0, "the role is the one it should be");
		ok(identity.user != NULL && strcmp(identity.user, "ana") == 0 &&
		   identity.claims != NULL, "and so is the user");
	}
	identity_free(&identity);
	free(authorization);
}

static void
test_tokens(void)
{
	token_is(NULL, NULL, 401, "unauthorized", "no token");
	token_is(strdup(""), NULL, 401, "unauthorized", "an empty header");
	token_is(strdup("Bearer"), NULL, 401, "unauthorized", "a header without token");
	token_is(strdup("Bearer "), NULL, 401, "unauthorized", "an empty token");
	token_is(strdup("Bearer a.b.c"), NULL, 401, "unauthorized", "not a token");
	token_is(bearer("Basic ", NULL), NULL, 401, "unauthorized", "another scheme");
	token_is(bearer("Bearer x", NULL), NULL, 401, "unauthorized", "a damaged token");
	token_is(bearer("Bearer ", NULL), "tide_user", 0, NULL, "a token without a role");
	token_is(bearer("bEARER    ", NULL), "tide_user", 0, NULL,
			 "whatever the case, with any number of blanks");
	token_is(bearer("Bearer ", "coach"), "coach", 0, NULL, "a token with a role");
	token_is(bearer("Bearer ", "none"), NULL, 403, "not_allowed", "the role \"none\"");
	token_is(bearer("Bearer ", "tide_auth"), "tide_auth", 0, NULL,
			 "auth-role is a role like any other while nobody logs in here");
	settings.login_call = strdup("\"tide_auth\".\"login\"");
	token_is(bearer("Bearer ", "tide_auth"), NULL, 403, "not_allowed",
			 "and is refused when people do");
	token_is(bearer("Bearer ", NULL), "tide_user", 0, NULL,
			 "others are taken as before");
	free(settings.login_call);
	settings.login_call = NULL;
}

/* ---------- what is asked for, and what is to come ---------- */

#define PUSH	"/api/v1/sync/push"
#define PULL	"/api/v1/sync/pull"
#define LOGIN	"/api/v1/auth/login"
#define STREAM	"application/x-ndjson"
#define MOST	((unsigned long long) 4 << 20)	/* max-body-bytes */

typedef struct ContentCase
{
	const char *name;
	const char *path;
	int			method;
	RequestHead head;
	int			status;
	const char *code;
} ContentCase;

static const ContentCase cases[] = {
	{"a pull without any header", PULL, METHOD_GET, {0}, 0, NULL},
	{"a pull of a stream", PULL, METHOD_GET, {.accept = STREAM}, 0, NULL},
	{"the body of a GET does not matter", PULL, METHOD_GET,
	{.content_type = "text/plain",.length = MOST + 1}, 0, NULL},
	{"a push of plain text", PUSH, METHOD_POST, {.content_type = "text/plain"},
	415, "unsupported_media_type"},
	{"a push in gzip", PUSH, METHOD_POST, {.encoding = "GZIP"}, 0, NULL},
	{"a push in brotli", PUSH, METHOD_POST, {.encoding = "br"},
	415, "unsupported_media_type"},
	{"the longest push", PUSH, METHOD_POST,
		{.content_type = "application/json; charset=utf-8",
	.encoding = "identity",.length = MOST}, 0, NULL},
	{"a push that is one byte longer", PUSH, METHOD_POST, {.length = MOST + 1},
	413, "too_large"},
	{"the media type is named before the length", PUSH, METHOD_POST,
		{.content_type = "text/plain",.length = MOST + 1},
	415, "unsupported_media_type"},
	{"the longest pull", PULL, METHOD_POST, {.length = SYNC_MAX_FIELDS_BYTES},
	0, NULL},
	{"a pull that is one byte longer", PULL, METHOD_POST,
	{.length = SYNC_MAX_FIELDS_BYTES + 1}, 413, "too_large"},
	{.name = NULL}
};

/* With a login function. */
static const ContentCase login_cases[] = {
	{"the longest login", LOGIN, METHOD_POST, {.length = LOGIN_MAX_BODY_BYTES},
	0, NULL},
	{"a login that is one byte longer", LOGIN, METHOD_POST,
	{.length = LOGIN_MAX_BODY_BYTES + 1}, 413, "too_large"},
	{.name = NULL}
};

/* And without one. */
static const ContentCase no_login_cases[] = {
	{"a login without a login function", LOGIN, METHOD_POST, {.length = 10},
	404, "login_not_configured"},
	{.name = NULL}
};

static void
run_cases(const ContentCase *one)
{
	for (; one->name != NULL; one++)
	{
		Failure		failure = {0};
		bool		good = check_content(&one->head, route_find(one->path),
										 one->method, &settings, &failure);

		is_refused(good, &failure, one->status, one->code, one->name);
	}
}

static void
test_content(void)
{
	run_cases(cases);
	run_cases(no_login_cases);
	settings.login_call = strdup("\"tide_auth\".\"login\"");
	run_cases(login_cases);
	free(settings.login_call);
	settings.login_call = NULL;

	ok(check_body_limit(route_find(PUSH), &settings) == MOST,
	   "a push may be as long as max-body-bytes");
	settings.max_body_bytes = 100;
	ok(check_body_limit(route_find(PUSH), &settings) == 100 &&
	   check_body_limit(route_find(PULL), &settings) == 100 &&
	   check_body_limit(route_find(LOGIN), &settings) == 100,
	   "no body may be longer than max-body-bytes");
}

int
main(void)
{
	static const unsigned char secret[] = "a secret that is used in this test only";
	Key			key;

	setvbuf(stdout, NULL, _IOLBF, 0);
	keys = keyset_create();
	if (key_from_secret(&key, secret, sizeof(secret) - 1) != NULL ||
		!keyset_add(keys, &key))
		abort();
	keyset_sign_with_last(keys);
	test_routes();
	test_tokens();
	test_content();
	keyset_release(keys);
	return done_testing();
}
