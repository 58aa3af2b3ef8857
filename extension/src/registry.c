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

#include "compat.h"
#include "decide.h"
#include "errors.h"
#include "pg_tide.h"
#include "plans.h"
#include "registry.h"
#include "wire.h"

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

/* "athlete_id" is "athleteId"; leading and doubled underscores stay */
char *
registry_camel(const char *name)
{
	char	   *result = palloc(strlen(name) + 1);
	char	   *to = result;
	const char *p;

	for (p = name; *p; p++)
	{
		if (*p == '_' && p > name && p[-1] != '_' &&
			((p[1] >= 'a' && p[1] <= 'z') || (p[1] >= '0' && p[1] <= '9')))
		{
			p++;
			*to++ = (*p >= 'a' && *p <= 'z') ? *p - 'a' + 'A' : *p;
		}
		else
			*to++ = *p;
	}
	*to = '\0';
	return result;
}

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

static void
load_columns(TrackedTable *t, TupleDesc desc)
{
	int			i;

	t->ncolumns = desc->natts;
	t->columns = palloc0(sizeof(TrackedColumn) * desc->natts);
	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		TrackedColumn *c = &t->columns[i];
		Oid			function;
		bool		varlena;

		c->attnum = i + 1;
		c->dropped = att->attisdropped;
		if (c->dropped)
			continue;
		c->name = pstrdup(NameStr(att->attname));
		c->wire = t->camel ? registry_camel(c->name) : c->name;
		c->type = att->atttypid;
		c->typmod = att->atttypmod;
		c->base_type = getBaseType(att->atttypid);
		c->collation = att->attcollation;
		c->generated = (att->attgenerated != '\0');
		c->identity = (att->attidentity != '\0');
		c->not_null = att->attnotnull;
		c->has_default = att->atthasdef;
		c->kind = wire_kind(att->atttypid);
		getTypeOutputInfo(att->atttypid, &function, &varlena);
		fmgr_info_cxt(function, &c->output, t->context);
		getTypeInputInfo(att->atttypid, &function, &c->ioparam);
		fmgr_info_cxt(function, &c->input, t->context);
	}
}

/* "OPERATOR(schema.=)": what search_path finds must not matter */
static char *
operator_text(Oid opfamily, Oid type, int strategy)
{
	Oid			oper = get_opfamily_member(opfamily, type, type, strategy);
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(oper));
	Form_pg_operator form;
	char	   *result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "no operator of strategy %d for type %u in family %u",
			 strategy, type, opfamily);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	result = psprintf("OPERATOR(%s.%s)",
					  quote_identifier(get_namespace_name(form->oprnamespace)),
					  NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return result;
}

/* false if there is no usable primary key */
static bool
load_keys(TrackedTable *t, Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;
	bool		found = false;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		int			i;

		if (index->rd_index->indisprimary && index->rd_index->indisvalid)
		{
			int			n = index->rd_index->indnkeyatts;

			t->nkeys = n;
			t->keys = palloc(sizeof(AttrNumber) * n);
			t->key_equal = palloc(sizeof(char *) * n);
			t->key_less = palloc(sizeof(char *) * n);
			t->key_greater = palloc(sizeof(char *) * n);
			for (i = 0; i < n; i++)
			{
				AttrNumber	att = index->rd_index->indkey.values[i];
				Oid			family = index->rd_opfamily[i];
				Oid			type = index->rd_opcintype[i];

				t->keys[i] = att;
				tracked_column(t, att)->key = true;
				t->key_equal[i] = operator_text(family, type, BTEqualStrategyNumber);
				t->key_less[i] = operator_text(family, type, BTLessStrategyNumber);
				t->key_greater[i] = operator_text(family, type, BTGreaterStrategyNumber);
			}
			found = true;
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return found;
}

static void
set_broken(TrackedTable *t, char *why)
{
	t->broken = true;
	t->broken_why = why;
}

/* a column that a setting names, or 0 and t->broken */
static AttrNumber
named_column(TrackedTable *t, const char *setting, const char *name)
{
	TrackedColumn *c = registry_column_by_name(t, name);

	if (c)
		return c->attnum;
	set_broken(t, psprintf("its %s column \"%s\" does not exist", setting, name));
	return InvalidAttrNumber;
}

/*
 * likewise, of one of some types (0 ends them): C reads its values as such, so
 * ALTER COLUMN ... TYPE must not go unnoticed
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
		set_broken(t, psprintf("its %s column \"%s\" is of another type now", setting, name));
	return InvalidAttrNumber;
}

/*
 * One "name=value" of the stamp trigger.  Settings that shape how columns are
 * loaded ("naming", "reg", ...) come in a first pass, those that name columns
 * in a second one.
 */
static void
load_setting(TrackedTable *t, const char *arg, bool columns)
{
	static const Oid times[] = {TIMESTAMPTZOID, TIMESTAMPOID, InvalidOid};
	static const Oid texts[] = {TEXTOID, VARCHAROID, InvalidOid};
	static const Oid integers[] = {INT4OID, INT8OID, INT2OID, InvalidOid};
	const char *value = strchr(arg, '=');
	char	   *name;
	AttrNumber	att;

	if (value == NULL)
		return;
	name = pnstrdup(arg, value - arg);
	value++;

	if (!columns)
	{
		if (strcmp(name, "reg") == 0)
			t->reg = atoi(value);
		else if (strcmp(name, "entity_type") == 0)
			t->entity_type = pstrdup(value);
		else if (strcmp(name, "shared") == 0)
			t->shared = true;
		else if (strcmp(name, "naming") == 0)
			t->camel = (strcmp(value, "camel") == 0);
		else if (strcmp(name, "conflict") == 0)
			t->policy = strcmp(value, "client_wins") == 0 ? POLICY_CLIENT_WINS :
				strcmp(value, "server_wins") == 0 ? POLICY_SERVER_WINS :
				POLICY_LAST_WRITE_WINS;
		else if (strcmp(name, "utc") == 0)
			t->utc = (strcmp(value, "true") == 0);
		return;
	}

	if (strcmp(name, "scope") == 0)
		t->scope = named_column(t, name, value);
	else if (strcmp(name, "modified_at") == 0)
		t->modified_at = typed_column(t, name, value, times);
	else if (strcmp(name, "client_id") == 0)
		t->client_id = typed_column(t, name, value, texts);
	else if (strcmp(name, "version") == 0)
		t->version = typed_column(t, name, value, integers);
	else if (strcmp(name, "deleted_at") == 0)
		t->deleted_at = typed_column(t, name, value, times);
	else if (strcmp(name, "exclude") == 0)
	{
		/* renamed, it would be sent to clients from then on */
		att = named_column(t, name, value);
		if (att)
			tracked_column(t, att)->excluded = true;
	}
	else if (strcmp(name, "key") == 0)
	{
		att = named_column(t, name, value);
		t->nkeys_tracked++;
		if (att && !tracked_column(t, att)->key)
			set_broken(t, pstrdup("its primary key has changed"));
	}
	pfree(name);
}

/*
 * The transaction that wrote the stamp trigger: a snapshot that does not see
 * it was taken before the table was tracked as it is now.
 */
static TransactionId
trigger_xmin(Oid trigger)
{
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	TransactionId result = FrozenTransactionId;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(rel, TriggerOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		result = HeapTupleHeaderGetXmin(tuple->t_data);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

/* does it inherit from a table, or another from it? */
bool
registry_is_inherited(Relation rel)
{
	/* relhassubclass stays when the last child is gone */
	return has_superclass(RelationGetRelid(rel)) ||
		(rel->rd_rel->relhassubclass &&
		 find_inheritance_children(RelationGetRelid(rel), NoLock) != NIL);
}

static Trigger *
find_stamp_trigger(Relation rel)
{
	Oid			function = stamp_function_oid();
	int			i;

	if (rel->trigdesc == NULL || !OidIsValid(function))
		return NULL;
	for (i = 0; i < rel->trigdesc->numtriggers; i++)
		if (rel->trigdesc->triggers[i].tgfoid == function)
			return &rel->trigdesc->triggers[i];
	return NULL;
}

static TrackedTable *
load_table(Relation rel)
{
	MemoryContext context,
				old;
	TrackedTable *t;
	Trigger    *trigger;
	int			i;

	/* under the current context until complete, so that an error frees it */
	context = AllocSetContextCreate(CurrentMemoryContext, "pg_tide table",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	t = palloc0(sizeof(TrackedTable));
	t->context = context;
	t->relid = RelationGetRelid(rel);

	t->utc = true;
	trigger = find_stamp_trigger(rel);
	for (i = 0; trigger && i < trigger->tgnargs; i++)
		load_setting(t, trigger->tgargs[i], false);

	/*
	 * anybody can put our trigger on a table: without a registration it is
	 * none
	 */
	if (t->reg > 0)
	{
		t->tracked = true;
		t->trigger_xmin = trigger_xmin(trigger->tgoid);
		if (t->entity_type == NULL)
			t->entity_type = pstrdup(RelationGetRelationName(rel));
		t->sql_name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
												 RelationGetRelationName(rel));
		t->tupdesc = CreateTupleDescCopy(RelationGetDescr(rel));
		load_columns(t, RelationGetDescr(rel));
		if (!load_keys(t, rel))
			set_broken(t, pstrdup("it has no primary key"));
		for (i = 0; i < trigger->tgnargs; i++)
			load_setting(t, trigger->tgargs[i], true);
		if (rel->rd_rel->relispartition || registry_is_inherited(rel) ||
			rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
			set_broken(t, pstrdup("it has become a partition, part of an inheritance tree, or unlogged"));
		if (!t->broken && t->nkeys_tracked != t->nkeys)
			set_broken(t, pstrdup("its primary key has changed"));
		if (!t->broken && (!t->modified_at || !t->client_id ||
						   (!t->scope && !t->shared)))
			set_broken(t, pstrdup("its trigger has no complete settings"));
		t->plain_key = !t->scope ||
			is_plain_type(tracked_column(t, t->scope)->type);
		for (i = 0; i < t->nkeys; i++)
			if (!is_plain_type(tracked_column(t, t->keys[i])->type))
				t->plain_key = false;
		for (i = 0; i < t->ncolumns; i++)
			if (column_is_synced(&t->columns[i]) && t->columns[i].generated)
				t->has_synced_generated = true;
	}
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, registry_context);
	return t;
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
	t = load_table(rel);
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

/* likewise, but an error if it is not tracked or its settings don't fit it */
TrackedTable *
registry_require(Oid relid)
{
	TrackedTable *t = registry_lookup(relid);

	if (t == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
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
		if (((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid == stamp_function_oid())
			result = true;
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

		if (form->tgfoid == function)
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

int32
registry_largest_reg(void)
{
	int32		result = 0;
	ListCell   *lc;

	foreach(lc, registry_all())
		result = Max(result, ((TrackedTable *) lfirst(lc))->reg);
	return result;
}

TrackedColumn *
registry_column_by_name(TrackedTable *t, const char *name)
{
	int			i;

	for (i = 0; i < t->ncolumns; i++)
		if (!t->columns[i].dropped && strcmp(t->columns[i].name, name) == 0)
			return &t->columns[i];
	return NULL;
}

TrackedColumn *
registry_column_by_wire(TrackedTable *t, const char *name)
{
	int			i;

	for (i = 0; i < t->ncolumns; i++)
		if (column_is_synced(&t->columns[i]) &&
			strcmp(t->columns[i].wire, name) == 0)
			return &t->columns[i];
	return NULL;
}
