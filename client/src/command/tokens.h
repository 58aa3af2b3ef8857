/*
 * tokens.h
 *	  Tokens of those who logged in, each in a file that only its owner reads.
 */
#ifndef TIDE_COMMAND_TOKENS_H
#define TIDE_COMMAND_TOKENS_H

#include "util/buffer.h"
#include "util/failure.h"

typedef struct Tokens
{
	char	   *server;
	char	   *user;			/* the name that was logged in with */
	char	   *token;
	char	   *refresh;
	char	   *expires_at;
	char	   *user_id;
	char	   *user_type;
	char	   *salt;			/* of the password's hash, hexadecimal */
	char	   *hash;
} Tokens;

/* *found: there are some for this name. */
bool		tokens_load(const char *server, const char *user, Tokens *tokens, bool *found,
						Failure *failure);

/*
 * Those of the one user that the sub `subject` is of; with subject NULL, of
 * the only user who is logged in there.
 */
bool		tokens_find(const char *server, const char *subject, Tokens *tokens,
						bool *found, Failure *failure);

/* Replace the file, as a whole. */
bool		tokens_save(const Tokens *tokens, Failure *failure);
bool		tokens_remove(const Tokens *tokens, Failure *failure);
void		tokens_free(Tokens *tokens);

/*
 * One process at a time changes the tokens for a server: until then others wait.
 * -1 where there is nothing to lock yet.
 */
int			tokens_lock(const char *server);
void		tokens_unlock(int lock);

/* Set one of the texts to a copy; value may be NULL. */
bool		tokens_set(char **field, const char *value, Failure *failure);

/* Keep a hash of the password; check one against it. */
bool		tokens_set_password(Tokens *tokens, const char *password, Failure *failure);
bool		tokens_password_is(const Tokens *tokens, const char *password);

#endif
