/*-------------------------------------------------------------------------
 *
 * key.c
 *	  One key that signatures are checked with.
 *
 * A key is for one algorithm, which follows from the kind of the key.  Weak keys
 * are refused here, because libcjose accepts secrets of one byte, and RSA keys
 * of any size, even with the exponent 1, with which everybody can sign.  No
 * other file includes libcjose.
 *
 *-------------------------------------------------------------------------
 */
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <cjose/cjose.h>
#include <openssl/crypto.h>
#include <openssl/err.h>

#include "auth/key.h"

#define HASH_LENGTH			32
#define MAX_EXPONENT_LENGTH	8	/* what OpenSSL takes with large moduli */

const char *const key_algorithm_names[] = {"HS256", "RS256", "ES256"};

static pthread_once_t prepare_once = PTHREAD_ONCE_INIT;

/*
 * libcjose frees secrets without wiping them.  So all that it allocates is wiped
 * before it is freed, and what jansson allocates for it, too.
 */
static void
wipe_and_free(void *pointer)
{
	if (pointer != NULL)
		OPENSSL_cleanse(pointer, malloc_usable_size(pointer));
	free(pointer);
}

static void
prepare(void)
{
	cjose_set_alloc_funcs(malloc, realloc, wipe_and_free);
}

static const char *
finish(Key *key, KeyAlgorithm algorithm, cjose_jwk_t *jwk,
	   size_t signature_length)
{
	memset(key, 0, sizeof(Key));
	if (jwk == NULL)
		return algorithm == KEY_ES256 ? "its point is not on the curve" :
			"it cannot be used";
	key->algorithm = algorithm;
	key->jwk = jwk;
	key->signature_length = signature_length;
	return NULL;
}

/*
 * These three make a key.  They return why the key is refused, a clause; NULL:
 * it is accepted.
 */
const char *
key_from_secret(Key *key, const unsigned char *bytes, size_t length)
{
	pthread_once(&prepare_once, prepare);
	if (length < KEY_MIN_SECRET_LENGTH)
		return "it is shorter than the 32 bytes that HS256 needs";
	return finish(key, KEY_HS256, cjose_jwk_create_oct_spec(bytes, length, NULL),
				  HASH_LENGTH);
}

static size_t
count_bits(KeyNumber number)
{
	size_t		bits = number.length * 8;
	unsigned int first;

	/* a leading zero is not canonical, and other readers count its bits */
	if (number.length == 0 || number.bytes[0] == 0)
		return 0;
	for (first = number.bytes[0]; (first & 0x80) == 0; first <<= 1)
		bits--;
	return bits;
}

static bool
is_odd(KeyNumber number)
{
	return number.length > 0 && (number.bytes[number.length - 1] & 1) != 0;
}

const char *
key_from_rsa(Key *key, KeyNumber n, KeyNumber e)
{
	cjose_jwk_rsa_keyspec spec = {0};
	size_t		bits = count_bits(n);

	pthread_once(&prepare_once, prepare);
	if (bits < KEY_MIN_RSA_BITS)
		return "RSA keys need at least 2048 bits";
	if (bits > KEY_MAX_RSA_BITS)
		return "RSA keys may have at most 8192 bits";
	if (!is_odd(n))
		return "its modulus is even";
	if (!is_odd(e) || count_bits(e) < 2 || e.length > MAX_EXPONENT_LENGTH)
		return "its exponent is not usable";

	spec.n = n.bytes;
	spec.nlen = n.length;
	spec.e = e.bytes;
	spec.elen = e.length;
	return finish(key, KEY_RS256, cjose_jwk_create_RSA_spec(&spec, NULL),
				  n.length);
}

/* A point on P-256, whose coordinates have all their bytes. */
const char *
key_from_ec(Key *key, KeyNumber x, KeyNumber y)
{
	cjose_jwk_ec_keyspec spec = {0};

	pthread_once(&prepare_once, prepare);
	if (x.length != KEY_EC_LENGTH || y.length != KEY_EC_LENGTH)
		return "its coordinates do not have 32 bytes each";
	spec.crv = CJOSE_JWK_EC_P_256;
	spec.x = x.bytes;
	spec.xlen = x.length;
	spec.y = y.bytes;
	spec.ylen = y.length;
	return finish(key, KEY_ES256, cjose_jwk_create_EC_spec(&spec, NULL),
				  2 * KEY_EC_LENGTH);
}

void
key_free(Key *key)
{
	if (key->jwk != NULL)
		cjose_jwk_release(key->jwk);
	free(key->id);
	memset(key, 0, sizeof(Key));
}

/*
 * Is this token signed with this key?  The token is a JWS whose header names the
 * key's algorithm and whose parts are strict base64url.  The length of its
 * signature is compared here, because libcjose reads as many bytes as the hash
 * has before it looks at the length.
 */
bool
key_verifies(const Key *key, const char *token, size_t signature_length)
{
	cjose_jws_t *jws;
	bool		good;

	if (signature_length != key->signature_length)
		return false;
	jws = cjose_jws_import(token, strlen(token), NULL);
	good = jws != NULL && cjose_jws_verify(jws, key->jwk, NULL);
	cjose_jws_release(jws);
	ERR_clear_error();
	return good;
}

/* A token with this payload, signed with a secret.  NULL: no memory. */
char *
key_sign(const Key *key, const char *payload)
{
	cjose_header_t *header = cjose_header_new(NULL);
	cjose_jws_t *jws = NULL;
	const char *text = NULL;
	char	   *token = NULL;

	if (header != NULL &&
		cjose_header_set(header, CJOSE_HDR_ALG,
						 key_algorithm_names[key->algorithm], NULL) &&
		cjose_header_set(header, "typ", "JWT", NULL))
		jws = cjose_jws_sign(key->jwk, header, (const uint8_t *) payload,
							 strlen(payload), NULL);
	if (jws != NULL && cjose_jws_export(jws, &text, NULL))
		token = strdup(text);
	cjose_jws_release(jws);
	cjose_header_release(header);
	return token;
}
