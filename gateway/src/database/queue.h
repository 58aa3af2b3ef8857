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

extern bool queue_start(void);
extern void queue_set_connections(int count);
extern bool queue_put(Job *job, int length);
extern bool queue_put_login(Job *job, int length, int at_a_time);
extern bool queue_put_woken(Job *job);
extern Job *queue_take(int64_t until);
extern int	queue_take_more(Job *first, Job **jobs, int64_t now);
extern void queue_done(Job *job);
extern void queue_put_back(Job *job);
extern bool queue_abandon(Job *job);
extern bool queue_is_abandoned(Job *job);
extern uint64_t queue_take_abandoned(void);
extern int	queue_count(void);
extern void queue_pause(int64_t until);
extern void queue_end_maintenance(void);
extern void queue_stop(void);
extern bool queue_is_stopping(void);
extern void queue_free(void);

#endif							/* QUEUE_H */
