/*-------------------------------------------------------------------------
 *
 * token.h
 *	  Bearer tokens: JSON Web Tokens signed with HMAC-SHA-256.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TOKEN_H
#define TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#define TOKEN_MIN_SECRET_LENGTH		32

typedef struct Secret
{
	unsigned char *bytes;
	size_t		length;
} Secret;

/* Whose request it is; all strings are the identity's own. */
typedef struct Identity
{
	char	   *user;			/* the sub claim, never empty */
	char	   *role;			/* the role claim; NULL: the token has none */
	char	   *claims;			/* the payload as the token has it, valid
								 * UTF-8 */
} Identity;

extern bool token_read_secret(const char *path, Secret *secret,
							  char *problem, size_t problem_size);
extern void token_free_secret(Secret *secret);

extern const char *token_check(const char *token, const Secret *secret,
							   time_t now, Identity *identity);
extern char *token_sign(const Secret *secret, const char *payload);
extern char *token_create(const Secret *secret, const char *user,
						  const char *role, time_t issued_at, long ttl);
extern void identity_free(Identity *identity);

#endif							/* TOKEN_H */
