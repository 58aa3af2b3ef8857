/*-------------------------------------------------------------------------
 *
 * triggers.h
 *	  The triggers by which the changes of a tracked table are captured.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_TRIGGERS_H
#define TIDE_TRIGGERS_H

#include "utils/reltrigger.h"
#include "utils/relcache.h"

#include "table/tracked.h"

#define CAPTURE_TRIGGERS_MAX 5

/*
 * The names of the triggers that a table must have, or a partition; returns
 * how many.
 */
extern int	capture_triggers(TrackedTable *t, const char *names[CAPTURE_TRIGGERS_MAX]);
extern int	capture_triggers_of_partition(const char *names[CAPTURE_TRIGGERS_MAX]);

/* a trigger of an open table; NULL: it has none of that name */
extern Trigger *trigger_find(Relation rel, const char *name);

/* does it fire for nobody, or only for what logical replication applies? */
extern bool trigger_is_off(Trigger *trigger);

/* does it have to fire for what logical replication applies, and does not? */
extern bool trigger_misses_replication(TrackedTable *t, Trigger *trigger);

/*
 * Do all these triggers fire, those of partitions, too?  Otherwise changes may
 * have been missed.
 */
extern bool triggers_capture_all(TrackedTable *t);

#endif							/* TIDE_TRIGGERS_H */
