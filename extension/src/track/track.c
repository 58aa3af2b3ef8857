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
#include "parser/parse_func.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"
#include "utils/varlena.h"

#include "log/changelog.h"
#include "log/records.h"
#include "table/catalog.h"
#include "table/registry.h"
#include "track/partitions.h"
#include "track/scope_track.h"
#include "track/trackable.h"
#include "util/compat.h"
#include "util/settings.h"
#include "version/clocks.h"
#include "version/decide.h"

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

/* ---------- options ---------- */

static char *
name_option(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : pstrdup(NameStr(*PG_GETARG_NAME(n)));
}

/* a resolver's name, qualified and quoted; an error if it cannot be one */
static char *
check_resolver(const char *name)
{
	static const Oid types[3] = {TEXTOID, JSONBOID, JSONBOID};
	List	   *names = textToQualifiedNameList(cstring_to_text(name));
	Oid			function = LookupFuncName(names, 3, types, true);

	if (!OidIsValid(function))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("there is no conflict resolver %s(text, jsonb, jsonb)",
						NameListToQuotedString(names)),
				 errhint("CREATE FUNCTION %s(entity_type text, current jsonb, incoming jsonb) RETURNS jsonb ...",
						 NameListToQuotedString(names))));
	if (get_func_rettype(function) != JSONBOID || get_func_retset(function) ||
		get_func_prokind(function) != PROKIND_FUNCTION)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("conflict resolver %s(text, jsonb, jsonb) is no function that returns jsonb",
						NameListToQuotedString(names)),
				 errhint("It returns the row to store, or NULL to keep the current one.")));
	return quote_qualified_identifier(get_namespace_name(get_func_namespace(function)),
									  get_func_name(function));
}

static char *
check_conflict_option(char *conflict)
{
	if (conflict == NULL || strcmp(conflict, "last_write_wins") == 0 ||
		strcmp(conflict, "client_wins") == 0 || strcmp(conflict, "server_wins") == 0 ||
		strcmp(conflict, "merge") == 0)
		return conflict;
	if (strchr(conflict, '.'))
		return check_resolver(conflict);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown conflict policy \"%s\"", conflict),
			 errhint("Use 'last_write_wins', 'client_wins', 'server_wins', 'merge', or the name of a function with its schema.")));
}

static void
read_options(FunctionCallInfo fcinfo, TrackOptions *o)
{
	char	   *naming = tide_text_argument(fcinfo, 9);

	memset(o, 0, sizeof(*o));
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("which table is to be tracked?"),
				 errhint("Name it: SELECT tide.track('workouts', scope => 'user_id').")));
	o->relid = PG_GETARG_OID(0);
	o->entity_type = tide_text_argument(fcinfo, 1);
	o->scope = tide_text_argument(fcinfo, 2);
	o->shared = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	o->conflict = check_conflict_option(tide_text_argument(fcinfo, 4));
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
	o->scope_column = name_option(fcinfo, 12);
	o->add_columns = PG_ARGISNULL(13) || PG_GETARG_BOOL(13);
	o->replicated = !PG_ARGISNULL(14) && PG_GETARG_BOOL(14);
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

static void
add_argument(StringInfo args, const char *name, const char *value)
{
	if (value)
		appendStringInfo(args, "%s%s", args->len ? ", " : "",
						 quote_literal_cstr(psprintf("%s=%s", name, value)));
}

/* the settings, as arguments of the stamp trigger */
static char *
settings_text(TrackOptions *o, int32 reg, List *keys)
{
	StringInfoData args;
	ListCell   *lc;

	initStringInfo(&args);
	add_argument(&args, "reg", psprintf("%d", reg));
	add_argument(&args, "entity_type", o->entity_type);
	foreach(lc, keys)
		add_argument(&args, "key", lfirst(lc));
	add_argument(&args, "scope", o->scope);
	add_argument(&args, "scope_path", o->scope_path);
	add_argument(&args, "scope_added", o->scope_added ? "true" : NULL);
	add_argument(&args, "shared", o->shared ? "true" : NULL);
	if (o->conflict && strcmp(o->conflict, "last_write_wins") != 0)
		add_argument(&args, "conflict", o->conflict);
	add_argument(&args, "modified_at", o->modified_at);
	add_argument(&args, "client_id", o->client_id);
	add_argument(&args, "version", o->version);
	add_argument(&args, "deleted_at", o->deleted_at);
	add_argument(&args, "naming", o->camel ? "camel" : NULL);
	add_argument(&args, "utc", o->utc ? NULL : "false");
	add_argument(&args, "replicated", o->replicated ? "true" : NULL);
	foreach(lc, o->exclude)
		add_argument(&args, "exclude", lfirst(lc));
	return args.data;
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
create_triggers(const char *table, bool partitioned, TrackOptions *o, int32 reg, List *keys)
{
	create_trigger(table, STAMP_TRIGGER, o->replicated, "BEFORE INSERT OR UPDATE",
				   psprintf("FOR EACH ROW EXECUTE FUNCTION tide.stamp(%s)",
							settings_text(o, reg, keys)));
	if (partitioned || o->replicated)
	{
		create_trigger(table, ROW_TRIGGER, o->replicated, "AFTER INSERT OR UPDATE OR DELETE",
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
		partitions_create_triggers(o->relid, o->replicated);
	else
		create_trigger(table, TRUNCATE_TRIGGER, o->replicated, "BEFORE TRUNCATE",
					   "FOR EACH STATEMENT EXECUTE FUNCTION tide.capture()");
}

/* ---------- track ---------- */

static void
notice_missing_index(Relation rel, TrackOptions *o, List *keys)
{
	StringInfoData columns;
	ListCell   *lc;

	if (o->shared ||
		(relation_column(rel, o->scope) &&
		 relation_has_index_on(rel, relation_column(rel, o->scope)->attnum)))
		return;
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
			 errhint("CREATE INDEX%s ON %s (%s);",
					 rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ? "" : " CONCURRENTLY",
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
	if ((t->scope_path == NULL) != (o->scope_path == NULL) ||
		(t->scope_path && strcmp(t->scope_path, o->scope_path) != 0))
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

/*
 * A number that no table has.  Tables of a restored database have theirs from
 * another installation's sequence, somewhere else in its range.
 */
static int32
unused_registration(void)
{
	for (;;)
	{
		int32		reg = changelog_next_reg();
		ListCell   *lc;
		bool		used = false;

		foreach(lc, registry_all())
			used |= (((TrackedTable *) lfirst(lc))->reg == reg);
		if (!used)
			return reg;
	}
}

Datum
tide_track(PG_FUNCTION_ARGS)
{
	TrackOptions o;
	Relation	rel;
	char	   *table;
	List	   *keys;
	TrackedTable *before;
	List	   *left;
	int32		reg;
	int32		old_reg;		/* 0: none */
	bool		fresh;
	bool		partitioned;

	read_options(fcinfo, &o);

	/* what CREATE TRIGGER takes; ADD COLUMN takes more when it comes to that */
	rel = relation_open(o.relid, ShareRowExclusiveLock);
	check_owner(rel);
	trackable_check_relation(rel);
	if (o.entity_type == NULL)
		o.entity_type = pstrdup(RelationGetRelationName(rel));
	keys = trackable_check_key(rel);
	if (o.scope && !o.shared && strchr(o.scope, '.') && relation_column(rel, o.scope) == NULL)
		scope_track_settle(rel, &o);
	trackable_check_scope(rel, &o);
	trackable_settle_columns(rel, &o);
	trackable_check_settings(rel, &o, keys);
	notice_missing_index(rel, &o, keys);
	table = relation_sql(rel);
	partitioned = (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE);
	relation_close(rel, NoLock);	/* the lock stays; DDL wants no other user */

	scope_track_lock(&o);
	scope_track_notice_indexes(&o);

	before = registry_lookup(o.relid);
	old_reg = before->tracked ? before->reg : 0;
	fresh = !before->tracked || !same_coverage(before, &o, keys);
	left = scope_track_tables(before->path);
	if (before->scope_added && !before->broken &&
		o.scope_path && strcmp(tracked_column(before, before->scope)->name, o.scope) == 0)
		o.scope_added = true;

	SPI_connect();
	add_missing_columns(table, &o);
	drop_triggers(o.relid, table);
	fresh |= scope_track_prepare(&o, table);
	reg = fresh ? unused_registration() : old_reg;
	scope_track_create(&o, table);
	create_triggers(table, partitioned, &o, reg, keys);
	scope_track_leave(left);
	SPI_finish();

	if (fresh && old_reg != 0)
		changelog_append_registration(o.relid, old_reg);
	if (fresh)
		changelog_append_registration(o.relid, reg);
	PG_RETURN_VOID();
}

static void
drop_column(StringInfo sql, TrackedTable *t, AttrNumber attnum, bool *none)
{
	if (!AttributeNumberIsValid(attnum))
		return;
	appendStringInfo(sql, "%s DROP COLUMN %s", *none ? "" : ",",
					 quote_identifier(tracked_column(t, attnum)->name));
	*none = false;
}

Datum
tide_untrack(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_GETARG_OID(0);
	bool		drop_columns = PG_GETARG_BOOL(1);
	Relation	rel = relation_open(relid, ShareRowExclusiveLock);
	TrackedTable *t;
	List	   *left;
	char	   *table;

	check_owner(rel);
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
	{
		StringInfoData sql;
		bool		none = true;

		initStringInfo(&sql);
		appendStringInfo(&sql, "ALTER TABLE %s", table);
		drop_column(&sql, t, t->modified_at, &none);
		drop_column(&sql, t, t->client_id, &none);
		drop_column(&sql, t, t->clocks, &none);
		drop_column(&sql, t, t->scope_added ? t->scope : InvalidAttrNumber, &none);
		if (!none)
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

static const char *
policy_name(TrackedTable *t)
{
	switch ((ConflictPolicy) t->policy)
	{
		case POLICY_CLIENT_WINS:
			return "client_wins";
		case POLICY_SERVER_WINS:
			return "server_wins";
		case POLICY_MERGE:
			return "merge";
		case POLICY_RESOLVER:
			return t->resolver;
		case POLICY_LAST_WRITE_WINS:
			break;
	}
	return "last_write_wins";
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
	foreach(lc, registry_all())
	{
		TrackedTable *t = lfirst(lc);
		Datum		values[16] = {0};
		bool		nulls[16] = {false};

		values[0] = ObjectIdGetDatum(t->relid);
		values[1] = CStringGetTextDatum(t->entity_type);
		nulls[2] = t->scope_path == NULL && !AttributeNumberIsValid(t->scope);
		if (!nulls[2])
			values[2] = CStringGetTextDatum(t->scope_path ? t->scope_path :
											tracked_column(t, t->scope)->name);
		values[3] = BoolGetDatum(t->shared);
		values[4] = CStringGetTextDatum(policy_name(t));
		set_name(values, nulls, 5, t, t->modified_at);
		set_name(values, nulls, 6, t, t->client_id);
		set_name(values, nulls, 7, t, t->version);
		set_name(values, nulls, 8, t, t->deleted_at);
		values[9] = CStringGetTextDatum(t->camel ? "camel" : "as_is");
		values[10] = BoolGetDatum(t->utc);
		values[11] = excluded_names(t);
		values[12] = BoolGetDatum(t->replicated);
		values[13] = Int32GetDatum(t->reg);
		nulls[14] = !t->broken;
		if (t->broken)
			values[14] = CStringGetTextDatum(t->broken_why);
		set_name(values, nulls, 15, t, t->scope_path ? t->scope : InvalidAttrNumber);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
