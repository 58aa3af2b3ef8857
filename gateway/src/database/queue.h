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

extern void queue_start(void);
extern bool queue_put(Job *job, int length);
extern bool queue_put_login(Job *job, int length, int most);
extern void queue_login_done(void);
extern void queue_put_back(Job *job);
extern bool queue_put_later(Job *job, int length);
extern Job *queue_take(int64_t until);
extern void queue_count(int *queued, int *waiting);
extern void queue_pause(int64_t until);
extern void queue_end_waits(void);
extern bool queue_waits_ended(void);
extern void queue_stop(void);
extern bool queue_is_stopping(void);

#endif							/* QUEUE_H */
