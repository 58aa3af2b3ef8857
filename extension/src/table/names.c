/*-------------------------------------------------------------------------
 *
 * names.c
 *	  The list of tracked tables: their names, and which claim to a name
 *	  counts.
 *
 * The list is made from the triggers alone; no table is loaded for
 * it.  Everything that is kept here is built aside and put in place when it is
 * complete.  Callbacks only note what must be looked at again.  So neither an
 * error nor an invalidation that comes meanwhile leaves something here that
 * seems valid and is not.
 *
 * Anybody can put tide.stamp() on a table of his own, with the name or number
 * of another table.  Therefore tables whose owners may not execute
 * tide.trusted() claim nothing.  Of the other tables, those that claim the same
 * name or number are rivals of each other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "table/catalog.h"
#include "table/names.h"
#include "table/setting.h"
#include "util/compat.h"
#include "util/settings.h"

#define MAX_SUSPECTS 64

/* how often to begin again when something changes meanwhile */
#define MAX_TRIES 4

/* lists and their members are in a context of their own */
typedef struct NameList
{
	MemoryContext context;
	List	   *names;			/* TrackedName, by registration */
	List	   *ordered;		/* the same, parents first; NIL: not known */
	bool		judged;			/* trusted and rival are right */
} NameList;

typedef struct Trust
{
	Oid			owner;
	bool		trusted;
} Trust;

static NameList *current = NULL;	/* NULL: not known */
static Oid	suspects[MAX_SUSPECTS]; /* relations to look at again */
static int	nsuspects = 0;

static Trust *trusts = NULL;
static int	ntrusts = 0;
static int	trusts_size = 0;

static Oid	stamp_function = InvalidOid;
static Oid	trusted_function = InvalidOid;
static uint64 invalidations = 0;
static uint64 rights_changes = 0;
static NamesCallback callback = NULL;

/* ---------- invalidation: mark, never free, never read ---------- */

static bool list_stale = false; /* current is of no use any more */

static void
relation_changed(Datum arg, Oid relid)
{
	invalidations++;
	if (callback)
		callback(relid);
	if (!OidIsValid(relid))
		list_stale = true;
	if (list_stale || (nsuspects > 0 && suspects[nsuspects - 1] == relid))
		return;
	if (nsuspects == MAX_SUSPECTS)
		list_stale = true;
	else
		suspects[nsuspects++] = relid;
}

/* names of tables are kept with their schemas, labels of enums by their text */
static void
name_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	invalidations++;
	stamp_function = trusted_function = InvalidOid;
	if (callback)
		callback(InvalidOid);
}

/* functions and what roles may do */
static void
rights_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	if (cacheid == PROCOID)
	{
		stamp_function = trusted_function = InvalidOid;
		invalidations++;
	}
	rights_changes++;
	ntrusts = 0;
	if (current)
		current->judged = false;
}

uint64
names_invalidations(void)
{
	return invalidations;
}

void
names_on_invalidation(NamesCallback new_callback)
{
	callback = new_callback;
}

void
names_init(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, name_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(ENUMOID, name_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, rights_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, rights_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, rights_changed, (Datum) 0);
}

/* ---------- trust ---------- */

static Oid
own_function(Oid *known, const char *name)
{
	Oid			found = *known;

	if (!OidIsValid(found))
	{
		found = LookupFuncName(list_make2(makeString(TIDE_SCHEMA), makeString(pstrdup(name))),
							   0, NULL, true);
		*known = found;
	}
	return found;
}

Oid
names_stamp_function(void)
{
	return own_function(&stamp_function, "stamp");
}

bool
names_is_trusted(Oid owner)
{
	Oid			function;
	bool		trusted;
	uint64		before = rights_changes;
	int			i;

	for (i = 0; i < ntrusts; i++)
	{
		if (trusts[i].owner == owner)
			return trusts[i].trusted;
	}
	function = own_function(&trusted_function, "trusted");
	trusted = OidIsValid(function) && tide_role_may_execute(owner, function);
	if (before != rights_changes)
		return trusted;			/* not to be kept */
	if (ntrusts == trusts_size)
	{
		int			size = Max(16, trusts_size * 2);

		trusts = trusts == NULL ? MemoryContextAlloc(TopMemoryContext, sizeof(Trust) * size) :
			repalloc(trusts, sizeof(Trust) * size);
		trusts_size = size;
	}
	trusts[ntrusts].owner = owner;
	trusts[ntrusts].trusted = trusted;
	ntrusts++;
	return trusted;
}

/* ---------- the list ---------- */

static NameList *
new_list(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_tide names",
												  ALLOCSET_SMALL_SIZES);
	NameList   *list = MemoryContextAllocZero(context, sizeof(NameList));

	list->context = context;
	return list;
}

/* put it in the place of the one before */
static void
publish(NameList *list)
{
	MemoryContext old = current ? current->context : NULL;

	MemoryContextSetParent(list->context, CacheMemoryContext);
	current = list;
	if (old)
		MemoryContextDelete(old);
}

static int
compare_regs(const ListCell *a, const ListCell *b)
{
	TrackedName *na = lfirst(a);
	TrackedName *nb = lfirst(b);

	if (na->reg != nb->reg)
		return na->reg > nb->reg ? 1 : -1;
	return (na->relid > nb->relid) - (na->relid < nb->relid);
}

/* does this trigger of ours make its table a tracked one? */
static void
add_trigger(NameList *list, TriggerFacts *trigger, Oid function)
{
	HeapTuple	tuple;
	Form_pg_class class;
	TableSettings s;
	TrackedName *name;
	MemoryContext old;
	ListCell   *lc;

	/* that of a partition is a clone of its root's */
	if (trigger == NULL || trigger->function != function || OidIsValid(trigger->parent))
		return;
	settings_read(&s, trigger->nargs, trigger->args);
	if (s.reg <= 0 || (tuple = catalog_class(trigger->relid)) == NULL)
		return;
	foreach(lc, list->names)
	{
		if (((TrackedName *) lfirst(lc))->relid == trigger->relid)
			return;
	}
	class = (Form_pg_class) GETSTRUCT(tuple);
	old = MemoryContextSwitchTo(list->context);
	name = palloc0(sizeof(TrackedName));
	name->relid = trigger->relid;
	name->owner = class->relowner;
	name->reg = s.reg;
	name->entity_type = pstrdup(s.entity_type ? s.entity_type : NameStr(class->relname));
	list->names = lappend(list->names, name);
	MemoryContextSwitchTo(old);
}

/*
 * Triggers of our function, by pg_depend, which has an index by what is depended
 * upon; pg_trigger has none by function.
 */
static List *
triggers_of_function(Oid function)
{
	Relation	rel = table_open(DependRelationId, AccessShareLock);
	List	   *result = NIL;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ProcedureRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(function));
	scan = systable_beginscan(rel, DependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->classid == TriggerRelationId)
			result = lappend_oid(result, form->objid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

static NameList *
read_list(void)
{
	NameList   *list = new_list();
	Oid			function = names_stamp_function();
	ListCell   *lc;

	if (OidIsValid(function))
	{
		foreach(lc, triggers_of_function(function))
			add_trigger(list, catalog_trigger(lfirst_oid(lc)), function);
	}
	list_sort(list->names, compare_regs);
	return list;
}

/* a copy of the current list, with these relations looked at again */
static NameList *
revise_list(const Oid *relids, int n)
{
	NameList   *list = new_list();
	MemoryContext old = MemoryContextSwitchTo(list->context);
	Oid			function = names_stamp_function();
	ListCell   *lc;
	int			i;

	foreach(lc, current->names)
	{
		TrackedName *name = lfirst(lc);
		TrackedName *copy;
		bool		again = false;

		for (i = 0; i < n; i++)
			again |= (relids[i] == name->relid);
		if (again)
			continue;
		copy = palloc0(sizeof(TrackedName));
		copy->relid = name->relid;
		copy->owner = name->owner;
		copy->reg = name->reg;
		copy->entity_type = pstrdup(name->entity_type);
		copy->parents_known = name->parents_known;
		copy->parents = list_copy(name->parents);
		list->names = lappend(list->names, copy);
	}
	MemoryContextSwitchTo(old);
	for (i = 0; i < n; i++)
	{
		foreach(lc, catalog_triggers(relids[i]))
			add_trigger(list, lfirst(lc), function);
	}
	list_sort(list->names, compare_regs);
	return list;
}

/* is or was one of these relations tracked? */
static bool
suspects_matter(const Oid *relids, int n)
{
	Oid			function = names_stamp_function();
	ListCell   *lc;
	int			i;

	for (i = 0; i < n; i++)
	{
		foreach(lc, current->names)
		{
			if (((TrackedName *) lfirst(lc))->relid == relids[i])
				return true;
		}
		foreach(lc, catalog_triggers(relids[i]))
		{
			if (((TriggerFacts *) lfirst(lc))->function == function)
				return true;
		}
	}
	return false;
}

/* bring current up to date */
static void
refresh(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_tide names, read",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int			tries;

	for (tries = 0; tries < MAX_TRIES; tries++)
	{
		Oid			relids[MAX_SUSPECTS];
		int			n;
		uint64		before;
		NameList   *list = NULL;
		bool		whole;

		/* no lock may have been taken since others tracked a table */
		AcceptInvalidationMessages();
		if (current && !list_stale && nsuspects == 0)
			break;
		before = invalidations;
		n = nsuspects;
		memcpy(relids, suspects, sizeof(Oid) * n);
		whole = (current == NULL || list_stale);
		if (whole)
			list = read_list();
		else if (suspects_matter(relids, n))
			list = revise_list(relids, n);
		AcceptInvalidationMessages();

		/*
		 * The last try counts, because changes may never end, as when caches
		 * are discarded.  What it is based on is looked at again the next
		 * time.
		 */
		if (before != invalidations && tries < MAX_TRIES - 1)
			continue;
		if (list)
			publish(list);
		if (before == invalidations)
		{
			list_stale = false;
			nsuspects = 0;
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* ---------- parents first ---------- */

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
 * Take repeatedly the first table, by registration, whose parents have all
 * been taken.  In a cycle, take the first.
 */
static List *
order_by_foreign_keys(List *names)
{
	List	   *relids = NIL;
	List	   *rest = list_copy(names);
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, names)
		relids = lappend_oid(relids, ((TrackedName *) lfirst(lc))->relid);
	while (rest != NIL)
	{
		int			chosen = 0;
		int			i;

		for (i = 0; i < list_length(rest); i++)
		{
			if (!any_member(((TrackedName *) list_nth(rest, i))->parents, relids))
			{
				chosen = i;
				break;
			}
		}
		result = lappend(result, list_nth(rest, chosen));
		rest = list_delete_nth_cell(rest, chosen);
		relids = list_delete_nth_cell(relids, chosen);
	}
	return result;
}

/* a foreign key that comes or goes invalidates the table, see revise_list() */
static void
settle_order(void)
{
	List	   *ordered;
	ListCell   *lc;
	MemoryContext old;

	if (current->ordered != NIL)
		return;
	foreach(lc, current->names)
	{
		TrackedName *name = lfirst(lc);
		List	   *parents;

		if (name->parents_known)
			continue;
		parents = catalog_parents(name->relid);
		old = MemoryContextSwitchTo(current->context);
		name->parents = list_copy(parents);
		MemoryContextSwitchTo(old);
		name->parents_known = true;
	}
	ordered = order_by_foreign_keys(current->names);
	old = MemoryContextSwitchTo(current->context);
	current->ordered = list_copy(ordered);
	MemoryContextSwitchTo(old);
}

static TrackedName *
find_name(Oid relid)
{
	ListCell   *lc;

	foreach(lc, current->names)
	{
		TrackedName *name = lfirst(lc);

		if (name->relid == relid)
			return name;
	}
	return NULL;
}

/* ---------- whose claim counts ---------- */

static int
compare_types(const ListCell *a, const ListCell *b)
{
	TrackedName *na = lfirst(a);
	TrackedName *nb = lfirst(b);
	int			result = strcmp(na->entity_type, nb->entity_type);

	return result ? result : compare_regs(a, b);
}

/* tables that claim the same are neighbours in a sorted list, and rivals */
static void
note_rivals(List *trusted, bool by_type)
{
	TrackedName *before = NULL;
	ListCell   *lc;

	foreach(lc, trusted)
	{
		TrackedName *name = lfirst(lc);

		if (before && (by_type ? strcmp(before->entity_type, name->entity_type) == 0 :
					   before->reg == name->reg))
		{
			name->rival = before;
			if (before->rival == NULL)
				before->rival = name;
		}
		before = name;
	}
}

static void
judge_claims(void)
{
	List	   *trusted = NIL;
	uint64		before = rights_changes;
	ListCell   *lc;

	if (current->judged)
		return;
	foreach(lc, current->names)
	{
		TrackedName *name = lfirst(lc);

		name->rival = NULL;
		name->trusted = names_is_trusted(name->owner);
		if (name->trusted)
			trusted = lappend(trusted, name);
	}
	note_rivals(trusted, false);
	list_sort(trusted, compare_types);
	note_rivals(trusted, true);
	current->judged = (before == rights_changes);
}

List *
names_all(bool ordered)
{
	refresh();
	if (ordered)
		settle_order();
	judge_claims();
	return list_copy(ordered ? current->ordered : current->names);
}

TrackedName *
names_by_relid(Oid relid)
{
	refresh();
	judge_claims();
	return find_name(relid);
}
