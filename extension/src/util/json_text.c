/*-------------------------------------------------------------------------
 *
 * json_text.c
 *	  JSON that is kept as text, because jsonb cannot hold all that json can.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "util/json_text.h"

char *
json_text_member(const char *object, const char *name)
{
	LOCAL_FCINFO(fcinfo, 2);
	Datum		result;

	InitFunctionCallInfoData(*fcinfo, NULL, 2, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = CStringGetTextDatum(object);
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = CStringGetTextDatum(name);
	fcinfo->args[1].isnull = false;
	result = json_object_field(fcinfo);
	return fcinfo->isnull ? NULL : TextDatumGetCString(result);
}
