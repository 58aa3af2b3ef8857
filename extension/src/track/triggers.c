/*-------------------------------------------------------------------------
 *
 * triggers.c
 *	  The triggers by which the changes of a tracked table are captured.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/trigger.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "table/registry.h"
#include "track/triggers.h"
#include "util/settings.h"

int
capture_triggers(TrackedTable *t, const char *names[CAPTURE_TRIGGERS_MAX])
{
	int			n = 0;

	names[n++] = STAMP_TRIGGER;
	if (table_is_by_row(t))
		names[n++] = ROW_TRIGGER;
	else
	{
		names[n++] = INSERT_TRIGGER;
		names[n++] = UPDATE_TRIGGER;
		names[n++] = DELETE_TRIGGER;
	}
	if (table_is_by_row(t))
		names[n++] = FLUSH_TRIGGER;
	/* that of a partitioned table is on its partitions */
	if (!t->partitioned)
		names[n++] = TRUNCATE_TRIGGER;
	return n;
}

int
capture_triggers_of_partition(const char *names[CAPTURE_TRIGGERS_MAX])
{
	names[0] = STAMP_TRIGGER;
	names[1] = ROW_TRIGGER;
	names[2] = TRUNCATE_TRIGGER;
	return 3;
}

Trigger *
trigger_find(Relation rel, const char *name)
{
	int			i;

	for (i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		if (strcmp(rel->trigdesc->triggers[i].tgname, name) == 0)
			return &rel->trigdesc->triggers[i];
	}
	return NULL;
}

bool
trigger_is_off(Trigger *trigger)
{
	return trigger->tgenabled == TRIGGER_DISABLED ||
		trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA;
}

/* The trigger that writes what others have collected fires when they have. */
bool
trigger_misses_replication(TrackedTable *t, Trigger *trigger)
{
	return t->replicated && trigger->tgenabled != TRIGGER_FIRES_ALWAYS &&
		strcmp(trigger->tgname, FLUSH_TRIGGER) != 0;
}

static bool
all_fire(TrackedTable *t, Oid relid, const char **names, int n)
{
	Relation	rel = relation_open(relid, AccessShareLock);
	bool		result = true;
	int			i;

	for (i = 0; i < n && result; i++)
	{
		Trigger    *trigger = trigger_find(rel, names[i]);

		result = trigger && !trigger_is_off(trigger) && !trigger_misses_replication(t, trigger);
	}
	relation_close(rel, AccessShareLock);
	return result;
}

bool
triggers_capture_all(TrackedTable *t)
{
	const char *names[CAPTURE_TRIGGERS_MAX];
	bool		result = all_fire(t, t->relid, names, capture_triggers(t, names));
	int			n = capture_triggers_of_partition(names);
	ListCell   *lc;

	if (!t->partitioned)
		return result;
	foreach(lc, find_all_inheritors(t->relid, NoLock, NULL))
	{
		if (lfirst_oid(lc) != t->relid && get_rel_relkind(lfirst_oid(lc)) == RELKIND_RELATION)
			result = result && all_fire(t, lfirst_oid(lc), names, n);
	}
	return result;
}
