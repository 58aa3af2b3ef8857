/*-------------------------------------------------------------------------
 *
 * foreign_code.c
 *	  May a write to a table run code that is not PostgreSQL's or pg_tide's?
 *
 * Such code can leave something in the transaction or the session: a setting, a
 * temporary table, an event for COMMIT, a transaction id that it wrote down.
 * Where the transaction is one user's, that is this user's business; pushes of
 * several users may share one only where there is none of it.
 *
 * So this is a list of what is allowed.  What it does not name is foreign,
 * however harmless: the pushes of such a table are transactions of their own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/tupdesc.h"
#include "catalog/dependency.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "table/foreign_code.h"
#include "table/scope_path.h"
#include "util/compat.h"

/* of initdb's data files: everything else was made by SQL */
#define is_builtin(oid) ((oid) < FirstGenbkiObjectId)

/* ---------- types ---------- */

static bool
is_own_type(Oid type)
{
	Oid			element = get_element_type(type);

	if (OidIsValid(element))
		type = element;
	return (is_builtin(type) && get_typtype(type) == TYPTYPE_BASE) ||
		get_typtype(type) == TYPTYPE_ENUM;
}

/* ---------- expressions ---------- */

/*
 * Functions of PostgreSQL that are not immutable and tell or change nothing of
 * the transaction that the next user could see.
 */
static bool
is_harmless(Oid function)
{
	switch (function)
	{
		case F_NOW:
		case F_TRANSACTION_TIMESTAMP:
		case F_STATEMENT_TIMESTAMP:
		case F_CLOCK_TIMESTAMP:
		case F_GEN_RANDOM_UUID:
		case F_NEXTVAL:
		case F_CURRENT_SETTING_TEXT:
		case F_CURRENT_SETTING_TEXT_BOOL:
		case F_DATE_IN:
		case F_TIME_IN:
		case F_TIMESTAMP_IN:
		case F_TIMESTAMPTZ_IN:
		case F_INTERVAL_IN:
		case F_TIMESTAMPTZ_OUT:
		case F_DATE_OUT:
		case F_TIMESTAMP_OUT:
			return true;
		default:
			return false;
	}
}

static bool
is_foreign_function(Oid function, void *context)
{
	return !is_builtin(function) ||
		(func_volatile(function) != PROVOLATILE_IMMUTABLE && !is_harmless(function));
}

/* what expression_tree_walker() visits; true: foreign */
static bool
has_foreign_code(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, List))
		return expression_tree_walker(node, has_foreign_code, context);
	if (IsA(node, CoerceToDomain) || IsA(node, XmlExpr) || IsA(node, Query))
		return true;
	if (!IsA(node, TargetEntry) && !is_own_type(exprType(node)))
		return true;
	return check_functions_in_node(node, is_foreign_function, context) ||
		expression_tree_walker(node, has_foreign_code, context);
}

static bool
text_has_foreign_code(const char *expression)
{
	return has_foreign_code(stringToNode(expression), NULL);
}

/* ---------- the table ---------- */

static const char *
of_columns(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	TupleConstr *constr = desc->constr;
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (!column->attisdropped && !is_own_type(column->atttypid))
			return "a type that is not PostgreSQL's own";
	}
	if (constr == NULL)
		return NULL;
	for (i = 0; i < constr->num_defval; i++)
		if (text_has_foreign_code(constr->defval[i].adbin))
			return "the expression of a default or of a generated column";
	for (i = 0; i < constr->num_check; i++)
		if (text_has_foreign_code(constr->check[i].ccbin))
			return "the expression of a check constraint";
	return NULL;
}

/*
 * An expression as it was written: in the relation cache functions are expanded
 * that may have another body tomorrow.
 */
static bool
index_column_has_foreign_code(HeapTuple tuple, AttrNumber attnum)
{
	bool		isnull;
	Datum		source = SysCacheGetAttr(INDEXRELID, tuple, attnum, &isnull);

	return !isnull && text_has_foreign_code(TextDatumGetCString(source));
}

static bool
expressions_have_foreign_code(Oid indexid)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(indexid));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for index %u", indexid);
	result = index_column_has_foreign_code(tuple, Anum_pg_index_indexprs) ||
		index_column_has_foreign_code(tuple, Anum_pg_index_indpred);
	ReleaseSysCache(tuple);
	return result;
}

static bool
index_has_foreign_code(Oid indexid)
{
	Relation	index = index_open(indexid, AccessShareLock);
	bool		result = !is_builtin(index->rd_rel->relam) ||
		index->rd_index->indisexclusion || expressions_have_foreign_code(indexid);
	int			i;

	for (i = 0; !result && i < IndexRelationGetNumberOfKeyAttributes(index); i++)
		result = !is_builtin(index->rd_opfamily[i]);
	index_close(index, NoLock);
	return result;
}

static const char *
of_indexes(Relation rel)
{
	const char *result = NULL;
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;

	foreach(lc, indexes)
	{
		if (index_has_foreign_code(lfirst_oid(lc)))
			result = "an index with code that is not PostgreSQL's own";
	}
	list_free(indexes);
	return result;
}

static const char *const FOREIGN_COMPARISON = "a foreign key with an operator or a cast that is not PostgreSQL's own";

/*
 * A column that refers to one of another type is compared by way of a cast, which
 * can be anybody's unless both types are PostgreSQL's own.
 */
static bool
is_compared_by_foreign_code(Oid relid, AttrNumber column, Oid other, AttrNumber referred,
							Oid equal)
{
	Oid			type = get_atttype(relid, column);
	Oid			referred_type = get_atttype(other, referred);

	return !is_builtin(equal) ||
		(type != referred_type && !(is_builtin(type) && is_builtin(referred_type)));
}

static const char *
of_foreign_keys(Relation rel)
{
	List	   *keys = copyObject(RelationGetFKeyList(rel));
	ListCell   *lc;
	int			i;

	foreach(lc, keys)
	{
		ForeignKeyCacheInfo *key = lfirst(lc);

		for (i = 0; i < key->nkeys; i++)
			if (is_compared_by_foreign_code(key->conrelid, key->conkey[i],
											key->confrelid, key->confkey[i],
											key->conpfeqop[i]))
				return FOREIGN_COMPARISON;
	}
	return NULL;
}

/*
 * Triggers of foreign keys that look and do not touch.  Those that cascade, set
 * to NULL or to a default write other rows.
 */
static bool
only_looks(Oid function)
{
	switch (function)
	{
		case F_RI_FKEY_CHECK_INS:
		case F_RI_FKEY_CHECK_UPD:
		case F_RI_FKEY_NOACTION_UPD:
		case F_RI_FKEY_NOACTION_DEL:
		case F_RI_FKEY_RESTRICT_UPD:
		case F_RI_FKEY_RESTRICT_DEL:
			return true;
		default:
			return false;
	}
}

/* does the check for rows that refer to a deleted one run other code? */
static bool
reference_has_foreign_code(Oid constraint)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
	Form_pg_constraint con;
	AttrNumber	from[INDEX_MAX_KEYS];
	AttrNumber	to[INDEX_MAX_KEYS];
	Oid			equal[INDEX_MAX_KEYS];
	bool		result = false;
	int			n;
	int			i;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", constraint);
	con = (Form_pg_constraint) GETSTRUCT(tuple);
	TideDeconstructForeignKey(tuple, &n, from, to, equal);
	for (i = 0; i < n; i++)
		result |= is_compared_by_foreign_code(con->conrelid, from[i], con->confrelid, to[i],
											  equal[i]);
	ReleaseSysCache(tuple);
	return result;
}

static bool
is_own_trigger(const Trigger *trigger, Oid extension)
{
	if (trigger->tgisinternal)
		return only_looks(trigger->tgfoid) &&
			!(TRIGGER_FOR_DELETE(trigger->tgtype) &&
			  reference_has_foreign_code(trigger->tgconstraint));
	return strncmp(trigger->tgname, PATH_TRIGGER_PREFIX, strlen(PATH_TRIGGER_PREFIX)) != 0 &&
		trigger->tgqual == NULL &&
		getExtensionOfObject(ProcedureRelationId, trigger->tgfoid) == extension;
}

static const char *
of_triggers(Relation rel, bool *only_by_delete)
{
	Oid			extension = get_extension_oid("pg_tide", false);
	/* a look at the catalogs can make the relation's own anew */
	TriggerDesc *triggers = CopyTriggerDesc(rel->trigdesc);
	const char *result = NULL;
	int			i;

	*only_by_delete = true;
	for (i = 0; triggers != NULL && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (trigger->tgdeferrable)
		{
			*only_by_delete = false;
			return "a deferrable constraint";
		}
		if (is_own_trigger(trigger, extension))
			continue;
		result = trigger->tgisinternal && only_looks(trigger->tgfoid) ? FOREIGN_COMPARISON :
			"a trigger, or a foreign key that writes other rows";
		if (!trigger->tgisinternal || !TRIGGER_FOR_DELETE(trigger->tgtype))
			*only_by_delete = false;
	}
	return result;
}

static const char *
of_relation(Relation rel)
{
	Form_pg_class class = rel->rd_rel;

	if (class->relkind != RELKIND_RELATION || class->relam != HEAP_TABLE_AM_OID)
		return "the storage of another kind of table";
	if (class->relhassubclass || class->relispartition)
		return "what its children or partitions have";
	if (class->relrowsecurity)
		return "row-level security";
	if (class->relhasrules)
		return "a rule";
	return NULL;
}

static const char *
of_settings(TrackedTable *t)
{
	if (t->policy == POLICY_RESOLVER)
		return "the function that resolves conflicts";
	if (t->scope_path != NULL)
		return "the moves of rows whose scope follows foreign keys";
	if (t->partitioned || t->replicated)
		return "row triggers that write at the end of a transaction";
	return NULL;
}

static void
look(TrackedTable *t)
{
	Relation	rel = table_open(t->relid, NoLock);
	bool		only_by_delete = false;
	const char *code = of_settings(t);

	if (code == NULL)
		code = of_relation(rel);
	if (code == NULL)
		code = of_columns(rel);
	if (code == NULL)
		code = of_indexes(rel);
	if (code == NULL)
		code = of_foreign_keys(rel);
	if (code == NULL)
		code = of_triggers(rel, &only_by_delete);
	table_close(rel, NoLock);
	t->foreign_by_delete = code;
	t->foreign_by_upsert = only_by_delete ? NULL : code;
	t->foreign_known = true;
}

const char *
foreign_code(TrackedTable *t, bool deletes)
{
	/* settled once: what changes it invalidates the entry */
	if (!t->foreign_known)
		look(t);
	return deletes ? t->foreign_by_delete : t->foreign_by_upsert;
}
