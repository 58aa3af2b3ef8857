/*-------------------------------------------------------------------------
 *
 * token.h
 *	  Bearer tokens: signed JSON Web Tokens.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TOKEN_H
#define TOKEN_H

#include <stdbool.h>
#include <time.h>

#include "auth/keyset.h"
#include "util/text.h"

#define TOKEN_MAX_LENGTH	16384

/* What a token must say beside being signed. */
typedef struct TokenRules
{
	const char *issuer;			/* its iss; empty: whatever it is */
	const StringList *audiences;	/* its aud has one of these; empty:
									 * whatever */
} TokenRules;

/* Whose request it is; all strings are the identity's own. */
typedef struct Identity
{
	char	   *user;			/* the sub claim, never empty */
	char	   *role;			/* the role claim; NULL: the token has none */
	char	   *claims;			/* the payload as the token has it, valid
								 * UTF-8 */
} Identity;

/* The claims of a token of our own. */
typedef struct TokenClaims
{
	const char *user;
	const char *role;			/* these three: NULL, or left out */
	const char *issuer;
	const char *audience;
	time_t		issued_at;
	long		ttl;			/* seconds */
} TokenClaims;

extern const char *token_check(const char *token, const KeySet *keys,
							   const TokenRules *rules, time_t now,
							   Identity *identity);
extern char *token_create(const KeySet *keys, const TokenClaims *claims);
extern char *token_sign(const KeySet *keys, const char *payload);
extern void identity_free(Identity *identity);

#endif							/* TOKEN_H */
