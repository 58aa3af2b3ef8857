/*-------------------------------------------------------------------------
 *
 * deferred.h
 *	  Deferred constraints, checked before a verdict is given.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_DEFERRED_H
#define TIDE_DEFERRED_H

#include "push/change.h"

/*
 * Before anything is written: an error if the caller's own transaction has a
 * violation pending in a table that the push writes to.
 */
extern void deferred_begin(Push *push);

/* raises an error if what the push has written violates a constraint */
extern void deferred_check(Push *push);

/*
 * checks now what waits for the end of the transaction, and does not undo it
 */
extern void deferred_fire(void);

#endif							/* TIDE_DEFERRED_H */
