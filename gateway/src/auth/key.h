/*-------------------------------------------------------------------------
 *
 * key.h
 *	  One key that signatures are checked with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KEY_H
#define KEY_H

#include <stdbool.h>
#include <stddef.h>

#define KEY_MIN_SECRET_LENGTH	32	/* bytes, as many as the hash has */
#define KEY_MIN_RSA_BITS		2048
#define KEY_MAX_RSA_BITS		8192	/* beyond it a check takes too long */
#define KEY_EC_LENGTH			32	/* bytes of a coordinate on P-256 */

typedef enum KeyAlgorithm
{
	KEY_HS256,
	KEY_RS256,
	KEY_ES256
} KeyAlgorithm;

typedef struct Key
{
	KeyAlgorithm algorithm;		/* the only one that it is used with */
	char	   *id;				/* kid; NULL: it has none */
	struct _cjose_jwk_int *jwk;
	size_t		signature_length;
} Key;

/* Bytes of a number, the most significant first. */
typedef struct KeyNumber
{
	unsigned char *bytes;
	size_t		length;
} KeyNumber;

extern const char *const key_algorithm_names[];

extern const char *key_from_secret(Key *key, const unsigned char *bytes,
								   size_t length);
extern const char *key_from_rsa(Key *key, KeyNumber n, KeyNumber e);
extern const char *key_from_ec(Key *key, KeyNumber x, KeyNumber y);
extern void key_free(Key *key);

extern bool key_verifies(const Key *key, const char *token,
						 size_t signature_length);
extern char *key_sign(const Key *key, const char *payload);

#endif							/* KEY_H */
