/*
 * session.h
 *	  A file that a command works on, and the token for it.
 */
#ifndef TIDE_COMMAND_SESSION_H
#define TIDE_COMMAND_SESSION_H

#include "command/tokens.h"
#include "tide.h"

typedef struct Session
{
	sqlite3    *db;
	tide	   *t;
	Tokens		tokens;			/* of a login; empty with a token file */
	Failure		failure;		/* not the handle's */
} Session;

typedef enum SessionMode
{
	SESSION_OURS,				/* a file that was set up for sync */
	SESSION_ANY,				/* any that is there */
	SESSION_MAKE				/* made, if it is not there */
} SessionMode;

/*
 * Open a file; only clone makes one.  All return one of enum tide_result, and
 * session_complain() says why.
 */
int			session_open(Session *s, const char *path, SessionMode mode);
void		session_close(Session *s);

/* Remember a file of a token by its path. */
int			session_use_token_file(Session *s, const char *path);

/*
 * Find the token: of the token file, if there is one, else of who logged in.
 * user NULL: the one the file belongs to.  One that the server refuses later is
 * looked for again, or refreshed.
 */
int			session_sign_in(Session *s, const char *server, const char *user);

/* Print what went wrong on standard error. */
void		session_complain(Session *s);
const Failure *session_failure(Session *s);

#endif
