/*-------------------------------------------------------------------------
 *
 * login.c
 *	  Logging in: what a request asks for, the calls it takes, the reply.
 *
 * A login is two calls of pg_tide_auth, each a transaction: the first counts
 * the attempt, so that it counts whatever becomes of the second, which checks
 * the password.  A refresh token is made here, and only the reply has it: the
 * database gets the part that finds the token's family, and a digest of the
 * whole.  This file knows neither HTTP nor libpq.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cjson/cJSON.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "api/login.h"
#include "auth/keys.h"
#include "auth/token.h"
#include "util/log.h"
#include "util/text.h"

#define TOKEN_BYTES		(LOGIN_SESSION_BYTES + LOGIN_SECRET_BYTES)

#define ADMIT_SQL \
	"SELECT tide_auth.admit($1::text, $2::text, $3::integer, $4::integer," \
	" $5::integer, $6::integer)"
#define REFRESH_SQL \
	"SELECT tide_auth.refresh($1::uuid, $2::bytea, $3::bytea, $4::text," \
	" $5::integer, $6::integer)"
#define LOGOUT_SQL	"SELECT tide_auth.logout($1::uuid)"

static bool
fail(Failure *failure, int status, const char *code, const char *message)
{
	return failure_set(failure, status, code, message, NULL);
}

static bool
no_memory(Failure *failure)
{
	return failure_try_again(failure, "the server is short of memory");
}

/* Free a string that may hold a secret. */
static void
wipe(char **text)
{
	if (*text != NULL)
		OPENSSL_cleanse(*text, strlen(*text));
	free(*text);
	*text = NULL;
}

static void
wipe_buffer(Buffer *buffer)
{
	if (buffer->data != NULL)
		OPENSSL_cleanse(buffer->data, buffer->length);
	buffer_free(buffer);
}

/* ---------- refresh tokens ---------- */

static void
write_hex(char *text, const unsigned char *bytes, size_t length)
{
	size_t		i;

	for (i = 0; i < length; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

/* The digest of a token, as a bytea. */
static bool
digest_token(const unsigned char *bytes, char *digest)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned int length = 0;

	if (EVP_Digest(bytes, TOKEN_BYTES, hash, &length, EVP_sha256(), NULL) != 1 ||
		length != 32)
		return false;
	memcpy(digest, "\\x", 2);
	write_hex(digest + 2, hash, length);
	return true;
}

/* Make a refresh token of this family, or of a new one if "family" is NULL. */
static bool
make_token(Login *login, const unsigned char *family, Failure *failure)
{
	unsigned char bytes[TOKEN_BYTES];
	bool		good;

	good = RAND_bytes(bytes, TOKEN_BYTES) == 1;
	if (family != NULL)
		memcpy(bytes, family, LOGIN_SESSION_BYTES);
	write_hex(login->session, bytes, LOGIN_SESSION_BYTES);
	good = good && digest_token(bytes, login->fresh) &&
		(login->refresh_token = base64url_encode(bytes, TOKEN_BYTES)) != NULL;
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return good ? true : no_memory(failure);
}

/*
 * Take a refresh token apart.  Text that is no refresh token gets the same
 * answer as a token that is not valid any more.
 */
static bool
read_token(Login *login, const char *text, unsigned char *family,
		   Failure *failure)
{
	size_t		length = 0;
	unsigned char *bytes = base64url_decode(text, strlen(text), &length);
	bool		good = bytes != NULL && length == TOKEN_BYTES;

	if (good)
	{
		memcpy(family, bytes, LOGIN_SESSION_BYTES);
		write_hex(login->session, bytes, LOGIN_SESSION_BYTES);
		good = digest_token(bytes, login->given);
	}
	if (bytes != NULL)
		OPENSSL_cleanse(bytes, length);
	free(bytes);
	return good ? true :
		fail(failure, 400, "invalid_grant", "the refresh token is not valid");
}

/* ---------- what is asked for ---------- */

static const char *
string_member(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	return cJSON_IsString(item) ? item->valuestring : NULL;
}

static void
wipe_strings(cJSON *object)
{
	cJSON	   *item;

	cJSON_ArrayForEach(item, object)
	{
		if (cJSON_IsString(item))
			OPENSSL_cleanse(item->valuestring, strlen(item->valuestring));
	}
	cJSON_Delete(object);
}

/* The fields of the body; "family" is set from a refresh token. */
static bool
take_fields(Login *login, const cJSON *object, unsigned char *family,
			Failure *failure)
{
	const char *username = string_member(object, "username");
	const char *password = string_member(object, "password");
	const char *token = string_member(object, "refreshToken");

	if (login->kind != LOGIN_PASSWORD)
		return token != NULL ? read_token(login, token, family, failure) :
			fail(failure, 400, "malformed_request",
				 "the body must be an object with refreshToken, a string");

	if (username == NULL || password == NULL)
		return fail(failure, 400, "malformed_request",
					"the body must be an object with username and password, two strings");
	login->username = strdup(username);
	login->password = strdup(password);
	return login->username != NULL && login->password != NULL ? true :
		no_memory(failure);
}

/* Give the job its next call. */
static void
set_call(Job *job, const char *sql, int count, const char *const *values)
{
	int			i;

	job->sql = sql;
	job->value_count = count;
	for (i = 0; i < count; i++)
		job->values[i] = values[i];
}

static const char *
number(Login *login, int i, int value)
{
	snprintf(login->numbers[i], sizeof(login->numbers[i]), "%d", value);
	return login->numbers[i];
}

static void
call_admit(Login *login, const Settings *settings, Job *job)
{
	const char *values[] = {
		login->username, login->address,
		number(login, 0, settings->login_attempts),
		number(login, 1, settings->login_attempts_address),
		number(login, 2, settings->login_attempts_username),
		number(login, 3, settings->login_window)
	};

	login->step = LOGIN_STEP_ADMIT;
	set_call(job, ADMIT_SQL, 6, values);
}

static bool
call_start(Login *login, const Settings *settings, Job *job, Failure *failure)
{
	const char *values[] = {
		login->username, login->password, login->address, login->session,
		login->fresh, number(login, 0, settings->refresh_token_ttl)
	};

	login->step = LOGIN_STEP_START;
	if (!make_token(login, NULL, failure))
		return false;
	buffer_append_text(&login->sql, "SELECT tide_auth.start_session(");
	buffer_append_text(&login->sql, settings->login_call);
	buffer_append_text(&login->sql,
					   "($1::text, $2::text), $1::text, $3::text, $4::uuid,"
					   " $5::bytea, $6::integer)");
	if (login->sql.failed)
		return no_memory(failure);
	set_call(job, login->sql.data, 6, values);
	job->is_login = true;
	return true;
}

static bool
call_refresh(Login *login, const Settings *settings,
			 const unsigned char *family, Job *job, Failure *failure)
{
	const char *values[] = {
		login->session, login->given, login->fresh, login->address,
		number(login, 0, settings->refresh_token_ttl),
		number(login, 1, settings->refresh_grace)
	};

	login->step = LOGIN_STEP_REFRESH;
	if (!make_token(login, family, failure))
		return false;
	set_call(job, REFRESH_SQL, 6, values);
	return true;
}

static void
call_logout(Login *login, Job *job)
{
	const char *values[] = {login->session};

	login->step = LOGIN_STEP_LOGOUT;
	set_call(job, LOGOUT_SQL, 1, values);
}

/*
 * Read a request's body, which sync_check_body has accepted, and give the job
 * its first call.  False: "failure" says what is wrong with the body.
 */
bool
login_begin(Login *login, LoginKind kind, const Settings *settings,
			const char *body, size_t length, const Address *address,
			Job *job, Failure *failure)
{
	cJSON	   *object = length == 0 ? NULL : cJSON_ParseWithOpts(body, NULL, 1);
	unsigned char family[LOGIN_SESSION_BYTES];
	Address		site = address_site(*address);
	bool		good;

	login->kind = kind;
	address_write(&site, login->address);
	good = take_fields(login, object, family, failure);
	wipe_strings(object);
	if (!good)
		return false;

	job->role = settings->auth_role;
	job->claims = "";
	job->times = "iso";
	job->max_push_changes = settings->max_push_changes;
	job->max_time_rows = settings->max_time_rows;
	job->lock_timeout = settings->lock_timeout;
	if (kind == LOGIN_PASSWORD)
		call_admit(login, settings, job);
	else if (kind == LOGIN_LOGOUT)
		call_logout(login, job);
	else
		return call_refresh(login, settings, family, job, failure);
	return true;
}

/* ---------- what comes back ---------- */

/* The functions of the database have returned something that they must not. */
static LoginOutcome
bad_reply(Failure *failure, const char *problem)
{
	log_event(LOG_ERROR, "login-failed", "message", problem, NULL);
	fail(failure, 500, "internal_error",
		 "the server could not carry out the request");
	return LOGIN_FAILED;
}

static void
write_time(time_t moment, char *text, size_t size)
{
	struct tm	utc;

	gmtime_r(&moment, &utc);
	strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

/*
 * A member of the payload, unless it is empty or the login function has set
 * it.
 */
static void
write_member(Buffer *payload, const cJSON *claims, const char *name,
			 const char *value)
{
	cJSON	   *string;
	char	   *text;

	if (value == NULL || *value == '\0' ||
		cJSON_GetObjectItemCaseSensitive(claims, name) != NULL)
		return;
	string = cJSON_CreateString(value);
	text = cJSON_PrintUnformatted(string);
	buffer_append_char(payload, '"');
	buffer_append_text(payload, name);
	buffer_append_text(payload, "\":");
	if (text != NULL)
		buffer_append_text(payload, text);
	else
		payload->failed = true;
	buffer_append_char(payload, ',');
	cJSON_free(text);
	cJSON_Delete(string);
}

/*
 * The token's payload: the claims as the database has written them, so that
 * a number keeps all its digits, with ours before them.
 */
static void
write_payload(const Settings *settings, const char *text, const cJSON *claims,
			  time_t now, Buffer *payload)
{
	char		times[96];

	snprintf(times, sizeof(times), "{\"iat\":%lld,\"exp\":%lld,",
			 (long long) now, (long long) now + settings->access_token_ttl);
	buffer_append_text(payload, times);
	write_member(payload, claims, "iss", settings->jwt_issuer);
	write_member(payload, claims, "aud", settings->jwt_audiences.count > 0 ?
				 settings->jwt_audiences.items[0] : NULL);
	buffer_append_text(payload, text + 1);
}

/*
 * The payload as a token that is signed with the secret.  What the login function
 * has put into it may be too much, or for others: "problem" says why we would not
 * take it back ourselves, NULL: we would.
 */
static char *
sign_payload(const Settings *settings, const char *payload, time_t now,
			 const char **problem)
{
	const TokenRules rules = token_rules(settings);
	const KeySet *keys = keys_acquire();
	char	   *token = token_sign(keys, payload);
	Identity	identity;

	if (token != NULL)
	{
		*problem = token_check(token, keys, &rules, now, &identity);
		identity_free(&identity);
	}
	keys_release(keys);
	return token;
}

/*
 * The body of the reply, with a new token of these claims, "text" as JSON.  False:
 * there is no memory, or the token has a "problem".
 */
static bool
write_reply(Login *login, const Settings *settings, const char *text,
			const cJSON *claims, const char **problem)
{
	const char *user_type = string_member(claims, "userType");
	time_t		now = time(NULL);
	Buffer		payload = {0};
	cJSON	   *reply = cJSON_CreateObject();
	char	   *token = NULL;
	char	   *body = NULL;
	char		at[32];

	write_payload(settings, text, claims, now, &payload);
	if (!payload.failed)
		token = sign_payload(settings, payload.data, now, problem);
	if (token != NULL && *problem == NULL)
	{
		write_time(now + settings->access_token_ttl, at, sizeof(at));
		cJSON_AddStringToObject(reply, "token", token);
		cJSON_AddStringToObject(reply, "refreshToken", login->refresh_token);
		cJSON_AddStringToObject(reply, "expiresAt", at);
		cJSON_AddStringToObject(reply, "userId", login->user);
		if (user_type != NULL)
			cJSON_AddStringToObject(reply, "userType", user_type);
		else
			cJSON_AddNullToObject(reply, "userType");
		body = cJSON_PrintUnformatted(reply);
	}
	if (body != NULL)
		buffer_append_text(&login->reply, body);

	wipe(&body);
	wipe(&token);
	buffer_free(&payload);
	wipe_strings(reply);
	return login->reply.length > 0 && !login->reply.failed;
}

/* The job's reply is claims: sign them. */
static LoginOutcome
reply_with_token(Login *login, const Settings *settings, const Job *job,
				 const cJSON *claims, Failure *failure)
{
	const char *sub = string_member(claims, "sub");
	const cJSON *role = cJSON_GetObjectItemCaseSensitive(claims, "role");
	const char *problem = NULL;

	if (sub == NULL || *sub == '\0' ||
		(role != NULL && (!cJSON_IsString(role) || *role->valuestring == '\0')))
		return bad_reply(failure, "the claims must have a sub that is not empty, and their role must be a name");
	login->user = strdup(sub);
	if (login->user == NULL ||
		!write_reply(login, settings, job->reply, claims, &problem))
	{
		if (problem != NULL)
			return bad_reply(failure, problem);
		no_memory(failure);
		return LOGIN_FAILED;
	}
	return LOGIN_REPLY;
}

static LoginOutcome
take_admit(Login *login, const Settings *settings, Job *job, Failure *failure)
{
	int64_t		wait;

	if (!text_parse_integer(job->reply, &wait))
		return bad_reply(failure, "tide_auth.admit() did not return a number");
	if (wait > 0)
	{
		fail(failure, 429, "too_many_attempts",
			 "there were too many attempts to log in");
		failure->retry_after = (int) wait;
		return LOGIN_FAILED;
	}
	return call_start(login, settings, job, failure) ? LOGIN_CONTINUE : LOGIN_FAILED;
}

static LoginOutcome
take_start(Login *login, const Settings *settings, const Job *job,
		   Failure *failure)
{
	cJSON	   *claims;
	LoginOutcome outcome;

	if (job->reply_length == 0)
	{
		fail(failure, 401, "invalid_credentials",
			 "the username or the password is wrong");
		return LOGIN_FAILED;
	}
	claims = cJSON_ParseWithOpts(job->reply, NULL, 1);
	outcome = reply_with_token(login, settings, job, claims, failure);
	cJSON_Delete(claims);
	return outcome;
}

/*
 * The reply is an object with the claims, or an array with the reason of a
 * refusal.
 */
static LoginOutcome
take_refresh(Login *login, const Settings *settings, const Job *job,
			 Failure *failure)
{
	cJSON	   *reply = cJSON_ParseWithOpts(job->reply, NULL, 1);
	const cJSON *reason = cJSON_GetArrayItem(reply, 0);
	LoginOutcome outcome = LOGIN_FAILED;

	if (!cJSON_IsArray(reply))
		outcome = reply_with_token(login, settings, job, reply, failure);
	else
	{
		if (cJSON_IsString(reason) && strcmp(reason->valuestring, "reused") == 0)
			log_event(LOG_WARNING, "refresh-token-reused",
					  "user", cJSON_GetStringValue(cJSON_GetArrayItem(reply, 1)),
					  "address", login->address, NULL);
		fail(failure, 400, "invalid_grant", "the refresh token is not valid");
	}
	cJSON_Delete(reply);
	return outcome;
}

/*
 * The job has a reply.  LOGIN_CONTINUE means that the job has another call now,
 * and must be run again.
 */
LoginOutcome
login_continue(Login *login, const Settings *settings, Job *job,
			   Failure *failure)
{
	switch (login->step)
	{
		case LOGIN_STEP_ADMIT:
			return take_admit(login, settings, job, failure);
		case LOGIN_STEP_START:
			return take_start(login, settings, job, failure);
		case LOGIN_STEP_REFRESH:
			return take_refresh(login, settings, job, failure);
		case LOGIN_STEP_LOGOUT:
			break;
	}
	buffer_append_text(&login->reply, "{}");
	return LOGIN_REPLY;
}

void
login_free(Login *login)
{
	wipe(&login->username);
	wipe(&login->password);
	wipe(&login->refresh_token);
	free(login->user);
	login->user = NULL;
	buffer_free(&login->sql);
	wipe_buffer(&login->reply);
}
