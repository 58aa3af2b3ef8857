/*-------------------------------------------------------------------------
 *
 * token.h
 *	  Bearer tokens: signed JSON Web Tokens.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TOKEN_H
#define TOKEN_H

#include <time.h>

#include "auth/keyset.h"
#include "util/settings.h"
#include "util/text.h"

#define TOKEN_MAX_LENGTH	16384

/* What the claims of a token must be. */
typedef struct TokenRules
{
	const char *issuer;			/* iss must be this; empty: anything */
	const StringList *audiences;	/* aud must have one of these; empty:
									 * anything */
} TokenRules;

/* Whose request it is; all strings are the identity's own. */
typedef struct Identity
{
	char	   *user;			/* the sub claim, never empty */
	char	   *role;			/* the role claim; NULL: the token has none */
	char	   *claims;			/* the payload as the token has it, valid
								 * UTF-8 */
	double		expires;		/* from this moment on the token is refused;
								 * Unix seconds, leeway included */
} Identity;

/* The claims of a token of our own. */
typedef struct TokenClaims
{
	const char *user;
	const char *role;			/* these three: NULL or empty: left out */
	const char *issuer;
	const char *audience;
	time_t		issued_at;
	long		ttl;			/* seconds */
} TokenClaims;

extern TokenRules token_rules(const Settings *settings);
extern const char *token_check(const char *token, const KeySet *keys,
							   const TokenRules *rules, time_t now,
							   Identity *identity);
extern char *token_create(const KeySet *keys, const TokenClaims *claims);
extern char *token_sign(const KeySet *keys, const char *payload);
extern void identity_free(Identity *identity);

#endif							/* TOKEN_H */
