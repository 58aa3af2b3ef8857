/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  The cache of what pg_tide knows of each table.
 *
 * An entry is built from the relation cache: the arguments of the stamp
 * trigger, the columns, the primary key.  Invalidation callbacks only mark
 * entries and note relations to look at again; an entry that is in use is
 * never freed under its user, but at the end of the transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "table/load.h"
#include "table/plans.h"
#include "table/registry.h"
#include "table/scope_path.h"
#include "util/compat.h"
#include "util/errors.h"
#include "util/settings.h"

#define MAX_SUSPECTS 64

typedef struct RegistryEntry
{
	Oid			relid;			/* hash key */
	TrackedTable *table;		/* NULL while it was never built */
} RegistryEntry;

static MemoryContext registry_context = NULL;
static HTAB *entries = NULL;
static List *garbage = NIL;		/* replaced TrackedTables, freed at the end of
								 * the transaction */

/* relations with a stamp trigger; complete but for the suspects if known */
static List *tracked_relids = NIL;
static bool tracked_known = false;
static Oid	suspects[MAX_SUSPECTS];
static int	nsuspects = 0;

/* tracked_relids, parents first; rebuilt when a tracked table changes */
static List *ordered_relids = NIL;
static bool order_known = false;

static Oid	stamp_function = InvalidOid;

static void
forget_table(TrackedTable *t)
{
	plans_forget(t);
	MemoryContextDelete(t->context);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	ListCell   *lc;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	foreach(lc, garbage)
		forget_table(lfirst(lc));
	list_free(garbage);
	garbage = NIL;
}

/* tables whose scope is found through this one, or is found no more */
static void
mark_followers(Oid relid)
{
	HASH_SEQ_STATUS seq;
	RegistryEntry *entry;

	hash_seq_init(&seq, entries);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		TrackedTable *t = entry->table;

		if (t && t->scope_path &&
			(t->path == NULL || scope_path_visits(t->path, relid)))
			t->valid = false;
	}
}

/* Callbacks can come at any table_open: mark, never free, never read. */
static void
relation_changed(Datum arg, Oid relid)
{
	RegistryEntry *entry;

	if (entries == NULL)
		return;
	order_known = false;
	if (!OidIsValid(relid))
	{
		HASH_SEQ_STATUS seq;

		tracked_known = false;
		hash_seq_init(&seq, entries);
		while ((entry = hash_seq_search(&seq)) != NULL)
			if (entry->table)
				entry->table->valid = false;
		return;
	}

	entry = hash_search(entries, &relid, HASH_FIND, NULL);
	if (entry && entry->table)
		entry->table->valid = false;
	mark_followers(relid);

	if (!tracked_known || (nsuspects > 0 && suspects[nsuspects - 1] == relid))
		return;
	if (nsuspects == MAX_SUSPECTS)
	{
		tracked_known = false;
		return;
	}
	suspects[nsuspects++] = relid;
}

static void
function_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	stamp_function = InvalidOid;
}

void
registry_init(void)
{
	HASHCTL		ctl = {0};

	registry_context = AllocSetContextCreate(CacheMemoryContext ?
											 CacheMemoryContext : TopMemoryContext,
											 "pg_tide registry",
											 ALLOCSET_DEFAULT_SIZES);
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(RegistryEntry);
	ctl.hcxt = registry_context;
	entries = hash_create("pg_tide tables", 32, &ctl,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, function_changed, (Datum) 0);
	RegisterXactCallback(at_transaction_end, NULL);
}

/* the trigger function by which tracked tables are known */
static Oid
stamp_function_oid(void)
{
	if (!OidIsValid(stamp_function))
		stamp_function = LookupFuncName(list_make2(makeString(TIDE_SCHEMA),
												   makeString("stamp")),
										0, NULL, true);
	return stamp_function;
}

/*
 * The table's entry, NULL if the relation does not exist.  Good until the end
 * of the transaction, but true to the table only for whom holds a lock on it.
 */
TrackedTable *
registry_lookup(Oid relid)
{
	RegistryEntry *entry;
	TrackedTable *t;
	Relation	rel;
	bool		found;

	entry = hash_search(entries, &relid, HASH_FIND, NULL);
	if (entry && entry->table && entry->table->valid)
		return entry->table;

	rel = try_relation_open(relid, AccessShareLock);
	if (rel == NULL)
		return NULL;
	t = registry_load(rel, stamp_function_oid(), registry_context);
	relation_close(rel, NoLock);

	/* loading may have run callbacks: look the entry up only now */
	entry = hash_search(entries, &relid, HASH_ENTER, &found);
	if (found && entry->table)
	{
		MemoryContext old = MemoryContextSwitchTo(registry_context);

		garbage = lappend(garbage, entry->table);
		MemoryContextSwitchTo(old);
	}
	entry->table = t;
	t->valid = true;
	return t;
}

/*
 * The tracked table whose rows are in this one, which is itself or the root of
 * its partition tree; NULL if there is none.  *layout says what is where in
 * the rows: columns that were dropped before a partition was attached are in
 * the one and not in the other.
 */
TrackedTable *
registry_lookup_rows(Oid relid, TrackedTable **layout)
{
	TrackedTable *t = registry_lookup(relid);

	*layout = t;
	if (t && OidIsValid(t->root))
		t = registry_lookup(t->root);
	return t && t->tracked ? t : NULL;
}

/*
 * What is where in the rows of a table that has just ceased to be a partition
 * of root, or that is about to: good until the current context goes.
 */
TrackedTable *
registry_partition(Relation rel, TrackedTable *root)
{
	Relation	root_rel = relation_open(root->relid, AccessShareLock);
	TrackedTable *t = registry_load_partition(rel, root_rel, stamp_function_oid(),
											  CurrentMemoryContext);

	relation_close(root_rel, NoLock);
	return t;
}

/* likewise, but an error if it is not tracked or its settings don't fit it */
TrackedTable *
registry_require(Oid relid)
{
	TrackedTable *t = registry_lookup(relid);

	if (t == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (OidIsValid(t->root))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is a partition of tracked table \"%s\"",
						get_rel_name(relid), get_rel_name(t->root)),
				 errhint("Name \"%s\" instead.", get_rel_name(t->root))));
	if (!t->tracked)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not tracked", get_rel_name(relid)),
				 errhint("Track it with SELECT tide.track('%s', scope => ...).",
						 get_rel_name(relid))));
	if (t->broken)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the settings of tracked table \"%s\" do not fit it: %s",
						get_rel_name(relid), t->broken_why),
				 errhint("Call tide.track for it again.")));
	return t;
}

/* likewise, with the table locked until the end of the transaction */
TrackedTable *
registry_lock(Oid relid, int lockmode)
{
	/* taking the lock also brings in what others have changed */
	LockRelationOid(relid, lockmode);
	return registry_require(relid);
}

static bool
has_stamp_trigger(Oid relid)
{
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result = false;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		/* that of a partition is a clone of its root's */
		if (form->tgfoid == stamp_function_oid() && !OidIsValid(form->tgparentid))
			result = true;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

/* There is no index on tgfoid: read all of pg_trigger, but only once. */
static void
find_tracked_relids(void)
{
	Oid			function = stamp_function_oid();
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	MemoryContext old;

	list_free(tracked_relids);
	tracked_relids = NIL;
	nsuspects = 0;
	tracked_known = true;		/* callbacks from here on are suspects */
	if (!OidIsValid(function))
		return;

	rel = table_open(TriggerRelationId, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	old = MemoryContextSwitchTo(registry_context);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);

		if (form->tgfoid == function && !OidIsValid(form->tgparentid))
			tracked_relids = list_append_unique_oid(tracked_relids, form->tgrelid);
	}
	MemoryContextSwitchTo(old);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static void
refresh_tracked_relids(void)
{
	if (!tracked_known)
		find_tracked_relids();
	while (nsuspects > 0 && tracked_known)
	{
		Oid			relid = suspects[--nsuspects];
		bool		tracked = has_stamp_trigger(relid);
		MemoryContext old = MemoryContextSwitchTo(registry_context);

		if (tracked)
			tracked_relids = list_append_unique_oid(tracked_relids, relid);
		else
			tracked_relids = list_delete_oid(tracked_relids, relid);
		MemoryContextSwitchTo(old);
	}
	if (!tracked_known)
		find_tracked_relids();
}

static int
compare_regs(const ListCell *a, const ListCell *b)
{
	TrackedTable *ta = lfirst(a);
	TrackedTable *tb = lfirst(b);

	return (ta->reg > tb->reg) - (ta->reg < tb->reg);
}

/* tables that a foreign key of this one refers to, itself left out */
static List *
parents_of(Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	List	   *result = NIL;
	ListCell   *lc;

	if (rel == NULL)
		return NIL;
	foreach(lc, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *fk = lfirst(lc);

		if (fk->confrelid != relid)
			result = list_append_unique_oid(result, fk->confrelid);
	}
	relation_close(rel, NoLock);
	return result;
}

static bool
any_member(List *some, List *of)
{
	ListCell   *lc;

	foreach(lc, some)
	{
		if (list_member_oid(of, lfirst_oid(lc)))
			return true;
	}
	return false;
}

/*
 * Put tables into parents-first order: again and again the first one, by
 * registration, none of whose parents is still to come.  In a cycle, the
 * first.
 */
static List *
order_by_foreign_keys(List *tables)
{
	List	   *parents = NIL;
	List	   *rest = NIL;
	List	   *result = NIL;
	ListCell   *lc;

	list_sort(tables, compare_regs);
	foreach(lc, tables)
	{
		TrackedTable *t = lfirst(lc);

		rest = lappend_oid(rest, t->relid);
		parents = lappend(parents, parents_of(t->relid));
	}
	while (rest != NIL)
	{
		int			chosen = 0;
		int			i;

		for (i = 0; i < list_length(rest); i++)
		{
			if (!any_member(list_nth(parents, i), rest))
			{
				chosen = i;
				break;
			}
		}
		result = lappend_oid(result, list_nth_oid(rest, chosen));
		rest = list_delete_nth_cell(rest, chosen);
		parents = list_delete_nth_cell(parents, chosen);
	}
	return result;
}

/*
 * All tracked tables, parents first: a palloc'd list of TrackedTable, good
 * until the end of the transaction.  Those whose settings do not fit are in
 * it; registry_require() says what is wrong with them.
 */
List *
registry_all(void)
{
	List	   *result = NIL;
	ListCell   *lc;

	/* no lock may have been taken since others tracked a table */
	AcceptInvalidationMessages();
	refresh_tracked_relids();
	if (!order_known)
	{
		List	   *tables = NIL;
		List	   *ordered;
		MemoryContext old;

		order_known = true;
		foreach(lc, list_copy(tracked_relids))
		{
			TrackedTable *t = registry_lookup(lfirst_oid(lc));

			if (t && t->tracked)
				tables = lappend(tables, t);
		}
		ordered = order_by_foreign_keys(tables);
		old = MemoryContextSwitchTo(registry_context);
		list_free(ordered_relids);
		ordered_relids = list_copy(ordered);
		MemoryContextSwitchTo(old);
	}
	foreach(lc, list_copy(ordered_relids))
	{
		TrackedTable *t = registry_lookup(lfirst_oid(lc));

		if (t && t->tracked)
			result = lappend(result, t);
	}
	return result;
}

/* the table of an entity type; two of them are an error */
TrackedTable *
registry_find(const char *entity_type, bool missing_ok)
{
	TrackedTable *result = NULL;
	ListCell   *lc;

	foreach(lc, registry_all())
	{
		TrackedTable *t = lfirst(lc);

		if (strcmp(t->entity_type, entity_type) != 0)
			continue;
		if (result)
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_AMBIGUOUS_TYPE),
					 errmsg("entity type \"%s\" is that of two tables, %s and %s",
							entity_type, result->sql_name, t->sql_name),
					 errhint("Track one of them again with another entity_type.")));
		result = t;
	}
	if (result == NULL && !missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_UNKNOWN_ENTITY_TYPE),
				 errmsg("unknown entity type \"%s\"", entity_type),
				 errhint("GET /sync/schema and the view tide.tracked list the entity types.")));
	return result;
}
