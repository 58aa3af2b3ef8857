/*
 * login.h
 *	  Passwords and refresh tokens: /auth/login, /auth/refresh.
 */
#ifndef TIDE_COMMAND_LOGIN_H
#define TIDE_COMMAND_LOGIN_H

#include "command/options.h"
#include "command/tokens.h"

/* tide login; the exit status */
int			login_run(const Options *options);

/* Fresh tokens, written down before anybody uses them. */
int			login_refresh(Tokens *tokens, Failure *failure);

/* Tell the server that they are used no more; it may be away. */
void		login_revoke(const Tokens *tokens);

#endif
