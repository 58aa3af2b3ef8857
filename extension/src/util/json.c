/*-------------------------------------------------------------------------
 *
 * json.c
 *	  Looking at values of type jsonb.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "util/json.h"
#include "util/json_scan.h"

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

/*
 * 1e131071 is eight bytes, and 131072 when it is written out.  The limit is
 * that of numeric's declared precision.
 */
bool
json_is_long_number(Numeric number)
{
	static Numeric limit = NULL;
	Datum		size;

	if (limit == NULL)
	{
		char	   *text = psprintf("1e%d", JSON_MAX_DIGITS);
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		limit = DatumGetNumeric(DirectFunctionCall3(numeric_in,
													CStringGetDatum(text),
													ObjectIdGetDatum(InvalidOid),
													Int32GetDatum(-1)));
		MemoryContextSwitchTo(old);
	}
	if (DatumGetInt32(DirectFunctionCall1(numeric_scale,
										  NumericGetDatum(number))) > JSON_MAX_DIGITS)
		return true;
	size = DirectFunctionCall1(numeric_abs, NumericGetDatum(number));
	return DatumGetBool(DirectFunctionCall2(numeric_ge, size,
											NumericGetDatum(limit)));
}

bool
json_has_long_number(JsonbValue *v)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	part;

	if (v->type == jbvNumeric)
		return json_is_long_number(v->val.numeric);
	if (v->type != jbvBinary)
		return false;
	it = JsonbIteratorInit(v->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &part, false)) != WJB_DONE)
	{
		if ((token == WJB_ELEM || token == WJB_VALUE) &&
			part.type == jbvNumeric && json_is_long_number(part.val.numeric))
			return true;
	}
	return false;
}

/*
 * As json_text, but a number becomes a string, because ids of one column are
 * strings.  NULL for a number with too many digits to be written out.
 */
char *
json_id(JsonbValue *v)
{
	char	   *json;

	if (json_has_long_number(v))
		return NULL;
	json = json_text(v);
	return v->type == jbvNumeric ? psprintf("\"%s\"", json) : json;
}
