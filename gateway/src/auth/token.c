/*-------------------------------------------------------------------------
 *
 * token.c
 *	  Bearer tokens: signed JSON Web Tokens.
 *
 * Each key is for one algorithm.  The header of a token says by algorithm and
 * kid which keys may have signed it.  It cannot say how a key is used, and it
 * cannot bring a key along.  The payload is not read before the signature has
 * been verified.
 *
 *-------------------------------------------------------------------------
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cjson/cJSON.h>
#include <openssl/evp.h>

#include "auth/token.h"
#include "util/json.h"

#define LEEWAY_SECONDS	30
#define MAX_DEPTH		32		/* of header and payload */

static const char malformed[] = "the token is malformed";

/* A token, taken apart; the parts are not decoded yet. */
typedef struct Parts
{
	const char *header;
	size_t		header_length;
	const char *payload;
	size_t		payload_length;
	const char *signature;
	size_t		signature_length;
} Parts;

/*
 * Three parts of strict base64url and nothing else: one token has one
 * spelling.  (What is in the parts is checked when they are decoded.)
 */
static bool
split(const char *token, Parts *parts)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"abcdefghijklmnopqrstuvwxyz0123456789-_";

	parts->header = token;
	parts->header_length = strspn(token, alphabet);
	token += parts->header_length;
	if (*token++ != '.')
		return false;
	parts->payload = token;
	parts->payload_length = strspn(token, alphabet);
	token += parts->payload_length;
	if (*token++ != '.')
		return false;
	parts->signature = token;
	parts->signature_length = strspn(token, alphabet);
	return token[parts->signature_length] == '\0';
}

/*
 * A part as a JSON object that all readers take the same way; NULL: it is no
 * such object.  "json", if not NULL, gets its text, which the caller frees.
 */
static cJSON *
parse_object(const char *part, size_t part_length, char **json)
{
	size_t		length = 0;
	char	   *text = (char *) base64url_decode(part, part_length, &length);
	cJSON	   *object = NULL;
	JsonProblem problem;

	if (text != NULL &&
		json_check(text, length, MAX_DEPTH, &problem) == JSON_GOOD)
		object = cJSON_ParseWithOpts(text, NULL, 1);
	if (object != NULL && !cJSON_IsObject(object))
	{
		cJSON_Delete(object);
		object = NULL;
	}
	if (object != NULL && json != NULL)
		*json = text;
	else
		free(text);
	return object;
}

static const cJSON *
member(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

static bool
is_text(const cJSON *item, const char *text)
{
	return cJSON_IsString(item) && strcmp(item->valuestring, text) == 0;
}

/* ---------- header and signature ---------- */

/* Is this the type of an access token, not of one for another purpose? */
static bool
is_known_type(const cJSON *type)
{
	const char *name;

	if (type == NULL)
		return true;
	if (!cJSON_IsString(type))
		return false;
	name = type->valuestring;
	if (strncasecmp(name, "application/", 12) == 0)
		name += 12;
	return strcasecmp(name, "JWT") == 0 || strcasecmp(name, "at+jwt") == 0;
}

/*
 * Refuse members that bring a key along or change what is signed.  (RFC 7515
 * allows to ignore the first four, but whoever sends them expects more.)
 */
static const char *
check_header(const cJSON *header)
{
	static const char *const refused[] = {
		"jku", "jwk", "x5u", "x5c", "crit", "b64", NULL
	};
	const cJSON *kid = member(header, "kid");
	int			i;

	for (i = 0; refused[i] != NULL; i++)
	{
		if (member(header, refused[i]) != NULL)
			return "the token's header has a member that is not accepted";
	}
	if (!is_known_type(member(header, "typ")))
		return "the token has another type than JWT";
	if (kid != NULL && !cJSON_IsString(kid))
		return "the token's kid is not text";
	return NULL;
}

static bool
has_key_with_id(const KeySet *keys, const char *id)
{
	int			i;

	for (i = 0; i < keyset_count(keys); i++)
	{
		const Key  *key = keyset_get(keys, i);

		if (key->id != NULL && strcmp(key->id, id) == 0)
			return true;
	}
	return false;
}

/*
 * May this key have signed a token with such a header?  If the token names a
 * known key, only that one may, else those without a name.
 */
static bool
may_have_signed(const Key *key, const cJSON *alg, const cJSON *kid,
				bool kid_is_known)
{
	if (!is_text(alg, key_algorithm_names[key->algorithm]))
		return false;
	if (kid == NULL)
		return true;
	return kid_is_known ? key->id != NULL && is_text(kid, key->id) :
		key->id == NULL;
}

static const char *
check_signature(const char *token, const Parts *parts, const cJSON *header,
				const KeySet *keys)
{
	const cJSON *alg = member(header, "alg");
	const cJSON *kid = member(header, "kid");
	bool		known = kid != NULL && has_key_with_id(keys, kid->valuestring);
	size_t		length = 0;
	unsigned char *signature;
	const char *problem = "the token is not signed with a key of ours";
	int			i;

	signature = base64url_decode(parts->signature, parts->signature_length,
								 &length);
	if (signature == NULL)
		return malformed;
	free(signature);

	for (i = 0; i < keyset_count(keys); i++)
	{
		const Key  *key = keyset_get(keys, i);

		if (!may_have_signed(key, alg, kid, known))
			continue;
		if (key_verifies(key, token, length))
			return NULL;
		problem = "the token's signature is wrong";
	}
	return problem;
}

/* ---------- claims ---------- */

/* What is wrong with a date; NULL: it is a number, or it is absent. */
static const char *
check_date(const cJSON *date)
{
	return date == NULL ||
		(cJSON_IsNumber(date) && isfinite(date->valuedouble)) ? NULL :
		"the token's exp, nbf or iat is not a number";
}

static const char *
check_times(const cJSON *claims, time_t now)
{
	const cJSON *exp = member(claims, "exp");
	const cJSON *nbf = member(claims, "nbf");
	const cJSON *iat = member(claims, "iat");
	double		latest = (double) now + LEEWAY_SECONDS;
	const char *problem = check_date(exp);

	if (problem == NULL)
		problem = check_date(nbf);
	if (problem == NULL)
		problem = check_date(iat);
	if (problem != NULL)
		return problem;
	if (exp == NULL)
		return "the token has no exp: it would never expire";
	if ((double) now >= exp->valuedouble + LEEWAY_SECONDS)
		return "the token has expired";
	if (nbf != NULL && latest < nbf->valuedouble)
		return "the token is not valid yet";
	if (iat != NULL && latest < iat->valuedouble)
		return "the token is from the future";
	return NULL;
}

/* Does "aud", which is text or an array of it, have one of our audiences? */
static bool
is_for_us(const cJSON *aud, const StringList *audiences)
{
	const cJSON *one;

	if (cJSON_IsString(aud))
		return list_contains(audiences, aud->valuestring);
	if (!cJSON_IsArray(aud))
		return false;
	cJSON_ArrayForEach(one, aud)
	{
		if (cJSON_IsString(one) && list_contains(audiences, one->valuestring))
			return true;
	}
	return false;
}

/* Check the claims that matter here; all of them reach the database. */
static const char *
check_claims(const cJSON *claims, const TokenRules *rules, time_t now,
			 Identity *identity)
{
	const cJSON *sub = member(claims, "sub");
	const cJSON *role = member(claims, "role");
	const char *problem = check_times(claims, now);

	if (problem != NULL)
		return problem;
	if (rules->issuer[0] != '\0' &&
		!is_text(member(claims, "iss"), rules->issuer))
		return "the token is from another issuer";
	if (rules->audiences->count > 0 &&
		!is_for_us(member(claims, "aud"), rules->audiences))
		return "the token is for another audience";
	if (!cJSON_IsString(sub) || sub->valuestring[0] == '\0')
		return "the token has no sub";
	if (role != NULL && (!cJSON_IsString(role) || role->valuestring[0] == '\0'))
		return "the token's role is not a name";

	identity->expires = member(claims, "exp")->valuedouble + LEEWAY_SECONDS;
	identity->user = strdup(sub->valuestring);
	if (role != NULL)
		identity->role = strdup(role->valuestring);
	if (identity->user == NULL || (role != NULL && identity->role == NULL))
		return "out of memory";
	return NULL;
}

/* A token and the rules that it is checked by, as a hash.  False: no memory. */
static bool
hash_token(const char *token, const TokenRules *rules, unsigned char *hash)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	unsigned int length;
	bool		good;
	int			i;

	good = context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
		EVP_DigestUpdate(context, token, strlen(token) + 1) == 1 &&
		EVP_DigestUpdate(context, rules->issuer, strlen(rules->issuer) + 1) == 1;
	for (i = 0; i < rules->audiences->count && good; i++)
		good = EVP_DigestUpdate(context, rules->audiences->items[i],
								strlen(rules->audiences->items[i]) + 1) == 1;
	good = good && EVP_DigestFinal_ex(context, hash, &length) == 1;
	EVP_MD_CTX_free(context);
	return good;
}

/* Check a token that is not remembered. */
static const char *
check_anew(const char *token, const KeySet *keys, const TokenRules *rules,
		   time_t now, Identity *identity)
{
	Parts		parts;
	cJSON	   *header;
	cJSON	   *claims;
	const char *problem;

	if (!split(token, &parts))
		return malformed;

	header = parse_object(parts.header, parts.header_length, NULL);
	if (header == NULL)
		return "the token's header is malformed";
	problem = check_header(header);
	if (problem == NULL)
		problem = check_signature(token, &parts, header, keys);
	cJSON_Delete(header);
	if (problem != NULL)
		return problem;

	claims = parse_object(parts.payload, parts.payload_length,
						  &identity->claims);
	if (claims == NULL)
		return malformed;
	problem = check_claims(claims, rules, now, identity);
	cJSON_Delete(claims);
	return problem;
}

/* What these settings ask of a token; valid as long as they are. */
TokenRules
token_rules(const Settings *settings)
{
	const TokenRules rules = {
		.issuer = settings->jwt_issuer,
		.audiences = &settings->jwt_audiences
	};

	return rules;
}

/*
 * Check a token and fill "identity" (identity_free it in any case).  Returns
 * what is wrong with the token, in static storage; NULL: nothing.
 */
const char *
token_check(const char *token, const KeySet *keys, const TokenRules *rules,
			time_t now, Identity *identity)
{
	Remembered *remembered = keyset_remembered(keys);
	unsigned char hash[REMEMBERED_HASH];
	const char *problem;
	bool		hashed;

	memset(identity, 0, sizeof(Identity));
	if (strnlen(token, TOKEN_MAX_LENGTH + 1) > TOKEN_MAX_LENGTH)
		return "the token is too long";
	hashed = hash_token(token, rules, hash);
	if (hashed && remembered_find(remembered, hash, now, identity))
		return NULL;
	problem = check_anew(token, keys, rules, now, identity);
	if (hashed && problem == NULL)
		remembered_add(remembered, hash, now, identity);
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

/* ---------- tokens of our own ---------- */

/*
 * A token with this JSON object as its claims, signed with the secret.  The
 * caller frees; NULL: there is no secret, or no memory.
 */
char *
token_sign(const KeySet *keys, const char *payload)
{
	const Key  *key = keyset_secret(keys);

	return key == NULL ? NULL : key_sign(key, payload);
}

static void
add_text(cJSON *object, const char *name, const char *text)
{
	if (text != NULL && text[0] != '\0')
		cJSON_AddStringToObject(object, name, text);
}

/* Likewise, with these claims. */
char *
token_create(const KeySet *keys, const TokenClaims *claims)
{
	cJSON	   *object = cJSON_CreateObject();
	char	   *payload;
	char	   *token;

	add_text(object, "sub", claims->user);
	add_text(object, "role", claims->role);
	add_text(object, "iss", claims->issuer);
	add_text(object, "aud", claims->audience);
	cJSON_AddNumberToObject(object, "iat", (double) claims->issued_at);
	cJSON_AddNumberToObject(object, "exp",
							(double) claims->issued_at + (double) claims->ttl);
	payload = cJSON_PrintUnformatted(object);
	cJSON_Delete(object);
	token = payload == NULL ? NULL : token_sign(keys, payload);
	cJSON_free(payload);
	return token;
}
