/*-------------------------------------------------------------------------
 *
 * access.c
 *	  Which scopes a caller may sync.
 *
 * If claims are set (request.jwt.claims, as the gateway and PostgREST do),
 * they are the "sub" of the claims, or what the function named by
 * pg_tide.scopes_function returns for the claims.  Without claims only a role
 * that may execute tide.unrestricted() can sync, and it syncs everything.  So
 * missing claims never mean all scopes by accident.
 *
 * Where pg_tide.schema_claim is set, a claim also says in which schema: of all
 * tracked tables the caller sees those of this schema, and shared ones.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"
#include "utils/varlena.h"

#include "read/access.h"
#include "table/names.h"
#include "table/trust.h"
#include "util/compat.h"
#include "util/errors.h"
#include "util/settings.h"
#include "wire/wire.h"

/* the claims; NULL if there are none */
static Jsonb *
read_claims(void)
{
	const char *claims = GetConfigOption("request.jwt.claims", true, false);

	if (claims == NULL || claims[0] == '\0')
		return NULL;
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(claims)));
}

/* "sub" of the claims */
static char *
claims_subject(Jsonb *claims)
{
	JsonbValue	buffer;
	JsonbValue *sub = JB_ROOT_IS_OBJECT(claims) ?
		getKeyJsonValueFromContainer(&claims->root, "sub", 3, &buffer) : NULL;

	/* many login servers send the user as a number */
	if (sub && sub->type == jbvNumeric)
		return DatumGetCString(DirectFunctionCall1(numeric_out,
												   NumericGetDatum(sub->val.numeric)));
	if (sub == NULL || sub->type != jbvString || sub->val.string.len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_NO_CLAIMS),
				 errmsg("request.jwt.claims has no \"sub\""),
				 errhint("The claims of a request name its user in \"sub\".")));
	return pnstrdup(sub->val.string.val, sub->val.string.len);
}

/*
 * The function that the setting names.  Its schema is required, because a
 * caller's search_path must not decide who may sync what.
 */
static Oid
scopes_function(void)
{
	Oid			types[1] = {JSONBOID};
	Oid			function = InvalidOid;
	List	   *name;

	if (SplitIdentifierString(pstrdup(tide_scopes_function), '.', &name) &&
		list_length(name) == 2)
		function = LookupFuncName(list_make2(makeString(linitial(name)),
											 makeString(lsecond(name))),
								  1, types, true);
	if (!OidIsValid(function) || get_func_rettype(function) != TEXTARRAYOID ||
		get_func_retset(function) || get_func_prokind(function) != PROKIND_FUNCTION)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("pg_tide.scopes_function names no function \"%s\" that makes text[] of jsonb",
						tide_scopes_function),
				 errhint("Name it with its schema: CREATE FUNCTION my_schema.my_scopes(claims jsonb) RETURNS text[] ..., SET pg_tide.scopes_function = 'my_schema.my_scopes'.")));
	/* it says who may see what, so nobody else may have put it there */
	if (!trust_function(function, InvalidOid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("pg_tide.scopes_function \"%s\" is not of an owner who may execute tide.trusted()",
						tide_scopes_function),
				 errhint("GRANT EXECUTE ON FUNCTION tide.trusted() TO %s;",
						 quote_identifier(GetUserNameFromId(function_owner(function), false)))));
	if (!tide_may_execute(function))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, tide_scopes_function);
	return function;
}

/*
 * The scopes that the function returns for the claims.  It runs with the
 * caller's rights.  NULL is an empty list, as array_agg() of no rows is.  A
 * NULL in the list is not a scope, since a row without a scope is nobody's.
 */
static void
call_scopes_function(Jsonb *claims, Access *access)
{
	ScopeSet   *set = &access->allowed;
	Oid			function = scopes_function();

	LOCAL_FCINFO(fcinfo, 1);
	FmgrInfo	flinfo;
	Datum		result;
	Datum	   *elements;
	bool	   *nulls;
	int			n,
				i;

	access->by_function = (func_volatile(function) != PROVOLATILE_IMMUTABLE);
	fmgr_info(function, &flinfo);
	InitFunctionCallInfoData(*fcinfo, &flinfo, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = JsonbPGetDatum(claims);
	fcinfo->args[0].isnull = false;
	result = FunctionCallInvoke(fcinfo);
	if (fcinfo->isnull)
		return;
	deconstruct_array(DatumGetArrayTypeP(result), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, &n);
	set->scopes = palloc(sizeof(char *) * Max(n, 1));
	for (i = 0; i < n; i++)
		if (!nulls[i])
			set->scopes[set->n++] = TextDatumGetCString(elements[i]);
	scopes_normalise(set);
}

/*
 * The schema that the claims name; invalid if that is not asked for.  Whether
 * another one exists is nobody's business.
 */
static Oid
claims_schema(Jsonb *claims)
{
	JsonbValue	buffer;
	JsonbValue *value;
	Oid			schema = InvalidOid;

	if (tide_schema_claim[0] == '\0')
		return InvalidOid;
	value = JB_ROOT_IS_OBJECT(claims) ?
		getKeyJsonValueFromContainer(&claims->root, tide_schema_claim,
									 strlen(tide_schema_claim), &buffer) : NULL;
	if (value == NULL || value->type != jbvString || value->val.string.len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_SCHEMA_NOT_ALLOWED),
				 errmsg("request.jwt.claims has no string \"%s\"", tide_schema_claim),
				 errhint("This claim names the schema whose tables its user may sync (pg_tide.schema_claim).")));
	if (value->val.string.len < NAMEDATALEN)
		schema = get_namespace_oid(pnstrdup(value->val.string.val, value->val.string.len), true);
	if (!OidIsValid(schema) || !names_has_schema(schema))
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_SCHEMA_NOT_ALLOWED),
				 errmsg("the claim \"%s\" names no schema with tracked tables", tide_schema_claim),
				 errhint("This claim names the schema whose tables its user may sync (pg_tide.schema_claim).")));
	return schema;
}

void
access_require_schema(const Access *access, TrackedTable *t)
{
	if (!registry_sees(access->schema, t))
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_SCHEMA_NOT_ALLOWED),
				 errmsg("table %s is not in the schema of these claims", t->sql_name),
				 errhint("The claim \"%s\" names another schema (pg_tide.schema_claim).", tide_schema_claim)));
}

static bool
is_unrestricted(void)
{
	Oid			function = LookupFuncName(list_make2(makeString(TIDE_SCHEMA),
													 makeString("unrestricted")),
										  0, NULL, true);

	return OidIsValid(function) && tide_may_execute(function);
}

static void
read_asked(ArrayType *asked, ScopeSet *set)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n,
				i;

	deconstruct_array(asked, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	set->scopes = palloc(sizeof(char *) * Max(n, 1));
	for (i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
					 errmsg("a scope must not be null"),
					 errhint("Leave scopes out to ask for all that you may see.")));
		set->scopes[set->n++] = TextDatumGetCString(elements[i]);
	}
	scopes_normalise(set);
}

/* a caller without claims may sync everything, or nothing */
static void
require_unrestricted(void)
{
	if (!is_unrestricted())
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_NO_CLAIMS),
				 errmsg("no claims are set, so no scope is allowed"),
				 errhint("Set request.jwt.claims in this transaction, or grant EXECUTE on tide.unrestricted() to a role that may sync everything.")));
}

Oid
access_schema(void)
{
	Jsonb	   *claims;

	if (tide_schema_claim[0] == '\0')
		return InvalidOid;
	claims = read_claims();
	if (claims)
		return claims_schema(claims);
	require_unrestricted();
	return InvalidOid;
}

/* all that the caller may */
static void
resolve_allowed(Access *access)
{
	Jsonb	   *claims = read_claims();

	if (claims == NULL)
	{
		require_unrestricted();
		access->allowed.all = true;
		return;
	}
	access->subject = claims_subject(claims);
	access->schema = claims_schema(claims);
	if (tide_scopes_function[0] != '\0')
		call_scopes_function(claims, access);
	else
	{
		access->allowed.n = 1;
		access->allowed.scopes = palloc(sizeof(char *));
		access->allowed.scopes[0] = access->subject;
	}
}

void
access_resolve(ArrayType *asked, Access *access)
{
	int			i;

	memset(access, 0, sizeof(*access));
	resolve_allowed(access);
	if (asked == NULL)
	{
		access->scopes = access->allowed;
		return;
	}
	read_asked(asked, &access->scopes);
	for (i = 0; i < access->scopes.n; i++)
		if (!scopes_contain(&access->allowed, access->scopes.scopes[i]))
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_SCOPE_NOT_ALLOWED),
					 errmsg("a requested scope is not allowed"),
					 errhint("Ask only for scopes of this user, or leave them out.")));
}

/* decimal digits with or without a sign, within the range of the type */
static bool
read_integer(Oid type, const char *text, Datum *value)
{
	const char *digits = text + (*text == '-' || *text == '+' ? 1 : 0);
	int64		number;

	if (*digits == '\0' || digits[strspn(digits, "0123456789")] != '\0')
		return false;
	errno = 0;
	number = strtoll(text, NULL, 10);
	if (errno != 0)
		return false;
	switch (type)
	{
		case INT2OID:
			*value = Int16GetDatum((int16) number);
			return number >= PG_INT16_MIN && number <= PG_INT16_MAX;
		case INT4OID:
			*value = Int32GetDatum((int32) number);
			return number >= PG_INT32_MIN && number <= PG_INT32_MAX;
		default:
			*value = Int64GetDatum(number);
			return true;
	}
}

/* 8-4-4-4-12 hexadecimal digits */
static bool
is_usual_uuid(const char *text)
{
	int			i;

	for (i = 0; i < 36; i++)
	{
		if (i == 8 || i == 13 || i == 18 || i == 23 ? text[i] != '-' :
			!isxdigit((unsigned char) text[i]))
			return false;
	}
	return text[i] == '\0';
}

/*
 * Would the type's input function cut the text off or round it, so that one
 * user's text becomes another user's value?
 */
static bool
input_alters(TrackedColumn *c, char *text, Datum value)
{
	Datum		whole;

	switch (c->base_type)
	{
		case NAMEOID:
			return strlen(text) >= NAMEDATALEN;
		case CHAROID:
			return strlen(text) > 1;
		case NUMERICOID:
			whole = DirectFunctionCall3(numeric_in, CStringGetDatum(text),
										ObjectIdGetDatum(InvalidOid),
										Int32GetDatum(-1));
			return !DatumGetBool(DirectFunctionCall2(numeric_eq, whole, value));
		default:
			return false;
	}
}

/*
 * Is this text a value of the type?  For the usual types a look is enough; any
 * other is tried, in a subtransaction, because input functions raise errors.
 *
 * Neither the constraints of a domain nor the length of a text count: rows and
 * deletions can be older than these, and whose they are stays the same.  Where
 * such a scope is to be stored, judge.c asks for them.
 */
static bool
try_input(TrackedColumn *column, char *text, Datum *value)
{
	TrackedColumn *c = column->base;
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool good = false;

	if (c->type == INT2OID || c->type == INT4OID || c->type == INT8OID)
		return read_integer(c->type, text, value);
	if (c->type == TEXTOID || c->type == VARCHAROID ||
		(c->type == UUIDOID && is_usual_uuid(text)))
	{
		*value = InputFunctionCall(&c->input, text, c->ioparam, -1);
		return true;
	}
	/* other spellings of a uuid have no other characters */
	if (c->type == UUIDOID && text[strspn(text, "0123456789abcdefABCDEF-{}")] != '\0')
		return false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		*value = InputFunctionCall(&c->input, text, c->ioparam, c->typmod);
		good = !input_alters(c, text, *value);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(caller);
		CurrentResourceOwner = owner;
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
			ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
			ReThrowError(error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return good;
}

void
access_table_scopes(const Access *access, TrackedTable *t, TableScopes *result)
{
	TrackedColumn *c;
	int			level = 0;
	int			i;

	memset(result, 0, sizeof(*result));
	if (t->shared || access->scopes.all)
	{
		result->any = true;
		return;
	}
	c = tracked_column(t, t->scope);
	result->values = palloc(sizeof(Datum) * Max(access->scopes.n, 1));
	result->texts = palloc(sizeof(char *) * Max(access->scopes.n, 1));
	if (!t->plain_key)
		level = wire_begin();
	for (i = 0; i < access->scopes.n; i++)
	{
		Datum		value;

		if (!try_input(c, access->scopes.scopes[i], &value))
			continue;
		result->values[result->n] = value;
		result->texts[result->n] = wire_scope_text(t, value);
		result->n++;
	}
	if (!t->plain_key)
		wire_end(level);
}

Oid
access_scope_array_type(TrackedTable *t)
{
	return get_array_type(tracked_column(t, t->scope)->base_type);
}

Datum
access_scope_array(TrackedTable *t, const TableScopes *scopes)
{
	Oid			type = tracked_column(t, t->scope)->base_type;
	int16		length;
	bool		byval;
	char		align;

	get_typlenbyvalalign(type, &length, &byval, &align);
	return PointerGetDatum(construct_array(scopes->values, scopes->n, type,
										   length, byval, align));
}

bool
access_has_text(const TableScopes *scopes, const char *text)
{
	int			i;

	if (scopes->any)
		return true;
	for (i = 0; text && i < scopes->n; i++)
		if (strcmp(scopes->texts[i], text) == 0)
			return true;
	return false;
}

/* as far as the table is there */
static bool
may_select_any(Oid relid)
{
	bool		is_missing = false;

	return pg_class_aclcheck_ext(relid, GetUserId(), ACL_SELECT, &is_missing) == ACLCHECK_OK ||
		(!is_missing &&
		 pg_attribute_aclcheck_all(relid, GetUserId(), ACL_SELECT, ACLMASK_ANY) == ACLCHECK_OK);
}

bool
access_may_select(Oid relid)
{
	Oid			schema = get_rel_namespace(relid);

	return OidIsValid(schema) && tide_may_use_schema(schema) && may_select_any(relid);
}

void
access_require_select(Oid relid)
{
	Oid			schema = get_rel_namespace(relid);

	if (!OidIsValid(schema))
		return;					/* dropped just now */
	if (!tide_may_use_schema(schema))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_SCHEMA, get_namespace_name(schema));
	if (!may_select_any(relid))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLE, get_rel_name(relid));
}

bool
access_may_read(TrackedTable *t)
{
	int			i;

	if (pg_class_aclcheck(t->relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
		return true;
	for (i = 0; i < t->ncolumns; i++)
		if (column_is_synced(&t->columns[i]) &&
			pg_attribute_aclcheck(t->relid, t->columns[i].attnum, GetUserId(),
								  ACL_SELECT) != ACLCHECK_OK)
			return false;
	return true;
}

void
access_check_columns(TrackedTable *t)
{
	int			i;

	if (pg_class_aclcheck(t->relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
		return;
	access_require_select(t->relid);
	for (i = 0; i < t->ncolumns; i++)
	{
		TrackedColumn *c = &t->columns[i];

		if (column_is_synced(c) &&
			pg_attribute_aclcheck(t->relid, c->attnum, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied for column \"%s\" of table %s",
							c->name, t->sql_name),
					 errdetail("Clients get every column that is synced."),
					 errhint("GRANT SELECT (%s) ON %s, or exclude the column in tide.track.",
							 quote_identifier(c->name), t->sql_name)));
	}
}
