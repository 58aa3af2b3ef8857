/*-------------------------------------------------------------------------
 *
 * scope_track.c
 *	  What tide.track and tide.untrack do for a scope by foreign keys.
 *
 * They add the column, the triggers on all tables of the path, and the unique
 * indexes that make a change of the path wait, and set the scope of the rows
 * that exist.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_trigger.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "table/catalog.h"
#include "table/registry.h"
#include "table/scope_path.h"
#include "track/scope_track.h"
#include "util/compat.h"
#include "util/owner.h"

#define DEFAULT_SCOPE_COLUMN "tide_scope"

/* part of the names of indexes that we make, so that we recognize them */
#define INDEX_LABEL "tide_path"

static void
run_ddl(const char *sql)
{
	int			code = SPI_execute(sql, false, 0);

	if (code < 0)
		elog(ERROR, "could not run, %s: %s", SPI_result_code_string(code), sql);
}

/* ---------- the column ---------- */

static void
bad_column(Relation rel, const char *name, const char *why, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("column \"%s\" of table \"%s\" cannot hold its scope: %s",
					name, RelationGetRelationName(rel), why),
			 errhint("%s", hint)));
}

static void
check_existing_column(Relation rel, TrackOptions *o, Form_pg_attribute att)
{
	const char *type = format_type_with_typemod(o->path->type, o->path->typmod);
	Bitmapset  *keys = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	int			i;

	if (att->atttypid != o->path->type || att->atttypmod != o->path->typmod)
		bad_column(rel, o->s.scope, psprintf("it is of type %s, and the scope of type %s",
											 format_type_with_typemod(att->atttypid, att->atttypmod), type),
				   "Name another column, or none, with scope_column.");
	if (att->attgenerated || att->attidentity)
		bad_column(rel, o->s.scope, "it is generated",
				   "Name another column, or none, with scope_column.");
	if (bms_is_member(att->attnum - FirstLowInvalidHeapAttributeNumber, keys))
		bad_column(rel, o->s.scope, "it is part of the primary key",
				   "Name another column, or none, with scope_column.");
	for (i = 0; i < o->path->steps[0].ncolumns; i++)
		if (o->path->steps[0].from[i] == att->attnum)
			bad_column(rel, o->s.scope, "the path begins with it",
					   "Name another column, or none, with scope_column.");
}

static char *
collation_name(Oid collation)
{
	HeapTuple	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	Form_pg_collation form;
	char	   *result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	result = quote_qualified_identifier(get_namespace_name(form->collnamespace),
										NameStr(form->collname));
	ReleaseSysCache(tuple);
	return result;
}

static void
add_column(Relation rel, TrackOptions *o)
{
	Oid			type_collation = get_typcollation(o->path->type);
	char	   *clause = psprintf("ADD COLUMN %s %s", quote_identifier(o->s.scope),
								  format_type_extended(o->path->type, o->path->typmod,
													   FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));

	if (OidIsValid(o->path->collation) && o->path->collation != type_collation)
		clause = psprintf("%s COLLATE %s", clause,
						  collation_name(o->path->collation));
	if (!o->add_columns)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"%s\" for its scope",
						RelationGetRelationName(rel), o->s.scope),
				 errhint("ALTER TABLE %s %s;", relation_sql(rel), clause)));
	o->clauses = lappend(o->clauses, clause);
	o->s.added = add_name(o->s.added, o->s.scope);
}

/*
 * o->s.scope is a path.  Resolve it, and choose the column that will hold the
 * scope; o->s.scope names this column from then on.
 */
void
scope_track_settle(Relation rel, TrackOptions *o)
{
	char	   *why;
	Form_pg_attribute att;

	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE || o->s.replicated)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the scope of a table that is partitioned or replicated cannot follow foreign keys"),
				 errhint("Give \"%s\" a column that says whose row it is.", RelationGetRelationName(rel))));
	o->s.scope_path = o->s.scope;
	o->path = scope_path_resolve(RelationGetRelid(rel), o->s.scope_path, &why);
	if (o->path == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scope \"%s\" leads nowhere: %s", o->s.scope_path, why),
				 errhint("Begin with a foreign key column of \"%s\", and end with the column that says whose row it is: 'plan_id.user_id'.",
						 RelationGetRelationName(rel))));
	o->s.scope = o->scope_column ? o->scope_column : pstrdup(DEFAULT_SCOPE_COLUMN);
	att = relation_column(rel, o->s.scope);
	if (att)
		check_existing_column(rel, o, att);
	else
		add_column(rel, o);
	att = TupleDescAttr(RelationGetDescr(rel), o->path->first - 1);
	if (att->attgenerated)
		bad_column(rel, o->s.scope, psprintf("the path begins with \"%s\", which is generated",
											 NameStr(att->attname)),
				   "Begin with a column that is written.");
}

/* ---------- the tables of the path ---------- */

/*
 * Nobody may move their rows until we are done.  Their owner must be us, since
 * we create triggers and indexes on them.
 */
void
scope_track_lock(TrackOptions *o)
{
	int			i;

	for (i = 0; o->path && i < o->path->nsteps; i++)
	{
		Relation	rel = relation_open(o->path->steps[i].relid, ShareRowExclusiveLock);

		if (!tide_owns_table(RelationGetRelid(rel)))
			aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE,
						   RelationGetRelationName(rel));
		if (catalog_is_inherited(rel->rd_rel))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("scope \"%s\" cannot go through \"%s\": it is part of an inheritance tree",
							o->s.scope_path, RelationGetRelationName(rel)),
					 errhint("Use tables without inheritance.")));
		relation_close(rel, NoLock);
	}
}

static void
notice_index(Relation rel, AttrNumber *columns, int n)
{
	StringInfoData names;
	int			i;

	initStringInfo(&names);
	for (i = 0; i < n; i++)
	{
		if (relation_has_index_on(rel, &columns[i], 1))
			return;
		appendStringInfo(&names, "%s%s", i ? ", " : "",
						 quote_identifier(get_attname(RelationGetRelid(rel), columns[i], false)));
	}
	ereport(NOTICE,
			(errmsg("no index serves the foreign key of \"%s\" that a scope follows; when a row moves, the whole table is read",
					RelationGetRelationName(rel)),
			 errhint("CREATE INDEX CONCURRENTLY ON %s (%s);", relation_sql(rel), names.data)));
}

void
scope_track_notice_indexes(TrackOptions *o)
{
	Oid			relid = o->relid;
	int			i;

	for (i = 0; o->path && i < o->path->nsteps; i++)
	{
		Relation	rel = relation_open(relid, NoLock);

		notice_index(rel, o->path->steps[i].from, o->path->steps[i].ncolumns);
		relation_close(rel, NoLock);
		relid = o->path->steps[i].relid;
	}
}

static char *
guard_sql(PathStep *step, const char *name, const char *column)
{
	StringInfoData sql;
	int			i;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "CREATE UNIQUE INDEX ");
	if (name)
		appendStringInfo(&sql, "%s ", quote_identifier(name));
	appendStringInfo(&sql, "ON %s (", step->sql_name);
	for (i = 0; i < step->ncolumns; i++)
		if (strcmp(step->to_names[i], column) != 0)
			appendStringInfo(&sql, "%s, ", step->to_names[i]);
	appendStringInfo(&sql, "%s)", column);
	return sql.data;
}

/*
 * Create a unique index with each column that leads on, where there is
 * none.  The other columns of the index are unique by themselves, so it
 * refuses no row.
 */
static void
guard_step(TrackOptions *o, PathStep *step)
{
	int			i;

	for (i = 0; i < step->nreads; i++)
	{
		Relation	rel = relation_open(step->relid, NoLock);
		bool		guarded = scope_path_is_guarded(rel, step->reads[i]);
		char	   *table = pstrdup(RelationGetRelationName(rel));
		Oid			namespace = RelationGetNamespace(rel);

		relation_close(rel, NoLock);
		if (guarded)
			continue;
		if (!o->add_columns)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("scope \"%s\" needs \"%s\" of table \"%s\" to be in a unique index",
							o->s.scope_path, get_attname(step->relid, step->reads[i], false), table),
					 errhint("%s;", guard_sql(step, NULL, step->read_names[i]))));
		run_ddl(guard_sql(step,
						  ChooseRelationName(table, get_attname(step->relid, step->reads[i], false),
											 INDEX_LABEL, namespace, false),
						  step->read_names[i]));
	}
}

static void
follow_step_triggers(PathStep *step)
{
	if (!OidIsValid(get_trigger_oid(step->relid, PATH_UPDATE_TRIGGER, true)))
		run_ddl(psprintf("CREATE TRIGGER " PATH_UPDATE_TRIGGER " AFTER UPDATE ON %s"
						 " REFERENCING OLD TABLE AS tide_old NEW TABLE AS tide_new"
						 " FOR EACH STATEMENT EXECUTE FUNCTION tide.path()", step->sql_name));
	if (!OidIsValid(get_trigger_oid(step->relid, PATH_DELETE_TRIGGER, true)))
		run_ddl(psprintf("CREATE TRIGGER " PATH_DELETE_TRIGGER " AFTER DELETE ON %s"
						 " REFERENCING OLD TABLE AS tide_old"
						 " FOR EACH STATEMENT EXECUTE FUNCTION tide.path()", step->sql_name));
}

/* for rows that come before what they are found through; needs an SPI connection */
void
scope_track_create_late(const char *table, const char *scope, const char *first)
{
	run_ddl(psprintf("CREATE CONSTRAINT TRIGGER " SCOPE_LATE_TRIGGER
					 " AFTER INSERT OR UPDATE ON %s DEFERRABLE INITIALLY DEFERRED"
					 " FOR EACH ROW WHEN (NEW.%s IS NULL AND NEW.%s IS NOT NULL)"
					 " EXECUTE FUNCTION tide.scope_late()",
					 table, quote_identifier(scope), quote_identifier(first)));
}

/* the triggers of the table itself, and of the tables of its path */
void
scope_track_create(TrackOptions *o, const char *table)
{
	int			i;

	if (o->path == NULL)
		return;
	run_ddl(psprintf("CREATE TRIGGER " SCOPE_TRIGGER " BEFORE INSERT OR UPDATE ON %s"
					 " FOR EACH ROW EXECUTE FUNCTION tide.scope()", table));
	scope_track_create_late(table, o->s.scope, get_attname(o->relid, o->path->first, false));
	for (i = 0; i < o->path->nsteps; i++)
		follow_step_triggers(&o->path->steps[i]);
}

/* ---------- rows that are there ---------- */

/* the user's triggers that an UPDATE would fire: their names, to be quoted */
static List *
update_triggers(Oid relid, bool always)
{
	Relation	rel = relation_open(relid, NoLock);
	List	   *names = NIL;
	int			i;

	for (i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];

		if (!trigger->tgisinternal && TRIGGER_FOR_UPDATE(trigger->tgtype) &&
			trigger->tgenabled == (always ? TRIGGER_FIRES_ALWAYS : TRIGGER_FIRES_ON_ORIGIN))
			names = lappend(names, pstrdup(quote_identifier(trigger->tgname)));
	}
	relation_close(rel, NoLock);
	return names;
}

static void
alter_triggers(const char *table, const char *what, List *names)
{
	ListCell   *lc;

	foreach(lc, names)
		run_ddl(psprintf("ALTER TABLE %s %s TRIGGER %s", table, what, (char *) lfirst(lc)));
}

/*
 * Give each row its scope, and return how many had another one.  As when a
 * column with a default is added, no user trigger fires and no row is hidden.
 */
static uint64
backfill(TrackOptions *o, const char *table)
{
	const char *scope = quote_identifier(o->s.scope);
	char	   *value = scope_path_expression(o->path);
	List	   *triggers = update_triggers(o->relid, false);
	List	   *always = update_triggers(o->relid, true);
	SavedUser	saved;
	uint64		n;

	alter_triggers(table, "DISABLE", triggers);
	alter_triggers(table, "DISABLE", always);
	user_become(GetUserId(), SECURITY_NOFORCE_RLS, &saved);
	run_ddl(psprintf("UPDATE ONLY %s c SET %s = %s"
					 " WHERE (c.%s OPERATOR(pg_catalog.=) %s) IS NOT TRUE"
					 " AND (c.%s IS NOT NULL OR %s IS NOT NULL)",
					 table, scope, value, scope, value, scope, value));
	n = SPI_processed;
	user_restore(&saved);
	alter_triggers(table, "ENABLE", triggers);
	alter_triggers(table, "ENABLE ALWAYS", always);
	return n;
}

/*
 * Call this when the columns exist and the triggers do not yet.  True if a row
 * had a wrong scope.
 */
bool
scope_track_prepare(TrackOptions *o, const char *table)
{
	int			i;

	if (o->path == NULL)
		return false;
	for (i = 0; i < o->path->nsteps; i++)
		guard_step(o, &o->path->steps[i]);
	return backfill(o, table) > 0;
}

/* ---------- leaving ---------- */

/* the tables of a path, for scope_track_leave */
List *
scope_track_tables(const ScopePath *path)
{
	List	   *result = NIL;
	int			i;

	for (i = 0; path && i < path->nsteps; i++)
		result = lappend_oid(result, path->steps[i].relid);
	return result;
}

/*
 * does a path of any table go through this one, as far as it can be resolved?
 */
static bool
is_visited(Oid relid)
{
	ListCell   *lc;

	foreach(lc, registry_with_paths())
	{
		TrackedTable *t = lfirst(lc);

		if (t->scope_path && (t->path == NULL || scope_path_visits(t->path, relid)))
			return true;
	}
	return false;
}

/*
 * Does any foreign key rely on the index? pg_depend tells, and has an index
 * on the referenced object.
 */
static bool
is_referred_to(Oid index)
{
	Relation	rel = table_open(DependRelationId, AccessShareLock);
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result = false;

	ScanKeyInit(&key[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&key[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(index));
	scan = systable_beginscan(rel, DependReferenceIndexId, true, NULL, 2, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		result |= ((Form_pg_depend) GETSTRUCT(tuple))->classid == ConstraintRelationId;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

/* does a name end as ChooseRelationName() lets those of our indexes end? */
static bool
is_our_name(const char *name)
{
	size_t		digits = strlen(name);
	size_t		label = strlen("_" INDEX_LABEL);

	while (digits > 0 && isdigit((unsigned char) name[digits - 1]))
		digits--;
	return digits > label && strncmp(name + digits - label, "_" INDEX_LABEL, label) == 0;
}

/*
 * Have we made the index?  Of the user's own, one can have such a name by
 * chance, because a column has it; it is not unique, or a constraint's, or
 * something else that guard_sql() does not write.
 */
static bool
is_our_index(Oid indexid)
{
	Relation	index = index_open(indexid, AccessShareLock);
	bool		result = is_our_name(RelationGetRelationName(index)) &&
		index->rd_index->indisunique && !index->rd_index->indisprimary &&
		index->rd_index->indnatts == index->rd_index->indnkeyatts &&
		RelationGetIndexExpressions(index) == NIL &&
		RelationGetIndexPredicate(index) == NIL &&
		!OidIsValid(get_index_constraint(indexid));

	index_close(index, NoLock);
	return result;
}

/* the unique indexes that we made, qualified and quoted */
static List *
our_indexes(Oid relid)
{
	Relation	rel = relation_open(relid, NoLock);
	List	   *names = NIL;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Oid			index = lfirst_oid(lc);

		if (is_our_index(index) && !is_referred_to(index))
			names = lappend(names,
							quote_qualified_identifier(get_namespace_name(get_rel_namespace(index)),
													   get_rel_name(index)));
	}
	relation_close(rel, NoLock);
	return names;
}

/* remove what we put on tables that no path goes through any more */
void
scope_track_leave(List *tables)
{
	ListCell   *lc,
			   *li;

	foreach(lc, tables)
	{
		Oid			relid = lfirst_oid(lc);
		Relation	rel;
		char	   *table;

		if (is_visited(relid) ||
			(rel = try_relation_open(relid, ShareRowExclusiveLock)) == NULL)
			continue;
		table = relation_sql(rel);
		relation_close(rel, NoLock);
		if (OidIsValid(get_trigger_oid(relid, PATH_UPDATE_TRIGGER, true)))
			run_ddl(psprintf("DROP TRIGGER " PATH_UPDATE_TRIGGER " ON %s", table));
		if (OidIsValid(get_trigger_oid(relid, PATH_DELETE_TRIGGER, true)))
			run_ddl(psprintf("DROP TRIGGER " PATH_DELETE_TRIGGER " ON %s", table));
		foreach(li, our_indexes(relid))
			run_ddl(psprintf("DROP INDEX %s", (char *) lfirst(li)));
	}
}
