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

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_operator.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "table/catalog.h"
#include "util/compat.h"

/* qualified and quoted */
char *
relation_sql(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
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

/* "OPERATOR(schema.=)": what search_path finds must not matter */
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

/* is there an index of all rows that begins with this column? */
bool
relation_has_index_on(Relation rel, AttrNumber attnum)
{
	ListCell   *lc;
	bool		found = false;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (index->rd_index->indkey.values[0] == attnum &&
			index->rd_index->indisvalid && RelationGetIndexPredicate(index) == NIL)
			found = true;
		index_close(index, AccessShareLock);
	}
	return found;
}

/* does it inherit from a table, or another, not its partition, from it? */
bool
relation_is_inherited(Relation rel)
{
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		return rel->rd_rel->relispartition;
	/* relhassubclass stays when the last child is gone */
	return has_superclass(RelationGetRelid(rel)) ||
		(rel->rd_rel->relhassubclass &&
		 find_inheritance_children(RelationGetRelid(rel), NoLock) != NIL);
}

/*
 * Planner and executor go by the partitions of now.  That a snapshot shows the
 * same ones is for who reads with an older one to see.
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
