/*-------------------------------------------------------------------------
 *
 * held.h
 *	  Jobs at a replica: held until they can be served there, or going on to the
 *	  primary.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HELD_H
#define HELD_H

#include "database/queue.h"

/* A replica need not have replayed anything for a job: nobody knows better. */
#define TARGET_UNKNOWN	0
#define TARGET_ANY		1

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

extern bool held_put(Queue *queue, Job *job, int length, bool is_woken);
extern void held_put_again(Job *job, int64_t until);
extern void held_leave(Job *job, Fallback why);
extern void held_leave_all(Queue *queue, Fallback why);
extern bool held_note_position(Queue *queue, int64_t asked_at,
							   uint64_t position);
extern bool held_note_replayed(Queue *queue, const Replay *replay);
extern void held_count_fallback(Fallback why);
extern void held_count_fallbacks(uint64_t *counts);

#endif							/* HELD_H */
