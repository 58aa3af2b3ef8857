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
 * If the settings do not fit the table any more (a renamed column, another
 * primary key), the table is marked broken, with the reason.
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
#include "catalog/pg_type.h"
#include "commands/trigger.h"
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
#include "table/form.h"
#include "table/kind.h"
#include "table/load.h"
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

static void
set_broken(TrackedTable *t, char *why)
{
	t->broken = true;
	t->broken_why = why;
}

/*
 * The catalogs that were read do not fit together: somebody is changing the
 * table.
 */
static void
set_torn(TrackedTable *t)
{
	set_broken(t, pstrdup("it is being changed by another transaction"));
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
		getTypeOutputInfo(att->atttypid, &function, &varlena);
		fmgr_info_cxt(function, &c->output, t->context);
		getTypeInputInfo(att->atttypid, &function, &c->ioparam);
		fmgr_info_cxt(function, &c->input, t->context);
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
		set_broken(t, pstrdup("it has no primary key"));
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

/* ---------- settings ---------- */

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
		set_broken(t, psprintf("its %s column \"%s\" is of another type now", setting, name));
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
		set_broken(t, pstrdup("its column \"" CLOCKS_COLUMN "\", which merging needs, is gone"));
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
		set_broken(t, psprintf("equal values of its column \"%s\" can be written in several ways now", c->name));
	if (!t->broken && n < list_length(t->settings.forms) &&
		!type_form_fits(list_nth(t->settings.forms, n), c->type, c->typmod))
		set_broken(t, psprintf("values of its column \"%s\" have another text form than when it was tracked", c->name));
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
			set_broken(t, pstrdup("its primary key has changed"));
	}
	if (!t->broken && list_length(t->settings.keys) != t->nkeys)
		set_broken(t, pstrdup("its primary key has changed"));
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
		set_broken(t, psprintf("its conflict policy \"%s\" is not known", t->settings.conflict));
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
		set_broken(t, psprintf("its scope \"%s\" leads nowhere: %s", t->scope_path, why));
	else if (path->type != tracked_column(t, t->scope)->type ||
			 !type_form_fits(type_form(path->type, path->typmod), path->type,
							 tracked_column(t, t->scope)->typmod))
		set_broken(t, psprintf("its scope \"%s\" is of another type than \"%s\"",
							   t->scope_path, tracked_column(t, t->scope)->name));
	else
		t->path = path;

	/* the foreign key now refers to another table, which has no triggers */
	for (i = 0; t->path && i < path->nsteps; i++)
		if (!OidIsValid(get_trigger_oid(path->steps[i].relid, PATH_UPDATE_TRIGGER, true)))
			set_broken(t, psprintf("table %s, through which its scope is found, has no trigger " PATH_UPDATE_TRIGGER,
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
		if (tracked_column_by_name(t, lfirst(lc)))
			set_broken(t, psprintf("its column \"%s\" is not the one that was tracked",
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
				set_broken(t, psprintf("its columns \"%s\" and \"%s\" have the same name \"%s\" in JSON",
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
		set_broken(t, pstrdup("it has become a partition, part of an inheritance tree, or unlogged"));
	if (!t->broken && (!t->modified_at || !t->client_id ||
					   (!t->scope && !t->shared)))
		set_broken(t, pstrdup("its trigger has no complete settings"));
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

static void
load_fit(TrackedTable *t, Form_pg_class class, List *triggers)
{
	int			i;

	load_policy(t);
	if (OidIsValid(t->root))
		copy_keys(t);
	else
	{
		load_keys(t);
		if (t->nkeys > 0)
			fit_keys(t);
	}
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
	load_fit(t, class, triggers);
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
