/*-------------------------------------------------------------------------
 *
 * load.c
 *	  Making out what a table is to pg_tide: from the arguments of its stamp
 *	  trigger, its columns and its primary key.
 *
 * Settings that do not fit the table any more (a column renamed, another
 * primary key) make it broken, with the reason.
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

#include "table/catalog.h"
#include "table/kind.h"
#include "table/load.h"
#include "table/registry.h"
#include "table/scope_path.h"
#include "util/compat.h"
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
		c->wire = t->camel ? camel_case(c->name) : c->name;
		c->type = att->atttypid;
		c->typmod = att->atttypmod;
		c->base_type = getBaseType(att->atttypid);
		c->collation = att->attcollation;
		c->generated = (att->attgenerated != '\0');
		c->identity = (att->attidentity != '\0');
		c->always_identity = (att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS);
		c->not_null = att->attnotnull;
		c->has_default = att->atthasdef;
		c->kind = wire_kind(att->atttypid);
		getTypeOutputInfo(att->atttypid, &function, &varlena);
		fmgr_info_cxt(function, &c->output, t->context);
		getTypeInputInfo(att->atttypid, &function, &c->ioparam);
		fmgr_info_cxt(function, &c->input, t->context);
	}
}

static char *
key_operator(Oid opfamily, Oid type, int strategy)
{
	Oid			oper = get_opfamily_member(opfamily, type, type, strategy);

	if (!OidIsValid(oper))
		elog(ERROR, "no operator of strategy %d for type %u in family %u",
			 strategy, type, opfamily);
	return operator_text(oper);
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
			t->deferrable_key = !index->rd_index->indimmediate;
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
				t->key_equal[i] = key_operator(family, type, BTEqualStrategyNumber);
				t->key_less[i] = key_operator(family, type, BTLessStrategyNumber);
				t->key_greater[i] = key_operator(family, type, BTGreaterStrategyNumber);
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
	TrackedColumn *c = tracked_column_by_name(t, name);

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

static void
load_policy(TrackedTable *t, const char *value)
{
	t->policy = strcmp(value, "client_wins") == 0 ? POLICY_CLIENT_WINS :
		strcmp(value, "server_wins") == 0 ? POLICY_SERVER_WINS :
		strcmp(value, "merge") == 0 ? POLICY_MERGE :
		strchr(value, '.') ? POLICY_RESOLVER : POLICY_LAST_WRITE_WINS;
	if (t->policy == POLICY_RESOLVER)
		t->resolver = pstrdup(value);
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
		set_broken(t, pstrdup("its column \"" CLOCKS_COLUMN "\", which merging needs, is gone"));
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
		else if (strcmp(name, "scope_path") == 0)
			t->scope_path = pstrdup(value);
		else if (strcmp(name, "scope_added") == 0)
			t->scope_added = true;
		else if (strcmp(name, "naming") == 0)
			t->camel = (strcmp(value, "camel") == 0);
		else if (strcmp(name, "conflict") == 0)
			load_policy(t, value);
		else if (strcmp(name, "replicated") == 0)
			t->replicated = true;
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
		if (OidIsValid(t->root))
		{
			if (att && t->nkeys < INDEX_MAX_KEYS)
				t->keys[t->nkeys++] = att;
		}
		else if (att && !tracked_column(t, att)->key)
			set_broken(t, pstrdup("its primary key has changed"));
	}
	pfree(name);
}

/* a row of pg_trigger, copied; an error if there is none */
static HeapTuple
read_trigger(Oid trigger)
{
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(rel, TriggerOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "could not find trigger %u", trigger);
	tuple = heap_copytuple(tuple);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return tuple;
}

/*
 * The transaction that wrote the stamp trigger: a snapshot that does not see
 * it was taken before the table was tracked as it is now.
 */
static TransactionId
trigger_xmin(Oid trigger)
{
	return HeapTupleHeaderGetXmin(read_trigger(trigger)->t_data);
}

/* was it made for a partition, after that of the table above? */
bool
registry_is_clone(Oid trigger)
{
	return OidIsValid(((Form_pg_trigger) GETSTRUCT(read_trigger(trigger)))->tgparentid);
}

/* the table whose trigger this one was cloned from, over all levels */
static Oid
root_of_trigger(Oid trigger)
{
	for (;;)
	{
		Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(read_trigger(trigger));

		if (!OidIsValid(form->tgparentid))
			return form->tgrelid;
		trigger = form->tgparentid;
	}
}

static Trigger *
find_stamp_trigger(Relation rel, Oid function)
{
	int			i;

	if (rel->trigdesc == NULL || !OidIsValid(function))
		return NULL;
	for (i = 0; i < rel->trigdesc->numtriggers; i++)
		if (rel->trigdesc->triggers[i].tgfoid == function)
			return &rel->trigdesc->triggers[i];
	return NULL;
}

/*
 * May an INSERT or UPDATE of some rows change others, or the same rows once
 * more?  The user's triggers and rules may, and foreign keys that follow an
 * update.
 */
static bool
has_side_effects(Relation rel)
{
	int			i;

	if (rel->rd_rel->relhasrules)
		return true;
	for (i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];

		if (!trigger->tgisinternal &&
			(strncmp(trigger->tgname, TRIGGER_PREFIX, strlen(TRIGGER_PREFIX)) != 0 ||
			 strncmp(trigger->tgname, PATH_TRIGGER_PREFIX, strlen(PATH_TRIGGER_PREFIX)) == 0))
			return true;
		if (trigger->tgfoid == F_RI_FKEY_CASCADE_UPD ||
			trigger->tgfoid == F_RI_FKEY_SETNULL_UPD ||
			trigger->tgfoid == F_RI_FKEY_SETDEFAULT_UPD)
			return true;
	}
	return false;
}

/* follow the foreign keys that the scope is found by, if it is */
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
		set_broken(t, psprintf("its scope \"%s\" leads nowhere: %s", t->scope_path, why));
	else if (path->type != tracked_column(t, t->scope)->type)
		set_broken(t, psprintf("its scope \"%s\" is of another type than \"%s\"",
							   t->scope_path, tracked_column(t, t->scope)->name));
	else
		t->path = path;

	/* a foreign key that refers to another table now: nobody watches that one */
	for (i = 0; t->path && i < path->nsteps; i++)
		if (!OidIsValid(get_trigger_oid(path->steps[i].relid, PATH_UPDATE_TRIGGER, true)))
			set_broken(t, psprintf("table %s, through which its scope is found, has no trigger " PATH_UPDATE_TRIGGER,
								   path->steps[i].sql_name));
}

/* is the table fit for its settings?  Not asked of partitions. */
static void
check_fit(TrackedTable *t, Relation rel)
{
	if (rel->rd_rel->relispartition || relation_is_inherited(rel) ||
		rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		set_broken(t, pstrdup("it has become a partition, part of an inheritance tree, or unlogged"));
	if (!t->broken && t->nkeys_tracked != t->nkeys)
		set_broken(t, pstrdup("its primary key has changed"));
	if (!t->broken && (!t->modified_at || !t->client_id ||
					   (!t->scope && !t->shared)))
		set_broken(t, pstrdup("its trigger has no complete settings"));
}

/* columns and key, as the arguments of the stamp trigger have them */
static void
load_settings(TrackedTable *t, Relation rel, Trigger *trigger)
{
	int			i;

	t->partitioned = (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE);
	if (t->entity_type == NULL)
		t->entity_type = pstrdup(RelationGetRelationName(rel));
	t->sql_name = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
											 RelationGetRelationName(rel));
	/* with the values that rows from before ADD COLUMN ... DEFAULT lack */
	t->tupdesc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	load_columns(t, RelationGetDescr(rel));
	if (OidIsValid(t->root))
		t->keys = palloc(sizeof(AttrNumber) * INDEX_MAX_KEYS);
	else if (!load_keys(t, rel))
		set_broken(t, pstrdup("it has no primary key"));
	load_clocks(t);
	for (i = 0; i < trigger->tgnargs; i++)
		load_setting(t, trigger->tgargs[i], true);
	if (!OidIsValid(t->root))
	{
		check_fit(t, rel);
		load_path(t);
	}

	/* triggers of the partitions' own would have to be looked at one by one */
	t->has_side_effects = t->partitioned || has_side_effects(rel);
	t->plain_key = !t->scope ||
		is_plain_type(tracked_column(t, t->scope)->type);
	for (i = 0; i < t->nkeys; i++)
		if (!is_plain_type(tracked_column(t, t->keys[i])->type))
			t->plain_key = false;
	for (i = 0; i < t->ncolumns; i++)
		if (column_is_synced(&t->columns[i]) && t->columns[i].generated)
			t->has_synced_generated = true;
}

/* trigger: the one with the settings, NULL; root: see TrackedTable */
static TrackedTable *
load(Relation rel, Trigger *trigger, Oid root, MemoryContext parent)
{
	MemoryContext context,
				old;
	TrackedTable *t;
	int			i;

	/* under the current context until complete, so that an error frees it */
	context = AllocSetContextCreate(CurrentMemoryContext, "pg_tide table",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	t = palloc0(sizeof(TrackedTable));
	t->context = context;
	t->relid = RelationGetRelid(rel);

	t->utc = true;
	for (i = 0; trigger && i < trigger->tgnargs; i++)
		load_setting(t, trigger->tgargs[i], false);

	/*
	 * anybody can put our trigger on a table: without a registration it is
	 * none
	 */
	if (t->reg > 0)
	{
		t->root = root;
		t->tracked = !OidIsValid(root);
		if (t->tracked)
			t->trigger_xmin = trigger_xmin(trigger->tgoid);
		load_settings(t, rel, trigger);
	}
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, parent);
	return t;
}

/*
 * What the table is to us, tracked or not.  palloc'd in a context of its own,
 * which is a child of parent.
 */
TrackedTable *
registry_load(Relation rel, Oid stamp_function, MemoryContext parent)
{
	Trigger    *trigger = find_stamp_trigger(rel, stamp_function);
	Oid			root = InvalidOid;

	if (trigger && rel->rd_rel->relispartition && registry_is_clone(trigger->tgoid))
		root = root_of_trigger(trigger->tgoid);
	return load(rel, trigger, root, parent);
}

/* likewise, of a table as a partition of root, whether it is one or not */
TrackedTable *
registry_load_partition(Relation rel, Relation root, Oid stamp_function,
						MemoryContext parent)
{
	return load(rel, find_stamp_trigger(root, stamp_function),
				RelationGetRelid(root), parent);
}
