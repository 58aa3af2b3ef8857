/*-------------------------------------------------------------------------
 *
 * partitions.c
 *	  Partitions that come and go.
 *
 * PostgreSQL copies row triggers to a partition.  Event triggers do the rest: a
 * new partition gets the trigger for TRUNCATE; with ATTACH all rows of the
 * partition come, with DETACH and DROP all of them go, and their keys are
 * written to the change log one by one, so that no client has to read anything
 * else again.
 *
 * The event triggers run for each ALTER TABLE and the like in the database,
 * with the rights of whoever runs it.  They raise no error and no notice unless
 * the statement concerns a partition of a tracked table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "capture/capture.h"
#include "table/registry.h"
#include "track/partitions.h"
#include "track/path_change.h"
#include "track/renamed.h"
#include "track/restored.h"
#include "track/trackable.h"
#include "util/compat.h"
#include "util/owner.h"
#include "util/settings.h"

PG_FUNCTION_INFO_V1(tide_partition_change);

/* a partition that a command may drop without naming it */
typedef struct Watched
{
	Oid			partition;
	Oid			root;
} Watched;

/* in TopTransactionContext */
static List *watched = NIL;
static List *captured = NIL;	/* OIDs of those that we have seen to */

/* ---------- triggers ---------- */

static bool
holds_rows(Oid relid)
{
	return get_rel_relkind(relid) == RELKIND_RELATION;
}

void
partitions_create_triggers(Oid relid, bool always)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, ShareRowExclusiveLock, NULL))
	{
		Oid			partition = lfirst_oid(lc);
		char	   *name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(partition)),
													  get_rel_name(partition));

		if (!holds_rows(partition) ||
			OidIsValid(get_trigger_oid(partition, TRUNCATE_TRIGGER, true)))
			continue;
		if (SPI_execute(psprintf("CREATE TRIGGER %s BEFORE TRUNCATE ON %s"
								 " FOR EACH STATEMENT EXECUTE FUNCTION tide.capture()",
								 TRUNCATE_TRIGGER, name), false, 0) < 0 ||
			(always &&
			 SPI_execute(psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s",
								  name, TRUNCATE_TRIGGER), false, 0) < 0))
			elog(ERROR, "could not create the trigger of %s", name);
	}
}

void
partitions_drop_triggers(Oid relid)
{
	ListCell   *lc;

	/* the lock is made stronger where there is something to drop */
	foreach(lc, find_all_inheritors(relid, ShareRowExclusiveLock, NULL))
	{
		ObjectAddress trigger;

		ObjectAddressSet(trigger, TriggerRelationId,
						 get_trigger_oid(lfirst_oid(lc), TRUNCATE_TRIGGER, true));
		if (OidIsValid(trigger.objectId))
			performDeletion(&trigger, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	}
	CommandCounterIncrement();
}

/* ---------- what is tracked ---------- */

/*
 * The tracked table whose rows are in this one.  NULL if there is none, or if
 * it does not fit its settings: nobody can write to such a table, and clients
 * read it anew once it is tracked again.
 */
static TrackedTable *
tracked_root(Oid relid)
{
	TrackedTable *layout;
	TrackedTable *root;

	if (!OidIsValid(relid) ||
		(get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE && !get_rel_relispartition(relid)))
		return NULL;
	root = registry_lookup_rows(relid, &layout);
	return root && !root->broken ? root : NULL;
}

/* all rows of a table and of its partitions have come to root, or left it */
static void
capture_tree(TrackedTable *root, Oid top, bool gone)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(top, AccessExclusiveLock, NULL))
	{
		Relation	rel = relation_open(lfirst_oid(lc), NoLock);

		if (rel->rd_rel->relkind == RELKIND_RELATION)
		{
			TrackedTable *layout = registry_partition(RelationGetRelid(rel), root);

			capture_whole_table(root, layout, rel, gone);
			MemoryContextDelete(layout->context);
		}
		relation_close(rel, NoLock);
	}
}

/* ---------- partitions that come ---------- */

static void
check_tree(TrackedTable *root, Oid top)
{
	Relation	root_rel = relation_open(root->relid, AccessShareLock);
	ListCell   *lc;

	foreach(lc, find_all_inheritors(top, AccessShareLock, NULL))
	{
		/*
		 * top itself may not be locked: PostgreSQL 14 does not where it
		 * exists already
		 */
		Relation	rel = relation_open(lfirst_oid(lc), AccessShareLock);

		trackable_check_partition(root_rel, rel);
		relation_close(rel, NoLock);
	}
	relation_close(root_rel, NoLock);
}

static void
settle_new(Oid relid)
{
	TrackedTable *root = tracked_root(relid);

	if (root == NULL)
		return;
	check_tree(root, relid);
	SPI_connect();
	partitions_create_triggers(relid, root->replicated);
	SPI_finish();
}

static void
refuse_tracked(Oid relid, TrackedTable *root)
{
	TrackedTable *t = registry_lookup(relid);

	if (t && t->tracked)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table %s is tracked itself and cannot be a partition of tracked table %s",
						t->sql_name, root->sql_name),
				 errhint("SELECT tide.untrack(%s); and attach it then.",
						 quote_literal_cstr(t->sql_name))));
}

/* CREATE SCHEMA ...  CREATE TABLE ... does not report each table */
static void
settle_all_new(void)
{
	ListCell   *lc;

	foreach(lc, registry_partitioned())
		settle_new(((TrackedTable *) lfirst(lc))->relid);
}

/* ---------- partitions that go ---------- */

/* all rows of this partition will be gone with it */
static void
capture_dropped(Oid relid, Oid rootid)
{
	TrackedTable *root;
	MemoryContext old;

	/* in the order in which the command will lock them */
	LockRelationOid(get_partition_parent(relid, true), AccessExclusiveLock);
	LockRelationOid(relid, AccessExclusiveLock);
	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return;
	root = tracked_root(relid);
	if (root == NULL || root->relid != rootid)
		return;
	capture_tree(root, relid, true);
	old = MemoryContextSwitchTo(TopTransactionContext);
	captured = list_concat(captured, find_all_inheritors(relid, NoLock, NULL));
	MemoryContextSwitchTo(old);
}

/* if the caller may not, the command itself will raise the error */
static bool
may_drop(Oid relid)
{
	return tide_owns_table(relid) || tide_owns_schema(get_rel_namespace(relid));
}

static void
before_drop_table(DropStmt *stmt)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		Oid			relid = RangeVarGetRelid(makeRangeVarFromNameList(lfirst(lc)), NoLock, true);

		if (OidIsValid(relid))
			relids = lappend_oid(relids, relid);
	}
	foreach(lc, relids)
	{
		Oid			relid = lfirst_oid(lc);
		TrackedTable *root;

		if (!get_rel_relispartition(relid) || !may_drop(relid))
			continue;
		root = tracked_root(relid);
		if (root && !list_member_oid(relids, root->relid))
			capture_dropped(relid, root->relid);
	}
}

/* the partitions of t that are in one of some schemas or owned by some roles */
static void
capture_dropped_by(TrackedTable *t, List *schemas, List *owners)
{
	ListCell   *lc;

	if (list_member_oid(schemas, get_rel_namespace(t->relid)) ||
		list_member_oid(owners, owner_of_table(t->relid)))
		return;					/* goes as a whole */
	foreach(lc, find_all_inheritors(t->relid, NoLock, NULL))
	{
		Oid			relid = lfirst_oid(lc);

		if (relid == t->relid || list_member_oid(captured, relid) ||
			!(list_member_oid(schemas, get_rel_namespace(relid)) ||
			  list_member_oid(owners, owner_of_table(relid))))
			continue;
		capture_dropped(relid, t->relid);
	}
}

static void
before_drop_many(List *schemas, List *owners)
{
	ListCell   *lc;

	if (schemas == NIL && owners == NIL)
		return;
	foreach(lc, registry_partitioned())
	{
		TrackedTable *t = lfirst(lc);

		if (!t->broken)
			capture_dropped_by(t, schemas, owners);
	}
}

static void
before_drop_schema(DropStmt *stmt)
{
	List	   *schemas = NIL;
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		Oid			schema = get_namespace_oid(strVal(lfirst(lc)), true);

		if (OidIsValid(schema) && tide_owns_schema(schema))
			schemas = lappend_oid(schemas, schema);
	}
	before_drop_many(schemas, NIL);
}

static void
before_drop_owned(DropOwnedStmt *stmt)
{
	List	   *owners = NIL;
	ListCell   *lc;

	foreach(lc, stmt->roles)
	{
		Oid			role = get_rolespec_oid(lfirst(lc), true);

		if (OidIsValid(role) && has_privs_of_role(GetUserId(), role))
			owners = lappend_oid(owners, role);
	}
	before_drop_many(NIL, owners);
}

/* remember what exists, for check_watched() */
static void
watch_partitions(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	ListCell   *lc,
			   *lp;

	foreach(lc, registry_partitioned())
	{
		TrackedTable *t = lfirst(lc);

		foreach(lp, find_all_inheritors(t->relid, NoLock, NULL))
		{
			Watched    *w = palloc(sizeof(Watched));

			w->partition = lfirst_oid(lp);
			w->root = t->relid;
			watched = lappend(watched, w);
		}
	}
	MemoryContextSwitchTo(old);
}

/*
 * A partition can be dropped with something that it depends on, such as its
 * access method.  It is too late to read its rows then, and clients would keep
 * them.  So this is refused.
 */
static void
check_watched(void)
{
	List	   *list = watched;
	List	   *seen = captured;
	ListCell   *lc;

	watched = captured = NIL;
	foreach(lc, list)
	{
		Watched    *w = lfirst(lc);
		char	   *root = get_rel_name(w->root);

		if (root && !list_member_oid(seen, w->partition) &&
			!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(w->partition)))
			ereport(ERROR,
					(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
					 errmsg("cannot drop a partition of tracked table \"%s\" along with something else", root),
					 errhint("Drop or detach the partition first, by name.")));
	}
}

static void
before_drop(DropStmt *stmt)
{
	if (stmt->removeType == OBJECT_TABLE)
		before_drop_table(stmt);
	else if (stmt->behavior != DROP_CASCADE)
		return;
	else if (stmt->removeType == OBJECT_SCHEMA)
		before_drop_schema(stmt);
	else
		watch_partitions();
}

/* ---------- ALTER TABLE ... ATTACH, DETACH ---------- */

static void
at_attach(TrackedTable *root, RangeVar *name, bool before)
{
	Oid			relid = RangeVarGetRelid(name, NoLock, true);

	if (!OidIsValid(relid))
		return;
	if (before)
		refuse_tracked(relid, root);
	else
	{
		settle_new(relid);
		capture_tree(root, relid, false);
	}
}

static void
after_detach(TrackedTable *root, RangeVar *name)
{
	Oid			relid = RangeVarGetRelid(name, NoLock, true);

	if (!OidIsValid(relid) || get_rel_relispartition(relid))
		return;
	capture_tree(root, relid, true);
	partitions_drop_triggers(relid);
}

static void
alter_table(AlterTableStmt *stmt, bool before)
{
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst(lc);
		TrackedTable *root;

		if (cmd->subtype != AT_AttachPartition && cmd->subtype != AT_DetachPartition &&
			cmd->subtype != AT_DetachPartitionFinalize)
			continue;
		root = tracked_root(RangeVarGetRelid(stmt->relation, NoLock, true));
		if (root == NULL)
			continue;
		if (cmd->subtype == AT_AttachPartition)
			at_attach(root, ((PartitionCmd *) cmd->def)->name, before);
		else if (!before)
			after_detach(root, ((PartitionCmd *) cmd->def)->name);
	}
}

/* ---------- the event triggers ---------- */

static void
before_command(Node *parsetree)
{
	/* of a command that failed, and was undone with a savepoint */
	watched = captured = NIL;
	if (IsA(parsetree, AlterTableStmt))
		alter_table((AlterTableStmt *) parsetree, true);
	else if (IsA(parsetree, DropStmt))
		before_drop((DropStmt *) parsetree);
	else if (IsA(parsetree, DropOwnedStmt))
	{
		before_drop_owned((DropOwnedStmt *) parsetree);
		watch_partitions();
	}
	path_change_before(parsetree);
}

static void
after_command(Node *parsetree, const char *tag)
{
	List	   *tables;

	check_watched();
	if (IsA(parsetree, AlterTableStmt))
		alter_table((AlterTableStmt *) parsetree, false);
	else if (IsA(parsetree, CreateStmt) && ((CreateStmt *) parsetree)->partbound != NULL)
		settle_new(RangeVarGetRelid(((CreateStmt *) parsetree)->relation, NoLock, true));
	else if (IsA(parsetree, CreateSchemaStmt) &&
			 ((CreateSchemaStmt *) parsetree)->schemaElts != NIL)
		settle_all_new();
	tables = tables_of_command(parsetree, tag);
	renamed_after(parsetree, tables);
	path_change_after(parsetree, tables);
	restored_after(parsetree, tag);
}

Datum
tide_partition_change(PG_FUNCTION_ARGS)
{
	EventTriggerData *trigdata = (EventTriggerData *) fcinfo->context;
	bool		outside = !ActiveSnapshotSet(); /* of any statement */

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("tide.partition_change() is only for the event triggers of pg_tide")));

	/*
	 * a command that is several transactions, like DETACH CONCURRENTLY, ends
	 * with none
	 */
	if (outside)
		PushActiveSnapshot(GetTransactionSnapshot());
	if (strcmp(trigdata->event, "ddl_command_start") == 0)
		before_command(trigdata->parsetree);
	else if (strcmp(trigdata->event, "ddl_command_end") == 0)
		after_command(trigdata->parsetree, GetCommandTagName(trigdata->tag));
	else if (strcmp(trigdata->event, "sql_drop") == 0)
		renamed_dropped();
	if (outside)
		PopActiveSnapshot();
	PG_RETURN_NULL();
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	/* its memory goes with TopTransactionContext */
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		watched = captured = NIL;
}

void
partitions_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
}
