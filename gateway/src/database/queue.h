/*-------------------------------------------------------------------------
 *
 * queue.h
 *	  The bounded queues between requests and database threads.
 *
 *-------------------------------------------------------------------------
 */
#ifndef QUEUE_H
#define QUEUE_H

#include <limits.h>
#include <stdbool.h>

#include "database/job.h"

#define QUEUE_UNBOUNDED	INT_MAX

/* The jobs for one server. */
typedef struct Queue Queue;

extern bool queue_start(void);
extern Queue *queue_create(Queue *primary);
extern void queue_add_connections(Queue *queue, int change);
extern bool queue_put(Queue *queue, Job *job, int length, bool is_woken);
extern bool queue_put_login(Queue *queue, Job *job, int length, int at_a_time);
extern Job *queue_take(Queue *queue, int64_t until);
extern int	queue_take_more(Job *first, Job **jobs, int64_t now);
extern void queue_done(Job *job);
extern int64_t queue_answered_at(Queue *queue);
extern void queue_put_back(Job *job);
extern bool queue_abandon(Job *job);
extern void queue_abandon_all(void);
extern bool queue_is_abandoned(Job *job);
extern uint64_t queue_take_abandoned(Queue *queue);
extern int	queue_count(void);
extern int	queue_count_of(Queue *queue);
extern void queue_pause(int64_t until);
extern void queue_end_maintenance(void);
extern void queue_stop(void);
extern bool queue_is_stopping(void);
extern void queue_free(void);

#endif							/* QUEUE_H */
