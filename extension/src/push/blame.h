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
 * All of these changes that the error is about.  The changes are of one table;
 * their statement failed and has been undone.  NIL: nobody can tell.
 */
extern List *blame_find(Push *push, PushTable *table, List *changes,
						bool is_delete, const ErrorData *error);

#endif							/* TIDE_BLAME_H */
