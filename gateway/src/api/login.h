/*-------------------------------------------------------------------------
 *
 * login.h
 *	  Logging in: what a request asks for, the calls it takes, the reply.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LOGIN_H
#define LOGIN_H

#include <stdbool.h>

#include "database/job.h"
#include "util/address.h"
#include "util/settings.h"

/* The longest body: it has only a name and a password, or a token. */
#define LOGIN_MAX_BODY_BYTES	8192

#define LOGIN_SESSION_BYTES		16	/* the part of a refresh token that finds
									 * its family */
#define LOGIN_SECRET_BYTES		32	/* the part of a refresh token that proves
									 * it */
#define LOGIN_DIGEST_SIZE		(2 + 2 * 32 + 1)	/* \x, SHA-256, NUL */

typedef enum LoginKind
{
	LOGIN_PASSWORD,
	LOGIN_REFRESH,
	LOGIN_LOGOUT
} LoginKind;

typedef enum LoginStep
{
	LOGIN_STEP_ADMIT,			/* may there be an attempt now? */
	LOGIN_STEP_START,			/* the password, and a session */
	LOGIN_STEP_REFRESH,
	LOGIN_STEP_LOGOUT
} LoginStep;

typedef enum LoginOutcome
{
	LOGIN_CONTINUE,				/* the job has another call to run */
	LOGIN_REPLY,				/* "reply" must be sent */
	LOGIN_FAILED				/* the failure must be sent */
} LoginOutcome;

/* One request below /auth; all zero before login_begin. */
typedef struct Login
{
	LoginKind	kind;
	LoginStep	step;			/* the call that the job makes */
	char	   *username;
	char	   *password;
	char	   *user;			/* sub, once it is known; for the log */
	char		address[ADDRESS_TEXT_SIZE];
	char		session[2 * LOGIN_SESSION_BYTES + 1];	/* hexadecimal */
	char		given[LOGIN_DIGEST_SIZE];	/* digest of the client's token */
	char		fresh[LOGIN_DIGEST_SIZE];	/* digest of refresh_token */
	char	   *refresh_token;	/* the new one, for the reply */
	char		numbers[4][16];
	Buffer		sql;
	Buffer		reply;
} Login;

extern bool login_begin(Login *login, LoginKind kind, const Settings *settings,
						const char *body, size_t length,
						const Address *address, Job *job, Failure *failure);
extern LoginOutcome login_continue(Login *login, const Settings *settings,
								   Job *job, Failure *failure);
extern void login_free(Login *login);

#endif							/* LOGIN_H */
