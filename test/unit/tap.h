/*-------------------------------------------------------------------------
 *
 * tap.h
 *	  What the unit tests in C share: TAP, and random numbers from a seed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TAP_H
#define TAP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int	tests_run = 0;
static int	tests_failed = 0;
static uint64_t random_state;

static inline void
ok(bool good, const char *name)
{
	tests_run++;
	if (!good)
		tests_failed++;
	printf("%sok %d - %s\n", good ? "" : "not ", tests_run, name);
}

/* the program's exit status */
static inline int
done_testing(void)
{
	printf("1..%d\n", tests_run);
	return tests_failed == 0 ? 0 : 1;
}

/* from the argument; NULL: from the clock */
static inline void
seed_random(const char *argument)
{
	uint64_t	seed = argument ? strtoull(argument, NULL, 0) : (uint64_t) time(NULL);

	printf("# TIDE_SEED=%llu\n", (unsigned long long) seed);
	/* never zero, and neighbouring seeds far apart */
	random_state = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15) | 1;
}

/* xorshift, so that a seed gives the same test everywhere */
static inline uint64_t
rnd(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * UINT64_C(0x2545F4914F6CDD1D);
}

static inline uint64_t
rnd_below(uint64_t n)
{
	return (rnd() >> 32) % n;
}

#endif							/* TAP_H */
