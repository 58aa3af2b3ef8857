/*
 * schedule.h
 *	  When to try again.  Pure: chance and time are handed in.
 */
#ifndef TIDE_ENGINE_SCHEDULE_H
#define TIDE_ENGINE_SCHEDULE_H

#include <stdint.h>

/*
 * A server that does not answer: after the nth failure in a row at most 1, 2,
 * 4, 8, 16, 16, ... times the base, anywhere in it (full jitter), so that
 * devices do not come back all at once.
 */
int64_t		schedule_transport(int64_t failures, int64_t base, uint32_t chance);
int64_t		schedule_transport_longest(int64_t base);

/*
 * A row that the server refused: after its nth try 30, 60, 120, 240, 480
 * times the base, then -1: it is parked.
 */
int64_t		schedule_row(int64_t tries, int64_t base);
int64_t		schedule_row_longest(int64_t base);

#define SCHEDULE_BASE_MS 1000

#endif
