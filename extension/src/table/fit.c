/*-------------------------------------------------------------------------
 *
 * fit.c
 *	  Which columns the settings of a table mean, and whether it still fits them.
 *
 * If the settings do not fit the table any more (a renamed column, another
 * primary key), the table is marked broken, with the reason.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "table/catalog.h"
#include "table/fit.h"
#include "table/form.h"
#include "table/scope_path.h"
#include "util/settings.h"

/* types whose text form no setting changes */
static bool
is_plain_type(Oid type)
{
	switch (getBaseType(type))
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case UUIDOID:
		case NAMEOID:
		case BOOLOID:
		case OIDOID:
		case NUMERICOID:
			return true;
		default:
			return false;
	}
}

/* likewise as wire.c writes it, which has its own form for times */
static bool
is_plain_on_wire(TrackedColumn *c)
{
	return c->kind == WIRE_TIMESTAMPTZ || c->kind == WIRE_TIMESTAMP ||
		c->kind == WIRE_JSON || is_plain_type(c->type);
}

/* a column that a setting names, or 0 and t->broken */
static AttrNumber
named_column(TrackedTable *t, const char *setting, const char *name)
{
	TrackedColumn *c = tracked_column_by_name(t, name);

	if (c)
		return c->attnum;
	tracked_set_broken(t, psprintf("its %s column \"%s\" does not exist", setting, name));
	return InvalidAttrNumber;
}

/*
 * Likewise, with one of some types (0 ends the list).  C code reads its values
 * as such, so ALTER COLUMN ...  TYPE must be noticed.
 */
static AttrNumber
typed_column(TrackedTable *t, const char *setting, const char *name, const Oid *types)
{
	AttrNumber	attnum = named_column(t, setting, name);

	for (; attnum && OidIsValid(*types); types++)
	{
		if (tracked_column(t, attnum)->type == *types)
			return attnum;
	}
	if (attnum)
		tracked_set_broken(t, psprintf("its %s column \"%s\" is of another type now", setting, name));
	return InvalidAttrNumber;
}

/*
 * The column that keeps the stamps of columns is bookkeeping, whatever the
 * policy is now.
 */
static void
load_clocks(TrackedTable *t)
{
	TrackedColumn *c = tracked_column_by_name(t, CLOCKS_COLUMN);

	if (c && c->type == JSONBOID && !c->generated)
	{
		t->clocks = c->attnum;
		c->excluded = true;
	}
	else if (t->policy == POLICY_MERGE)
		tracked_set_broken(t, pstrdup("its column \"" CLOCKS_COLUMN "\", which merging needs, is gone"));
}

/*
 * A key column's or the scope's values look as they did when it was tracked, and
 * equal ones look the same: the log and cursors compare texts, the table
 * compares values.
 */
static void
check_form(TrackedTable *t, AttrNumber attnum, int n)
{
	TrackedColumn *c = tracked_column(t, attnum);

	if (!t->broken && SearchSysCacheExists1(COLLOID, ObjectIdGetDatum(c->collation)) &&
		!get_collation_isdeterministic(c->collation))
		tracked_set_broken(t, psprintf("equal values of its column \"%s\" can be written in several ways now", c->name));
	if (!t->broken && n < list_length(t->settings.forms) &&
		!type_form_fits(list_nth(t->settings.forms, n), c->type, c->typmod))
		tracked_set_broken(t, psprintf("values of its column \"%s\" have another text form than when it was tracked", c->name));
}

static void
swap_keys(TrackedTable *t, int i, int k)
{
	AttrNumber	attnum = t->keys[i];
	char	  **operators[] = {t->key_equal, t->key_less, t->key_greater};
	int			o;

	t->keys[i] = t->keys[k];
	t->keys[k] = attnum;
	for (o = 0; o < lengthof(operators); o++)
	{
		char	   *name = operators[o][i];

		operators[o][i] = operators[o][k];
		operators[o][k] = name;
	}
}

/*
 * Put the key's columns into the order in which they were tracked, whatever
 * that of the index is by now.  Keys in the log, tombstones and cursors are in
 * that order.
 */
static void
order_keys(TrackedTable *t)
{
	ListCell   *lc;
	int			i = 0;

	foreach(lc, t->settings.keys)
	{
		int			k;

		for (k = i; k < t->nkeys; k++)
		{
			if (strcmp(lfirst(lc), tracked_column(t, t->keys[k])->name) != 0)
				continue;
			swap_keys(t, i++, k);
			break;
		}
	}
}

/* the key is the one that was tracked */
static void
fit_keys(TrackedTable *t)
{
	ListCell   *lc;
	int			i;

	order_keys(t);
	foreach(lc, t->settings.keys)
	{
		AttrNumber	attnum = named_column(t, "key", lfirst(lc));

		if (attnum && !tracked_column(t, attnum)->key)
			tracked_set_broken(t, pstrdup("its primary key has changed"));
	}
	if (!t->broken && list_length(t->settings.keys) != t->nkeys)
		tracked_set_broken(t, pstrdup("its primary key has changed"));
	for (i = 0; i < t->nkeys && !t->broken; i++)
	{
		int			k = 0;

		foreach(lc, t->settings.keys)
		{
			if (strcmp(lfirst(lc), tracked_column(t, t->keys[i])->name) == 0)
				check_form(t, t->keys[i], k);
			k++;
		}
	}
}

/*
 * the key of a partition, whose own index may have the columns in another
 * order
 */
static void
copy_keys(TrackedTable *t)
{
	ListCell   *lc;

	t->keys = palloc(sizeof(AttrNumber) * INDEX_MAX_KEYS);
	foreach(lc, t->settings.keys)
	{
		AttrNumber	attnum = named_column(t, "key", lfirst(lc));

		if (attnum && t->nkeys < INDEX_MAX_KEYS)
			t->keys[t->nkeys++] = attnum;
	}
}

/* the columns that settings name */
static void
fit_columns(TrackedTable *t)
{
	static const Oid times[] = {TIMESTAMPTZOID, TIMESTAMPOID, InvalidOid};
	static const Oid texts[] = {TEXTOID, VARCHAROID, InvalidOid};
	static const Oid integers[] = {INT4OID, INT8OID, INT2OID, InvalidOid};
	TableSettings *s = &t->settings;
	ListCell   *lc;

	if (s->scope)
		t->scope = named_column(t, "scope", s->scope);
	if (s->modified_at)
		t->modified_at = typed_column(t, "modified_at", s->modified_at, times);
	if (s->client_id)
		t->client_id = typed_column(t, "client_id", s->client_id, texts);
	if (s->version)
		t->version = typed_column(t, "version", s->version, integers);
	if (s->deleted_at)
		t->deleted_at = typed_column(t, "deleted_at", s->deleted_at, times);
	foreach(lc, s->exclude)
	{
		/* if it was renamed, it would be sent to clients from now on */
		AttrNumber	attnum = named_column(t, "exclude", lfirst(lc));

		if (attnum)
			tracked_column(t, attnum)->excluded = true;
	}
	if (t->scope && !OidIsValid(t->root))
		check_form(t, t->scope, list_length(s->keys));
}

static void
load_policy(TrackedTable *t)
{
	if (t->settings.conflict == NULL)
		return;
	if (!policy_by_name(t->settings.conflict, &t->policy))
		tracked_set_broken(t, psprintf("its conflict policy \"%s\" is not known", t->settings.conflict));
	else if (t->policy == POLICY_RESOLVER)
		t->resolver = t->settings.conflict;
}

/* follow the foreign keys of the scope, if it has any */
static void
load_path(TrackedTable *t)
{
	ScopePath  *path;
	char	   *why;
	int			i;

	if (t->scope_path == NULL || !t->scope)
		return;
	path = scope_path_resolve(t->relid, t->scope_path, &why);
	if (path == NULL)
		tracked_set_broken(t, psprintf("its scope \"%s\" leads nowhere: %s", t->scope_path, why));
	else if (path->type != tracked_column(t, t->scope)->type ||
			 !type_form_fits(type_form(path->type, path->typmod), path->type,
							 tracked_column(t, t->scope)->typmod))
		tracked_set_broken(t, psprintf("its scope \"%s\" is of another type than \"%s\"",
							   t->scope_path, tracked_column(t, t->scope)->name));
	else
		t->path = path;

	/* the foreign key now refers to another table, which has no triggers */
	for (i = 0; t->path && i < path->nsteps; i++)
		if (!OidIsValid(get_trigger_oid(path->steps[i].relid, PATH_UPDATE_TRIGGER, true)))
			tracked_set_broken(t, psprintf("table %s, through which its scope is found, has no trigger " PATH_UPDATE_TRIGGER,
								   path->steps[i].sql_name));
}

/*
 * A column that has got the name of one that was renamed is not the one that a
 * setting means: an excluded one would be sent under its new name.
 */
static void
check_moved(TrackedTable *t)
{
	ListCell   *lc;

	foreach(lc, settings_moved(&t->settings))
	{
		if (!t->broken && tracked_column_by_name(t, lfirst(lc)))
			tracked_set_broken(t, psprintf("its column \"%s\" is not the one that was tracked",
								   (char *) lfirst(lc)));
	}
}

/* A column that came later may have the name of another one in JSON. */
static void
check_wire_names(TrackedTable *t)
{
	int			i,
				k;

	for (i = 0; t->camel && i < t->ncolumns; i++)
	{
		for (k = 0; k < i && column_is_synced(&t->columns[i]); k++)
		{
			if (column_is_synced(&t->columns[k]) &&
				strcmp(t->columns[k].wire, t->columns[i].wire) == 0)
				tracked_set_broken(t, psprintf("its columns \"%s\" and \"%s\" have the same name \"%s\" in JSON",
									   t->columns[k].name, t->columns[i].name, t->columns[i].wire));
		}
	}
}

/* does the table fit its settings? Partitions are not checked. */
static void
check_fit(TrackedTable *t, Form_pg_class class)
{
	check_moved(t);
	check_wire_names(t);
	if (catalog_is_inherited(class) || class->relpersistence != RELPERSISTENCE_PERMANENT)
		tracked_set_broken(t, pstrdup("it has become a partition, part of an inheritance tree, or unlogged"));
	if (!t->broken && t->settings.unlogged)
		tracked_set_broken(t, pstrdup("it was unlogged, or a partition of it, and a crash would have emptied it unseen"));
	if (!t->broken && (!t->modified_at || !t->client_id ||
					   (!t->scope && !t->shared)))
		tracked_set_broken(t, pstrdup("its trigger has no complete settings"));
}

/*
 * May an INSERT or UPDATE of some rows change other rows, or the same rows
 * once more? The user's triggers and rules may do that, and foreign keys that
 * cascade an update.
 */
static bool
has_side_effects(Form_pg_class class, List *triggers)
{
	ListCell   *lc;

	if (class->relhasrules)
		return true;
	foreach(lc, triggers)
	{
		TriggerFacts *trigger = lfirst(lc);

		if (!trigger->internal &&
			(strncmp(trigger->name, TRIGGER_PREFIX, strlen(TRIGGER_PREFIX)) != 0 ||
			 strncmp(trigger->name, PATH_TRIGGER_PREFIX, strlen(PATH_TRIGGER_PREFIX)) == 0))
			return true;
		if (trigger->function == F_RI_FKEY_CASCADE_UPD ||
			trigger->function == F_RI_FKEY_SETNULL_UPD ||
			trigger->function == F_RI_FKEY_SETDEFAULT_UPD)
			return true;
	}
	return false;
}

/* has the user a row trigger that runs before an UPDATE, and so before ours? */
static bool
may_leave_out(List *triggers)
{
	ListCell   *lc;

	foreach(lc, triggers)
	{
		TriggerFacts *trigger = lfirst(lc);

		if (!trigger->internal && TRIGGER_FOR_ROW(trigger->type) &&
			TRIGGER_FOR_BEFORE(trigger->type) && TRIGGER_FOR_UPDATE(trigger->type) &&
			strncmp(trigger->name, TRIGGER_PREFIX, strlen(TRIGGER_PREFIX)) != 0)
			return true;
	}
	return false;
}

/* which texts of the table no setting of a session changes */
static void
note_plain(TrackedTable *t)
{
	int			i;

	t->plain_key = !t->scope ||
		is_plain_type(tracked_column(t, t->scope)->type);
	for (i = 0; i < t->nkeys; i++)
		if (!is_plain_type(tracked_column(t, t->keys[i])->type))
			t->plain_key = false;
	t->plain_row = true;
	for (i = 0; i < t->ncolumns; i++)
	{
		if (!column_is_synced(&t->columns[i]))
			continue;
		if (t->columns[i].generated)
			t->has_synced_generated = true;
		if (!is_plain_on_wire(&t->columns[i]))
			t->plain_row = false;
	}
}

/*
 * Find the columns that the settings of "t" mean, and see whether the table still
 * fits them: if not, t->broken says so.  "triggers" has its TriggerFacts.  The
 * columns are loaded, and the key if it is no partition; what is added lives in
 * the current memory context.
 */
void
fit_settings(TrackedTable *t, Form_pg_class class, List *triggers)
{
	load_policy(t);
	if (OidIsValid(t->root))
		copy_keys(t);
	else if (t->nkeys > 0)
		fit_keys(t);
	load_clocks(t);
	fit_columns(t);
	if (!OidIsValid(t->root))
	{
		check_fit(t, class);
		load_path(t);
	}

	/*
	 * partitions can have triggers of their own, which are not looked at one
	 * by one
	 */
	t->has_side_effects = t->partitioned || has_side_effects(class, triggers);
	t->may_leave_out = may_leave_out(triggers);
	note_plain(t);
}
