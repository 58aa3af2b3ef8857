/*-------------------------------------------------------------------------
 *
 * track.c
 *	  tide.track, tide.untrack, tide.tracked.
 *
 * Tracking a table is DDL, run with the caller's rights: columns for the stamp
 * where they are missing, and triggers.  The arguments of the stamp trigger
 * are the settings, see setting.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_type.h"
#include "commands/comment.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "cursor/standby.h"
#include "log/changelog.h"
#include "table/catalog.h"
#include "table/form.h"
#include "table/names.h"
#include "table/registry.h"
#include "table/resolver.h"
#include "table/trust.h"
#include "track/advice.h"
#include "track/partitions.h"
#include "track/restored.h"
#include "track/scope_track.h"
#include "track/trackable.h"
#include "track/triggers.h"
#include "util/compat.h"
#include "util/settings.h"

PG_FUNCTION_INFO_V1(tide_track);
PG_FUNCTION_INFO_V1(tide_untrack);
PG_FUNCTION_INFO_V1(tide_tracked_tables);


/* ---------- DDL as the caller ---------- */

static void
run_ddl(const char *sql)
{
	int			code = SPI_execute(sql, false, 0);

	if (code < 0)
		elog(ERROR, "could not run, %s: %s", SPI_result_code_string(code), sql);
}

static void
check_owner(Relation rel)
{
	if (!tide_owns_table(RelationGetRelid(rel)))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE,
					   RelationGetRelationName(rel));
}

/*
 * Every pull runs the policies of the table, and so functions of its owner's
 * choice, with the claims of whoever pulls.
 */
static void
check_trusted(Relation rel)
{
	char	   *owner;

	if (trust_owner(rel->rd_rel->relowner))
		return;
	owner = GetUserNameFromId(rel->rd_rel->relowner, false);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("owner \"%s\" of table \"%s\" is not trusted to have tables synced",
					owner, RelationGetRelationName(rel)),
			 errdetail("Every pull runs policies of the table's owner with the claims of whoever pulls."),
			 errhint("As a superuser: GRANT EXECUTE ON FUNCTION tide.trusted() TO %s;",
					 quote_identifier(owner))));
}

/* ---------- options ---------- */

static char *
name_option(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : pstrdup(NameStr(*PG_GETARG_NAME(n)));
}

/*
 * the name of a resolver, qualified and quoted; raises an error if it cannot
 * be one
 */
static char *
check_resolver(const char *name, Oid table_owner)
{
	Resolver	r = resolver_find(name, table_owner);

	if (r.problem)
		ereport(ERROR,
				(errcode(r.sqlstate), errmsg("%s", r.problem), errhint("%s", r.hint)));
	return quote_qualified_identifier(get_namespace_name(get_func_namespace(r.function)),
									  get_func_name(r.function));
}

static char *
check_conflict_option(char *conflict, Oid table_owner)
{
	ConflictPolicy policy;

	if (conflict == NULL)
		return NULL;
	if (!policy_by_name(conflict, &policy))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown conflict policy \"%s\"", conflict),
				 errhint("Use 'last_write_wins', 'client_wins', 'server_wins', 'merge', or the name of a function with its schema.")));
	if (policy == POLICY_LAST_WRITE_WINS)
		return NULL;
	return policy == POLICY_RESOLVER ? check_resolver(conflict, table_owner) : conflict;
}

static void
read_options(FunctionCallInfo fcinfo, TrackOptions *o)
{
	char	   *naming = tide_text_argument(fcinfo, 9);

	memset(o, 0, sizeof(*o));
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the table to track must not be null"),
				 errhint("Name it: SELECT tide.track('workouts', scope => 'user_id').")));
	o->relid = PG_GETARG_OID(0);
	o->s.entity_type = tide_text_argument(fcinfo, 1);
	o->s.scope = tide_text_argument(fcinfo, 2);
	o->s.shared = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	o->s.conflict = tide_text_argument(fcinfo, 4);	/* checked with the table */
	o->s.modified_at = name_option(fcinfo, 5);
	o->s.client_id = name_option(fcinfo, 6);
	o->s.version = name_option(fcinfo, 7);
	o->s.deleted_at = name_option(fcinfo, 8);
	if (naming && strcmp(naming, "camel") != 0 && strcmp(naming, "as_is") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown naming \"%s\"", naming),
				 errhint("Use 'as_is' or 'camel'.")));
	o->s.camel = naming && strcmp(naming, "camel") == 0;
	o->s.utc = PG_ARGISNULL(10) || PG_GETARG_BOOL(10);
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
				o->s.exclude = lappend(o->s.exclude,
									   pstrdup(NameStr(*DatumGetName(elements[i]))));
	}
	o->scope_column = name_option(fcinfo, 12);
	o->add_columns = PG_ARGISNULL(13) || PG_GETARG_BOOL(13);
	o->s.replicated = !PG_ARGISNULL(14) && PG_GETARG_BOOL(14);
}

/* ---------- triggers ---------- */

static void
drop_triggers(Oid relid, const char *table)
{
	static const char *const names[] = {STAMP_TRIGGER, INSERT_TRIGGER, UPDATE_TRIGGER,
		DELETE_TRIGGER, TRUNCATE_TRIGGER, ROW_TRIGGER, FLUSH_TRIGGER, SCOPE_TRIGGER,
	SCOPE_LATE_TRIGGER};
	int			i;

	for (i = 0; i < lengthof(names); i++)
		if (OidIsValid(get_trigger_oid(relid, names[i], true)))
			run_ddl(psprintf("DROP TRIGGER %s ON %s", names[i], table));
	partitions_drop_triggers(relid);
}

/* how the values of the key and of the scope are written, see form.c */
static List *
forms_of(Oid relid, TableSettings *settings)
{
	List	   *names = list_copy(settings->keys);
	List	   *result = NIL;
	ListCell   *lc;

	if (settings->scope)
		names = lappend(names, settings->scope);
	foreach(lc, names)
	{
		HeapTuple	tuple = SearchSysCacheAttName(relid, lfirst(lc));
		Form_pg_attribute att;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "column \"%s\" of relation %u does not exist", (char *) lfirst(lc), relid);
		att = (Form_pg_attribute) GETSTRUCT(tuple);
		result = lappend(result, type_form(att->atttypid, att->atttypmod));
		ReleaseSysCache(tuple);
	}
	return result;
}

static void
create_trigger(const char *table, const char *name, bool always, const char *event,
			   const char *action)
{
	run_ddl(psprintf("CREATE TRIGGER %s %s ON %s %s", name, event, table, action));
	if (always)
		run_ddl(psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s", table, name));
}

static void
create_triggers(const char *table, bool partitioned, TrackOptions *o)
{
	create_trigger(table, STAMP_TRIGGER, o->s.replicated, "BEFORE INSERT OR UPDATE",
				   psprintf("FOR EACH ROW EXECUTE FUNCTION tide.stamp(%s)",
							settings_arguments(&o->s)));
	if (partitioned || o->s.replicated)
	{
		create_trigger(table, ROW_TRIGGER, o->s.replicated, "AFTER INSERT OR UPDATE OR DELETE",
					   "FOR EACH ROW EXECUTE FUNCTION tide.capture_row()");
		create_trigger(table, FLUSH_TRIGGER, false, "AFTER INSERT OR UPDATE OR DELETE",
					   "FOR EACH STATEMENT EXECUTE FUNCTION tide.capture_row()");
	}
	else
	{
		create_trigger(table, INSERT_TRIGGER, false, "AFTER INSERT",
					   "REFERENCING NEW TABLE AS tide_new"
					   " FOR EACH STATEMENT EXECUTE FUNCTION tide.capture()");
		create_trigger(table, UPDATE_TRIGGER, false, "AFTER UPDATE",
					   "REFERENCING OLD TABLE AS tide_old NEW TABLE AS tide_new"
					   " FOR EACH STATEMENT EXECUTE FUNCTION tide.capture()");
		create_trigger(table, DELETE_TRIGGER, false, "AFTER DELETE",
					   "REFERENCING OLD TABLE AS tide_old"
					   " FOR EACH STATEMENT EXECUTE FUNCTION tide.capture()");
	}
	if (partitioned)
		partitions_create_triggers(o->relid, o->s.replicated);
	else
		create_trigger(table, TRUNCATE_TRIGGER, o->s.replicated, "BEFORE TRUNCATE",
					   "FOR EACH STATEMENT EXECUTE FUNCTION tide.capture()");
}

/* ---------- track ---------- */

static void
notice_missing_index(Relation rel, TrackOptions *o)
{
	Form_pg_attribute scope = o->s.shared ? NULL : relation_column(rel, o->s.scope);
	StringInfoData columns;
	ListCell   *lc;

	if (o->s.shared || (scope && relation_has_index_on(rel, &scope->attnum, 1)))
		return;
	initStringInfo(&columns);
	appendStringInfoString(&columns, quote_identifier(o->s.scope));
	foreach(lc, o->s.keys)
	{
		if (strcmp(lfirst(lc), o->s.scope) != 0)
			appendStringInfo(&columns, ", %s", quote_identifier(lfirst(lc)));
	}
	ereport(NOTICE,
			(errmsg("no index serves the scope of \"%s\"; a first pull reads the whole table",
					RelationGetRelationName(rel)),
			 errhint("CREATE INDEX%s ON %s (%s);",
					 rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? "" : " CONCURRENTLY",
					 relation_sql(rel), columns.data)));
}

static bool
same_name(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

/*
 * Are all settings the same that decide what a client's cursor covers?  Under
 * another name, rows that a client has are none of that type.
 */
static bool
same_coverage(TrackedTable *t, TrackOptions *o)
{
	int			i;

	if (t->broken || strcmp(t->entity_type, o->s.entity_type) != 0 ||
		t->shared != o->s.shared || t->nkeys != list_length(o->s.keys) ||
		!same_name(t->settings.scope, o->s.scope) ||
		!same_name(t->scope_path, o->s.scope_path))
		return false;
	for (i = 0; i < t->nkeys; i++)
	{
		if (strcmp(tracked_column(t, t->keys[i])->name, list_nth(o->s.keys, i)) != 0)
			return false;
	}
	return true;
}

/*
 * Which columns were added by tide.track: in the present registration, or in
 * an earlier one, about which tide.untrack left comments.
 */
static List *
columns_added_before(Relation rel, TrackedTable *before)
{
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *result = NIL;
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *mark;

		if (att->attisdropped)
			continue;
		mark = trackable_mark(rel, att);
		if ((mark && strcmp(mark, MARK_ADDED) == 0) ||
			(before->tracked && !before->broken &&
			 name_in_list(before->settings.added, NameStr(att->attname))))
			result = add_name(result, NameStr(att->attname));
	}
	return result;
}

static void
comment_column(const char *table, const char *column, const char *comment)
{
	run_ddl(psprintf("COMMENT ON COLUMN %s.%s IS %s", table, quote_identifier(column),
					 comment ? quote_literal_cstr(comment) : "NULL"));
}

/* what the comments say is in the settings from now on */
static void
take_marks_off(const char *table, Oid relid)
{
	Relation	rel = relation_open(relid, NoLock);
	TupleDesc	desc = RelationGetDescr(rel);
	List	   *names = NIL;
	ListCell   *lc;
	int			i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && trackable_mark(rel, att) != NULL)
			names = add_name(names, NameStr(att->attname));
	}
	relation_close(rel, NoLock);
	foreach(lc, names)
		comment_column(table, lfirst(lc), NULL);
}

static void
add_missing_columns(const char *table, TrackOptions *o)
{
	StringInfoData sql;
	ListCell   *lc;

	if (o->clauses == NIL)
		return;
	initStringInfo(&sql);
	appendStringInfo(&sql, "ALTER TABLE %s ", table);
	foreach(lc, o->clauses)
		appendStringInfo(&sql, "%s%s", lc == list_head(o->clauses) ? "" : ", ",
						 (char *) lfirst(lc));
	run_ddl(sql.data);
}

static void
notice_advice(void *arg, const char *severity, const char *object, const char *problem,
			  const char *hint)
{
	ereport(NOTICE,
			(errmsg("%s: %s", object, problem),
			 hint ? errhint("%s", hint) : 0));
}

/* two tables with one number would share their places in cursors */
static bool
is_shared_registration(Oid relid, int reg)
{
	ListCell   *lc;

	foreach(lc, names_all(InvalidOid, false))
	{
		TrackedName *name = lfirst(lc);

		if (name->reg == reg && name->relid != relid && name->trusted)
			return true;
	}
	return false;
}

Datum
tide_track(PG_FUNCTION_ARGS)
{
	TrackOptions o;
	Relation	rel;
	char	   *table;
	TrackedTable *before;
	List	   *left;
	int32		old_reg;		/* 0: none */
	bool		fresh;
	bool		partitioned;

	standby_refuse("tide.track()");
	read_options(fcinfo, &o);

	/* the lock of CREATE TRIGGER; ADD COLUMN takes a stronger one if needed */
	rel = relation_open(o.relid, ShareRowExclusiveLock);
	check_owner(rel);
	check_trusted(rel);
	o.s.conflict = check_conflict_option(o.s.conflict, rel->rd_rel->relowner);
	before = o.before = registry_lookup(o.relid);
	o.s.added = columns_added_before(rel, before);
	trackable_check_relation(rel);
	if (o.s.entity_type == NULL)
		o.s.entity_type = pstrdup(RelationGetRelationName(rel));
	o.s.keys = trackable_check_key(rel);
	if (o.s.scope && !o.s.shared && strchr(o.s.scope, '.') &&
		relation_column(rel, o.s.scope) == NULL)
		scope_track_settle(rel, &o);
	trackable_check_scope(rel, &o);
	trackable_settle_columns(rel, &o);
	trackable_check_settings(rel, &o);
	notice_missing_index(rel, &o);
	table = relation_sql(rel);
	partitioned = (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE);
	relation_close(rel, NoLock);	/* the lock stays; DDL wants no other user */

	scope_track_lock(&o);
	scope_track_notice_indexes(&o);

	old_reg = before->tracked ? before->reg : 0;
	/* what was not captured would not be sent by any cursor of this registration */
	fresh = !before->tracked || !same_coverage(before, &o) ||
		is_shared_registration(o.relid, old_reg) || !triggers_capture_all(before);
	left = scope_track_tables(before->path);

	SPI_connect();
	take_marks_off(table, o.relid);
	add_missing_columns(table, &o);
	drop_triggers(o.relid, table);
	fresh |= scope_track_prepare(&o, table);
	o.s.reg = fresh ? unused_registration() : old_reg;
	o.s.forms = forms_of(o.relid, &o.s);
	PG_TRY();
	{
		restored_is_tracking = true;
		scope_track_create(&o, table);
		create_triggers(table, partitioned, &o);
	}
	PG_FINALLY();
	{
		restored_is_tracking = false;
	}
	PG_END_TRY();
	scope_track_leave(left);
	SPI_finish();

	if (fresh && old_reg != 0)
		changelog_append_registration(o.relid, old_reg);
	if (fresh)
		changelog_append_registration(o.relid, o.s.reg);
	advise_on_table(registry_require(o.relid), notice_advice, NULL);
	PG_RETURN_VOID();
}

/*
 * The columns that tide.track added and that are still as it left them.  If
 * the settings no longer fit, a column of that name may be a different one by
 * now.
 */
static List *
columns_to_drop(TrackedTable *t)
{
	const AttrNumber known[] = {t->modified_at, t->client_id, t->version, t->deleted_at,
	t->clocks, t->scope};
	List	   *moved = settings_moved(&t->settings);
	List	   *result = NIL;
	ListCell   *lc;
	int			i;

	foreach(lc, t->settings.added)
	{
		TrackedColumn *c = tracked_column_by_name(t, lfirst(lc));
		bool		fits = !t->broken;

		for (i = 0; c && i < lengthof(known); i++)
			fits |= (known[i] == c->attnum);
		if (c && fits && !name_in_list(moved, c->name))
			result = lappend(result, c->name);
	}
	return result;
}

/* columns that stay, for when the table is tracked again */
static void
leave_marks(TrackedTable *t, const char *table)
{
	List	   *added = columns_to_drop(t);
	int			i;

	for (i = 0; i < t->ncolumns; i++)
	{
		TrackedColumn *c = &t->columns[i];
		bool		ours = !c->dropped && name_in_list(added, c->name);

		if (c->dropped || (!ours && c->attnum != t->client_id) ||
			GetComment(t->relid, RelationRelationId, c->attnum) != NULL)
			continue;
		comment_column(table, c->name, ours ? MARK_ADDED : MARK_USED);
	}
}

static void
drop_added_columns(TrackedTable *t, const char *table)
{
	StringInfoData sql;
	List	   *names = columns_to_drop(t);
	ListCell   *lc;

	if (names == NIL)
		return;
	initStringInfo(&sql);
	appendStringInfo(&sql, "ALTER TABLE %s", table);
	foreach(lc, names)
		appendStringInfo(&sql, "%s DROP COLUMN %s", lc == list_head(names) ? "" : ",",
						 quote_identifier(lfirst(lc)));
	run_ddl(sql.data);
}

Datum
tide_untrack(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	bool		drop_columns = PG_GETARG_BOOL(1);
	Relation	rel;
	TrackedTable *t;
	List	   *left;
	char	   *table;

	standby_refuse("tide.untrack()");
	rel = relation_open(relid, ShareRowExclusiveLock);
	check_owner(rel);
	check_trusted(rel);
	t = registry_lookup(relid);
	if (OidIsValid(t->root))
		registry_require(relid);	/* says which table to name */
	if (!t->tracked)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" is not tracked", RelationGetRelationName(rel)),
				 errhint("The view tide.tracked lists the tracked tables.")));
	table = relation_sql(rel);
	relation_close(rel, NoLock);
	left = scope_track_tables(t->path);
	changelog_append_registration(relid, t->reg);

	SPI_connect();
	drop_triggers(relid, table);
	scope_track_leave(left);
	if (drop_columns)
		drop_added_columns(t, table);
	else
		leave_marks(t, table);
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
		if (!t->columns[i].dropped && t->columns[i].excluded && i + 1 != t->clocks)
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
	foreach(lc, registry_all(InvalidOid))
	{
		TrackedTable *t = lfirst(lc);
		Datum		values[16] = {0};
		bool		nulls[16] = {false};
		const char *problem;

		values[0] = ObjectIdGetDatum(t->relid);
		values[1] = CStringGetTextDatum(t->entity_type);
		nulls[2] = t->scope_path == NULL && !AttributeNumberIsValid(t->scope);
		if (!nulls[2])
			values[2] = CStringGetTextDatum(t->scope_path ? t->scope_path :
											tracked_column(t, t->scope)->name);
		values[3] = BoolGetDatum(t->shared);
		values[4] = CStringGetTextDatum(t->resolver ? t->resolver : policy_name(t->policy));
		set_name(values, nulls, 5, t, t->modified_at);
		set_name(values, nulls, 6, t, t->client_id);
		set_name(values, nulls, 7, t, t->version);
		set_name(values, nulls, 8, t, t->deleted_at);
		values[9] = CStringGetTextDatum(t->camel ? "camel" : "as_is");
		values[10] = BoolGetDatum(t->utc);
		values[11] = excluded_names(t);
		values[12] = BoolGetDatum(t->replicated);
		values[13] = Int32GetDatum(t->reg);
		problem = t->broken ? t->broken_why : registry_problem(t);
		nulls[14] = (problem == NULL);
		if (problem)
			values[14] = CStringGetTextDatum(problem);
		set_name(values, nulls, 15, t, t->scope_path ? t->scope : InvalidAttrNumber);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
