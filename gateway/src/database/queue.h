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

/* A replica need not have replayed anything for a job: nobody knows better. */
#define TARGET_UNKNOWN	0
#define TARGET_ANY		1

/* The jobs for one server. */
typedef struct Queue Queue;

/* Why a job that a replica could have served goes to the primary. */
typedef enum Fallback
{
	FALLBACK_NONE_SERVES,		/* no replica is fit */
	FALLBACK_BUSY,				/* those that are have too many jobs */
	FALLBACK_BEHIND,			/* it had not replayed enough in time */
	FALLBACK_LOST,				/* its connection was lost, or there is none */
	FALLBACK_CONFLICT,			/* a conflict with recovery, twice */
	FALLBACK_FAILED,			/* the primary decides what it has failed for */
	FALLBACKS
} Fallback;

extern const char *const fallback_names[FALLBACKS];

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

/* jobs at a replica */
extern bool queue_hold(Queue *queue, Job *job, int length, bool is_woken);
extern void queue_hold_again(Job *job, int64_t until);
extern void queue_leave(Job *job, Fallback why);
extern void queue_leave_all(Queue *queue, Fallback why);
extern bool queue_note_position(Queue *queue, int64_t asked_at,
								uint64_t position);
extern bool queue_note_replayed(Queue *queue, const Replay *replay);
extern void queue_count_fallback(Fallback why);
extern void queue_count_fallbacks(uint64_t *counts);

#endif							/* QUEUE_H */
