/*-------------------------------------------------------------------------
 *
 * check.c
 *	  tide.check: what makes sync wrong or slow in this database.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_event_trigger.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_subscription_rel.h"
#include "commands/trigger.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "rewrite/prs2lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "log/records.h"
#include "table/catalog.h"
#include "table/registry.h"
#include "table/resolver.h"
#include "table/scope_path.h"
#include "table/names.h"
#include "table/trust.h"
#include "track/advice.h"
#include "track/trackable.h"
#include "track/triggers.h"
#include "util/compat.h"
#include "util/settings.h"

PG_FUNCTION_INFO_V1(tide_check);
PG_FUNCTION_INFO_V1(tide_version);

/* a log above this wants pruning, or a shorter retention */
#define LARGE_LOG (INT64CONST(1024) * 1024 * 1024)

static void
report(ReturnSetInfo *rsinfo, const char *severity, const char *object,
	   const char *problem, const char *hint)
{
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = CStringGetTextDatum(severity);
	values[1] = CStringGetTextDatum(object);
	values[2] = CStringGetTextDatum(problem);
	nulls[3] = (hint == NULL);
	values[3] = hint ? CStringGetTextDatum(hint) : (Datum) 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static void
report_advice(void *arg, const char *severity, const char *object, const char *problem,
			  const char *hint)
{
	report(arg, severity, object, problem, hint);
}

/* the table to name in a call of tide.track */
static const char *
root_sql_name(TrackedTable *t)
{
	char	   *root = OidIsValid(t->root) ? catalog_sql_name(t->root) : NULL;

	return root ? root : t->sql_name;
}

static char *
replicated_call(TrackedTable *t)
{
	TableSettings s = t->settings;

	s.replicated = true;
	return settings_call(&s, t->sql_name);
}

static char *
get_rule_name(Oid rule)
{
	Relation	rel = table_open(RewriteRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *name = NULL;

	ScanKeyInit(&key, Anum_pg_rewrite_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(rule));
	scan = systable_beginscan(rel, RewriteOidIndexId, true, NULL, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
		name = pstrdup(NameStr(((Form_pg_rewrite) GETSTRUCT(tuple))->rulename));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return name ? name : "...";
}

/* does it fire for what is to be captured? */
static void
check_trigger(ReturnSetInfo *rsinfo, TrackedTable *t, Relation rel, const char *name)
{
	Trigger    *trigger = trigger_find(rel, name);

	if (trigger == NULL)
		report(rsinfo, "error", t->sql_name,
			   psprintf("trigger %s is missing: changes are lost", name),
			   settings_call(&t->settings, root_sql_name(t)));
	else if (trigger_is_off(trigger))
		report(rsinfo, "error", t->sql_name,
			   psprintf("trigger %s is disabled: changes are lost", name),
			   psprintf("ALTER TABLE %s ENABLE TRIGGER %s; -- and send the rows that changed meanwhile with tide.touch",
						t->sql_name, name));
	else if (trigger_misses_replication(t, trigger))
		report(rsinfo, "error", t->sql_name,
			   psprintf("trigger %s does not fire for logical replication: changes are lost", name),
			   psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s; -- and send the rows that changed meanwhile with tide.touch",
						t->sql_name, name));
}

/* does a subscription write to it although it is not tracked as replicated? */
static void
check_subscription(ReturnSetInfo *rsinfo, TrackedTable *root, Relation rel)
{
	Relation	subscribed;
	ScanKeyData key;
	SysScanDesc scan;

	if (root->replicated)
		return;
	subscribed = table_open(SubscriptionRelRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_subscription_rel_srrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationGetRelid(rel)));
	scan = systable_beginscan(subscribed, InvalidOid, false, NULL, 1, &key);
	if (HeapTupleIsValid(systable_getnext(scan)))
		report(rsinfo, "error", root->sql_name,
			   psprintf("logical replication writes to \"%s\": such changes are lost",
						RelationGetRelationName(rel)),
			   replicated_call(root));
	systable_endscan(scan);
	table_close(subscribed, AccessShareLock);
}

/*
 * triggers run by name: one that sorts after ours changes the row that was
 * judged
 */
static void
check_trigger_order(ReturnSetInfo *rsinfo, TrackedTable *t, Relation rel)
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
		report(rsinfo, "warning", t->sql_name,
			   psprintf("trigger \"%s\" runs after %s: what it changes is not stamped",
						name, STAMP_TRIGGER),
			   psprintf("ALTER TRIGGER %s ON %s RENAME TO %s;", quote_identifier(name),
						relation_sql(rel),
						quote_identifier(psprintf("a_%.*s", NAMEDATALEN - 3, name))));
	}
}

/* a trigger without which rows of t get into wrong scopes */
static void
check_scope_trigger(ReturnSetInfo *rsinfo, TrackedTable *t, Relation rel, const char *name)
{
	Trigger    *trigger = trigger_find(rel, name);

	if (trigger == NULL || trigger_is_off(trigger))
		report(rsinfo, "error", t->sql_name,
			   psprintf("trigger %s of table \"%s\" is %s: rows stay in scopes that they have left",
						name, RelationGetRelationName(rel), trigger ? "disabled" : "missing"),
			   psprintf("%s%s", trigger ? psprintf("ALTER TABLE %s ENABLE TRIGGER %s; ", relation_sql(rel), name) : "",
						settings_call(&t->settings, t->sql_name)));
}

/* when does the event trigger fire? '\0': there is none */
static char
event_trigger_fires(const char *name)
{
	HeapTuple	tuple = SearchSysCache1(EVENTTRIGGERNAME, CStringGetDatum(name));
	char		enabled = '\0';

	if (HeapTupleIsValid(tuple))
	{
		enabled = ((Form_pg_event_trigger) GETSTRUCT(tuple))->evtenabled;
		ReleaseSysCache(tuple);
	}
	return enabled;
}

static const char *
why_unnoticed(const char *name)
{
	switch (event_trigger_fires(name))
	{
		case '\0':
			return "is missing";
		case TRIGGER_FIRES_ALWAYS:
			return NULL;
		case TRIGGER_FIRES_ON_ORIGIN:
			return "does not fire under session_replication_role = replica";
		default:
			return "is disabled";
	}
}

/* the event triggers notice partitions that come and go, and paths that are altered */
static void
check_event_trigger(ReturnSetInfo *rsinfo, TrackedTable *t, const char *name, const char *what)
{
	const char *why = why_unnoticed(name);

	if (why)
		report(rsinfo, "error", t->sql_name,
			   psprintf("event trigger %s %s: changes of %s go unnoticed", name, why, what),
			   psprintf("ALTER EVENT TRIGGER %s ENABLE ALWAYS; %s", name,
						settings_call(&t->settings, t->sql_name)));
}

/* and, for all tables, columns that become others, and tables that were restored */
static void
check_event_triggers(ReturnSetInfo *rsinfo)
{
	static const char column[] = "a column that another one replaces";
	static const char altered[] = "whose columns were altered";
	static const struct
	{
		const char *name;
		const char *notices;
		const char *tables;		/* that were not noticed: those */
	}			triggers[] = {
		{"tide_after_trigger", "a tracked table that is restored from a dump", "that were restored"},
		{"tide_after_partition_change", column, altered},
		{"tide_after_column_change", column, altered},
		{"tide_after_drop", column, altered}
	};
	int			i;

	for (i = 0; i < lengthof(triggers); i++)
	{
		const char *name = triggers[i].name;
		const char *why = why_unnoticed(name);

		if (why)
			report(rsinfo, "error", "pg_tide",
				   psprintf("event trigger %s %s: %s goes unnoticed", name, why, triggers[i].notices),
				   psprintf("ALTER EVENT TRIGGER %s ENABLE ALWAYS; -- and track tables again %s meanwhile",
							name, triggers[i].tables));
	}
}

/* one table of the scope's path, and the table before it */
static void
check_step(ReturnSetInfo *rsinfo, TrackedTable *t, Relation before, PathStep *step)
{
	Relation	rel = try_relation_open(step->relid, AccessShareLock);
	bool		indexed = false;
	int			i;

	if (rel == NULL)
		return;
	check_scope_trigger(rsinfo, t, rel, PATH_UPDATE_TRIGGER);
	check_scope_trigger(rsinfo, t, rel, PATH_DELETE_TRIGGER);
	for (i = 0; i < step->nreads; i++)
		if (!scope_path_is_guarded(rel, step->reads[i]))
			report(rsinfo, "error", t->sql_name,
				   psprintf("column %s of %s is in no unique index: a row that is written while it changes can stay in the old scope",
							step->read_names[i], step->sql_name),
				   settings_call(&t->settings, t->sql_name));
	for (i = 0; i < step->ncolumns; i++)
		indexed |= relation_has_index_on(before, &step->from[i], 1);
	if (!indexed)
		report(rsinfo, "warning", t->sql_name,
			   psprintf("no index serves column %s of \"%s\", by which its scope is found: when a row of %s moves, the whole table is read",
						step->from_names[0], RelationGetRelationName(before), step->sql_name),
			   psprintf("CREATE INDEX CONCURRENTLY ON %s (%s);", relation_sql(before), step->from_names[0]));
	relation_close(rel, AccessShareLock);
}

/* a scope that follows foreign keys */
static void
check_path(ReturnSetInfo *rsinfo, TrackedTable *t, Relation rel)
{
	Oid			before = t->relid;
	int			i;

	if (t->path == NULL)
		return;
	check_scope_trigger(rsinfo, t, rel, SCOPE_TRIGGER);
	check_scope_trigger(rsinfo, t, rel, SCOPE_LATE_TRIGGER);
	check_event_trigger(rsinfo, t, "tide_before_partition_change", "its path by ALTER TABLE");
	check_event_trigger(rsinfo, t, "tide_after_partition_change", "its path by ALTER TABLE");
	for (i = 0; i < t->path->nsteps; i++)
	{
		Relation	table = try_relation_open(before, AccessShareLock);

		if (table == NULL)
			return;
		check_step(rsinfo, t, table, &t->path->steps[i]);
		relation_close(table, AccessShareLock);
		before = t->path->steps[i].relid;
	}
}

static void
check_partition(ReturnSetInfo *rsinfo, TrackedTable *root, Oid relid)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	const char *names[CAPTURE_TRIGGERS_MAX];
	int			n = capture_triggers_of_partition(names);
	TrackedTable *t;
	int			i;

	if (rel == NULL)
		return;
	t = registry_lookup(relid);
	if (rel->rd_rel->relkind == RELKIND_RELATION && t->root == root->relid)
	{
		for (i = 0; i < n; i++)
			check_trigger(rsinfo, t, rel, names[i]);
		check_trigger_order(rsinfo, t, rel);
		if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
			report(rsinfo, "error", t->sql_name,
				   "the partition is unlogged: after a crash clients keep rows that it lost",
				   psprintf("ALTER TABLE %s SET LOGGED;", t->sql_name));
	}
	else if (rel->rd_rel->relkind == RELKIND_RELATION)
		report(rsinfo, "error", root->sql_name,
			   psprintf("partition \"%s\" has no triggers: changes are lost",
						RelationGetRelationName(rel)),
			   settings_call(&root->settings, root->sql_name));
	check_subscription(rsinfo, root, rel);
	relation_close(rel, AccessShareLock);
}

/* DETACH ... CONCURRENTLY that was interrupted: the table no longer shows the rows */
static void
check_detaching(ReturnSetInfo *rsinfo, TrackedTable *t, Oid parent)
{
	bool		pending = false;
	List	   *kept = find_inheritance_children_extended(parent, true, NoLock, &pending, NULL);
	List	   *left = list_difference_oid(find_inheritance_children_extended(parent, false, NoLock,
																			  NULL, NULL), kept);

	if (pending)
		report(rsinfo, "warning", t->sql_name,
			   psprintf("a partition of \"%s\" is being detached, or that was interrupted: clients keep its rows until it is done",
						get_rel_name(parent)),
			   psprintf("ALTER TABLE %s DETACH PARTITION %s FINALIZE;", catalog_sql_name(parent),
						left == NIL ? "..." : catalog_sql_name(linitial_oid(left))));
}

static void
check_partitions(ReturnSetInfo *rsinfo, TrackedTable *t)
{
	ListCell   *lc;

	check_event_trigger(rsinfo, t, "tide_before_partition_change", "partitions");
	check_event_trigger(rsinfo, t, "tide_after_partition_change", "partitions");
	foreach(lc, find_all_inheritors(t->relid, NoLock, NULL))
	{
		if (lfirst_oid(lc) != t->relid)
			check_partition(rsinfo, t, lfirst_oid(lc));
		if (get_rel_relkind(lfirst_oid(lc)) == RELKIND_PARTITIONED_TABLE)
			check_detaching(rsinfo, t, lfirst_oid(lc));
	}
}

static void
check_triggers(ReturnSetInfo *rsinfo, TrackedTable *t, Relation rel)
{
	const char *names[CAPTURE_TRIGGERS_MAX];
	int			n = capture_triggers(t, names);
	int			i;

	for (i = 0; i < n; i++)
		check_trigger(rsinfo, t, rel, names[i]);
	check_trigger_order(rsinfo, t, rel);
	check_subscription(rsinfo, t, rel);
	if (t->partitioned)
		check_partitions(rsinfo, t);
}

/* A first pull reads the rows of a scope in the order of their keys, page by page. */
static void
check_scope_index(ReturnSetInfo *rsinfo, TrackedTable *t, Relation rel)
{
	AttrNumber	columns[INDEX_MAX_KEYS + 1];
	StringInfoData names;
	bool		serves;
	int			n = 0;
	int			i;

	if (t->shared)
		return;
	columns[n++] = t->scope;
	for (i = 0; i < t->nkeys; i++)
		if (t->keys[i] != t->scope)
			columns[n++] = t->keys[i];
	/* the first column of a long key is order enough */
	if (relation_has_index_on(rel, columns, Min(n, 2)))
		return;
	serves = relation_has_index_on(rel, columns, 1);
	initStringInfo(&names);
	for (i = 0; i < n; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "",
						 quote_identifier(tracked_column(t, columns[i])->name));
	report(rsinfo, serves ? "info" : "warning", t->sql_name,
		   serves ? "no index has its key behind its scope: each page of a first pull sorts all rows of a scope" :
		   "no index serves its scope: a first pull reads the whole table",
		   psprintf("CREATE INDEX%s ON %s (%s);",
					t->partitioned ? "" : " CONCURRENTLY", t->sql_name, names.data));
}

static bool
is_rival_elsewhere(TrackedTable *t)
{
	TrackedName *name = names_by_relid(t->relid, t->namespace);

	return name && name->rival && name->rival->namespace != t->namespace;
}

/* whose claim counts, and what was made after the table was tracked */
static void
check_claim(ReturnSetInfo *rsinfo, TrackedTable *t, Relation rel)
{
	const char *problem = t->broken ? NULL : registry_problem(t);

	if (problem && !trust_owner(t->owner))
		report(rsinfo, "error", t->sql_name, psprintf("it is not synced: %s", problem),
			   psprintf("GRANT EXECUTE ON FUNCTION tide.trusted() TO %s;",
						quote_identifier(GetUserNameFromId(t->owner, false))));
	else if (problem)
		report(rsinfo, "error", t->sql_name, psprintf("it is not synced: %s", problem),
			   is_rival_elsewhere(t) ?
			   "Track one of them again, with another entity_type; or set pg_tide.schema_claim, if each user belongs to one schema." :
			   "Track one of them again, with another entity_type.");
	if (rel->rd_rules && rel->rd_rules->numLocks > 0)
		report(rsinfo, "error", t->sql_name,
			   "it has rules, which rewrite the statements that sync runs",
			   psprintf("DROP RULE %s ON %s;",
						quote_identifier(get_rule_name(rel->rd_rules->rules[0]->ruleId)), t->sql_name));
}

/* pushed changes of rows that are there fail then */
static void
check_resolver(ReturnSetInfo *rsinfo, TrackedTable *t)
{
	Resolver	r;

	if (t->resolver == NULL)
		return;
	r = resolver_find(t->resolver, t->owner);
	if (r.problem)
		report(rsinfo, "error", t->sql_name,
			   psprintf("%s: changes of rows that exist fail", r.problem), r.hint);
}

/*
 * Has another table got the name that this one's entity type is?  Tables are
 * swapped by RENAME; the old one then goes on as what clients sync, and nothing
 * of the new one reaches them.
 */
static void
check_namesake(ReturnSetInfo *rsinfo, TrackedTable *t, Relation rel)
{
	Oid			other = get_relname_relid(t->entity_type, t->namespace);
	char		kind = OidIsValid(other) ? get_rel_relkind(other) : '\0';
	TrackedTable *namesake;

	if (strcmp(t->entity_type, RelationGetRelationName(rel)) == 0 ||
		(kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE))
		return;
	namesake = registry_lookup(other);
	if (namesake && namesake->tracked)
		return;
	report(rsinfo, "warning", t->sql_name,
		   psprintf("clients know it as \"%s\", which is the name of another table that is not tracked: it may have taken this one's place",
					t->entity_type),
		   psprintf("SELECT tide.untrack(%s); %s", quote_literal_cstr(t->sql_name),
					settings_call(&t->settings, catalog_sql_name(other))));
}

/* ---------- a schema per tenant ---------- */

/* the schemas that pg_tide.shared_schemas names */
static List *
check_shared_schemas(ReturnSetInfo *rsinfo)
{
	List	   *names = NIL;
	List	   *result = NIL;
	ListCell   *lc;

	if (!settings_split_names(pstrdup(tide_shared_schemas), &names))
		return NIL;
	if (names != NIL && tide_schema_claim[0] == '\0')
		report(rsinfo, "warning", "pg_tide.shared_schemas",
			   "it has no effect, because pg_tide.schema_claim is not set",
			   "ALTER DATABASE ... SET pg_tide.schema_claim = 'tenant';");
	foreach(lc, tide_schema_claim[0] == '\0' ? NIL : names)
	{
		Oid			schema = get_namespace_oid(lfirst(lc), true);

		if (!OidIsValid(schema) || !names_has_schema(schema))
			report(rsinfo, "warning", "pg_tide.shared_schemas",
				   psprintf("schema \"%s\" has no tracked tables", (char *) lfirst(lc)),
				   "Track its tables, or take it out of the list.");
		else
			result = list_append_unique_oid(result, schema);
	}
	return result;
}

/* whose entity type tables of other schemas have, too: their callers see those */
static void
check_hidden(ReturnSetInfo *rsinfo, TrackedName *shared, List *names, List *schemas)
{
	char	   *sql_name = catalog_sql_name(shared->relid);
	int			n = 0;
	ListCell   *lc;

	foreach(lc, names)
	{
		TrackedName *name = lfirst(lc);

		n += name->trusted && !list_member_oid(schemas, name->namespace) &&
			strcmp(name->entity_type, shared->entity_type) == 0;
	}
	if (n > 0 && sql_name)
		report(rsinfo, "info", sql_name,
			   psprintf("callers of %d schemas do not see it, because a table of theirs has its entity type", n),
			   NULL);
}

/* a schema that was made by a copy of another, with its triggers */
static void
check_copied(ReturnSetInfo *rsinfo, List *names)
{
	TrackedName *before = NULL;
	ListCell   *lc;

	list_sort(names, names_compare_regs);
	foreach(lc, names)
	{
		TrackedName *name = lfirst(lc);
		TrackedTable *t;

		if (!name->trusted)
			continue;
		if (before && before->reg == name->reg && before->namespace != name->namespace &&
			(t = registry_lookup(name->relid)) != NULL && t->tracked)
			report(rsinfo, "warning", t->sql_name,
				   psprintf("it has the registration of %s: changes of one wake who waits for the other, and who sees all schemas gets neither",
							catalog_sql_name(before->relid)),
				   settings_call(&t->settings, t->sql_name));
		before = name;
	}
}

/* names are good only until the next look at the lists: these are copies */
static List *
copy_names(List *names)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, names)
	{
		TrackedName *copy = palloc(sizeof(TrackedName));

		*copy = *(TrackedName *) lfirst(lc);
		copy->entity_type = pstrdup(copy->entity_type);
		result = lappend(result, copy);
	}
	return result;
}

static void
check_schemas(ReturnSetInfo *rsinfo)
{
	List	   *shared = check_shared_schemas(rsinfo);
	List	   *names;
	ListCell   *lc;

	if (tide_schema_claim[0] == '\0')
		return;
	names = copy_names(names_all(InvalidOid, false));
	foreach(lc, names)
		if (list_member_oid(shared, ((TrackedName *) lfirst(lc))->namespace))
		check_hidden(rsinfo, lfirst(lc), names, shared);
	check_copied(rsinfo, names);
}

/* the change log is bound to this database's transactions */
static void
check_publications(ReturnSetInfo *rsinfo)
{
	Relation	rel = table_open(PublicationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_publication form = (Form_pg_publication) GETSTRUCT(tuple);

		if (form->puballtables)
			report(rsinfo, "warning", "tide.log",
				   psprintf("publication \"%s\" is FOR ALL TABLES: what pg_tide keeps for this database goes to subscribers, too",
							NameStr(form->pubname)),
				   "Publish your own tables by name, or those of your schemas.");
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static void
check_log(ReturnSetInfo *rsinfo)
{
	Oid			log = get_relname_relid("log", get_namespace_oid(TIDE_SCHEMA, false));
	int64		size = DatumGetInt64(DirectFunctionCall1(pg_total_relation_size,
														 ObjectIdGetDatum(log)));
	Horizon		horizon;

	report(rsinfo, size > LARGE_LOG ? "warning" : "info", "tide.log",
		   psprintf("the change log takes " INT64_FORMAT " kB", size / 1024),
		   size > LARGE_LOG ? "Prune more often, or keep less: pg_tide.retention." : NULL);
	if (horizon_read(InvalidSnapshot, &horizon))
		report(rsinfo, "info", "tide.log",
			   psprintf("pruned at %s; what is from before %s is forgotten",
						pstrdup(timestamptz_to_str(horizon.pruned_at)),
						pstrdup(timestamptz_to_str(horizon.at))), NULL);
	else
		report(rsinfo, "info", "tide.log", "never pruned",
			   "Let the gateway or cron call tide.maintain() regularly.");
}

/* the version of the SQL objects of this database */
static char *
installed_version(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	char	   *version = NULL;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("pg_tide"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, Anum_pg_extension_extversion,
										 RelationGetDescr(rel), &isnull);

		if (!isnull)
			version = TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return version;
}

/*
 * The library comes with packages, for all databases and from the next
 * session on; the SQL objects are updated by hand, in each database.
 */
static void
check_version(ReturnSetInfo *rsinfo)
{
	const char *version = installed_version();

	if (version == NULL || strcmp(version, TIDE_VERSION) == 0)
		check_event_triggers(rsinfo);
	else
		report(rsinfo, "warning", "pg_tide",
			   psprintf("the extension in this database is of version %s, the library that this session has loaded of version %s",
						version, TIDE_VERSION),
			   psprintf("ALTER EXTENSION pg_tide UPDATE TO '%s'; -- or, where that is the older one, connect again",
						TIDE_VERSION));
}

static void
check_encoding(ReturnSetInfo *rsinfo)
{
	if (GetDatabaseEncoding() == PG_SQL_ASCII)
		report(rsinfo, "warning", "pg_tide",
			   "the encoding of this database is SQL_ASCII, which takes any bytes: rows whose text is not UTF-8 cannot be sent",
			   "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0; -- and move the data there");
}

/* of the library; what the database has is in pg_extension */
Datum
tide_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(TIDE_VERSION));
}

Datum
tide_check(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	tide_init_materialized_srf(fcinfo);
	if (!PG_ARGISNULL(0))
	{
		advise_on_role(get_role_oid(NameStr(*PG_GETARG_NAME(0)), false), report_advice, rsinfo);
		return (Datum) 0;
	}
	foreach(lc, registry_all(InvalidOid))
	{
		TrackedTable *t = lfirst(lc);
		Relation	rel = try_relation_open(t->relid, AccessShareLock);

		if (rel == NULL)
			continue;
		if (t->broken)
			report(rsinfo, "error", t->sql_name,
				   psprintf("the settings do not fit the table: %s", t->broken_why),
				   settings_call(&t->settings, t->sql_name));
		check_claim(rsinfo, t, rel);
		check_namesake(rsinfo, t, rel);
		check_resolver(rsinfo, t);
		check_triggers(rsinfo, t, rel);
		if (!t->broken)
		{
			check_scope_index(rsinfo, t, rel);
			check_path(rsinfo, t, rel);
			if (!registry_problem(t))
				advise_on_table(t, report_advice, rsinfo);
		}
		relation_close(rel, AccessShareLock);
	}
	check_version(rsinfo);
	check_encoding(rsinfo);
	check_schemas(rsinfo);
	check_publications(rsinfo);
	check_log(rsinfo);
	return (Datum) 0;
}
