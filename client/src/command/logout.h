/*
 * logout.h
 *	  tide logout.
 */
#ifndef TIDE_COMMAND_LOGOUT_H
#define TIDE_COMMAND_LOGOUT_H

#include "command/options.h"
#include "command/session.h"

int			logout_run(Session *s, const Options *options);

#endif
