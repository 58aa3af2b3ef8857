/*
 * watch.h
 *	  tide watch.
 */
#ifndef TIDE_COMMAND_WATCH_H
#define TIDE_COMMAND_WATCH_H

#include "command/options.h"
#include "command/session.h"

/* The exit status; 0 on SIGTERM and SIGINT. */
int			watch_run(Session *s, const Options *options);

#endif
