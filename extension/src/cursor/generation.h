/*-------------------------------------------------------------------------
 *
 * generation.h
 *	  Starts of the server, told apart.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_GENERATION_H
#define TIDE_GENERATION_H

#include "access/xlogdefs.h"

/*
 * The generation of the running server; never 0.  Of a standby it is the
 * primary's whose WAL is replayed; TD012 if that is not known.
 */
extern uint64 generation_current(void);

/* during recovery: would generation_current() have one? */
extern bool generation_is_replayed(void);

/*
 * Make sure that this start of the server is in tide.generation.  In a
 * transaction that may not write this is an error (TD012), unless somebody
 * else has done it.  Not on a standby.
 */
extern void generation_register(void);

/* has that generation been registered, as far as is known here? */
extern bool generation_is_known(uint64 generation);

typedef enum GenerationReach
{
	GENERATION_REACHED,			/* it got that far */
	GENERATION_PASSED,			/* the next one began before */
	GENERATION_UNKNOWN			/* not of this history, or not replayed yet */
} GenerationReach;

/*
 * Did that generation get as far as this position, and to this transaction id,
 * in the history that this database has?  "current" is the current one.  On a
 * primary after generation_register.
 */
extern GenerationReach generation_reach(uint64 generation, uint64 current,
										XLogRecPtr position, uint64 xmax);

/* forget generations whose cursors have all expired; returns how many */
extern int64 generation_forget(uint64 horizon);

#endif							/* TIDE_GENERATION_H */
