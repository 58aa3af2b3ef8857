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

const char *
resolver_problem(const char *name, Oid table_owner, const char **hint, Oid *function)
{
	static const Oid types[3] = {TEXTOID, JSONBOID, JSONBOID};
	List	   *names = textToQualifiedNameList(cstring_to_text(name));
	char	   *quoted = NameListToQuotedString(names);

	*function = LookupFuncName(names, 3, types, true);
	if (!OidIsValid(*function))
	{
		*hint = psprintf("CREATE FUNCTION %s(entity_type text, current jsonb, incoming jsonb) RETURNS jsonb ...",
						 quoted);
		return psprintf("conflict resolver %s(text, jsonb, jsonb) does not exist", quoted);
	}
	if (get_func_rettype(*function) != JSONBOID || get_func_retset(*function) ||
		get_func_prokind(*function) != PROKIND_FUNCTION)
	{
		*hint = "It returns the row to store, or NULL to keep the current one.";
		return psprintf("conflict resolver %s(text, jsonb, jsonb) does not return jsonb", quoted);
	}
	if (!trust_function(*function, table_owner))
	{
		*hint = untrusted_hint(*function, quoted);
		return psprintf("conflict resolver %s(text, jsonb, jsonb) is neither of the table's owner nor of one who may execute tide.trusted()",
						quoted);
	}
	return NULL;
}
