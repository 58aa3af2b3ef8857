/*-------------------------------------------------------------------------
 *
 * json.c
 *	  Looking at values of type jsonb.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "util/json.h"

JsonbValue *
json_member(JsonbContainer *object, const char *name)
{
	JsonbValue *v = getKeyJsonValueFromContainer(object, name, strlen(name), NULL);

	return v && v->type == jbvNull ? NULL : v;
}

JsonbValue *
json_member_or_null(JsonbContainer *object, const char *name)
{
	return getKeyJsonValueFromContainer(object, name, strlen(name), NULL);
}

bool
json_is_object(JsonbValue *v)
{
	return v && v->type == jbvBinary && JsonContainerIsObject(v->val.binary.data);
}

bool
json_is_array(JsonbValue *v)
{
	return v && v->type == jbvBinary && JsonContainerIsArray(v->val.binary.data) &&
		!JsonContainerIsScalar(v->val.binary.data);
}

char *
json_string(JsonbValue *v)
{
	return pnstrdup(v->val.string.val, v->val.string.len);
}

Jsonb *
json_parse(const char *text)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
}

/* any value as JSON text */
char *
json_text(JsonbValue *v)
{
	Jsonb	   *jsonb = JsonbValueToJsonb(v);

	return JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
}

/* as json_text, but a number becomes a string: one-column ids are strings */
char *
json_id(JsonbValue *v)
{
	char	   *json = json_text(v);

	return v->type == jbvNumeric ? psprintf("\"%s\"", json) : json;
}
