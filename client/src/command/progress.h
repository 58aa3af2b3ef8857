/*
 * progress.h
 *	  What a command that takes its time is doing: a bar on a terminal, elsewhere
 *	  a line for each phase.
 */
#ifndef TIDE_COMMAND_PROGRESS_H
#define TIDE_COMMAND_PROGRESS_H

#include "tide.h"

void		progress_show(tide *t);

#endif
