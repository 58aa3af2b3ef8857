/*-------------------------------------------------------------------------
 *
 * advice_role.c
 *	  tide.check('a_role'): what a role cannot do, and why its pulls are
 *	  empty.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_policy.h"
#include "executor/spi.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "table/names.h"
#include "table/registry.h"
#include "table/trust.h"
#include "track/advice.h"
#include "util/compat.h"
#include "util/settings.h"

typedef struct RoleCheck
{
	Oid			role;
	const char *name;			/* quoted */
	List	   *schemas;		/* that were reported already */
	AdviceReport report;
	void	   *arg;
} RoleCheck;

static void
complain(RoleCheck *check, const char *severity, const char *object,
		 const char *problem, const char *hint)
{
	check->report(check->arg, severity, object, problem, hint);
}

static void
check_schema(RoleCheck *check, Oid namespace)
{
	const char *schema = quote_identifier(get_namespace_name(namespace));

	if (tide_role_may_use(check->role, namespace) ||
		list_member_oid(check->schemas, namespace))
		return;
	check->schemas = lappend_oid(check->schemas, namespace);
	complain(check, "error", schema,
			 psprintf("role %s may not use schema %s", check->name, schema),
			 psprintf("GRANT USAGE ON SCHEMA %s TO %s;", schema, check->name));
}

/* there may be no such column, or the table as a whole be granted */
static bool
may_column(RoleCheck *check, TrackedTable *t, AttrNumber column, AclMode mode)
{
	return !AttributeNumberIsValid(column) ||
		pg_class_aclcheck(t->relid, check->role, mode) == ACLCHECK_OK ||
		pg_attribute_aclcheck(t->relid, column, check->role, mode) == ACLCHECK_OK;
}

/* may the role read the whole table, or all its synced columns? */
static bool
may_read(RoleCheck *check, TrackedTable *t)
{
	int			i;

	for (i = 0; i < t->ncolumns; i++)
	{
		if (column_is_synced(&t->columns[i]) && !may_column(check, t, i + 1, ACL_SELECT))
			return false;
	}
	return true;
}

/* may the role write what every change writes, whatever columns it sends? */
static bool
may_write(RoleCheck *check, TrackedTable *t, AclMode mode)
{
	bool		result = may_column(check, t, t->modified_at, mode) &&
		may_column(check, t, t->client_id, mode) && may_column(check, t, t->clocks, mode);
	int			i;

	for (i = 0; mode == ACL_INSERT && i < t->nkeys; i++)
		result &= may_column(check, t, t->keys[i], mode);
	return result;
}

static void
check_right(RoleCheck *check, TrackedTable *t, bool allowed, const char *severity,
			const char *what, const char *right)
{
	if (!allowed)
		complain(check, severity, t->sql_name,
				 psprintf("role %s may not %s", check->name, what),
				 psprintf("GRANT %s ON %s TO %s;", right, t->sql_name, check->name));
}

/* does a policy show the role any row? */
static bool
has_policy(Oid relid, Oid role)
{
	Relation	rel = table_open(PolicyRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		result = false;

	ScanKeyInit(&key, Anum_pg_policy_polrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, PolicyPolrelidPolnameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_policy form = (Form_pg_policy) GETSTRUCT(tuple);
		bool		isnull;
		ArrayType  *roles = DatumGetArrayTypePCopy(heap_getattr(tuple, Anum_pg_policy_polroles,
																RelationGetDescr(rel), &isnull));
		Oid		   *oids = (Oid *) ARR_DATA_PTR(roles);
		int			i;

		if (!form->polpermissive || (form->polcmd != '*' && form->polcmd != ACL_SELECT_CHR))
			continue;
		for (i = 0; i < ARR_DIMS(roles)[0]; i++)
			result |= (oids[i] == ACL_ID_PUBLIC || has_privs_of_role(role, oids[i]));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

static void
check_table(RoleCheck *check, TrackedTable *t)
{
	const char *problem = registry_problem(t);

	if (problem)
	{
		complain(check, "error", t->sql_name, psprintf("it is not synced: %s", problem),
				 "SELECT * FROM tide.check();");
		return;
	}
	check_schema(check, t->namespace);
	check_right(check, t, may_read(check, t), "error",
				"read all synced columns: it pulls nothing of this table", "SELECT");
	check_right(check, t, may_write(check, t, ACL_INSERT), "warning", "create rows", "INSERT");
	check_right(check, t, may_write(check, t, ACL_UPDATE), "warning", "change rows", "UPDATE");
	if (AttributeNumberIsValid(t->clocks))
		check_right(check, t, may_column(check, t, t->clocks, ACL_SELECT), "warning",
					"read the stamps of columns: it pushes nothing to this table",
					psprintf("SELECT (%s)", quote_identifier(tracked_column(t, t->clocks)->name)));
	if (!AttributeNumberIsValid(t->deleted_at))
		check_right(check, t, pg_class_aclcheck(t->relid, check->role, ACL_DELETE) == ACLCHECK_OK,
					"warning", "delete rows", "DELETE");
	if (check_enable_rls(t->relid, check->role, true) == RLS_ENABLED &&
		!has_policy(t->relid, check->role))
		complain(check, "error", t->sql_name,
				 psprintf("row security is on and no policy shows role %s a row", check->name),
				 psprintf("CREATE POLICY tide_read ON %s FOR SELECT TO %s USING (true);",
						  t->sql_name, check->name));
}

/* functions of schema tide that every client needs */
static void
check_functions(RoleCheck *check)
{
	uint64		i;

	SPI_connect();
	if (SPI_execute(psprintf("SELECT CAST(CAST(p.oid AS pg_catalog.regprocedure) AS pg_catalog.text)"
							 " FROM pg_catalog.pg_proc p"
							 " WHERE p.pronamespace OPERATOR(pg_catalog.=) CAST('tide' AS pg_catalog.regnamespace)"
							 " AND p.proname OPERATOR(pg_catalog.=) ANY ('{pull,push,schema,keys,digest,rows,cursor}')"
							 " AND NOT pg_catalog.has_function_privilege(CAST(%u AS pg_catalog.oid), p.oid, 'EXECUTE')",
							 check->role), true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look for functions");
	for (i = 0; i < SPI_processed; i++)
	{
		char	   *function = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);

		complain(check, "error", function,
				 psprintf("role %s may not call it", check->name),
				 psprintf("GRANT EXECUTE ON FUNCTION %s TO %s;", function, check->name));
	}
	SPI_finish();
}

/* a query of one row and one text; NULL */
static char *
query_text(const char *sql)
{
	MemoryContext caller = CurrentMemoryContext;
	char	   *result = NULL;

	SPI_connect();
	if (SPI_execute(sql, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not run: %s", sql);
	if (SPI_processed > 0)
	{
		char	   *value = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);

		result = value ? MemoryContextStrdup(caller, value) : NULL;
	}
	SPI_finish();
	return result;
}

/* the function that says what is whose must be of somebody who is trusted */
static void
check_scopes_owner(RoleCheck *check)
{
	Oid			function = atooid(query_text(psprintf("SELECT CAST(CAST(pg_catalog.to_regprocedure(%s)"
													  " AS pg_catalog.oid) AS pg_catalog.text)",
													  quote_literal_cstr(psprintf("%s(jsonb)", tide_scopes_function)))));
	const char *owner = quote_identifier(GetUserNameFromId(function_owner(function), false));

	if (!trust_function(function, InvalidOid))
		complain(check, "error", tide_scopes_function,
				 psprintf("its owner %s may not execute tide.trusted(): every request fails", owner),
				 psprintf("GRANT EXECUTE ON FUNCTION tide.trusted() TO %s;", owner));
}

/* false: there is none to ask for scopes */
static bool
check_scopes_function(RoleCheck *check)
{
	char	   *allowed;

	if (tide_scopes_function[0] == '\0')
		return true;
	allowed = query_text(psprintf("SELECT pg_catalog.has_function_privilege(CAST(%u AS pg_catalog.oid),"
								  " CAST(pg_catalog.to_regprocedure(%s) AS pg_catalog.oid), 'EXECUTE')",
								  check->role,
								  quote_literal_cstr(psprintf("%s(jsonb)", tide_scopes_function))));
	if (allowed == NULL)
		complain(check, "error", tide_scopes_function,
				 "pg_tide.scopes_function names no function of jsonb: every request fails",
				 psprintf("CREATE FUNCTION %s(claims jsonb) RETURNS text[] ...", tide_scopes_function));
	else if (strcmp(allowed, "t") != 0)
		complain(check, "error", tide_scopes_function,
				 psprintf("role %s may not call pg_tide.scopes_function", check->name),
				 psprintf("GRANT EXECUTE ON FUNCTION %s(jsonb) TO %s;", tide_scopes_function,
						  check->name));
	if (allowed != NULL)
		check_scopes_owner(check);
	return allowed != NULL;
}

/*
 * If claims are set in this session: do they have any row? The tables are
 * read with the caller's rights.
 */
static void
check_claims(RoleCheck *check, List *tables)
{
	const char *claims = GetConfigOption("request.jwt.claims", true, false);
	char	   *scopes;
	ListCell   *lc;
	int			looked = 0;

	if (claims == NULL || claims[0] == '\0')
		return;
	scopes = query_text(tide_scopes_function[0] ?
						psprintf("SELECT %s(CAST(%s AS pg_catalog.jsonb))", tide_scopes_function,
								 quote_literal_cstr(claims)) :
						psprintf("SELECT ARRAY[CAST(%s AS pg_catalog.jsonb) OPERATOR(pg_catalog.->>) 'sub']",
								 quote_literal_cstr(claims)));
	if (tide_schema_claim[0] != '\0')
	{
		char	   *schema = query_text(psprintf("SELECT CAST(%s AS pg_catalog.jsonb) OPERATOR(pg_catalog.->>) %s",
												 quote_literal_cstr(claims),
												 quote_literal_cstr(tide_schema_claim)));
		Oid			view = schema ? get_namespace_oid(schema, true) : InvalidOid;

		if (!OidIsValid(view) || !names_has_schema(view))
		{
			complain(check, "error", "request.jwt.claims",
					 psprintf("these claims name no schema with tracked tables in \"%s\"", tide_schema_claim),
					 "Have the login put the schema's name into this claim, or change pg_tide.schema_claim.");
			return;
		}
		tables = registry_all(view);
	}
	foreach(lc, tables)
	{
		TrackedTable *t = lfirst(lc);

		if (registry_problem(t) ||
			pg_class_aclcheck(t->relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			continue;
		if (t->shared)
			return;
		looked++;
		if (scopes &&
			query_text(psprintf("SELECT 'found' FROM %s WHERE CAST(%s AS pg_catalog.text) OPERATOR(pg_catalog.=) ANY (CAST(%s AS pg_catalog.text[])) LIMIT 1",
								t->sql_name, quote_identifier(tracked_column(t, t->scope)->name),
								quote_literal_cstr(scopes))))
			return;
	}
	if (looked > 0)
		complain(check, "warning", "request.jwt.claims",
				 psprintf("no row of a tracked table is in a scope of these claims, which are %s",
						  scopes ? scopes : "none"),
				 "Compare the claims' \"sub\", or what pg_tide.scopes_function makes of it, with the scope columns in tide.tracked.");
}

void
advise_on_role(Oid role, AdviceReport report, void *arg)
{
	RoleCheck	check = {role, quote_identifier(GetUserNameFromId(role, false)), NIL, report, arg};
	List	   *tables = registry_all(InvalidOid);
	ListCell   *lc;

	if (tables == NIL)
		complain(&check, "error", "tide.tracked", "no table is tracked: every pull is empty",
				 "SELECT tide.track('my_table', scope => 'user_id');");
	check_schema(&check, get_namespace_oid(TIDE_SCHEMA, false));
	check_functions(&check);
	foreach(lc, tables)
		check_table(&check, lfirst(lc));
	if (check_scopes_function(&check))
		check_claims(&check, tables);
}
