/*-------------------------------------------------------------------------
 *
 * trackable.c
 *	  What can be tracked, and with which settings: everything that
 *	  tide.track refuses, with the reason and what to do about it.
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
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "table/catalog.h"
#include "table/registry.h"
#include "table/scope_path.h"
#include "track/trackable.h"
#include "util/compat.h"
#include "util/settings.h"
#include "version/clocks.h"

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
 * A partition, of those that the root has or of one that it gets: its rows
 * are rows of the root.
 */
void
trackable_check_partition(Relation root, Relation partition)
{
	const char *problem = NULL;

	if (partition->rd_rel->relkind == RELKIND_FOREIGN_TABLE)
		problem = "is a foreign table: what others change there goes unnoticed";
	else if (partition->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		problem = "is temporary or unlogged: its rows can vanish without a trace that clients could be told of";
	if (problem)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("partition \"%s\" of \"%s\" cannot be synced: it %s",
						RelationGetRelationName(partition), RelationGetRelationName(root),
						problem),
				 errhint("Make it an ordinary table, or keep it out of \"%s\".",
						 RelationGetRelationName(root))));
}

/* the table and all below it, locked, each one fit to be in it */
static void
check_partitions(Relation root)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(RelationGetRelid(root), ShareRowExclusiveLock, NULL))
	{
		Relation	partition = relation_open(lfirst_oid(lc), NoLock);

		trackable_check_partition(root, partition);
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
			   "Views, foreign tables and the like have no rows of their own; track the table behind it.");
	if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		refuse(rel, ERRCODE_WRONG_OBJECT_TYPE, "it is temporary or unlogged",
			   "Its rows can vanish without a trace that clients could be told of; use a permanent table.");
	if (IsCatalogNamespace(RelationGetNamespace(rel)))
		refuse(rel, ERRCODE_WRONG_OBJECT_TYPE, "it is a system catalog",
			   "Track a table of your own.");
	if (strcmp(get_namespace_name(RelationGetNamespace(rel)), TIDE_SCHEMA) == 0)
		refuse(rel, ERRCODE_WRONG_OBJECT_TYPE, "it is pg_tide's own",
			   "Track a table of your own.");
	if (relation_is_inherited(rel))
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "it inherits from a table, or another inherits from it",
			   "Rows of inheritance children would be missed; use a table without inheritance.");
}

/*
 * The log, tombstones and cursors go by the text of keys and scopes, the tables
 * by their type's equality: equal values must look equal.  That is what
 * B-tree's deduplication asks of a type, too; and a numeric or char has one way
 * to be written once its scale or length is fixed.
 */
static bool
looks_as_it_compares(Oid opfamily, Oid opcintype, Oid collation, Form_pg_attribute att)
{
	Oid			proc = get_opfamily_proc(opfamily, opcintype, opcintype, BTEQUALIMAGE_PROC);

	if (att->atttypid == NUMERICOID)
		return att->atttypmod >= 0;
	if (att->atttypid == BPCHAROID) /* all of one length */
		return att->atttypmod >= 0 && get_collation_isdeterministic(collation);
	return OidIsValid(proc) &&
		DatumGetBool(OidFunctionCall1Coll(proc, collation, ObjectIdGetDatum(opcintype)));
}

/* the primary key's columns; their types must allow = ANY (array) */
List *
trackable_check_key(Relation rel)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		int			i;

		/* that of a partitioned table is not, while a partition lacks it */
		if (index->rd_index->indisprimary && index->rd_index->indisvalid)
			for (i = 0; i < index->rd_index->indnkeyatts; i++)
			{
				Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel),
													  index->rd_index->indkey.values[i] - 1);

#if PG_VERSION_NUM >= 180000
				if (att->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
					refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
						   "its primary key has a virtual generated column",
						   "Use a stored column as key.");
#endif
				if (OidIsValid(get_element_type(getBaseType(att->atttypid))) ||
					!OidIsValid(get_array_type(att->atttypid)))
					refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
						   "its primary key has a column that is an array or has no array type",
						   "Use a key of plain types such as uuid, bigint or text.");
				if (!looks_as_it_compares(index->rd_opfamily[i], index->rd_opcintype[i],
										  index->rd_indcollation[i], att))
					refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
						   psprintf("equal values of its key \"%s\" can be written in several ways",
									NameStr(att->attname)),
						   "Use a key of a plain type such as uuid, bigint or text.");
				names = lappend(names, pstrdup(NameStr(att->attname)));
			}
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
 * The column of a setting: the one named, else the first of two usual names
 * that the table has, else one to add.
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
		named = pstrdup(o->camel ? snake : camel);
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
	o->added = lappend(o->added, clause);
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

void
trackable_settle_columns(Relation rel, TrackOptions *o)
{
	Form_pg_attribute att;

	o->modified_at = settle_column(rel, o, "modified_at", o->modified_at,
								   "lastModifiedAt", "last_modified_at",
								   "pg_catalog.timestamptz");
	o->client_id = settle_column(rel, o, "client_id", o->client_id,
								 "clientId", "client_id", "pg_catalog.text");
	o->version = settle_column(rel, o, "version", o->version, NULL, NULL,
							   "pg_catalog.int4");
	o->deleted_at = settle_column(rel, o, "deleted_at", o->deleted_at, NULL, NULL,
								  "pg_catalog.timestamptz");
	if (o->conflict && strcmp(o->conflict, "merge") == 0)
	{
		(void) settle_column(rel, o, "the stamps of its columns", pstrdup(CLOCKS_COLUMN),
							 NULL, NULL, "pg_catalog.jsonb");
		if ((att = relation_column(rel, CLOCKS_COLUMN)) != NULL)
			check_column_type(rel, "column of columns' stamps", CLOCKS_COLUMN,
							  att->atttypid == JSONBOID && !att->attnotnull &&
							  !att->attgenerated,
							  "jsonb, nullable and not generated");
	}

	if ((att = relation_column(rel, o->modified_at)) != NULL)
		check_column_type(rel, "modified_at", o->modified_at,
						  (att->atttypid == TIMESTAMPTZOID || att->atttypid == TIMESTAMPOID) &&
						  !att->attgenerated,
						  "a timestamp with or without time zone that is not generated");
	if ((att = relation_column(rel, o->client_id)) != NULL)
		check_column_type(rel, "client_id", o->client_id,
						  (att->atttypid == TEXTOID || att->atttypid == VARCHAROID) &&
						  !att->attnotnull && !att->attgenerated,
						  "text or varchar, nullable (NULL is the server) and not generated");
	if (o->version && (att = relation_column(rel, o->version)) != NULL)
		check_column_type(rel, "version", o->version,
						  (att->atttypid == INT8OID || att->atttypid == INT4OID ||
						   att->atttypid == INT2OID) && !att->attgenerated,
						  "an integer that is not generated");
	if (o->deleted_at && (att = relation_column(rel, o->deleted_at)) != NULL)
		check_column_type(rel, "deleted_at", o->deleted_at,
						  (att->atttypid == TIMESTAMPTZOID || att->atttypid == TIMESTAMPOID) &&
						  !att->attnotnull && !att->attgenerated,
						  "a nullable timestamp with or without time zone");
}

/* what the scope is must be fit to be asked for, and to be told by its text */
static void
check_scope_type(Relation rel, Form_pg_attribute att)
{
	TypeCacheEntry *type;

#if PG_VERSION_NUM >= 180000
	if (att->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "its scope is a virtual generated column", "Use a stored column as scope.");
#endif
	if (OidIsValid(get_element_type(getBaseType(att->atttypid))) ||
		!OidIsValid(get_array_type(att->atttypid)))
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
	if (o->shared && o->scope)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a table is either shared or has a scope"),
				 errhint("Leave out one of the two.")));
	if (!o->shared && o->scope == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("whose rows are those of \"%s\"?", RelationGetRelationName(rel)),
				 errhint("Name the column that says so, scope => 'user_id', or make them everybody's, shared => true.")));
	if (o->path)
	{
		check_scope_type(rel, last_column(o->path));
		return;
	}
	if (o->scope_column)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scope_column is for a scope that follows foreign keys"),
				 errhint("Leave it out, or give a path as scope: 'plan_id.user_id'.")));
	if (o->shared)
		return;
	if (relation_column(rel, o->scope) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"%s\" for scope",
						RelationGetRelationName(rel), o->scope),
				 errhint("Name the column that says whose row it is.")));
	check_scope_type(rel, relation_column(rel, o->scope));
}

static bool
name_in_list(List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

static void
check_exclude(Relation rel, TrackOptions *o, List *keys)
{
	ListCell   *lc;

	foreach(lc, o->exclude)
	{
		char	   *name = lfirst(lc);

		if (relation_column(rel, name) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("table \"%s\" has no column \"%s\" to exclude",
							RelationGetRelationName(rel), name),
					 errhint("Names are as in SQL, not as on the wire.")));
		if (name_in_list(keys, name) || strcmp(name, o->modified_at) == 0 ||
			strcmp(name, o->client_id) == 0 ||
			(o->scope && strcmp(name, o->scope) == 0) ||
			(o->version && strcmp(name, o->version) == 0) ||
			(o->deleted_at && strcmp(name, o->deleted_at) == 0))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("column \"%s\" cannot be excluded: sync needs it", name),
					 errhint("The key, the scope, the stamp, the version and the soft-delete column are always synced.")));
	}
}

/* a column has one role, but the key may be the scope */
static void
check_roles(Relation rel, TrackOptions *o, List *keys)
{
	const char *roles[] = {o->modified_at, o->client_id, o->version, o->deleted_at, o->scope};
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
		if (roles[i] != o->scope && name_in_list(keys, roles[i]))
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

	if (!o->camel)
		return;
	for (i = 0; i < desc->natts; i++)
	{
		char	   *a = NameStr(TupleDescAttr(desc, i)->attname);

		if (TupleDescAttr(desc, i)->attisdropped || name_in_list(o->exclude, a))
			continue;
		for (j = 0; j < i; j++)
		{
			char	   *b = NameStr(TupleDescAttr(desc, j)->attname);

			if (!TupleDescAttr(desc, j)->attisdropped && !name_in_list(o->exclude, b) &&
				strcmp(camel_case(a), camel_case(b)) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("columns \"%s\" and \"%s\" are both \"%s\" on the wire",
								b, a, camel_case(a)),
						 errhint("Exclude one of them, or use naming => 'as_is'.")));
		}
	}
}

static void
check_entity_type(TrackOptions *o)
{
	ListCell   *lc;

	if (o->entity_type[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("an entity type needs a name"),
				 errhint("Leave entity_type out to use the table's name.")));
	foreach(lc, registry_all())
	{
		TrackedTable *t = lfirst(lc);

		if (t->relid != o->relid && strcmp(t->entity_type, o->entity_type) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("entity type \"%s\" is already that of table %s",
							o->entity_type, t->sql_name),
					 errhint("Give this table another one with entity_type => '...'.")));
	}
}

/* what the settings say of each other, once the columns are settled */
void
trackable_check_settings(Relation rel, TrackOptions *o, List *keys)
{
	check_roles(rel, o, keys);
	check_exclude(rel, o, keys);
	check_wire_names(rel, o);
	check_entity_type(o);
}
