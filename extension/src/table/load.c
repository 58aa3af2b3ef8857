/*-------------------------------------------------------------------------
 *
 * load.c
 *	  Loading what pg_tide knows of a table: from the arguments of its stamp
 *	  trigger, its columns and its primary key.
 *
 * All of it is read from the system catalogs and copied before anything else
 * is looked up.  No lock is taken on the table.  A pointer into the relation
 * cache would not outlive the next look-up, and a table that somebody has
 * locked must not stop those who do not ask for it.  A change that happens
 * meanwhile arrives as an invalidation, see registry_lookup().
 *
 * Whether the table still fits its settings is seen to by fit.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tupdesc_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_trigger.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "table/catalog.h"
#include "table/fit.h"
#include "table/kind.h"
#include "table/load.h"
#include "util/settings.h"

/*
 * The catalogs that were read do not fit together: somebody is changing the
 * table.
 */
static void
set_torn(TrackedTable *t)
{
	tracked_set_broken(t, pstrdup("it is being changed by another transaction"));
}

/*
 * The value of a column in rows that are older than ADD COLUMN ...  DEFAULT
 * and do not hold it.  The array is indexed by attnum - 1, and made for the
 * first such column.
 */
static AttrMissing *
load_missing(HeapTuple tuple, TupleDesc desc, int natts, AttrMissing *missing)
{
	Form_pg_attribute form = (Form_pg_attribute) GETSTRUCT(tuple);
	int			first = 1;
	bool		isnull;
	Datum		array = heap_getattr(tuple, Anum_pg_attribute_attmissingval, desc, &isnull);
	Datum		value;

	if (missing == NULL)
		missing = palloc0(sizeof(AttrMissing) * natts);
	if (isnull)
		return missing;
	value = array_get_element(array, 1, &first, -1, form->attlen, form->attbyval,
							  form->attalign, &isnull);
	if (!isnull)
	{
		missing[form->attnum - 1].am_value = datumCopy(value, form->attbyval, form->attlen);
		missing[form->attnum - 1].am_present = true;
	}
	return missing;
}

/*
 * Read the columns into a descriptor like that of the relation cache.  False
 * if some are missing.
 */
static bool
load_descriptor(TrackedTable *t, Form_pg_class class)
{
	int			natts = class->relnatts;
	Form_pg_attribute *columns = palloc0(sizeof(Form_pg_attribute) * Max(natts, 1));
	Relation	rel = table_open(AttributeRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	AttrMissing *missing = NULL;
	int			n = 0;

	ScanKeyInit(&key[0], Anum_pg_attribute_attrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(class->oid));
	ScanKeyInit(&key[1], Anum_pg_attribute_attnum, BTGreaterStrategyNumber, F_INT2GT,
				Int16GetDatum(0));
	scan = systable_beginscan(rel, AttributeRelidNumIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_attribute form = (Form_pg_attribute) GETSTRUCT(tuple);

		if (form->attnum > natts || columns[form->attnum - 1] != NULL)
			continue;
		columns[form->attnum - 1] = palloc0(sizeof(FormData_pg_attribute));
		memcpy(columns[form->attnum - 1], form, ATTRIBUTE_FIXED_PART_SIZE);
		if (form->atthasmissing)
			missing = load_missing(tuple, RelationGetDescr(rel), natts, missing);
		n++;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (n < natts)
		return false;
	t->tupdesc = CreateTupleDesc(natts, columns);
	t->tupdesc->tdtypeid = OidIsValid(class->reltype) ? class->reltype : RECORDOID;
	if (missing)
	{
		t->tupdesc->constr = palloc0(sizeof(TupleConstr));
		t->tupdesc->constr->missing = missing;
	}
	t->ncolumns = natts;
	return true;
}

static void
load_member(TrackedColumn *c)
{
	StringInfoData buf;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, ',');
	escape_json(&buf, c->wire);
	appendStringInfoChar(&buf, ':');
	c->member = pstrdup(buf.data);
	c->member_length = buf.len;
	pfree(buf.data);
}

/* see TrackedColumn.base */
static void
load_base(TrackedTable *t, TrackedColumn *c)
{
	Oid			function;

	c->base = c;
	if (c->type == c->base_type)
		return;
	c->base = palloc(sizeof(TrackedColumn));
	*c->base = *c;
	c->base->base = c->base;
	c->base->type = getBaseTypeAndTypmod(c->type, &c->base->typmod);
	getTypeInputInfo(c->base->type, &function, &c->base->ioparam);
	fmgr_info_cxt(function, &c->base->input, t->context);
}

/* false if the type of one is gone */
static bool
load_columns(TrackedTable *t)
{
	int			i;

	t->columns = palloc0(sizeof(TrackedColumn) * Max(t->ncolumns, 1));
	for (i = 0; i < t->ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(t->tupdesc, i);
		TrackedColumn *c = &t->columns[i];
		Oid			function;
		bool		varlena;

		c->attnum = i + 1;
		c->dropped = att->attisdropped;
		if (c->dropped)
			continue;
		if (!SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(att->atttypid)))
			return false;
		c->name = pstrdup(NameStr(att->attname));
		c->wire = t->settings.camel ? camel_case(c->name) : c->name;
		load_member(c);
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
		c->text_varies = type_has_part(att->atttypid, type_text_varies);
		c->has_fields = type_has_part(att->atttypid, type_is_rowtype);
		getTypeOutputInfo(att->atttypid, &function, &varlena);
		fmgr_info_cxt(function, &c->output, t->context);
		getTypeInputInfo(att->atttypid, &function, &c->ioparam);
		fmgr_info_cxt(function, &c->input, t->context);
		load_base(t, c);
	}
	return true;
}

/* what only new rows need is left out; missing values stay */
static void
trim_descriptor(TupleDesc desc)
{
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		att->attnotnull = false;
		att->atthasdef = false;
		att->attidentity = '\0';
		att->attgenerated = '\0';
#if PG_VERSION_NUM >= 180000
		populate_compact_attribute(desc, i);
#endif
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

/* a primary key, from its row of pg_index; the columns' classes beside it */
static bool
load_key(TrackedTable *t, Form_pg_index index, const oidvector *classes)
{
	int			n = index->indnkeyatts;
	int			i;

	t->deferrable_key = !index->indimmediate;
	t->keys = palloc(sizeof(AttrNumber) * n);
	t->key_equal = palloc(sizeof(char *) * n);
	t->key_less = palloc(sizeof(char *) * n);
	t->key_greater = palloc(sizeof(char *) * n);
	for (i = 0; i < n; i++)
	{
		AttrNumber	att = index->indkey.values[i];
		Oid			family = get_opclass_family(classes->values[i]);
		Oid			type = get_opclass_input_type(classes->values[i]);

		if (att <= 0 || att > t->ncolumns || t->columns[att - 1].dropped)
			return false;
		t->keys[i] = att;
		tracked_column(t, att)->key = true;
		t->key_equal[i] = key_operator(family, type, BTEqualStrategyNumber);
		t->key_less[i] = key_operator(family, type, BTLessStrategyNumber);
		t->key_greater[i] = key_operator(family, type, BTGreaterStrategyNumber);
	}
	t->nkeys = n;
	return true;
}

static void
load_keys(TrackedTable *t)
{
	Relation	rel = table_open(IndexRelationId, AccessShareLock);
	HeapTuple	primary = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_index_indrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(t->relid));
	scan = systable_beginscan(rel, IndexIndrelidIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);

		if (form->indisprimary && form->indisvalid && primary == NULL)
			primary = heap_copytuple(tuple);
	}
	systable_endscan(scan);
	if (primary == NULL)
		tracked_set_broken(t, pstrdup("it has no primary key"));
	/* the operators that we look for are B-trees' */
	else if (((Form_pg_index) GETSTRUCT(primary))->indisexclusion)
		tracked_set_broken(t, pstrdup("its primary key is WITHOUT OVERLAPS"));
	else
	{
		bool		isnull;
		Datum		classes = heap_getattr(primary, Anum_pg_index_indclass,
										   RelationGetDescr(rel), &isnull);

		if (!load_key(t, (Form_pg_index) GETSTRUCT(primary),
					  (oidvector *) DatumGetPointer(classes)))
			set_torn(t);
	}
	table_close(rel, AccessShareLock);
}

/* columns and key, as the arguments of the stamp trigger have them */
static void
load_settings(TrackedTable *t, Form_pg_class class, List *triggers)
{
	char	   *namespace = get_namespace_name(class->relnamespace);

	t->partitioned = (class->relkind == RELKIND_PARTITIONED_TABLE);
	t->entity_type = t->settings.entity_type ? t->settings.entity_type :
		pstrdup(NameStr(class->relname));
	t->sql_name = quote_qualified_identifier(namespace ? namespace : "?",
											 NameStr(class->relname));
	t->shared = t->settings.shared;
	t->camel = t->settings.camel;
	t->utc = t->settings.utc;
	t->replicated = t->settings.replicated;
	t->scope_path = t->settings.scope_path;
	if (namespace == NULL || !load_descriptor(t, class) || !load_columns(t))
	{
		t->tupdesc = CreateTemplateTupleDesc(0);
		t->ncolumns = 0;
		set_torn(t);
		return;
	}
	trim_descriptor(t->tupdesc);
	if (!OidIsValid(t->root))
		load_keys(t);
	fit_settings(t, class, triggers);
}

/* trigger: the one with the settings, or NULL; root: see TrackedTable */
static TrackedTable *
load(HeapTuple tuple, List *triggers, TriggerFacts *trigger, Oid root, MemoryContext parent)
{
	Form_pg_class class = (Form_pg_class) GETSTRUCT(tuple);
	MemoryContext context,
				old;
	TrackedTable *t;

	/*
	 * a child of the current context until it is complete, so that an error
	 * frees it
	 */
	context = AllocSetContextCreate(CurrentMemoryContext, "pg_tide table",
									ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	t = palloc0(sizeof(TrackedTable));
	t->context = context;
	t->relid = class->oid;
	t->owner = class->relowner;
	t->namespace = class->relnamespace;
	if (trigger)
		settings_read(&t->settings, trigger->nargs, trigger->args);
	t->reg = t->settings.reg;

	/*
	 * anybody can put our trigger on a table; without a registration it does
	 * not count
	 */
	if (t->reg > 0)
	{
		t->root = root;
		t->tracked = !OidIsValid(root);
		if (t->tracked)
			t->trigger_xmin = trigger->xmin;
		load_settings(t, class, triggers);
	}
	MemoryContextSwitchTo(old);
	MemoryContextSetParent(context, parent);
	return t;
}

static TriggerFacts *
find_stamp_trigger(List *triggers, Oid function)
{
	ListCell   *lc;

	foreach(lc, triggers)
	{
		TriggerFacts *trigger = lfirst(lc);

		if (OidIsValid(function) && trigger->function == function)
			return trigger;
	}
	return NULL;
}

/*
 * the table whose trigger this one was cloned from, over all levels; NULL if
 * none
 */
static Oid
root_of_trigger(TriggerFacts *trigger)
{
	while (trigger && OidIsValid(trigger->parent))
		trigger = catalog_trigger(trigger->parent);
	return trigger ? trigger->relid : InvalidOid;
}

/*
 * Load what pg_tide knows of a table, tracked or not, into a context of its
 * own that is a child of "parent".  NULL if there is no such relation.
 */
TrackedTable *
registry_load(Oid relid, Oid stamp_function, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_tide catalogs",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	HeapTuple	class = catalog_class(relid);
	TrackedTable *t = NULL;

	if (class)
	{
		List	   *triggers = catalog_triggers(relid);
		TriggerFacts *trigger = find_stamp_trigger(triggers, stamp_function);
		Oid			root = InvalidOid;

		if (trigger && OidIsValid(trigger->parent) &&
			((Form_pg_class) GETSTRUCT(class))->relispartition)
			root = root_of_trigger(trigger);
		t = load(class, triggers, trigger, root, parent);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return t;
}

/* Likewise, of a table as a partition of root, whether it is one or not. */
TrackedTable *
registry_load_partition(Oid relid, Oid root, Oid stamp_function, MemoryContext parent)
{
	HeapTuple	class = catalog_class(relid);

	if (class == NULL)
		elog(ERROR, "cache lookup failed for relation %u", relid);
	return load(class, catalog_triggers(relid),
				find_stamp_trigger(catalog_triggers(root), stamp_function), root, parent);
}
