/*-------------------------------------------------------------------------
 *
 * jwks.c
 *	  Keys from JSON Web Key Sets (RFC 7517).
 *
 * A set that a login service publishes has keys for other purposes, too.  Those
 * are left out, and so are weak ones, with a line in the log; no token can be
 * signed with them.  But a file that is not a set, or has no key that can be
 * used, is an error.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <openssl/crypto.h>

#include "auth/keyfile.h"
#include "util/json.h"
#include "util/log.h"
#include "util/text.h"

#define MAX_DEPTH	16

/* A member's text; NULL: there is none, or it is not text. */
static const char *
get_text(const cJSON *object, const char *name)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

/* A member that is base64url, to be freed with free_number. */
static KeyNumber
get_number(const cJSON *object, const char *name)
{
	const char *text = get_text(object, name);
	KeyNumber	number = {NULL, 0};

	if (text != NULL)
		number.bytes = base64url_decode(text, strlen(text), &number.length);
	if (number.bytes == NULL)
		number.length = 0;
	return number;
}

static void
free_number(KeyNumber *number)
{
	if (number->bytes != NULL)
		OPENSSL_cleanse(number->bytes, number->length);
	free(number->bytes);
}

/* "use" and "key_ops", if present, must say that the key verifies. */
static const char *
check_purpose(const cJSON *object)
{
	const cJSON *use = cJSON_GetObjectItemCaseSensitive(object, "use");
	const cJSON *operations = cJSON_GetObjectItemCaseSensitive(object, "key_ops");
	const cJSON *operation;

	if (use != NULL &&
		(!cJSON_IsString(use) || strcmp(use->valuestring, "sig") != 0))
		return "its use is not sig";
	if (operations == NULL)
		return NULL;
	if (cJSON_IsArray(operations))
	{
		cJSON_ArrayForEach(operation, operations)
		{
			if (cJSON_IsString(operation) &&
				strcmp(operation->valuestring, "verify") == 0)
				return NULL;
		}
	}
	return "its key_ops do not have verify";
}

/* "alg", if present, must be the algorithm that such a key is for. */
static const char *
check_algorithm(const cJSON *object, KeyAlgorithm algorithm)
{
	const cJSON *alg = cJSON_GetObjectItemCaseSensitive(object, "alg");

	if (alg == NULL ||
		(cJSON_IsString(alg) &&
		 strcmp(alg->valuestring, key_algorithm_names[algorithm]) == 0))
		return NULL;
	return "its alg is not one of HS256, RS256 and ES256, or not for its kty";
}

static const char *
make_key(const cJSON *object, KeyAlgorithm algorithm, Key *key)
{
	bool		is_secret = algorithm == KEY_HS256;
	bool		is_rsa = algorithm == KEY_RS256;
	KeyNumber	first;
	KeyNumber	second = {NULL, 0};
	const char *reason;

	first = get_number(object, is_secret ? "k" : is_rsa ? "n" : "x");
	if (!is_secret)
		second = get_number(object, is_rsa ? "e" : "y");
	if (first.length == 0 || (!is_secret && second.length == 0))
		reason = "a member that its kty needs is missing, or not base64url";
	else if (is_secret)
		reason = key_from_secret(key, first.bytes, first.length);
	else if (is_rsa)
		reason = key_from_rsa(key, first, second);
	else
		reason = key_from_ec(key, first, second);
	free_number(&first);
	free_number(&second);
	return reason;
}

/* Make a key from a member of the set; returns why it is left out, or NULL. */
static const char *
take_key(const cJSON *object, Key *key)
{
	const char *type = get_text(object, "kty");
	const char *curve = get_text(object, "crv");
	const cJSON *id = cJSON_GetObjectItemCaseSensitive(object, "kid");
	KeyAlgorithm algorithm;
	const char *reason;

	if (type == NULL)
		return "it has no kty";
	if (strcmp(type, "oct") == 0)
		algorithm = KEY_HS256;
	else if (strcmp(type, "RSA") == 0)
		algorithm = KEY_RS256;
	else if (strcmp(type, "EC") == 0)
		algorithm = KEY_ES256;
	else
		return "its kty is not one of oct, RSA and EC";
	if (id != NULL && !cJSON_IsString(id))
		return "its kid is not text";
	if (algorithm == KEY_ES256 && (curve == NULL || strcmp(curve, "P-256") != 0))
		return "its crv is not P-256, which ES256 needs";
	if (cJSON_GetObjectItemCaseSensitive(object, "d") != NULL)
		return "it is a private key, which belongs only where tokens are made";

	reason = check_purpose(object);
	if (reason == NULL)
		reason = check_algorithm(object, algorithm);
	if (reason == NULL)
		reason = make_key(object, algorithm, key);
	if (reason != NULL || id == NULL)
		return reason;
	key->id = strdup(id->valuestring);
	if (key->id != NULL)
		return NULL;
	key_free(key);
	return "out of memory";
}

/* cJSON frees without wiping; of what it has read, only "k" is secret. */
static void
wipe_secrets(const cJSON *set)
{
	const cJSON *object;
	char	   *text;

	cJSON_ArrayForEach(object, set)
	{
		text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "k"));
		if (text != NULL)
			OPENSSL_cleanse(text, strlen(text));
	}
}

static bool
take_set(const KeyFile *file, const cJSON *set, KeySet *keys,
		 char *problem, size_t problem_size)
{
	const char *reason = "the set is empty";
	const cJSON *object;
	char		number[16];
	int			count = 0;
	int			good = 0;
	Key			key;

	cJSON_ArrayForEach(object, set)
	{
		count++;
		reason = take_key(object, &key);
		if (reason != NULL)
		{
			snprintf(number, sizeof(number), "%d", count);
			log_event(LOG_WARNING, "key-left-out", "file", file->path,
					  "key", number, "kid", get_text(object, "kid"),
					  "reason", reason, NULL);
			continue;
		}
		if (!keyset_add(keys, &key))
		{
			snprintf(problem, problem_size,
					 "\"%s\" has too many keys; all together may be %d",
					 file->path, KEYSET_MOST);
			return false;
		}
		good++;
	}
	if (good == 0)
		snprintf(problem, problem_size,
				 "\"%s\" has no key that can be used; of the last one: %s",
				 file->path, reason);
	return good > 0;
}

/* A file with {"keys": [...]}, of which at least one key can be used. */
bool
keyfile_take_jwks(const KeyFile *file, KeySet *keys,
				  char *problem, size_t problem_size)
{
	const char *text = (const char *) file->bytes;
	JsonProblem json;
	cJSON	   *document;
	const cJSON *set;
	bool		good = false;

	if (json_check(text, file->length, MAX_DEPTH, &json) != JSON_GOOD)
	{
		snprintf(problem, problem_size,
				 "\"%s\" cannot be read as JSON: %s, at byte %zu", file->path,
				 json.what, json.offset + 1);
		return false;
	}
	document = cJSON_ParseWithOpts(text, NULL, 1);
	set = cJSON_GetObjectItemCaseSensitive(document, "keys");
	if (cJSON_IsArray(set))
		good = take_set(file, set, keys, problem, problem_size);
	else
		snprintf(problem, problem_size,
				 "\"%s\" is not a JSON Web Key Set: {\"keys\": [...]}", file->path);
	wipe_secrets(set);
	cJSON_Delete(document);
	return good;
}
