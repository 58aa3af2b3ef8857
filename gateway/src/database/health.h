/*-------------------------------------------------------------------------
 *
 * health.h
 *	  Is there a database that serves, and when may it be tried again?
 *
 *-------------------------------------------------------------------------
 */
#ifndef HEALTH_H
#define HEALTH_H

#include <stdbool.h>
#include <stdint.h>

#include "database/connection.h"
#include "util/failure.h"

extern bool health_begin_attempt(int64_t *next);
extern void health_end_attempt(OpenResult result, const char *detail);
extern void health_opened(OpenResult result, const char *detail);
extern bool health_is_bad(Failure *failure);

extern bool health_start(const char *conninfo);
extern bool health_check(Failure *failure);
extern void health_doubt(void);
extern void health_stop(void);

#endif							/* HEALTH_H */
