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

/* the generation of the running server; never 0.  Not on a standby. */
extern uint64 generation_current(void);

/*
 * Make sure that this start of the server is in tide.generation.  In a
 * transaction that may not write this is an error (TD012), unless somebody
 * else has done it.
 */
extern void generation_register(void);

/*
 * Did that generation get as far as this position, and to this transaction id,
 * in the history that this database has?  After generation_register.
 */
extern bool generation_reached(uint64 generation, XLogRecPtr position, uint64 xmax);

/* forget generations whose cursors have all expired; returns how many */
extern int64 generation_forget(uint64 horizon);

#endif							/* TIDE_GENERATION_H */
