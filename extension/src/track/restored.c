/*-------------------------------------------------------------------------
 *
 * restored.c
 *	  Registrations: new ones, and those that come with a restored table.
 *
 * The triggers of a table are in a dump, and with them its registration.  The
 * rows come before the triggers, so nobody has recorded them.  Where the dump is
 * restored into the database that it was made of, a cursor that covers the
 * registration would be good for rows that are others by now.  So a registration
 * is good for the triggers only that tide.track has made.  Any others, which a
 * dump or somebody by hand has made, give their table a new one, as if it had been
 * tracked by tide.track again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_trigger.h"
#include "nodes/parsenodes.h"
#include "utils/lsyscache.h"

#include "cursor/history.h"
#include "log/changelog.h"
#include "table/catalog.h"
#include "table/names.h"
#include "table/registry.h"
#include "table/trust.h"
#include "track/path_change.h"
#include "track/renamed.h"
#include "track/restored.h"

bool		restored_is_tracking = false;

/*
 * A number that no table has.  Tables of a restored database have theirs from
 * another installation's sequence, somewhere else in its range.
 */
int32
unused_registration(void)
{
	for (;;)
	{
		int32		reg = changelog_next_reg();
		ListCell   *lc;
		bool		used = false;

		foreach(lc, names_all(InvalidOid, false))
			used |= (((TrackedName *) lfirst(lc))->reg == reg);
		if (!used)
			return reg;
	}
}

/*
 * Clients with a time ask the log which tables were tracked since.  Where there is
 * no sample of any time, they read all there is.
 */
static void
record(Oid relid, int32 old_reg, int32 reg)
{
	TideSnapshot snapshot;
	TimestampTz at;

	if (!sample_newest(&snapshot, &at))
		return;
	changelog_append_registration(relid, old_reg);
	changelog_append_registration(relid, reg);
}

static void
register_anew(Oid relid)
{
	TrackedTable *t = registry_lookup(relid);
	TableSettings settings;
	int32		old_reg;

	if (t == NULL || !t->tracked)
		return;
	settings = t->settings;
	old_reg = settings.reg;
	settings.reg = unused_registration();
	store_settings(relid, &settings);
	record(relid, old_reg, settings.reg);
}

/* the function of a trigger that is one of ours; else NULL */
static const char *
our_function(const TriggerFacts *trigger)
{
	return get_func_namespace(trigger->function) == get_func_namespace(trust_stamp_function()) ?
		get_func_name(trigger->function) : NULL;
}

static bool
is_capturing(const char *function)
{
	return strcmp(function, "stamp") == 0 || strcmp(function, "capture") == 0 ||
		strcmp(function, "capture_row") == 0;
}

/*
 * The trigger that stamps may be there before others that capture, and who writes
 * between them is not recorded.  So each of them counts.  What was done to a table
 * that scopes are found by, before its triggers were there, has moved no rows.
 */
void
restored_after(Node *parsetree, const char *tag)
{
	ListCell   *lc;

	if (!IsA(parsetree, CreateTrigStmt) || restored_is_tracking ||
		!OidIsValid(trust_stamp_function()))
		return;
	foreach(lc, objects_of_command(TriggerRelationId, tag))
	{
		TriggerFacts *trigger = catalog_trigger(lfirst_oid(lc));
		const char *function = trigger ? our_function(trigger) : NULL;

		if (function == NULL)
			continue;
		if (is_capturing(function))
			register_anew(trigger->relid);
		else if (strcmp(function, "path") == 0)
			path_change_restored(trigger->relid);
	}
}
