/*-------------------------------------------------------------------------
 *
 * blame.h
 *	  Finding the changes that an error is about.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_BLAME_H
#define TIDE_BLAME_H

#include "push/change.h"

/*
 * Those of these changes of one table, whose statement failed and has been
 * undone, that this error is about, all of them.  NIL: it cannot be told.
 */
extern List *blame_find(Push *push, PushTable *table, List *changes,
						bool is_delete, const ErrorData *error);

#endif							/* TIDE_BLAME_H */
