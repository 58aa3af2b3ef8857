/*-------------------------------------------------------------------------
 *
 * resolver.c
 *	  The function of the user's that resolves conflicts of a table.
 *
 * It is found by its name at each push, because a dump can restore nothing else.
 * So whoever may create functions in its schema could put another one in its
 * place after it was dropped or renamed, and that would run with the rights of
 * everybody who pushes.  Its owner has to be the table's, or a trusted one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "table/resolver.h"
#include "table/trust.h"

static const char *
untrusted_hint(Oid function, const char *name)
{
	char	   *owner = GetUserNameFromId(function_owner(function), true);

	return psprintf("GRANT EXECUTE ON FUNCTION tide.trusted() TO %s; -- or ALTER FUNCTION %s(text, jsonb, jsonb) OWNER TO the table's",
					owner ? quote_identifier(owner) : "...", name);
}

Resolver
resolver_find(const char *name, Oid table_owner)
{
	static const Oid types[3] = {TEXTOID, JSONBOID, JSONBOID};
	List	   *names = textToQualifiedNameList(cstring_to_text(name));
	char	   *quoted = NameListToQuotedString(names);
	const char *what = NULL;
	Resolver	r = {LookupFuncName(names, 3, types, true)};

	if (!OidIsValid(r.function))
	{
		r.sqlstate = ERRCODE_UNDEFINED_FUNCTION;
		what = "does not exist";
		r.hint = psprintf("CREATE FUNCTION %s(entity_type text, current jsonb, incoming jsonb) RETURNS jsonb ...",
						  quoted);
	}
	else if (get_func_rettype(r.function) != JSONBOID || get_func_retset(r.function) ||
			 get_func_prokind(r.function) != PROKIND_FUNCTION)
	{
		r.sqlstate = ERRCODE_DATATYPE_MISMATCH;
		what = "does not return jsonb";
		r.hint = "It returns the row to store, or NULL to keep the current one.";
	}
	else if (!trust_function(r.function, table_owner))
	{
		r.sqlstate = ERRCODE_INSUFFICIENT_PRIVILEGE;
		what = "is neither of the table's owner nor of one who may execute tide.trusted()";
		r.hint = untrusted_hint(r.function, quoted);
	}
	if (what)
		r.problem = psprintf("conflict resolver %s(text, jsonb, jsonb) %s", quoted, what);
	return r;
}
