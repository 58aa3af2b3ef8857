/*-------------------------------------------------------------------------
 *
 * queues.h
 *	  What queue.c, held.c and keeper.c share: the queues, and the lists that jobs
 *	  are in.  No other file includes it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef QUEUES_H
#define QUEUES_H

#include <pthread.h>

#include "database/held.h"
#include "database/queue.h"
#include "database/turns.h"

struct Queue
{
	Queue	   *primary;		/* where the jobs of a replica go; NULL: it is
								 * the primary's own */
	Turns		turns;
	int			connections;	/* that are up */
	pthread_cond_t jobs_changed;	/* a job came, or the gateway stops */
	pthread_cond_t cancel_wanted;	/* likewise, a running job was abandoned */
	struct JobList held;
	int			held_count;
	int			ready_count;	/* queued; those below and maintenance are not
								 * counted */
	int			login_count;	/* whatever is below /auth */
	int			woken_count;
	int64_t		answered_at;	/* when the server last answered a job */
	Queue	   *next;			/* of all */
};

typedef struct Queues
{
	/* of all queues, so that a job goes from one to another in one step */
	pthread_mutex_t lock;
	pthread_cond_t stop_requested;	/* for threads that take no job now */
	pthread_cond_t keeper_wanted;
	Queue	   *first;
	struct JobList under_way;
	struct JobList ended;		/* the keeper finishes them */
	uint64_t	last_number;
	bool		maintenance_ended;
	bool		all_abandoned;
	bool		stopping;
} Queues;

extern Queues queues;

/* Those below are called under the lock. */

/* queue.c */
extern bool queue_join(Queue *queue, Job *job);
extern void queue_add(Job *job, bool first);
extern void queue_remove(Job *job);
extern void queue_count_place(const Job *job, int change);
extern bool queue_may_run_again(Job *job);
extern void queue_end(Job *job);

/* held.c */
extern void held_move_on(Job *job, Fallback why);
extern void held_move_all(Queue *queue, Fallback why);

/* keeper.c */
extern bool keeper_start(void);
extern void keeper_take(Job *job);
extern void keeper_end(void);

#endif							/* QUEUES_H */
