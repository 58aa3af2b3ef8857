/*-------------------------------------------------------------------------
 *
 * clock.h
 *	  The monotonic clock that every limit and wait of the gateway uses.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CLOCK_H
#define CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

/* Microseconds since some fixed moment. */
static inline int64_t
clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* For waits on condition variables that use CLOCK_MONOTONIC. */
static inline struct timespec
clock_timespec(int64_t moment)
{
	struct timespec result;

	result.tv_sec = (time_t) (moment / 1000000);
	result.tv_nsec = (long) (moment % 1000000) * 1000;
	return result;
}

/* Set up a condition variable that waits by this clock. */
static inline void
clock_init_condition(pthread_cond_t *condition)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(condition, &attributes);
	pthread_condattr_destroy(&attributes);
}

#define CLOCK_SECOND		INT64_C(1000000)
#define CLOCK_MILLISECOND	INT64_C(1000)

#endif							/* CLOCK_H */
