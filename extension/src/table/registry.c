/*-------------------------------------------------------------------------
 *
 * registry.c
 *	  The cache of what pg_tide knows of each tracked table.
 *
 * An entry is made from the system catalogs, see load.c, when somebody asks
 * for it.  Invalidation callbacks only mark entries.  An entry that is in use is
 * freed at the end of the transaction and not earlier.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "table/catalog.h"
#include "table/load.h"
#include "table/names.h"
#include "table/plans.h"
#include "table/registry.h"
#include "table/scope_path.h"
#include "table/trust.h"
#include "util/errors.h"
#include "util/settings.h"

/* how often a load is tried again when something changes meanwhile */
#define MAX_TRIES 4

/* tables that a session keeps, with their plans, from one transaction to the next */
#define MAX_TABLES 2000

typedef struct RegistryEntry
{
	Oid			relid;			/* hash key */
	TrackedTable *table;		/* NULL while it was never built */
	uint64		used;			/* the last transaction that asked for it */
} RegistryEntry;

static MemoryContext registry_context = NULL;
static HTAB *entries = NULL;
static List *garbage = NIL;		/* replaced TrackedTables, freed at the end of
								 * the transaction */

static uint64 transactions = 0; /* that have ended */

static void
forget_table(TrackedTable *t)
{
	plans_forget(t);
	MemoryContextDelete(t->context);
}

/*
 * A session that serves one tenant after another does not grow with all of
 * them: once there are too many, it forgets those that this transaction did not
 * ask for and that were last used before the mean.
 */
static void
make_room(void)
{
	HASH_SEQ_STATUS seq;
	RegistryEntry *entry;
	uint64		since = transactions;
	long		n = hash_get_num_entries(entries);
	long		old = 0;
	uint64		sum = 0;

	if (n <= MAX_TABLES)
		return;
	hash_seq_init(&seq, entries);
	while ((entry = hash_seq_search(&seq)) != NULL)
		if (entry->used < since)
		{
			sum += entry->used;
			old++;
		}
	if (old == 0)
		return;
	hash_seq_init(&seq, entries);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (entry->used >= since || entry->used > sum / old)
			continue;
		if (entry->table)
			forget_table(entry->table);
		hash_search(entries, &entry->relid, HASH_REMOVE, NULL);
	}
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
	make_room();
	transactions++;
}

/*
 * Callbacks can come at any look at a catalog, so they mark entries, and
 * neither free nor read anything.  Tables whose scope path goes or went
 * through this one are marked with it.
 */
static void
table_changed(Oid relid)
{
	HASH_SEQ_STATUS seq;
	RegistryEntry *entry;

	if (entries == NULL)
		return;
	hash_seq_init(&seq, entries);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		TrackedTable *t = entry->table;

		if (t && (!OidIsValid(relid) || t->relid == relid ||
				  (t->scope_path &&
				   (t->path == NULL || scope_path_visits(t->path, relid)))))
			t->valid = false;
	}
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
	names_init();
	names_on_invalidation(table_changed);
	RegisterXactCallback(at_transaction_end, NULL);
}

/* Replace an entry.  The old one lives on for those that use it. */
static void
publish(TrackedTable *t, bool valid)
{
	MemoryContext old = MemoryContextSwitchTo(registry_context);
	RegistryEntry *entry;
	bool		found;

	entry = hash_search(entries, &t->relid, HASH_ENTER, &found);
	if (!found)
		entry->table = NULL;
	if (entry->table)
		garbage = lappend(garbage, entry->table);
	entry->table = t;
	entry->used = transactions;
	MemoryContextSwitchTo(old);
	t->valid = valid;
}

/*
 * The table's entry, NULL if the relation does not exist.  The pointer is
 * valid until the end of the transaction.  The entry describes the table only
 * while the caller holds a lock on the table.
 */
TrackedTable *
registry_lookup(Oid relid)
{
	RegistryEntry *entry = hash_search(entries, &relid, HASH_FIND, NULL);
	TrackedTable *t = NULL;
	bool		same = false;
	int			tries;

	if (entry && entry->table && entry->table->valid)
	{
		entry->used = transactions;
		return entry->table;
	}

	for (tries = 0; tries < MAX_TRIES && !same; tries++)
	{
		uint64		before;

		if (t)
			MemoryContextDelete(t->context);
		AcceptInvalidationMessages();
		before = names_invalidations();
		t = registry_load(relid, trust_stamp_function(), registry_context);
		AcceptInvalidationMessages();
		same = (before == names_invalidations());
		if (t == NULL && same)
			return NULL;
	}
	if (t == NULL)
		return NULL;

	/*
	 * An entry that was invalidated while it was read is for this caller
	 * alone.  A broken entry is not kept either, because not every repair
	 * sends an invalidation: dropping a child does not invalidate its parent.
	 */
	publish(t, same && !t->broken);
	return t;
}

/*
 * The tracked table that the rows of this table belong to: itself, or the
 * root of its partition tree.  NULL if there is none. *layout says which
 * column is where in the rows; a partition may lack columns that were dropped
 * before it was attached.
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
 * The layout of the rows of a table that has just ceased to be a partition of
 * root, or is about to.  It lives in the current memory context.
 */
TrackedTable *
registry_partition(Oid relid, TrackedTable *root)
{
	return registry_load_partition(relid, root->relid, trust_stamp_function(),
								   CurrentMemoryContext);
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
				 errhint("%s", settings_call(&t->settings, t->sql_name))));
	return t;
}

/*
 * The reason why a tracked table cannot be synced, although its changes may
 * be captured.  NULL if it can be synced.
 */
const char *
registry_problem(TrackedTable *t)
{
	TrackedName *name;

	if (t->broken)
		return psprintf("its settings do not fit it: %s", t->broken_why);
	if (!trust_owner(t->owner))
		return psprintf("its owner \"%s\" may not execute tide.trusted()",
						GetUserNameFromId(t->owner, false));
	name = names_by_relid(t->relid, t->namespace);
	if (name && name->rival)
	{
		char	   *table = catalog_sql_name(name->rival->relid);

		return psprintf("%s has the same %s", table ? table : "another table",
						name->rival->reg == name->reg ? "registration" : "entity type");
	}
	return NULL;
}

/* an error if the table cannot be synced */
static void
require_synced(TrackedTable *t)
{
	TrackedName *name;

	if (!trust_owner(t->owner))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("tracked table %s cannot be synced: %s", t->sql_name,
						registry_problem(t)),
				 errhint("GRANT EXECUTE ON FUNCTION tide.trusted() TO %s;",
						 quote_identifier(GetUserNameFromId(t->owner, false)))));
	name = names_by_relid(t->relid, t->namespace);
	if (name && name->rival)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_AMBIGUOUS_TYPE),
				 errmsg("tracked table %s cannot be synced: %s", t->sql_name,
						registry_problem(t)),
				 errhint("Track one of them again with another entity_type.")));
}

/* likewise, with the table locked until the end of the transaction */
TrackedTable *
registry_lock(Oid relid, int lockmode)
{
	TrackedTable *t;

	/* taking the lock also brings the invalidations that others have sent */
	LockRelationOid(relid, lockmode);
	t = registry_require(relid);
	require_synced(t);
	return t;
}

/* these tables, as far as they are tracked */
static List *
tracked_of(List *relids)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, relids)
	{
		TrackedTable *t = registry_lookup(lfirst_oid(lc));

		if (t && t->tracked)
			result = lappend(result, t);
	}
	return result;
}

/*
 * All tracked tables of a view, parents first: a palloc'd list of TrackedTable,
 * valid until the end of the transaction.  It includes tables that cannot be
 * synced; registry_problem() says why they cannot.
 */
List *
registry_all(Oid view)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, names_all(view, true))
		relids = lappend_oid(relids, ((TrackedName *) lfirst(lc))->relid);
	return tracked_of(relids);
}

/* the table's place in the view, parents first; -1: it is not there */
int
registry_position(Oid view, Oid relid)
{
	ListCell   *lc;

	foreach(lc, names_all(view, true))
	{
		if (((TrackedName *) lfirst(lc))->relid == relid)
			return foreach_current_index(lc);
	}
	return -1;
}

/* the partitioned ones of the database; no other is loaded */
List *
registry_partitioned(void)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, names_all(InvalidOid, false))
	{
		TrackedName *name = lfirst(lc);

		if (name->partitioned)
			relids = lappend_oid(relids, name->relid);
	}
	return tracked_of(relids);
}

static List *
with_paths(Oid view)
{
	List	   *relids = NIL;
	ListCell   *lc;

	foreach(lc, names_all(view, false))
	{
		TrackedName *name = lfirst(lc);

		if (name->has_path)
			relids = lappend_oid(relids, name->relid);
	}
	return relids;
}

List *
registry_with_paths(void)
{
	return tracked_of(with_paths(InvalidOid));
}

/* all tables below one, by foreign keys of foreign keys */
static List *
descendants(Oid relid)
{
	List	   *result = catalog_children(relid);
	int			i;

	/* the list grows as it is gone through */
	for (i = 0; i < list_length(result); i++)
	{
		CHECK_FOR_INTERRUPTS();
		result = list_concat_unique_oid(result, catalog_children(list_nth_oid(result, i)));
	}
	return result;
}

/*
 * The tracked tables whose scope might be found through this one.  Where callers
 * see one schema each, those of its schema, and those that lead here by foreign
 * keys: the tables of all other tenants are not looked at.
 */
List *
registry_below(Oid relid)
{
	static Oid	known_relid = InvalidOid;
	static uint64 known_at = 0;
	static List *known = NIL;
	Oid			view = names_view_of(get_rel_namespace(relid));
	List	   *relids = with_paths(view);

	if (OidIsValid(view) && (known_relid != relid || known_at != names_invalidations()))
	{
		uint64		before = names_invalidations();
		List	   *found = descendants(relid);
		MemoryContext old = MemoryContextSwitchTo(registry_context);
		List	   *copy = list_copy(found);

		MemoryContextSwitchTo(old);
		list_free(known);
		known = copy;
		known_relid = relid;
		known_at = before;
	}
	if (OidIsValid(view))
		relids = list_concat_unique_oid(relids, known);
	return tracked_of(relids);
}

/* is the table one of the view's? */
bool
registry_sees(Oid view, const TrackedTable *t)
{
	return !OidIsValid(view) || names_find(view, t->relid) != NULL;
}

/*
 * The view's table of an entity type.  No other table is loaded.  A table of an
 * owner who is not trusted counts only if no other table has the name.  Two
 * trusted tables with one name are an error.
 */
TrackedTable *
registry_find(Oid view, const char *entity_type, bool missing_ok)
{
	TrackedName *found = NULL;
	ListCell   *lc;
	TrackedTable *t;

	foreach(lc, names_all(view, false))
	{
		TrackedName *name = lfirst(lc);

		if (strcmp(name->entity_type, entity_type) != 0 ||
			(found && !name->trusted))
			continue;
		if (found && found->trusted)
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_AMBIGUOUS_TYPE),
					 errmsg("entity type \"%s\" belongs to two tables, %s and %s",
							entity_type, catalog_sql_name(found->relid),
							catalog_sql_name(name->relid)),
					 found->namespace != name->namespace && !OidIsValid(view) && tide_schema_claim[0] ?
					 errhint("Set claims whose \"%s\" names the schema.", tide_schema_claim) :
					 errhint("Track one of them again with another entity_type.")));
		found = name;
	}
	t = found ? registry_lookup(found->relid) : NULL;
	if (t && t->tracked)
		return t;
	if (!missing_ok)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_UNKNOWN_ENTITY_TYPE),
				 errmsg("unknown entity type \"%s\"", entity_type),
				 errhint("GET /sync/schema and the view tide.tracked list the entity types.")));
	return NULL;
}
