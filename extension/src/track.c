/*-------------------------------------------------------------------------
 *
 * track.c
 *	  tide.track, tide.untrack, tide.tracked.
 *
 * Tracking a table is DDL, run with the caller's rights: columns for the stamp
 * where they are missing, and triggers.  The arguments of the stamp trigger
 * are the settings, see registry.c.
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
#include "utils/typcache.h"

#include "compat.h"
#include "changelog.h"
#include "records.h"
#include "decide.h"
#include "pg_tide.h"
#include "registry.h"

PG_FUNCTION_INFO_V1(tide_track);
PG_FUNCTION_INFO_V1(tide_untrack);
PG_FUNCTION_INFO_V1(tide_tracked_tables);

typedef struct TrackOptions
{
	Oid			relid;
	char	   *entity_type;
	char	   *scope;
	bool		shared;
	char	   *modified_at;
	char	   *client_id;
	char	   *version;
	char	   *deleted_at;
	char	   *conflict;		/* NULL: last_write_wins */
	bool		camel;
	bool		utc;
	List	   *exclude;		/* of char * */
	bool		add_columns;
	List	   *added;			/* "ADD COLUMN ..." to be run */
} TrackOptions;

/* ---------- DDL as the caller ---------- */

static void
run_ddl(const char *sql)
{
	int			code = SPI_execute(sql, false, 0);

	if (code < 0)
		elog(ERROR, "could not run, %s: %s", SPI_result_code_string(code), sql);
}

static char *
relation_sql(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

static void
check_owner(Relation rel)
{
	if (!tide_owns_table(RelationGetRelid(rel)))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE,
					   RelationGetRelationName(rel));
}

/* ---------- what can be tracked ---------- */

static void
refuse(Relation rel, int code, const char *why, const char *hint)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("cannot track \"%s\": %s", RelationGetRelationName(rel), why),
			 errhint("%s", hint)));
}

static void
check_relation(Relation rel)
{
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ||
		rel->rd_rel->relispartition)
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "partitioned tables and partitions are not supported yet",
			   "Track a table that is not partitioned.");
	if (rel->rd_rel->relkind != RELKIND_RELATION)
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
	if (registry_is_inherited(rel))
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
static List *
check_primary_key(Relation rel)
{
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		int			i;

		if (index->rd_index->indisprimary)
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

static Form_pg_attribute
find_column(Relation rel, const char *name)
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
		if (find_column(rel, camel))
			return pstrdup(camel);
		if (find_column(rel, snake))
			return pstrdup(snake);
		named = pstrdup(o->camel ? snake : camel);
	}
	if (find_column(rel, named))
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
						format_type_be(find_column(rel, name)->atttypid)),
				 errhint("It has to be %s.", wanted)));
}

static void
settle_columns(Relation rel, TrackOptions *o)
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

	if ((att = find_column(rel, o->modified_at)) != NULL)
		check_column_type(rel, "modified_at", o->modified_at,
						  (att->atttypid == TIMESTAMPTZOID || att->atttypid == TIMESTAMPOID) &&
						  !att->attgenerated,
						  "a timestamp with or without time zone that is not generated");
	if ((att = find_column(rel, o->client_id)) != NULL)
		check_column_type(rel, "client_id", o->client_id,
						  (att->atttypid == TEXTOID || att->atttypid == VARCHAROID) &&
						  !att->attnotnull && !att->attgenerated,
						  "text or varchar, nullable (NULL is the server) and not generated");
	if (o->version && (att = find_column(rel, o->version)) != NULL)
		check_column_type(rel, "version", o->version,
						  (att->atttypid == INT8OID || att->atttypid == INT4OID ||
						   att->atttypid == INT2OID) && !att->attgenerated,
						  "an integer that is not generated");
	if (o->deleted_at && (att = find_column(rel, o->deleted_at)) != NULL)
		check_column_type(rel, "deleted_at", o->deleted_at,
						  (att->atttypid == TIMESTAMPTZOID || att->atttypid == TIMESTAMPOID) &&
						  !att->attnotnull && !att->attgenerated,
						  "a nullable timestamp with or without time zone");
}

static void
check_scope(Relation rel, TrackOptions *o)
{
	TypeCacheEntry *type;

	if (o->shared && o->scope)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a table is either shared or has a scope"),
				 errhint("Leave out one of the two.")));
	if (o->shared)
		return;
	if (o->scope == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("whose rows are those of \"%s\"?", RelationGetRelationName(rel)),
				 errhint("Name the column that says so, scope => 'user_id', or make them everybody's, shared => true.")));
	if (find_column(rel, o->scope) == NULL)
	{
		if (strchr(o->scope, '.'))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("a scope by foreign keys, \"%s\", is not supported yet", o->scope),
					 errhint("Name a column of \"%s\" itself.", RelationGetRelationName(rel))));
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"%s\" for scope",
						RelationGetRelationName(rel), o->scope),
				 errhint("Name the column that says whose row it is.")));
	}
#if PG_VERSION_NUM >= 180000
	if (find_column(rel, o->scope)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "its scope is a virtual generated column", "Use a stored column as scope.");
#endif
	if (OidIsValid(get_element_type(getBaseType(find_column(rel, o->scope)->atttypid))) ||
		!OidIsValid(get_array_type(find_column(rel, o->scope)->atttypid)))
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "its scope is an array or of a type without array type",
			   "Use a scope of a plain type such as uuid, bigint or text.");
	type = lookup_type_cache(getBaseType(find_column(rel, o->scope)->atttypid),
							 TYPECACHE_EQ_OPR | TYPECACHE_BTREE_OPFAMILY);
	if (!OidIsValid(type->btree_opf) ||
		!looks_as_it_compares(type->btree_opf, type->btree_opintype,
							  find_column(rel, o->scope)->attcollation,
							  find_column(rel, o->scope)))
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "equal values of its scope can be written in several ways",
			   "Use a scope of a plain type such as uuid, bigint or text.");
	if (type->eq_opr >= FirstNormalObjectId)
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "its scope is of a type whose equality is not PostgreSQL's own",
			   "Use a scope of a plain type such as uuid, bigint or text.");
}

static bool
in_list(List *names, const char *name)
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

		if (find_column(rel, name) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("table \"%s\" has no column \"%s\" to exclude",
							RelationGetRelationName(rel), name),
					 errhint("Names are as in SQL, not as on the wire.")));
		if (in_list(keys, name) || strcmp(name, o->modified_at) == 0 ||
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
		if (roles[i] != o->scope && in_list(keys, roles[i]))
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

		if (TupleDescAttr(desc, i)->attisdropped || in_list(o->exclude, a))
			continue;
		for (j = 0; j < i; j++)
		{
			char	   *b = NameStr(TupleDescAttr(desc, j)->attname);

			if (!TupleDescAttr(desc, j)->attisdropped && !in_list(o->exclude, b) &&
				strcmp(registry_camel(a), registry_camel(b)) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("columns \"%s\" and \"%s\" are both \"%s\" on the wire",
								b, a, registry_camel(a)),
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

/* ---------- options ---------- */

static char *
text_option(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

static char *
name_option(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : pstrdup(NameStr(*PG_GETARG_NAME(n)));
}

static void
check_conflict_option(const char *conflict)
{
	if (conflict == NULL || strcmp(conflict, "last_write_wins") == 0 ||
		strcmp(conflict, "client_wins") == 0 || strcmp(conflict, "server_wins") == 0)
		return;
	if (strcmp(conflict, "merge") == 0 || strchr(conflict, '.'))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("conflict policy \"%s\" is not supported yet", conflict),
				 errhint("Use 'last_write_wins', 'client_wins' or 'server_wins'.")));
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown conflict policy \"%s\"", conflict),
			 errhint("Use 'last_write_wins', 'client_wins' or 'server_wins'.")));
}

static void
read_options(FunctionCallInfo fcinfo, TrackOptions *o)
{
	char	   *naming = text_option(fcinfo, 9);

	memset(o, 0, sizeof(*o));
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("which table is to be tracked?"),
				 errhint("Name it: SELECT tide.track('workouts', scope => 'user_id').")));
	o->relid = PG_GETARG_OID(0);
	o->entity_type = text_option(fcinfo, 1);
	o->scope = text_option(fcinfo, 2);
	o->shared = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	o->conflict = text_option(fcinfo, 4);
	check_conflict_option(o->conflict);
	o->modified_at = name_option(fcinfo, 5);
	o->client_id = name_option(fcinfo, 6);
	o->version = name_option(fcinfo, 7);
	o->deleted_at = name_option(fcinfo, 8);
	if (naming && strcmp(naming, "camel") != 0 && strcmp(naming, "as_is") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown naming \"%s\"", naming),
				 errhint("Use 'as_is' or 'camel'.")));
	o->camel = naming && strcmp(naming, "camel") == 0;
	o->utc = PG_ARGISNULL(10) || PG_GETARG_BOOL(10);
	if (!PG_ARGISNULL(11))
	{
		Datum	   *elements;
		bool	   *nulls;
		int			n,
					i;

		deconstruct_array(PG_GETARG_ARRAYTYPE_P(11), NAMEOID, NAMEDATALEN, false,
						  TYPALIGN_CHAR, &elements, &nulls, &n);
		for (i = 0; i < n; i++)
			if (!nulls[i])
				o->exclude = lappend(o->exclude,
									 pstrdup(NameStr(*DatumGetName(elements[i]))));
	}
	if (!PG_ARGISNULL(12))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("scope_column is for scopes by foreign keys, which are not supported yet"),
				 errhint("Leave it out.")));
	o->add_columns = PG_ARGISNULL(13) || PG_GETARG_BOOL(13);
}

/* ---------- triggers ---------- */

static void
drop_triggers(Oid relid, const char *table)
{
	static const char *const names[] = {STAMP_TRIGGER, INSERT_TRIGGER,
	UPDATE_TRIGGER, DELETE_TRIGGER, TRUNCATE_TRIGGER};
	int			i;

	for (i = 0; i < lengthof(names); i++)
		if (OidIsValid(get_trigger_oid(relid, names[i], true)))
			run_ddl(psprintf("DROP TRIGGER %s ON %s", names[i], table));
}

static void
add_argument(StringInfo args, const char *name, const char *value)
{
	if (value)
		appendStringInfo(args, "%s%s", args->len ? ", " : "",
						 quote_literal_cstr(psprintf("%s=%s", name, value)));
}

static void
create_triggers(const char *table, TrackOptions *o, int32 reg, List *keys)
{
	static const struct
	{
		const char *name;
		const char *event;
		const char *tables;
	}			captures[] = {
		{INSERT_TRIGGER, "AFTER INSERT", "REFERENCING NEW TABLE AS tide_new"},
		{UPDATE_TRIGGER, "AFTER UPDATE", "REFERENCING OLD TABLE AS tide_old NEW TABLE AS tide_new"},
		{DELETE_TRIGGER, "AFTER DELETE", "REFERENCING OLD TABLE AS tide_old"},
		{TRUNCATE_TRIGGER, "BEFORE TRUNCATE", ""}
	};
	StringInfoData args;
	ListCell   *lc;
	int			i;

	initStringInfo(&args);
	add_argument(&args, "reg", psprintf("%d", reg));
	add_argument(&args, "entity_type", o->entity_type);
	foreach(lc, keys)
		add_argument(&args, "key", lfirst(lc));
	add_argument(&args, "scope", o->scope);
	add_argument(&args, "shared", o->shared ? "true" : NULL);
	if (o->conflict && strcmp(o->conflict, "last_write_wins") != 0)
		add_argument(&args, "conflict", o->conflict);
	add_argument(&args, "modified_at", o->modified_at);
	add_argument(&args, "client_id", o->client_id);
	add_argument(&args, "version", o->version);
	add_argument(&args, "deleted_at", o->deleted_at);
	add_argument(&args, "naming", o->camel ? "camel" : NULL);
	add_argument(&args, "utc", o->utc ? NULL : "false");
	foreach(lc, o->exclude)
		add_argument(&args, "exclude", lfirst(lc));

	run_ddl(psprintf("CREATE TRIGGER %s BEFORE INSERT OR UPDATE ON %s"
					 " FOR EACH ROW EXECUTE FUNCTION tide.stamp(%s)",
					 STAMP_TRIGGER, table, args.data));
	for (i = 0; i < lengthof(captures); i++)
		run_ddl(psprintf("CREATE TRIGGER %s %s ON %s %s"
						 " FOR EACH STATEMENT EXECUTE FUNCTION tide.capture()",
						 captures[i].name, captures[i].event, table,
						 captures[i].tables));
}

/* ---------- track ---------- */

/* is there an index that begins with the scope column? */
static void
notice_missing_index(Relation rel, TrackOptions *o, List *keys)
{
	AttrNumber	scope;
	StringInfoData columns;
	ListCell   *lc;

	if (o->shared)
		return;
	scope = find_column(rel, o->scope)->attnum;
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		bool		serves = index->rd_index->indkey.values[0] == scope &&
		index->rd_index->indisvalid &&
		RelationGetIndexPredicate(index) == NIL;

		index_close(index, AccessShareLock);
		if (serves)
			return;
	}
	initStringInfo(&columns);
	appendStringInfoString(&columns, quote_identifier(o->scope));
	foreach(lc, keys)
	{
		if (strcmp(lfirst(lc), o->scope) != 0)
			appendStringInfo(&columns, ", %s", quote_identifier(lfirst(lc)));
	}
	ereport(NOTICE,
			(errmsg("no index serves the scope of \"%s\"; a first pull reads the whole table",
					RelationGetRelationName(rel)),
			 errhint("CREATE INDEX CONCURRENTLY ON %s (%s);",
					 relation_sql(rel), columns.data)));
}

/* the settings by which a client's cursor covers the table are the same? */
static bool
same_coverage(TrackedTable *t, TrackOptions *o, List *keys)
{
	ListCell   *lc;
	int			i = 0;

	if (t->broken || t->shared != o->shared || t->nkeys != list_length(keys))
		return false;
	if (!o->shared &&
		strcmp(tracked_column(t, t->scope)->name, o->scope) != 0)
		return false;
	foreach(lc, keys)
	{
		if (strcmp(tracked_column(t, t->keys[i++])->name, lfirst(lc)) != 0)
			return false;
	}
	return true;
}

static void
add_missing_columns(const char *table, TrackOptions *o)
{
	StringInfoData sql;
	ListCell   *lc;

	if (o->added == NIL)
		return;
	initStringInfo(&sql);
	appendStringInfo(&sql, "ALTER TABLE %s ", table);
	foreach(lc, o->added)
		appendStringInfo(&sql, "%s%s", lc == list_head(o->added) ? "" : ", ",
						 (char *) lfirst(lc));
	run_ddl(sql.data);
}

Datum
tide_track(PG_FUNCTION_ARGS)
{
	TrackOptions o;
	Relation	rel;
	char	   *table;
	List	   *keys;
	TrackedTable *before;
	int32		reg;
	bool		fresh;

	read_options(fcinfo, &o);

	/* what CREATE TRIGGER takes; ADD COLUMN takes more when it comes to that */
	rel = relation_open(o.relid, ShareRowExclusiveLock);
	check_owner(rel);
	check_relation(rel);
	if (o.entity_type == NULL)
		o.entity_type = pstrdup(RelationGetRelationName(rel));
	keys = check_primary_key(rel);
	check_scope(rel, &o);
	settle_columns(rel, &o);
	check_roles(rel, &o, keys);
	check_exclude(rel, &o, keys);
	check_wire_names(rel, &o);
	check_entity_type(&o);
	notice_missing_index(rel, &o, keys);
	table = relation_sql(rel);
	relation_close(rel, NoLock);	/* the lock stays; DDL wants no other user */

	before = registry_lookup(o.relid);
	fresh = !before->tracked || !same_coverage(before, &o, keys);
	if (!fresh)
		reg = before->reg;
	else
	{
		/* a restored database has numbers that the sequence does not know */
		int32		largest = registry_largest_reg();

		do
			reg = changelog_next_reg();
		while (reg <= largest);
	}

	SPI_connect();
	add_missing_columns(table, &o);
	drop_triggers(o.relid, table);
	create_triggers(table, &o, reg, keys);
	SPI_finish();

	if (fresh)
		changelog_append(registry_require(o.relid), NULL, NULL, NULL, 0);
	PG_RETURN_VOID();
}

Datum
tide_untrack(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	bool		drop_columns = PG_GETARG_BOOL(1);
	Relation	rel = relation_open(relid, ShareRowExclusiveLock);
	TrackedTable *t;
	char	   *table;

	check_owner(rel);
	t = registry_lookup(relid);
	if (!t->tracked)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not tracked", RelationGetRelationName(rel)),
				 errhint("The view tide.tracked lists the tracked tables.")));
	table = relation_sql(rel);
	relation_close(rel, NoLock);

	SPI_connect();
	drop_triggers(relid, table);
	if (drop_columns)
	{
		StringInfoData sql;

		initStringInfo(&sql);
		appendStringInfo(&sql, "ALTER TABLE %s", table);
		if (t->modified_at)
			appendStringInfo(&sql, " DROP COLUMN %s",
							 quote_identifier(tracked_column(t, t->modified_at)->name));
		if (t->client_id)
			appendStringInfo(&sql, "%s DROP COLUMN %s", t->modified_at ? "," : "",
							 quote_identifier(tracked_column(t, t->client_id)->name));
		if (t->modified_at || t->client_id)
			run_ddl(sql.data);
	}
	SPI_finish();
	PG_RETURN_VOID();
}

/* ---------- the view tide.tracked ---------- */

static void
set_name(Datum *values, bool *nulls, int n, TrackedTable *t, AttrNumber attnum)
{
	nulls[n] = !AttributeNumberIsValid(attnum);
	if (!nulls[n])
		values[n] = DirectFunctionCall1(namein,
										CStringGetDatum(tracked_column(t, attnum)->name));
}

static Datum
excluded_names(TrackedTable *t)
{
	Datum	   *names = palloc(sizeof(Datum) * Max(t->ncolumns, 1));
	int			n = 0;
	int			i;

	for (i = 0; i < t->ncolumns; i++)
		if (!t->columns[i].dropped && t->columns[i].excluded)
			names[n++] = DirectFunctionCall1(namein, CStringGetDatum(t->columns[i].name));
	return PointerGetDatum(construct_array(names, n, NAMEOID, NAMEDATALEN, false,
										   TYPALIGN_CHAR));
}

Datum
tide_tracked_tables(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	tide_init_materialized_srf(fcinfo);
	foreach(lc, registry_all())
	{
		TrackedTable *t = lfirst(lc);
		Datum		values[14] = {0};
		bool		nulls[14] = {false};

		values[0] = ObjectIdGetDatum(t->relid);
		values[1] = CStringGetTextDatum(t->entity_type);
		set_name(values, nulls, 2, t, t->scope);
		values[3] = BoolGetDatum(t->shared);
		values[4] = CStringGetTextDatum(t->policy == POLICY_CLIENT_WINS ? "client_wins" :
										t->policy == POLICY_SERVER_WINS ? "server_wins" :
										"last_write_wins");
		set_name(values, nulls, 5, t, t->modified_at);
		set_name(values, nulls, 6, t, t->client_id);
		set_name(values, nulls, 7, t, t->version);
		set_name(values, nulls, 8, t, t->deleted_at);
		values[9] = CStringGetTextDatum(t->camel ? "camel" : "as_is");
		values[10] = BoolGetDatum(t->utc);
		values[11] = excluded_names(t);
		values[12] = Int32GetDatum(t->reg);
		nulls[13] = !t->broken;
		if (t->broken)
			values[13] = CStringGetTextDatum(t->broken_why);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
