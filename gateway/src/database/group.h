/*-------------------------------------------------------------------------
 *
 * group.h
 *	  Which pushes may share a transaction, as far as the gateway can tell.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GROUP_H
#define GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "database/job.h"

#define GROUP_MOST			16	/* pushes in one transaction */
#define GROUP_LOCK_TIMEOUT	20	/* milliseconds that a push waits in a group */

/* the entity types of a push: a bit of each name's hash */
extern uint64_t group_types(const char *body);

/*
 * May this push be in a group that has so many bytes already?  Never one of
 * which a group was rolled back (is_alone).
 */
extern bool group_may_have(const Job *job, size_t bytes, int64_t now);

/* A group was rolled back because of this push. */
extern void group_refused(const Job *job, int64_t now); /* it has to be alone */
extern void group_failed(const Job *job, int64_t now);	/* it did not succeed */

#endif							/* GROUP_H */
