/*-------------------------------------------------------------------------
 *
 * check.c
 *	  tide.check: what keeps sync from being right or fast here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/genam.h"
#include "catalog/namespace.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "changelog.h"
#include "records.h"
#include "pg_tide.h"
#include "registry.h"

PG_FUNCTION_INFO_V1(tide_check);

/* a log above this wants pruning, or a shorter retention */
#define LARGE_LOG (INT64CONST(1024) * 1024 * 1024)

static void
report(ReturnSetInfo *rsinfo, const char *severity, const char *object,
	   const char *problem, const char *hint)
{
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = CStringGetTextDatum(severity);
	values[1] = CStringGetTextDatum(object);
	values[2] = CStringGetTextDatum(problem);
	nulls[3] = (hint == NULL);
	values[3] = hint ? CStringGetTextDatum(hint) : (Datum) 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static Trigger *
find_trigger(Relation rel, const char *name)
{
	int			i;

	for (i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		if (strcmp(rel->trigdesc->triggers[i].tgname, name) == 0)
			return &rel->trigdesc->triggers[i];
	}
	return NULL;
}

static void
check_triggers(ReturnSetInfo *rsinfo, TrackedTable *t, Relation rel)
{
	static const char *const names[] = {STAMP_TRIGGER, INSERT_TRIGGER,
	UPDATE_TRIGGER, DELETE_TRIGGER, TRUNCATE_TRIGGER};
	int			i;

	for (i = 0; i < lengthof(names); i++)
	{
		Trigger    *trigger = find_trigger(rel, names[i]);

		if (trigger == NULL)
			report(rsinfo, "error", t->sql_name,
				   psprintf("trigger %s is missing: changes are lost", names[i]),
				   "Call tide.track for the table again.");
		else if (trigger->tgenabled == TRIGGER_DISABLED ||
				 trigger->tgenabled == TRIGGER_FIRES_ON_REPLICA)
			report(rsinfo, "error", t->sql_name,
				   psprintf("trigger %s is disabled: changes are lost", names[i]),
				   psprintf("ALTER TABLE %s ENABLE TRIGGER %s; and send the rows that changed meanwhile with tide.touch.",
							t->sql_name, names[i]));
	}

	/* by name: one that sorts after ours changes the row we have judged */
	for (i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];

		if (TRIGGER_FOR_BEFORE(trigger->tgtype) && TRIGGER_FOR_ROW(trigger->tgtype) &&
			(TRIGGER_FOR_INSERT(trigger->tgtype) || TRIGGER_FOR_UPDATE(trigger->tgtype)) &&
			strcmp(trigger->tgname, STAMP_TRIGGER) > 0)
			report(rsinfo, "warning", t->sql_name,
				   psprintf("trigger \"%s\" runs after %s: what it changes is not stamped",
							trigger->tgname, STAMP_TRIGGER),
				   "Give it a name that sorts before.");
	}
}

static void
check_scope_index(ReturnSetInfo *rsinfo, TrackedTable *t, Relation rel)
{
	if (!t->shared && !registry_has_index_on(rel, t->scope))
		report(rsinfo, "warning", t->sql_name,
			   "no index serves its scope: a first pull reads the whole table",
			   psprintf("CREATE INDEX CONCURRENTLY ON %s (%s, ...key...);", t->sql_name,
						quote_identifier(tracked_column(t, t->scope)->name)));
}

static void
check_log(ReturnSetInfo *rsinfo)
{
	Oid			log = get_relname_relid("log", get_namespace_oid(TIDE_SCHEMA, false));
	int64		size = DatumGetInt64(DirectFunctionCall1(pg_total_relation_size,
														 ObjectIdGetDatum(log)));
	Horizon		horizon;

	report(rsinfo, size > LARGE_LOG ? "warning" : "info", "tide.log",
		   psprintf("the change log takes " INT64_FORMAT " kB", size / 1024),
		   size > LARGE_LOG ? "Prune more often, or keep less: pg_tide.retention." : NULL);
	if (horizon_read(InvalidSnapshot, &horizon))
		report(rsinfo, "info", "tide.log",
			   psprintf("pruned at %s; what is from before %s is forgotten",
						pstrdup(timestamptz_to_str(horizon.pruned_at)),
						pstrdup(timestamptz_to_str(horizon.at))), NULL);
	else
		report(rsinfo, "info", "tide.log", "never pruned",
			   "Have tide.maintain() called now and then: by the gateway, or by cron.");
}

Datum
tide_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	tide_init_materialized_srf(fcinfo);
	foreach(lc, registry_all())
	{
		TrackedTable *t = lfirst(lc);
		Relation	rel = try_relation_open(t->relid, AccessShareLock);

		if (rel == NULL)
			continue;
		if (t->broken)
			report(rsinfo, "error", t->sql_name,
				   psprintf("the settings do not fit the table: %s", t->broken_why),
				   "Call tide.track for it again.");
		check_triggers(rsinfo, t, rel);
		if (!t->broken)
			check_scope_index(rsinfo, t, rel);
		relation_close(rel, AccessShareLock);
	}
	check_log(rsinfo);
	return (Datum) 0;
}
