/*
 * clone.h
 *	  tide clone and tide attach: the first sync of a file.
 */
#ifndef TIDE_COMMAND_CLONE_H
#define TIDE_COMMAND_CLONE_H

#include "command/options.h"
#include "command/session.h"

int			clone_run(Session *s, const Options *options);
int			attach_run(Session *s, const Options *options);

#endif
