/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  The bounded queue between requests and database threads.
 *
 *-------------------------------------------------------------------------
 */
#ifndef QUEUE_H
#define QUEUE_H

#include <limits.h>
#include <stdbool.h>

#include "database/job.h"

#define QUEUE_UNBOUNDED	INT_MAX

typedef enum WaitResult
{
	WAIT_BEGUN,
	WAIT_ENDED,					/* nobody waits any more: the gateway stops, or
								 * the client has gone */
	WAIT_REFUSED				/* too many wait */
} WaitResult;

extern bool queue_start(void);
extern void queue_set_connections(int count);
extern bool queue_put(Job *job, int length);
extern bool queue_put_login(Job *job, int length, int at_a_time);
extern Job *queue_take(int64_t until);
extern void queue_done(Job *job);
extern void queue_put_back(Job *job);
extern WaitResult queue_wait(Job *job, int length);
extern bool queue_abandon(Job *job);
extern bool queue_is_abandoned(Job *job);
extern uint64_t queue_take_abandoned(void);
extern void queue_count(int *queued, int *waiting);
extern void queue_pause(int64_t until);
extern void queue_end_waits(void);
extern bool queue_waits_ended(void);
extern void queue_stop(void);
extern bool queue_is_stopping(void);
extern void queue_free(void);

#endif							/* QUEUE_H */
