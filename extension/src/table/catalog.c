/*-------------------------------------------------------------------------
 *
 * catalog.c
 *	  What the system catalogs say of a relation.
 *
 *	  Names that this gives are qualified and quoted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/amapi.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_trigger.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "table/catalog.h"

/* pg_class has no index by type */
List *
catalog_of_type(Oid type)
{
	Relation	rel = table_open(RelationRelationId, AccessShareLock);
	List	   *result = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_class_reloftype, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(type));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		result = lappend_oid(result, ((Form_pg_class) GETSTRUCT(tuple))->oid);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

/* qualified and quoted */
char *
relation_sql(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

char *
catalog_sql_name(Oid relid)
{
	HeapTuple	class = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	char	   *namespace;
	char	   *result = NULL;

	if (!HeapTupleIsValid(class))
		return NULL;
	namespace = get_namespace_name(((Form_pg_class) GETSTRUCT(class))->relnamespace);
	if (namespace)
		result = quote_qualified_identifier(namespace,
											NameStr(((Form_pg_class) GETSTRUCT(class))->relname));
	ReleaseSysCache(class);
	return result;
}

HeapTuple
catalog_class(Oid relid)
{
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(relid));

	return HeapTupleIsValid(tuple) ? tuple : NULL;
}

static TriggerFacts *
copy_trigger(HeapTuple tuple, TupleDesc desc)
{
	Form_pg_trigger form = (Form_pg_trigger) GETSTRUCT(tuple);
	TriggerFacts *result = palloc0(sizeof(TriggerFacts));
	bool		isnull;
	Datum		args = heap_getattr(tuple, Anum_pg_trigger_tgargs, desc, &isnull);
	int			i;

	result->oid = form->oid;
	result->relid = form->tgrelid;
	result->parent = form->tgparentid;
	result->function = form->tgfoid;
	result->name = pstrdup(NameStr(form->tgname));
	result->type = form->tgtype;
	result->enabled = form->tgenabled;
	result->internal = form->tgisinternal;
	result->xmin = HeapTupleHeaderGetXmin(tuple->t_data);
	if (!isnull && form->tgnargs > 0)
	{
		/* each ends with a zero byte */
		char	   *arg = VARDATA_ANY(DatumGetByteaPCopy(args));

		result->nargs = form->tgnargs;
		result->args = palloc(sizeof(char *) * form->tgnargs);
		for (i = 0; i < form->tgnargs; i++)
		{
			result->args[i] = arg;
			arg += strlen(arg) + 1;
		}
	}
	return result;
}

static List *
read_triggers(Oid index, AttrNumber column, Oid value)
{
	Relation	rel = table_open(TriggerRelationId, AccessShareLock);
	List	   *result = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(value));
	scan = systable_beginscan(rel, index, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		result = lappend(result, copy_trigger(tuple, RelationGetDescr(rel)));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

bool
catalog_is_seen(TransactionId writer, Snapshot snapshot)
{
	return !TransactionIdIsNormal(writer) ||
		TransactionIdIsCurrentTransactionId(writer) ||
		!XidInMVCCSnapshot(writer, snapshot);
}

List *
catalog_triggers(Oid relid)
{
	return read_triggers(TriggerRelidNameIndexId, Anum_pg_trigger_tgrelid, relid);
}

TriggerFacts *
catalog_trigger(Oid trigger)
{
	List	   *found = read_triggers(TriggerOidIndexId, Anum_pg_trigger_oid, trigger);

	return found == NIL ? NULL : linitial(found);
}

List *
catalog_parents(Oid relid)
{
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	List	   *result = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint form = (Form_pg_constraint) GETSTRUCT(tuple);

		if (form->contype == CONSTRAINT_FOREIGN && form->confrelid != relid)
			result = list_append_unique_oid(result, form->confrelid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

List *
catalog_dependents(Oid refclass, Oid object, Oid class)
{
	Relation	rel = table_open(DependRelationId, AccessShareLock);
	List	   *result = NIL;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(refclass));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(object));
	scan = systable_beginscan(rel, DependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);

		if (form->classid == class)
			result = lappend_oid(result, form->objid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

List *
catalog_children(Oid relid)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, catalog_dependents(RelationRelationId, relid, ConstraintRelationId))
	{
		HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_constraint form;

		if (!HeapTupleIsValid(tuple))
			continue;
		form = (Form_pg_constraint) GETSTRUCT(tuple);
		if (form->contype == CONSTRAINT_FOREIGN && form->confrelid == relid &&
			form->conrelid != relid)
			result = list_append_unique_oid(result, form->conrelid);
		ReleaseSysCache(tuple);
	}
	return result;
}

Form_pg_attribute
relation_column(Relation rel, const char *name)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att;
	}
	return NULL;
}

/* "OPERATOR(schema.=)", so that it does not depend on search_path */
char *
operator_text(Oid oper)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(oper));
	Form_pg_operator form;
	char	   *result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", oper);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	result = psprintf("OPERATOR(%s.%s)",
					  quote_identifier(get_namespace_name(form->oprnamespace)),
					  NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return result;
}

/* can values of these columns be found by the index, and be read in its order? */
static bool
begins_with(Relation rel, Relation index, const AttrNumber *columns, int n)
{
	int			i;

	if (!index->rd_indam->amcanorder || index->rd_index->indnkeyatts < n)
		return false;
	for (i = 0; i < n; i++)
		if (index->rd_index->indkey.values[i] != columns[i] ||
			index->rd_indcollation[i] != TupleDescAttr(RelationGetDescr(rel),
													   columns[i] - 1)->attcollation)
			return false;
	return true;
}

/* is there an ordered index of all rows that begins with these columns? */
bool
relation_has_index_on(Relation rel, const AttrNumber *columns, int n)
{
	ListCell   *lc;
	bool		found = false;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (begins_with(rel, index, columns, n) &&
			index->rd_index->indisvalid && RelationGetIndexPredicate(index) == NIL)
			found = true;
		index_close(index, AccessShareLock);
	}
	return found;
}

/*
 * does it inherit from a table, or does a table that is not its partition
 * inherit from it?
 */
bool
catalog_is_inherited(Form_pg_class form)
{
	if (form->relispartition || form->relkind == RELKIND_PARTITIONED_TABLE)
		return form->relispartition;
	/* relhassubclass stays when the last child is gone */
	return has_superclass(form->oid) ||
		(form->relhassubclass && find_inheritance_children(form->oid, NoLock) != NIL);
}

/*
 * Planner and executor use the partitions of now.  A caller who reads with an
 * older snapshot must check that it shows the same ones.
 */
List *
partitions_seen(Oid relid, Snapshot snapshot)
{
	List	   *result = list_make1_oid(relid);
	Relation	rel = table_open(InheritsRelationId, AccessShareLock);
	int			i;

	/* the list grows as it is gone through */
	for (i = 0; i < list_length(result); i++)
	{
		ScanKeyData key;
		SysScanDesc scan;
		HeapTuple	tuple;

		ScanKeyInit(&key, Anum_pg_inherits_inhparent, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(list_nth_oid(result, i)));
		scan = systable_beginscan(rel, InheritsParentIndexId, true, snapshot, 1, &key);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			Form_pg_inherits form = (Form_pg_inherits) GETSTRUCT(tuple);

			if (!form->inhdetachpending)
				result = lappend_oid(result, form->inhrelid);
		}
		systable_endscan(scan);
	}
	table_close(rel, AccessShareLock);
	return result;
}
