/*-------------------------------------------------------------------------
 *
 * token.c
 *	  Bearer tokens: JSON Web Tokens signed with HMAC-SHA-256.
 *
 * The configured key decides the algorithm; a header that names another one
 * makes the token invalid, it never selects anything.  Nothing of the payload
 * is looked at before the signature has been found good.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "text.h"
#include "token.h"

#define SIGNATURE_LENGTH	32
#define MAX_TOKEN_LENGTH	16384
#define MAX_SECRET_LENGTH	65536
#define LEEWAY_SECONDS		30

/*
 * Read the secret; newlines at its end are the editor's, not the secret's.
 * False: "problem" says why.
 */
bool
token_read_secret(const char *path, Secret *secret,
				  char *problem, size_t problem_size)
{
	FILE	   *file = fopen(path, "rb");
	unsigned char *bytes;
	size_t		length;

	if (file == NULL)
	{
		snprintf(problem, problem_size, "could not open the secret file \"%s\": %s",
				 path, strerror(errno));
		return false;
	}

	bytes = calloc(1, MAX_SECRET_LENGTH + 1);
	length = bytes == NULL ? 0 : fread(bytes, 1, MAX_SECRET_LENGTH, file);
	if (bytes == NULL || ferror(file))
	{
		snprintf(problem, problem_size, "could not read the secret file \"%s\"", path);
		fclose(file);
		free(bytes);
		return false;
	}
	fclose(file);

	while (length > 0 &&
		   (bytes[length - 1] == '\n' || bytes[length - 1] == '\r'))
		length--;
	if (length < TOKEN_MIN_SECRET_LENGTH)
	{
		snprintf(problem, problem_size,
				 "the secret in \"%s\" has %zu bytes; HS256 needs at least %d",
				 path, length, TOKEN_MIN_SECRET_LENGTH);
		OPENSSL_cleanse(bytes, MAX_SECRET_LENGTH);
		free(bytes);
		return false;
	}
	secret->bytes = bytes;
	secret->length = length;
	return true;
}

void
token_free_secret(Secret *secret)
{
	if (secret->bytes != NULL)
		OPENSSL_cleanse(secret->bytes, secret->length);
	free(secret->bytes);
	memset(secret, 0, sizeof(Secret));
}

static bool
sign(const Secret *secret, const char *text, size_t length,
	 unsigned char *signature)
{
	unsigned int signature_length = 0;

	return HMAC(EVP_sha256(), secret->bytes, (int) secret->length,
				(const unsigned char *) text, length,
				signature, &signature_length) != NULL &&
		signature_length == SIGNATURE_LENGTH;
}

/* A decoded part as a JSON object; NULL: it is none. */
static cJSON *
parse_object(const unsigned char *json, size_t length)
{
	const char *text = (const char *) json;
	cJSON	   *object;

	if (json == NULL || !text_is_utf8(text, length) || text_has_nul_escape(text))
		return NULL;
	object = cJSON_ParseWithOpts(text, NULL, 1);
	if (object != NULL && !cJSON_IsObject(object))
	{
		cJSON_Delete(object);
		object = NULL;
	}
	return object;
}

/*
 * The one claim of this name, or NULL; "twice" is set when there are more:
 * cJSON would take the first and PostgreSQL the last.
 */
static const cJSON *
find_claim(const cJSON *claims, const char *name, bool *twice)
{
	const cJSON *found = NULL;
	const cJSON *claim;

	cJSON_ArrayForEach(claim, claims)
	{
		if (strcmp(claim->string, name) != 0)
			continue;
		if (found != NULL)
			*twice = true;
		found = claim;
	}
	return found;
}

/* The header must name the algorithm of our key, and no extension. */
static const char *
check_header(const char *part, size_t part_length)
{
	size_t		length = 0;
	unsigned char *json = base64url_decode(part, part_length, &length);
	cJSON	   *header = parse_object(json, length);
	bool		twice = false;
	const cJSON *algorithm;
	const char *problem = NULL;

	free(json);
	if (header == NULL)
		return "the token's header is malformed";

	algorithm = find_claim(header, "alg", &twice);
	if (twice || !cJSON_IsString(algorithm) ||
		strcmp(algorithm->valuestring, "HS256") != 0)
		problem = "the token is not signed with HS256";
	else if (find_claim(header, "crit", &twice) != NULL)
		problem = "the token uses an extension that is not supported";
	cJSON_Delete(header);
	return problem;
}

static const char *
check_times(const cJSON *exp, const cJSON *nbf, time_t now)
{
	if ((exp != NULL && !cJSON_IsNumber(exp)) ||
		(nbf != NULL && !cJSON_IsNumber(nbf)))
		return "the token's exp or nbf is not a number";
	if (exp != NULL && (double) now >= exp->valuedouble + LEEWAY_SECONDS)
		return "the token has expired";
	if (nbf != NULL && (double) now < nbf->valuedouble - LEEWAY_SECONDS)
		return "the token is not valid yet";
	return NULL;
}

/* The claims we act upon; what else there is passes to the database. */
static const char *
check_claims(const cJSON *claims, time_t now, Identity *identity)
{
	bool		twice = false;
	const cJSON *sub = find_claim(claims, "sub", &twice);
	const cJSON *role = find_claim(claims, "role", &twice);
	const cJSON *exp = find_claim(claims, "exp", &twice);
	const cJSON *nbf = find_claim(claims, "nbf", &twice);
	const char *problem;

	if (twice)
		return "the token has a claim twice";
	problem = check_times(exp, nbf, now);
	if (problem != NULL)
		return problem;
	if (!cJSON_IsString(sub) || sub->valuestring[0] == '\0')
		return "the token has no sub";
	if (role != NULL && (!cJSON_IsString(role) || role->valuestring[0] == '\0'))
		return "the token's role is not a name";

	identity->user = strdup(sub->valuestring);
	if (role != NULL)
		identity->role = strdup(role->valuestring);
	if (identity->user == NULL || (role != NULL && identity->role == NULL))
		return "out of memory";
	return NULL;
}

/*
 * Check a token and fill "identity" (identity_free it in any case).  NULL:
 * it is good; else what is wrong with it, in static storage.
 */
const char *
token_check(const char *token, const Secret *secret, time_t now,
			Identity *identity)
{
	static const char malformed[] = "the token is malformed";
	const char *payload = strchr(token, '.');
	const char *signature = payload == NULL ? NULL : strchr(payload + 1, '.');
	unsigned char expected[EVP_MAX_MD_SIZE];
	unsigned char *given;
	size_t		length = 0;
	bool		equal;
	cJSON	   *claims;
	const char *problem;

	memset(identity, 0, sizeof(Identity));
	if (signature == NULL || strlen(token) > MAX_TOKEN_LENGTH)
		return malformed;

	problem = check_header(token, (size_t) (payload - token));
	if (problem != NULL)
		return problem;

	given = base64url_decode(signature + 1, strlen(signature + 1), &length);
	equal = given != NULL && length == SIGNATURE_LENGTH &&
		sign(secret, token, (size_t) (signature - token), expected) &&
		CRYPTO_memcmp(given, expected, SIGNATURE_LENGTH) == 0;
	free(given);
	if (!equal)
		return "the token's signature is wrong";

	payload++;
	identity->claims = (char *) base64url_decode(payload,
												 (size_t) (signature - payload),
												 &length);
	claims = parse_object((unsigned char *) identity->claims, length);
	if (claims == NULL)
		return malformed;
	problem = check_claims(claims, now, identity);
	cJSON_Delete(claims);
	return problem;
}

void
identity_free(Identity *identity)
{
	free(identity->user);
	free(identity->role);
	free(identity->claims);
	memset(identity, 0, sizeof(Identity));
}

/* Encode a part and add it to the token. */
static void
append_part(Buffer *token, const void *data, size_t length)
{
	char	   *part = base64url_encode(data, length);

	if (part == NULL)
		token->failed = true;
	else
		buffer_append_text(token, part);
	free(part);
}

/*
 * Sign a payload, which is a JSON object.  The caller frees; NULL: no memory.
 */
char *
token_sign(const Secret *secret, const char *payload)
{
	static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
	Buffer		token = {0};
	unsigned char signature[EVP_MAX_MD_SIZE];

	append_part(&token, header, strlen(header));
	buffer_append_char(&token, '.');
	append_part(&token, payload, strlen(payload));
	if (!token.failed && !sign(secret, token.data, token.length, signature))
		token.failed = true;
	buffer_append_char(&token, '.');
	append_part(&token, signature, SIGNATURE_LENGTH);

	if (token.failed)
		buffer_free(&token);
	return token.data;
}

/* A signed token; role may be NULL.  The caller frees; NULL: no memory. */
char *
token_create(const Secret *secret, const char *user, const char *role,
			 time_t issued_at, long ttl)
{
	cJSON	   *claims = cJSON_CreateObject();
	char	   *payload;
	char	   *token;

	cJSON_AddStringToObject(claims, "sub", user);
	if (role != NULL)
		cJSON_AddStringToObject(claims, "role", role);
	cJSON_AddNumberToObject(claims, "iat", (double) issued_at);
	cJSON_AddNumberToObject(claims, "exp", (double) issued_at + (double) ttl);
	payload = cJSON_PrintUnformatted(claims);
	cJSON_Delete(claims);
	if (payload == NULL)
		return NULL;

	token = token_sign(secret, payload);
	cJSON_free(payload);
	return token;
}
