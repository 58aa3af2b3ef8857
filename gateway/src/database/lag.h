/*-------------------------------------------------------------------------
 *
 * lag.h
 *	  How far behind the primary is a replica?
 *
 * Knows nothing of threads or the clock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LAG_H
#define LAG_H

#include <stdint.h>

#define LAG_SAMPLES		512
#define LAG_INTERVAL	INT64_C(50000)	/* microseconds between samples */

/* The primary was at "position" at the moment "at". */
typedef struct LagSample
{
	int64_t		at;
	uint64_t	position;
} LagSample;

/* Where the primary has been; zeroed at first. */
typedef struct LagBook
{
	LagSample	samples[LAG_SAMPLES];	/* both members ascend */
	int			count;
	uint64_t	last;			/* position; 0: not known */
	int64_t		seen;			/* when that was */
} LagBook;

extern void lag_note(LagBook *book, int64_t at, uint64_t position);
extern int64_t lag_time(const LagBook *book, uint64_t replayed, int64_t now);
extern uint64_t lag_bytes(const LagBook *book, uint64_t replayed);

#endif							/* LAG_H */
