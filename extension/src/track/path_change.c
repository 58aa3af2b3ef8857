/*-------------------------------------------------------------------------
 *
 * path_change.c
 *	  Scopes whose path leads elsewhere after ALTER TABLE.
 *
 * No row trigger fires when a foreign key comes to refer to another table, when
 * a column gets the name of another one, or values by a new type.  A path that
 * is broken meanwhile is a path again then, and seems good, but the rows have
 * the scopes to which it led before.  Nor does TRUNCATE of a table to which no
 * foreign key leads for the moment move a row.  So after commands that can
 * mend a path or lead it elsewhere, rows whose scope is not where the path leads
 * find it anew.  Other commands cost nothing.  A trigger of a path that comes by
 * itself, as from a dump, mends a path, too.
 *
 * The trigger of late scopes has a condition on the column that the path begins
 * with.  PostgreSQL does not alter or drop a column that a trigger names, so this
 * trigger is taken away before, and made anew.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "capture/scope_trigger.h"
#include "table/registry.h"
#include "table/scope_path.h"
#include "track/path_change.h"
#include "track/renamed.h"
#include "track/scope_track.h"
#include "util/compat.h"
#include "util/owner.h"

/* the command that runs drops a foreign key */
static bool drops_foreign_key = false;

/* which columns of its table a command has given another meaning */
typedef struct Changed
{
	bool		any;			/* it is not known which */
	Bitmapset  *columns;		/* attnums */
} Changed;

static bool
is_foreign_key(Oid relid, const char *name)
{
	Oid			oid = get_relation_constraint_oid(relid, name, true);
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(oid));
	bool		result = false;

	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_constraint) GETSTRUCT(tuple))->contype == CONSTRAINT_FOREIGN;
		ReleaseSysCache(tuple);
	}
	return result;
}

/* is it one of the two columns that the condition of the trigger of late scopes names? */
static bool
is_in_condition(const TrackedTable *t, const char *column)
{
	const char *path = t->settings.scope_path;
	size_t		length = path ? strcspn(path, ".") : 0;

	return path && t->settings.scope &&
		(strcmp(t->settings.scope, column) == 0 ||
		 (strlen(column) == length && strncmp(path, column, length) == 0));
}

/* if the caller may not, the command itself will raise the error */
static void
drop_late_trigger(Oid relid, const char *column)
{
	TrackedTable *t;
	ObjectAddress trigger;

	if (!tide_owns_table(relid) || (t = registry_lookup(relid)) == NULL || !t->tracked ||
		!is_in_condition(t, column))
		return;
	LockRelationOid(relid, AccessExclusiveLock);	/* as the command will */
	ObjectAddressSet(trigger, TriggerRelationId,
					 get_trigger_oid(relid, SCOPE_LATE_TRIGGER, true));
	if (!OidIsValid(trigger.objectId))
		return;
	performDeletion(&trigger, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	CommandCounterIncrement();
}

void
path_change_before(Node *parsetree)
{
	AlterTableStmt *stmt = (AlterTableStmt *) parsetree;
	ListCell   *lc;

	drops_foreign_key = false;
	if (!IsA(parsetree, AlterTableStmt))
		return;
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst(lc);
		Oid			relid;

		if (cmd->subtype != AT_DropConstraint && cmd->subtype != AT_AlterColumnType &&
			cmd->subtype != AT_DropColumn)
			continue;
		relid = RangeVarGetRelid(stmt->relation, NoLock, true);
		if (!OidIsValid(relid))
			return;
		/* afterwards nothing tells what kind of constraint it was */
		if (cmd->subtype == AT_DropConstraint)
			drops_foreign_key |= is_foreign_key(relid, cmd->name);
		else
			drop_late_trigger(relid, cmd->name);
	}
}

static void
add_column(Changed *changed, Oid relid, const char *name)
{
	AttrNumber	column = get_attnum(relid, name);

	if (column > 0)
		changed->columns = bms_add_member(changed->columns, column);
}

static void
add_constraint(Changed *changed, Oid relid, Constraint * constraint)
{
	ListCell   *lc;

	if (constraint->contype != CONSTR_FOREIGN)
		return;
	foreach(lc, constraint->fk_attrs)
		add_column(changed, relid, strVal(lfirst(lc)));
}

static void
add_command(Changed *changed, Oid relid, AlterTableCmd *cmd)
{
	switch (cmd->subtype)
	{
		case AT_AddColumn:
			add_column(changed, relid, ((ColumnDef *) cmd->def)->colname);
			break;
		case AT_AddConstraint:
			add_constraint(changed, relid, (Constraint *) cmd->def);
			break;
		case AT_ValidateConstraint:
			changed->any |= is_foreign_key(relid, cmd->name);
			break;
		case AT_DropConstraint:
			changed->any |= drops_foreign_key;
			break;
		case AT_AlterColumnType:
#if PG_VERSION_NUM >= 170000
		case AT_SetExpression:
#endif
			add_column(changed, relid, cmd->name);
			break;
		default:
			break;
	}
}

/* which columns of the table the command has given another meaning */
static void
note_command(Changed *changed, Oid relid, Node *parsetree)
{
	ListCell   *lc;

	if (renames_column(parsetree))
		add_column(changed, relid, ((RenameStmt *) parsetree)->newname);
	else
		foreach(lc, ((AlterTableStmt *) parsetree)->cmds)
			add_command(changed, relid, lfirst(lc));
}

static bool
has_column(const Changed *changed, const AttrNumber *columns, int n)
{
	int			i;

	for (i = 0; i < n; i++)
	{
		if (changed->any || bms_is_member(columns[i], changed->columns))
			return true;
	}
	return false;
}

/* does the table's path go by these columns? */
static bool
leads_by(TrackedTable *t, Oid relid, const Changed *changed)
{
	PathStep   *steps = t->path->steps;
	int			i;

	if (t->relid == relid && has_column(changed, steps[0].from, steps[0].ncolumns))
		return true;
	for (i = 0; i < t->path->nsteps; i++)
	{
		if (steps[i].relid == relid &&
			(has_column(changed, steps[i].to, steps[i].ncolumns) ||
			 has_column(changed, steps[i].reads, steps[i].nreads)))
			return true;
	}
	return false;
}

/*
 * May its owner use the schemas by now? While a dump is restored, foreign keys
 * come before grants; then the rows are as they were.
 */
static bool
can_be_followed(TrackedTable *t)
{
	Oid			owner = owner_of_table(t->relid);
	int			i;

	if (!tide_role_may_use(owner, t->namespace))
		return false;
	for (i = 0; i < t->path->nsteps; i++)
	{
		if (!tide_role_may_use(owner, get_rel_namespace(t->path->steps[i].relid)))
			return false;
	}
	return true;
}

/*
 * The rows are written as the table's owner, and so are its triggers run.  Those
 * of an owner who has not the rights of who runs the command must leave nothing
 * behind that would run with these: no setting, and no deferred trigger, which is
 * an error.
 */
static void
follow(TrackedTable *t)
{
	SavedUser	saved;
	int			level = NewGUCNestLevel();
	bool		trusts = has_privs_of_role(owner_of_table(t->relid), GetUserId());

	path_changes++;
	/* or the row triggers that write what moves to the change log would not fire */
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
		(void) set_config_option("session_replication_role", "origin", PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	user_become(GetUserId(), trusts ? 0 : SECURITY_RESTRICTED_OPERATION, &saved);
	scope_refresh_wrong(t);
	user_restore(&saved);
	SPI_finish();
	AtEOXact_GUC(false, level);
}

/* if it was taken away, and its columns are there */
static void
create_late_trigger(Oid relid)
{
	TrackedTable *t = registry_lookup(relid);

	if (t == NULL || !t->tracked || t->path == NULL ||
		OidIsValid(get_trigger_oid(relid, SCOPE_LATE_TRIGGER, true)))
		return;
	SPI_connect();
	scope_track_create_late(t->sql_name, tracked_column(t, t->scope)->name,
							tracked_column(t, t->path->first)->name);
	SPI_finish();
}

static void
path_change_in_table(Oid relid, Node *parsetree)
{
	Changed		changed = {false, NULL};
	ListCell   *lc;

	note_command(&changed, relid, parsetree);
	if (!changed.any && !changed.columns)
		return;
	create_late_trigger(relid);
	foreach(lc, registry_below(relid))
	{
		TrackedTable *t = lfirst(lc);

		if (t->broken || t->path == NULL || !leads_by(t, relid, &changed) ||
			!can_be_followed(t))
			continue;
		follow(t);
	}
}

void
path_change_after(Node *parsetree, List *tables)
{
	ListCell   *lc;

	foreach(lc, tables)
		path_change_in_table(lfirst_oid(lc), parsetree);
}

void
path_change_restored(Oid relid)
{
	Changed		changed = {true, NULL};
	ListCell   *lc;

	foreach(lc, registry_below(relid))
	{
		TrackedTable *t = lfirst(lc);

		if (!t->broken && t->path && leads_by(t, relid, &changed) && can_be_followed(t))
			follow(t);
	}
}
