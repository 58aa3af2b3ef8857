/*-------------------------------------------------------------------------
 *
 * health.h
 *	  Does a server serve, where in the WAL is it, and when may it be tried again?
 *
 *-------------------------------------------------------------------------
 */
#ifndef HEALTH_H
#define HEALTH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "database/connection.h"
#include "util/failure.h"

/* for so long it is believed that a server is there once it has answered */
#define HEALTH_STALE	(4 * CLOCK_SECOND)

typedef struct Health Health;

/*
 * What the checking thread calls after each look: "seen" is where the server was
 * at some moment after the look began, position 0 if it did not say, and
 * "timeline" which one that is on.  True: somebody waits for the next look.
 */
typedef bool (*HealthLooked) (void *owner, OpenResult result, const Replay *seen,
							  uint32_t timeline);

/* "number": of a replica, counted from 1; 0: the primary */
extern Health *health_create(const char *conninfo, int number,
							 HealthLooked looked, void *owner);
extern bool health_start(Health *health);
extern void health_stop(Health *health);
extern void health_free(Health *health);

/* attempts to connect */
extern bool health_begin_attempt(Health *health, int64_t *next);
extern void health_end_attempt(Health *health, OpenResult result,
							   const char *detail);
extern void health_opened(Health *health, OpenResult result, const char *detail);
extern bool health_is_bad(Health *health, Failure *failure);
extern int	health_generation(Health *health);
extern void health_reconnect(Health *health);
extern int	health_reload_number(Health *health);
extern void health_reload(Health *health);

/* what was found out */
extern bool health_check(Health *health, Failure *failure);
extern bool health_serves(Health *health);
extern OpenResult health_state(Health *health);
extern bool health_hangs(Health *health);
extern bool health_has_session(Health *health);
extern void health_doubt(Health *health);
extern void health_want_look(Health *health);

extern const char *health_word(OpenResult result);

#endif							/* HEALTH_H */
