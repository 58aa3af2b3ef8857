/*-------------------------------------------------------------------------
 *
 * names.c
 *	  The lists of tracked tables: their names, and which claim to a name
 *	  counts.
 *
 * A list is made from the triggers alone; no table is loaded for it.  There is
 * one of the whole database, and, where callers see one schema each, one for
 * each schema that somebody has asked for: of a thousand schemas only the
 * caller's is looked at.  Everything that is kept here is built aside and put
 * in place when it is complete.  Callbacks only note what must be looked at
 * again.  So neither an error nor an invalidation that comes meanwhile leaves
 * something here that seems valid and is not.
 *
 * Anybody can put tide.stamp() on a table of his own, with the name or number
 * of another table.  Therefore tables whose owners may not execute
 * tide.trusted() claim nothing.  Of the other tables, those that claim the same
 * name or number are rivals of each other.  Where callers see one schema each,
 * tables are rivals only within a schema; the shared schemas count as one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "table/catalog.h"
#include "table/names.h"
#include "table/setting.h"
#include "table/trust.h"
#include "util/settings.h"

/* relations to look at again; with more, a list is read again */
#define MAX_SUSPECTS 64

/* how often to begin again when something changes meanwhile */
#define MAX_TRIES 4

/* lists that a session keeps */
#define MAX_LISTS 256

/* the list and its members are in a context of their own */
typedef struct NameList
{
	MemoryContext context;
	Oid			view;
	bool		by_schema;		/* callers see one schema each */
	List	   *shared;			/* the shared schemas then; NIL otherwise */
	List	   *names;			/* TrackedName, by registration */
	TrackedName **by_relid;
	int			n;
	List	   *ordered;		/* parents first; NIL: not known */
	uint64		seen;			/* which changes it takes account of */
	bool		judged;
	uint64		rights;			/* trust_changes() when that was begun */
	uint64		used;
} NameList;

typedef struct ListEntry
{
	Oid			view;			/* hash key */
	NameList   *list;			/* never NULL */
} ListEntry;

static HTAB *lists = NULL;
static uint64 uses = 0;

/* what has changed: the last of these relations, and when all had */
static Oid	changed[MAX_SUSPECTS];
static uint64 nchanged = 0;
static uint64 all_changed = 0;
static uint64 looked_at = 0;	/* nchanged when somebody last looked */

static uint64 invalidations = 0;
static NamesCallback callback = NULL;

/* ---------- invalidation: mark, never free, never read ---------- */

static void
relation_changed(Datum arg, Oid relid)
{
	invalidations++;
	if (callback)
		callback(relid);
	if (!OidIsValid(relid))
		all_changed = ++nchanged;
	else if (nchanged == looked_at || changed[(nchanged - 1) % MAX_SUSPECTS] != relid)
		changed[nchanged++ % MAX_SUSPECTS] = relid;
}

/* names of tables are kept with their schemas, labels of enums by their text */
static void
name_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	invalidations++;
	if (callback && cacheid != PROCOID)
		callback(InvalidOid);
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
	HASHCTL		ctl = {0};

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(ListEntry);
	lists = hash_create("pg_tide lists of names", 8, &ctl, HASH_ELEM | HASH_BLOBS);
	trust_init();
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, name_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(ENUMOID, name_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, name_changed, (Datum) 0);
}

/* ---------- views ---------- */

/* the setting's schemas, as far as they exist */
static List *
shared_schemas(void)
{
	List	   *names;
	List	   *result = NIL;
	ListCell   *lc;

	if (tide_schema_claim[0] == '\0' || tide_shared_schemas[0] == '\0' ||
		!settings_split_names(pstrdup(tide_shared_schemas), &names))
		return NIL;
	foreach(lc, names)
	{
		Oid			schema = get_namespace_oid(lfirst(lc), true);

		if (OidIsValid(schema))
			result = list_append_unique_oid(result, schema);
	}
	return result;
}

Oid
names_view_of(Oid schema)
{
	return tide_schema_claim[0] == '\0' ? InvalidOid : schema;
}

static bool
is_in_view(NameList *list, Oid schema)
{
	return !OidIsValid(list->view) || schema == list->view ||
		list_member_oid(list->shared, schema);
}

/* tables of one group can be rivals */
static Oid
group_of(NameList *list, TrackedName *name)
{
	if (!list->by_schema)
		return InvalidOid;
	return list_member_oid(list->shared, name->namespace) ?
		linitial_oid(list->shared) : name->namespace;
}

/* ---------- the lists ---------- */

static NameList *
new_list(Oid view)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_tide names",
												  ALLOCSET_SMALL_SIZES);
	NameList   *list = MemoryContextAllocZero(context, sizeof(NameList));
	List	   *shared = shared_schemas();
	MemoryContext old = MemoryContextSwitchTo(context);

	list->context = context;
	list->view = view;
	list->by_schema = (tide_schema_claim[0] != '\0');
	list->shared = list_copy(shared);
	MemoryContextSwitchTo(old);
	return list;
}

/* the one that was used longest ago makes room */
static void
make_room(void)
{
	HASH_SEQ_STATUS seq;
	ListEntry  *entry;
	NameList   *oldest = NULL;
	Oid			view;

	if (hash_get_num_entries(lists) < MAX_LISTS)
		return;
	hash_seq_init(&seq, lists);
	while ((entry = hash_seq_search(&seq)) != NULL)
		if (oldest == NULL || entry->list->used < oldest->used)
			oldest = entry->list;
	view = oldest->view;
	hash_search(lists, &view, HASH_REMOVE, NULL);
	MemoryContextDelete(oldest->context);
}

/* put it in the place of the one before */
static void
publish(NameList *list)
{
	ListEntry  *entry = hash_search(lists, &list->view, HASH_FIND, NULL);
	NameList   *old = entry ? entry->list : NULL;

	if (entry == NULL)
	{
		make_room();
		entry = hash_search(lists, &list->view, HASH_ENTER, NULL);
	}
	MemoryContextSetParent(list->context, CacheMemoryContext);
	entry->list = list;
	if (old)
		MemoryContextDelete(old->context);
}

int
names_compare_regs(const ListCell *a, const ListCell *b)
{
	TrackedName *na = lfirst(a);
	TrackedName *nb = lfirst(b);

	if (na->reg != nb->reg)
		return na->reg > nb->reg ? 1 : -1;
	return (na->relid > nb->relid) - (na->relid < nb->relid);
}

static int
compare_relids(const ListCell *a, const ListCell *b)
{
	TrackedName *na = lfirst(a);
	TrackedName *nb = lfirst(b);

	if (na->relid != nb->relid)
		return na->relid > nb->relid ? 1 : -1;
	return na->found - nb->found;
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

	/* that of a partition is a clone of its root's */
	if (trigger == NULL || trigger->function != function || OidIsValid(trigger->parent))
		return;
	settings_read(&s, trigger->nargs, trigger->args);
	if (s.reg <= 0 || (tuple = catalog_class(trigger->relid)) == NULL)
		return;
	class = (Form_pg_class) GETSTRUCT(tuple);
	if (!is_in_view(list, class->relnamespace))
		return;
	old = MemoryContextSwitchTo(list->context);
	name = palloc0(sizeof(TrackedName));
	name->relid = trigger->relid;
	name->namespace = class->relnamespace;
	name->owner = class->relowner;
	name->reg = s.reg;
	name->entity_type = pstrdup(s.entity_type ? s.entity_type : NameStr(class->relname));
	name->partitioned = (class->relkind == RELKIND_PARTITIONED_TABLE);
	name->has_path = (s.scope_path != NULL);
	name->found = list_length(list->names);
	list->names = lappend(list->names, name);
	MemoryContextSwitchTo(old);
}

static void
add_triggers(NameList *list, Oid relid, Oid function)
{
	ListCell   *lc;

	foreach(lc, catalog_triggers(relid))
		add_trigger(list, lfirst(lc), function);
}

/* of a table with two triggers, the first counts */
static void
settle_list(NameList *list)
{
	MemoryContext old = MemoryContextSwitchTo(list->context);
	List	   *names = list->names;
	ListCell   *lc;

	list_sort(names, compare_relids);
	list->names = NIL;
	list->by_relid = palloc(sizeof(TrackedName *) * Max(list_length(names), 1));
	foreach(lc, names)
	{
		TrackedName *name = lfirst(lc);

		if (list->n > 0 && list->by_relid[list->n - 1]->relid == name->relid)
			continue;
		list->by_relid[list->n++] = name;
		list->names = lappend(list->names, name);
	}
	list_free(names);
	list_sort(list->names, names_compare_regs);
	MemoryContextSwitchTo(old);
}

static TrackedName *
find_name(NameList *list, Oid relid)
{
	int			low = 0;
	int			high = list->n;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (list->by_relid[middle]->relid < relid)
			low = middle + 1;
		else
			high = middle;
	}
	return low < list->n && list->by_relid[low]->relid == relid ? list->by_relid[low] : NULL;
}

static bool
may_have_triggers(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		result = false;

	if (HeapTupleIsValid(tuple))
	{
		result = ((Form_pg_class) GETSTRUCT(tuple))->relhastriggers;
		ReleaseSysCache(tuple);
	}
	return result;
}

static void
read_schema(NameList *list, Oid schema, Oid function)
{
	ListCell   *lc;

	foreach(lc, catalog_dependents(NamespaceRelationId, schema, RelationRelationId))
	{
		if (may_have_triggers(lfirst_oid(lc)))
			add_triggers(list, lfirst_oid(lc), function);
	}
}

static NameList *
read_list(Oid view)
{
	NameList   *list = new_list(view);
	Oid			function = trust_stamp_function();
	ListCell   *lc;

	if (OidIsValid(function) && OidIsValid(view))
	{
		read_schema(list, view, function);
		foreach(lc, list->shared)
		{
			if (lfirst_oid(lc) != view)
				read_schema(list, lfirst_oid(lc), function);
		}
	}
	else if (OidIsValid(function))
		foreach(lc, catalog_dependents(ProcedureRelationId, function, TriggerRelationId))
			add_trigger(list, catalog_trigger(lfirst_oid(lc)), function);
	settle_list(list);
	return list;
}

/* a copy, with these relations looked at again */
static NameList *
revise_list(NameList *from, List *relids)
{
	NameList   *list = new_list(from->view);
	MemoryContext old = MemoryContextSwitchTo(list->context);
	ListCell   *lc;

	foreach(lc, from->names)
	{
		TrackedName *name = lfirst(lc);
		TrackedName *copy;

		if (list_member_oid(relids, name->relid))
			continue;
		copy = palloc(sizeof(TrackedName));
		*copy = *name;
		copy->entity_type = pstrdup(name->entity_type);
		copy->parents = list_copy(name->parents);
		list->names = lappend(list->names, copy);
	}
	MemoryContextSwitchTo(old);
	foreach(lc, relids)
		add_triggers(list, lfirst_oid(lc), trust_stamp_function());
	settle_list(list);
	return list;
}

/* the relations that have changed since the list was read */
static List *
suspects_of(NameList *list)
{
	List	   *result = NIL;
	uint64		i;

	for (i = list->seen; i < nchanged; i++)
		result = list_append_unique_oid(result, changed[i % MAX_SUSPECTS]);
	return result;
}

/* is or was one of these relations tracked, and of this view? */
static bool
suspects_matter(NameList *list, List *relids)
{
	Oid			function = trust_stamp_function();
	ListCell   *lc,
			   *lt;

	foreach(lc, relids)
	{
		if (find_name(list, lfirst_oid(lc)))
			return true;
		if (!is_in_view(list, get_rel_namespace(lfirst_oid(lc))))
			continue;
		foreach(lt, catalog_triggers(lfirst_oid(lc)))
		{
			if (((TriggerFacts *) lfirst(lt))->function == function)
				return true;
		}
	}
	return false;
}

/* of no use any more, not even to begin with? */
static bool
is_stale(NameList *list)
{
	return list->seen < all_changed || nchanged - list->seen > MAX_SUSPECTS ||
		list->by_schema != (tide_schema_claim[0] != '\0') ||
		!equal(list->shared, shared_schemas());
}

static NameList *
known_list(Oid view)
{
	ListEntry  *entry = hash_search(lists, &view, HASH_FIND, NULL);

	return entry ? entry->list : NULL;
}

/* the list of a view, brought up to date */
static NameList *
list_of(Oid view)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_tide names, read",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	NameList   *list = NULL;
	int			tries;

	for (tries = 0; tries < MAX_TRIES; tries++)
	{
		uint64		before;
		uint64		upto;
		bool		is_new = true;
		List	   *suspects;

		/* no lock may have been taken since others tracked a table */
		AcceptInvalidationMessages();
		list = known_list(view);
		if (list && !is_stale(list) && list->seen == nchanged)
			break;
		before = invalidations;
		upto = looked_at = nchanged;
		if (list == NULL || is_stale(list))
			list = read_list(view);
		else if (suspects_matter(list, suspects = suspects_of(list)))
			list = revise_list(list, suspects);
		else
			is_new = false;
		AcceptInvalidationMessages();

		/*
		 * The last try counts, because changes may never end, as when caches
		 * are discarded.  What has changed meanwhile is looked at again the
		 * next time.
		 */
		if (before != invalidations && tries < MAX_TRIES - 1)
			continue;
		if (is_new)
			publish(list);
		list->seen = upto;
	}
	list->used = ++uses;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return list;
}

/* a foreign key that comes or goes invalidates the table, see revise_list() */
static void
settle_order(NameList *list)
{
	List	   *ordered;
	ListCell   *lc;
	MemoryContext old;

	if (list->ordered != NIL)
		return;
	foreach(lc, list->names)
	{
		TrackedName *name = lfirst(lc);
		List	   *parents;

		if (name->parents_known)
			continue;
		parents = catalog_parents(name->relid);
		old = MemoryContextSwitchTo(list->context);
		name->parents = list_copy(parents);
		MemoryContextSwitchTo(old);
		name->parents_known = true;
	}
	ordered = names_parents_first(list->names);
	old = MemoryContextSwitchTo(list->context);
	list->ordered = list_copy(ordered);
	MemoryContextSwitchTo(old);
}

/* ---------- whose claim counts ---------- */

/* a claim to a name, to be sorted beside those to the same name */
typedef struct Claim
{
	Oid			group;
	TrackedName *name;
} Claim;

static int
compare_groups(const Claim *a, const Claim *b)
{
	if (a->group != b->group)
		return a->group > b->group ? 1 : -1;
	return (a->name->relid > b->name->relid) - (a->name->relid < b->name->relid);
}

static int
compare_claims_by_reg(const void *a, const void *b)
{
	const Claim *ca = a;
	const Claim *cb = b;

	if (ca->name->reg != cb->name->reg)
		return ca->name->reg > cb->name->reg ? 1 : -1;
	return compare_groups(ca, cb);
}

static int
compare_claims_by_type(const void *a, const void *b)
{
	const Claim *ca = a;
	const Claim *cb = b;
	int			result = strcmp(ca->name->entity_type, cb->name->entity_type);

	return result ? result : compare_groups(ca, cb);
}

static bool
same_claim(const Claim *a, const Claim *b, bool by_type)
{
	return by_type ? strcmp(a->name->entity_type, b->name->entity_type) == 0 :
		a->name->reg == b->name->reg;
}

/* tables that claim the same are neighbours in a sorted array, and rivals */
static void
note_rivals(const Claim *claims, int n, bool by_type)
{
	int			i;

	for (i = 1; i < n; i++)
	{
		TrackedName *before = claims[i - 1].name;

		if (claims[i].group != claims[i - 1].group ||
			!same_claim(&claims[i], &claims[i - 1], by_type))
			continue;
		claims[i].name->rival = before;
		if (before->rival == NULL)
			before->rival = claims[i].name;
	}
}

/* tables of shared schemas whose names or numbers the view's own schema has, too */
static void
note_hidden(NameList *list, const Claim *claims, int n, bool by_type)
{
	int			i,
				j;

	if (!OidIsValid(list->view) || list_member_oid(list->shared, list->view))
		return;
	for (i = 0; i < n; i++)
	{
		if (claims[i].group != list->view)
			continue;
		for (j = i - 1; j >= 0 && same_claim(&claims[j], &claims[i], by_type); j--)
			claims[j].name->hidden |= (claims[j].group != list->view);
		for (j = i + 1; j < n && same_claim(&claims[j], &claims[i], by_type); j++)
			claims[j].name->hidden |= (claims[j].group != list->view);
	}
}

static void
judge_claims(NameList *list)
{
	Claim	   *claims;
	int			n = 0;
	ListCell   *lc;

	if (list->judged && list->rights == trust_changes())
		return;
	list->judged = false;
	list->rights = trust_changes();
	claims = palloc(sizeof(Claim) * Max(list->n, 1));
	foreach(lc, list->names)
	{
		TrackedName *name = lfirst(lc);

		name->rival = NULL;
		name->hidden = false;
		name->trusted = trust_owner(name->owner);
		if (!name->trusted)
			continue;
		claims[n].group = group_of(list, name);
		claims[n++].name = name;
	}
	qsort(claims, n, sizeof(Claim), compare_claims_by_reg);
	note_rivals(claims, n, false);
	note_hidden(list, claims, n, false);
	qsort(claims, n, sizeof(Claim), compare_claims_by_type);
	note_rivals(claims, n, true);
	note_hidden(list, claims, n, true);
	pfree(claims);
	list->judged = true;
}

List *
names_all(Oid view, bool ordered)
{
	NameList   *list = list_of(view);
	List	   *result = NIL;
	ListCell   *lc;

	if (ordered)
		settle_order(list);
	judge_claims(list);
	foreach(lc, ordered ? list->ordered : list->names)
	{
		if (!((TrackedName *) lfirst(lc))->hidden)
			result = lappend(result, lfirst(lc));
	}
	return result;
}

TrackedName *
names_find(Oid view, Oid relid)
{
	NameList   *list = list_of(view);
	TrackedName *name;

	judge_claims(list);
	name = find_name(list, relid);
	return name && !name->hidden ? name : NULL;
}

/* the list of the database will do, if it is there */
TrackedName *
names_by_relid(Oid relid, Oid schema)
{
	NameList   *list = known_list(InvalidOid);

	list = list_of(list && !is_stale(list) ? InvalidOid : names_view_of(schema));
	judge_claims(list);
	return find_name(list, relid);
}

bool
names_has_schema(Oid schema)
{
	ListCell   *lc;

	foreach(lc, list_of(schema)->names)
	{
		if (((TrackedName *) lfirst(lc))->namespace == schema)
			return true;
	}
	return false;
}
