/*-------------------------------------------------------------------------
 *
 * trackable.c
 *	  What can be tracked, and with which settings.
 *
 * Everything that tide.track refuses is refused here, with the reason and what
 * to do about it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/catalog.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "rewrite/prs2lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "table/catalog.h"
#include "table/kind.h"
#include "table/names.h"
#include "table/scope_path.h"
#include "track/trackable.h"
#include "util/compat.h"
#include "util/owner.h"
#include "util/settings.h"

/* ---------- the table ---------- */

static void
refuse(Relation rel, int code, const char *why, const char *hint)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("cannot track \"%s\": %s", RelationGetRelationName(rel), why),
			 errhint("%s", hint)));
}

/*
 * Check a partition that the root has or gets; its rows are rows of the root.
 */
void
trackable_check_partition(Relation root, Relation partition)
{
	const char *problem = NULL;

	if (partition->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
		problem = "is a foreign table: changes that others make there go unnoticed";
	else if (partition->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		problem = "is temporary or unlogged: its rows can vanish, and clients would not be told";
	if (problem)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("partition \"%s\" of \"%s\" cannot be synced: it %s",
						RelationGetRelationName(partition), RelationGetRelationName(root),
						problem),
				 errhint("Make it an ordinary table, or keep it out of \"%s\".",
						 RelationGetRelationName(root))));
}

/*
 * PostgreSQL fires triggers in the order of their names.  A trigger after ours
 * would change a row that already has its stamp, also a row that a push has
 * judged.
 */
static void
check_trigger_order(Relation rel)
{
	int			i;

	for (i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];
		char	   *name;

		if (!trackable_comes_after(trigger->tgname, trigger->tgtype))
			continue;
		/* a look at the catalogs can take the trigger away */
		name = pstrdup(trigger->tgname);
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot track \"%s\": its trigger \"%s\" would run after " STAMP_TRIGGER,
						RelationGetRelationName(rel), name),
				 errdetail("Triggers run in the order of their names, and what this one changes would not be stamped."),
				 errhint("ALTER TRIGGER %s ON %s RENAME TO %s;",
						 quote_identifier(name), relation_sql(rel),
						 quote_identifier(psprintf("a_%.*s", NAMEDATALEN - 3, name)))));
	}
}

bool
trackable_comes_after(const char *name, int16 type)
{
	return TRIGGER_FOR_BEFORE(type) && TRIGGER_FOR_ROW(type) &&
		(TRIGGER_FOR_INSERT(type) || TRIGGER_FOR_UPDATE(type)) &&
		strcmp(name, STAMP_TRIGGER) > 0;
}

/*
 * the table and all tables below it, locked; each must be fit to be a
 * partition
 */
static void
check_partitions(Relation root)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(RelationGetRelid(root), ShareRowExclusiveLock, NULL))
	{
		Relation	partition = relation_open(lfirst_oid(lc), NoLock);

		trackable_check_partition(root, partition);
		check_trigger_order(partition);
		relation_close(partition, NoLock);
	}
}

static void
refuse_partition(Relation rel)
{
	Oid			root = llast_oid(get_partition_ancestors(RelationGetRelid(rel)));
	char	   *name = quote_qualified_identifier(get_namespace_name(get_rel_namespace(root)),
												  get_rel_name(root));

	refuse(rel, ERRCODE_WRONG_OBJECT_TYPE, "it is a partition",
		   psprintf("Track the table that it is part of: SELECT tide.track(%s, ...).",
					quote_literal_cstr(name)));
}

void
trackable_check_relation(Relation rel)
{
	if (rel->rd_rel->relispartition)
		refuse_partition(rel);
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
		check_partitions(rel);
	else if (rel->rd_rel->relkind != RELKIND_RELATION)
		refuse(rel, ERRCODE_WRONG_OBJECT_TYPE, "it is not a table",
			   "Views, foreign tables and the like have no rows of their own; track the table behind them.");
	if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		refuse(rel, ERRCODE_WRONG_OBJECT_TYPE, "it is temporary or unlogged",
			   "Its rows can vanish, and clients would not be told; use a permanent table.");
	if (IsCatalogNamespace(RelationGetNamespace(rel)))
		refuse(rel, ERRCODE_WRONG_OBJECT_TYPE, "it is a system catalog",
			   "Track a table of your own.");
	if (strcmp(get_namespace_name(RelationGetNamespace(rel)), TIDE_SCHEMA) == 0)
		refuse(rel, ERRCODE_WRONG_OBJECT_TYPE, "it is pg_tide's own",
			   "Track a table of your own.");
	if (catalog_is_inherited(rel->rd_rel))
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "it inherits from a table, or another inherits from it",
			   "Rows of inheritance children would be missed; use a table without inheritance.");
	/* relhasrules stays when the last rule is gone */
	if (rel->rd_rules && rel->rd_rules->numLocks > 0)
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED, "it has rules",
			   "Rules rewrite the statements that sync runs; use triggers instead.");
	check_trigger_order(rel);
}

/*
 * The log, tombstones and cursors compare the texts of keys and scopes, the
 * tables compare values.  So equal values must have equal texts.  B-tree
 * deduplication requires the same of a type.  A numeric or char has one text
 * once its scale or length is fixed.
 */
static bool
looks_as_it_compares(Oid opfamily, Oid opcintype, Oid collation, Form_pg_attribute att)
{
	Oid			proc = get_opfamily_proc(opfamily, opcintype, opcintype, BTEQUALIMAGE_PROC);

	if (type_has_part(att->atttypid, type_text_varies))
		return false;
	if (att->atttypid == NUMERICOID)
		return att->atttypmod >= 0;
	if (att->atttypid == BPCHAROID) /* all of one length */
		return att->atttypmod >= 0 && get_collation_isdeterministic(collation);
	return OidIsValid(proc) &&
		DatumGetBool(OidFunctionCall1Coll(proc, collation, ObjectIdGetDatum(opcintype)));
}

/* keys and scopes are looked up with = ANY (array) */
static bool
goes_into_an_array(Form_pg_attribute att)
{
	return !OidIsValid(get_element_type(getBaseType(att->atttypid))) &&
		OidIsValid(get_array_type(att->atttypid));
}

/* the name of a column of the primary key */
static char *
check_key_column(Relation rel, Relation index, int i)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel),
										  index->rd_index->indkey.values[i] - 1);

	if (TideIsVirtual(att))
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "its primary key has a virtual generated column",
			   "Use a stored column as key.");
	if (!goes_into_an_array(att))
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "its primary key has a column that is an array or has no array type",
			   "Use a key of plain types such as uuid, bigint or text.");
	if (!looks_as_it_compares(index->rd_opfamily[i], index->rd_opcintype[i],
							  index->rd_indcollation[i], att))
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
			   psprintf("equal values of its key \"%s\" can be written in several ways",
						NameStr(att->attname)),
			   "Use a key of a plain type such as uuid, bigint or text.");
	return pstrdup(NameStr(att->attname));
}

/* the names of the primary key's columns */
static List *
check_key_index(Relation rel, Relation index)
{
	List	   *names = NIL;
	int			i;

	/* the support functions of other access methods are not those of B-trees */
	if (index->rd_rel->relam != BTREE_AM_OID)
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "its primary key is WITHOUT OVERLAPS",
			   "Sync names rows by keys that are equal or not: give it another primary key, and make this one UNIQUE.");
	for (i = 0; i < index->rd_index->indnkeyatts; i++)
		names = lappend(names, check_key_column(rel, index, i));
	return names;
}

List *
trackable_check_key(Relation rel)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		/*
		 * the index of a partitioned table is not valid while a partition
		 * lacks it
		 */
		if (index->rd_index->indisprimary && index->rd_index->indisvalid)
			names = check_key_index(rel, index);
		index_close(index, AccessShareLock);
	}
	if (names == NIL)
		refuse(rel, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
			   "it has no primary key",
			   psprintf("Sync names rows by their key: ALTER TABLE %s ADD PRIMARY KEY (...).",
						relation_sql(rel)));
	return names;
}

/* ---------- columns ---------- */

/*
 * The column for a setting: the named one, else the first of two usual names
 * that the table has, else a new one.
 */
static char *
settle_column(Relation rel, TrackOptions *o, const char *setting, char *named,
			  const char *camel, const char *snake, const char *type)
{
	char	   *clause;

	if (named == NULL && camel == NULL)
		return NULL;
	if (named == NULL)
	{
		if (relation_column(rel, camel))
			return pstrdup(camel);
		if (relation_column(rel, snake))
			return pstrdup(snake);
		named = pstrdup(o->s.camel ? snake : camel);
	}
	if (relation_column(rel, named))
		return named;

	clause = psprintf("ADD COLUMN %s %s", quote_identifier(named), type);
	if (!o->add_columns)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"%s\" for %s",
						RelationGetRelationName(rel), named, setting),
				 errhint("ALTER TABLE %s %s;", relation_sql(rel), clause)));
	o->clauses = lappend(o->clauses, clause);
	o->s.added = add_name(o->s.added, named);
	return named;
}

static void
check_column_type(Relation rel, const char *setting, const char *name,
				  bool good, const char *wanted)
{
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" cannot be its %s: it is of type %s",
						name, RelationGetRelationName(rel), setting,
						format_type_be(relation_column(rel, name)->atttypid)),
				 errhint("It has to be %s.", wanted)));
}

/* the comment by which tide.untrack has marked a column; NULL */
const char *
trackable_mark(Relation rel, Form_pg_attribute att)
{
	char	   *comment = GetComment(RelationGetRelid(rel), RelationRelationId, att->attnum);

	return comment == NULL ? NULL :
		strcmp(comment, MARK_ADDED) == 0 ? MARK_ADDED :
		strcmp(comment, MARK_USED) == 0 ? MARK_USED : NULL;
}

/* what refers to a column of the table, or fills it; NULL if nothing does */
static const char *
use_of_column(Relation rel, Form_pg_attribute att)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[3];
	SysScanDesc scan;
	HeapTuple	tuple;
	const char *result = NULL;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationGetRelid(rel)));
	ScanKeyInit(&key[2], Anum_pg_depend_refobjsubid, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(att->attnum));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 3, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Oid			class = ((Form_pg_depend) GETSTRUCT(tuple))->classid;

		result = class == AttrDefaultRelationId ? "it has a default" :
			class == ConstraintRelationId ? "it is part of a foreign key or another constraint" :
			class == RelationRelationId ? "it is in an index" :
			"a view, a policy or the like uses it";
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return att->attidentity || att->attgenerated ? "it is generated" : result;
}

/* does any row have a value in the column, also a row that policies hide? */
static bool
column_has_values(Relation rel, Form_pg_attribute att)
{
	SavedUser	saved;
	bool		result;

	SPI_connect();
	user_become(GetUserId(), SECURITY_NOFORCE_RLS, &saved);
	if (SPI_execute(psprintf("SELECT FROM %s WHERE %s IS NOT NULL LIMIT 1", relation_sql(rel),
							 quote_identifier(NameStr(att->attname))), true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read table \"%s\"", RelationGetRelationName(rel));
	result = SPI_processed > 0;
	user_restore(&saved);
	SPI_finish();
	return result;
}

/*
 * A column that was only found by its usual name may belong to the
 * application, for example as a reference to its clients.  Plain writes would
 * empty it.
 */
static void
check_guessed_client(Relation rel, TrackOptions *o)
{
	Form_pg_attribute att = relation_column(rel, "clientId");
	const char *use;

	if (att == NULL)
		att = relation_column(rel, "client_id");
	if (att == NULL || trackable_mark(rel, att) != NULL ||
		(o->before->tracked && o->before->settings.client_id &&
		 strcmp(o->before->settings.client_id, NameStr(att->attname)) == 0))
		return;
	use = use_of_column(rel, att);
	if (use == NULL && column_has_values(rel, att))
		use = "it has values";
	if (use)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("column \"%s\" of table \"%s\" cannot be taken for client_id without being named: %s",
						NameStr(att->attname), RelationGetRelationName(rel), use),
				 errdetail("Each write sets that column to the client that made it."),
				 errhint("If this is its purpose, pass client_id => %s. Otherwise have another column added with client_id => 'tide_client_id'.",
						 quote_literal_cstr(NameStr(att->attname)))));
}

void
trackable_settle_columns(Relation rel, TrackOptions *o)
{
	Form_pg_attribute att;

	o->s.modified_at = settle_column(rel, o, "modified_at", o->s.modified_at,
									 "lastModifiedAt", "last_modified_at",
									 "pg_catalog.timestamptz");
	if (o->s.client_id == NULL)
		check_guessed_client(rel, o);
	o->s.client_id = settle_column(rel, o, "client_id", o->s.client_id,
								   "clientId", "client_id", "pg_catalog.text");
	o->s.version = settle_column(rel, o, "version", o->s.version, NULL, NULL,
								 "pg_catalog.int4");
	o->s.deleted_at = settle_column(rel, o, "deleted_at", o->s.deleted_at, NULL, NULL,
									"pg_catalog.timestamptz");
	if (o->s.conflict && strcmp(o->s.conflict, "merge") == 0)
	{
		(void) settle_column(rel, o, "the stamps of its columns", pstrdup(CLOCKS_COLUMN),
							 NULL, NULL, "pg_catalog.jsonb");
		if ((att = relation_column(rel, CLOCKS_COLUMN)) != NULL)
			check_column_type(rel, "column of columns' stamps", CLOCKS_COLUMN,
							  att->atttypid == JSONBOID && !att->attnotnull &&
							  !att->attgenerated,
							  "jsonb, nullable and not generated");
	}

	if ((att = relation_column(rel, o->s.modified_at)) != NULL)
		check_column_type(rel, "modified_at", o->s.modified_at,
						  (att->atttypid == TIMESTAMPTZOID || att->atttypid == TIMESTAMPOID) &&
						  !att->attgenerated,
						  "a timestamp with or without time zone that is not generated");
	if ((att = relation_column(rel, o->s.client_id)) != NULL)
		check_column_type(rel, "client_id", o->s.client_id,
						  (att->atttypid == TEXTOID || att->atttypid == VARCHAROID) &&
						  !att->attnotnull && !att->attgenerated,
						  "text or varchar, nullable (NULL is the server) and not generated");
	if (o->s.version && (att = relation_column(rel, o->s.version)) != NULL)
		check_column_type(rel, "version", o->s.version,
						  (att->atttypid == INT8OID || att->atttypid == INT4OID ||
						   att->atttypid == INT2OID) && !att->attgenerated,
						  "an integer that is not generated");
	if (o->s.deleted_at && (att = relation_column(rel, o->s.deleted_at)) != NULL)
		check_column_type(rel, "deleted_at", o->s.deleted_at,
						  (att->atttypid == TIMESTAMPTZOID || att->atttypid == TIMESTAMPOID) &&
						  !att->attnotnull && !att->attgenerated,
						  "a nullable timestamp with or without time zone that is not generated");
}

/*
 * the scope's type must allow look-ups with = ANY, and one text for equal
 * values
 */
static void
check_scope_type(Relation rel, Form_pg_attribute att)
{
	TypeCacheEntry *type;

	if (TideIsVirtual(att))
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "its scope is a virtual generated column", "Use a stored column as scope.");
	if (!goes_into_an_array(att))
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "its scope is an array or of a type without array type",
			   "Use a scope of a plain type such as uuid, bigint or text.");
	type = lookup_type_cache(getBaseType(att->atttypid),
							 TYPECACHE_EQ_OPR | TYPECACHE_BTREE_OPFAMILY);
	if (!OidIsValid(type->btree_opf) ||
		!looks_as_it_compares(type->btree_opf, type->btree_opintype, att->attcollation, att))
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "equal values of its scope can be written in several ways",
			   "Use a scope of a plain type such as uuid, bigint or text.");
	if (type->eq_opr >= FirstNormalObjectId)
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "its scope is of a type whose equality is not PostgreSQL's own",
			   "Use a scope of a plain type such as uuid, bigint or text.");
}

/* the column that a path leads to, as a copy */
static Form_pg_attribute
last_column(ScopePath *path)
{
	PathStep   *last = &path->steps[path->nsteps - 1];
	HeapTuple	tuple = SearchSysCacheCopy2(ATTNUM, ObjectIdGetDatum(last->relid),
											Int16GetDatum(last->reads[0]));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for attribute %d of relation %u",
			 last->reads[0], last->relid);
	return (Form_pg_attribute) GETSTRUCT(tuple);
}

void
trackable_check_scope(Relation rel, TrackOptions *o)
{
	if (o->s.shared && o->s.scope)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("shared and scope cannot both be given"),
				 errhint("Leave out one of the two.")));
	if (!o->s.shared && o->s.scope == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" needs a scope or must be shared", RelationGetRelationName(rel)),
				 errhint("Name the column that says whose row it is, scope => 'user_id', or let everybody read all rows, shared => true.")));
	if (o->path)
	{
		check_scope_type(rel, last_column(o->path));
		return;
	}
	if (o->scope_column)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scope_column needs a scope that follows foreign keys"),
				 errhint("Leave it out, or give a path as scope: 'plan_id.user_id'.")));
	if (o->s.shared)
		return;
	if (relation_column(rel, o->s.scope) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"%s\" for scope",
						RelationGetRelationName(rel), o->s.scope),
				 errhint("Name the column that says whose row it is.")));
	check_scope_type(rel, relation_column(rel, o->s.scope));
}

static void
check_exclude(Relation rel, TrackOptions *o)
{
	ListCell   *lc;

	foreach(lc, o->s.exclude)
	{
		char	   *name = lfirst(lc);

		if (relation_column(rel, name) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("table \"%s\" has no column \"%s\" to exclude",
							RelationGetRelationName(rel), name),
					 errhint("Pass the name of the column in SQL, not the one in JSON.")));
		if (name_in_list(o->s.keys, name) || strcmp(name, o->s.modified_at) == 0 ||
			strcmp(name, o->s.client_id) == 0 ||
			(o->s.scope && strcmp(name, o->s.scope) == 0) ||
			(o->s.version && strcmp(name, o->s.version) == 0) ||
			(o->s.deleted_at && strcmp(name, o->s.deleted_at) == 0))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"%s\" cannot be excluded: sync needs it", name),
					 errhint("The key, the scope, the stamp, the version and the soft-delete column are always synced.")));
	}
}

/* a column has one role, but the key may be the scope */
static void
check_roles(Relation rel, TrackOptions *o)
{
	const char *roles[] = {o->s.modified_at, o->s.client_id, o->s.version, o->s.deleted_at, o->s.scope};
	int			i,
				j;

	for (i = 0; i < lengthof(roles); i++)
	{
		bool		taken = false;

		if (roles[i] == NULL)
			continue;
		for (j = 0; j < i; j++)
			if (roles[j] && strcmp(roles[i], roles[j]) == 0)
				taken = true;
		if (roles[i] != o->s.scope && name_in_list(o->s.keys, roles[i]))
			taken = true;
		if (taken)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"%s\" of table \"%s\" cannot have two roles",
							roles[i], RelationGetRelationName(rel)),
					 errhint("Key, scope, modified_at, client_id, version and deleted_at are different columns; only the key may be the scope.")));
	}
}

/* two columns must not be one on the wire */
static void
check_wire_names(Relation rel, TrackOptions *o)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			i,
				j;

	if (!o->s.camel)
		return;
	for (i = 0; i < desc->natts; i++)
	{
		char	   *a = NameStr(TupleDescAttr(desc, i)->attname);

		if (TupleDescAttr(desc, i)->attisdropped || name_in_list(o->s.exclude, a))
			continue;
		for (j = 0; j < i; j++)
		{
			char	   *b = NameStr(TupleDescAttr(desc, j)->attname);

			if (!TupleDescAttr(desc, j)->attisdropped && !name_in_list(o->s.exclude, b) &&
				strcmp(camel_case(a), camel_case(b)) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("columns \"%s\" and \"%s\" have the same name \"%s\" in JSON",
								b, a, camel_case(a)),
						 errhint("Exclude one of them, or use naming => 'as_is'.")));
		}
	}
}

static void
check_entity_type(Oid schema, TrackOptions *o)
{
	ListCell   *lc;

	if (o->s.entity_type[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("entity_type must not be empty"),
				 errhint("Leave entity_type out to use the table's name.")));
	foreach(lc, names_all(names_view_of(schema), false))
	{
		TrackedName *name = lfirst(lc);

		/* in a schema that callers see by itself, it hides a shared one */
		if (name->relid != o->relid && name->trusted &&
			(!OidIsValid(names_view_of(schema)) || name->namespace == schema) &&
			strcmp(name->entity_type, o->s.entity_type) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("entity type \"%s\" already belongs to table %s",
							o->s.entity_type, catalog_sql_name(name->relid)),
					 errhint("Give this table another one with entity_type => '...'. If it takes the place of that one, run SELECT tide.untrack(%s); first.",
							 quote_literal_cstr(catalog_sql_name(name->relid)))));
	}
}

/* conflicts between settings, once the columns are known */
void
trackable_check_settings(Relation rel, TrackOptions *o)
{
	check_roles(rel, o);
	check_exclude(rel, o);
	check_wire_names(rel, o);
	check_entity_type(RelationGetNamespace(rel), o);
}
