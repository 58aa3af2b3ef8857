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

/* of the server as it runs now; never 0.  Not on a standby. */
extern uint64 generation_current(void);

/*
 * See to it that this start of the server is in tide.generation.  In a
 * transaction that may not write, that is an error (TD012) if nobody else has
 * seen to it.
 */
extern void generation_register(void);

/*
 * Did that generation get as far as this position, and to this transaction id,
 * in the history that this database has?  After generation_register.
 */
extern bool generation_reached(uint64 generation, XLogRecPtr position, uint64 xmax);

/* forget those of which all cursors are expired; returns how many rows went */
extern int64 generation_forget(uint64 horizon);

#endif							/* TIDE_GENERATION_H */
