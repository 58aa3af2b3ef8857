/*-------------------------------------------------------------------------
 *
 * pool.h
 *	  The threads that run the jobs of one server, each on a connection of its
 *	  own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef POOL_H
#define POOL_H

#include <stdbool.h>

#include "database/health.h"
#include "database/queue.h"

typedef struct Pool Pool;

/*
 * "number": of a replica, counted from 1; 0: the primary.  "primary": the
 * primary's pool, if this is a replica's.
 */
extern Pool *pool_create(const char *conninfo, int number, int connections,
						 Pool *primary, HealthLooked looked, void *owner);
extern bool pool_start(Pool *pool, char *problem, size_t problem_size);
extern bool pool_is_read(const Job *job);
extern Queue *pool_queue(Pool *pool);
extern Health *pool_health(Pool *pool);
extern int	pool_connected(const Pool *pool);
extern bool pool_answers(Pool *pool);
extern uint64_t pool_reads(Pool *pool);
extern void pool_cut(Pool *pool);
extern void pool_end(Pool *pool);
extern void pool_free(Pool *pool);

#endif							/* POOL_H */
