/*
 * schedule.c
 *	  When to try again.
 */
#include "engine/schedule.h"

#define MOST_DOUBLINGS 4		/* 16 times the base */
#define ROW_RETRIES 5
#define ROW_FIRST 30

int64_t
schedule_transport(int64_t failures, int64_t base, uint32_t chance)
{
	int64_t		doublings = failures - 1;
	int64_t		most;

	if (doublings < 0)
		doublings = 0;
	if (doublings > MOST_DOUBLINGS)
		doublings = MOST_DOUBLINGS;
	most = base << doublings;
	return most <= 0 ? 0 : 1 + (int64_t) (chance % (uint64_t) most);
}

int64_t
schedule_transport_longest(int64_t base)
{
	return base << MOST_DOUBLINGS;
}

int64_t
schedule_row(int64_t tries, int64_t base)
{
	if (tries > ROW_RETRIES)
		return -1;
	if (tries < 1)
		tries = 1;
	return (ROW_FIRST * base) << (tries - 1);
}

int64_t
schedule_row_longest(int64_t base)
{
	return schedule_row(ROW_RETRIES, base);
}
