/*-------------------------------------------------------------------------
 *
 * fuzz_wire.c
 *	  The extension's scanner of JSON as text, with any bytes.
 *
 * It judges as the gateway's does, but for what only that refuses: keys that
 * are there twice, escapes of what is no character, bytes that are not UTF-8.
 * Each member of what it takes is JSON by itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fuzz.h"
#include "util/json.h"
#include "util/json_scan.h"

static void
walk(JsonSpan span, int depth)
{
	JsonSpan	name;
	JsonSpan	value;
	JsonMembers members;

	require(json_is_valid(span.at, span.len));
	if ((json_first(span) != '{' && json_first(span) != '[') || depth > 50)
		return;
	json_members(&members, span);
	while (json_next_member(&members, &name, &value))
	{
		require(value.at >= span.at && value.at + value.len <= span.at + span.len);
		if (members.is_object)
		{
			require(name.len >= 2 && *name.at == '"');
			(void) json_name_is(name, JSON_TEXT_FORM);
			(void) json_unescape(name);
		}
		walk(value, depth + 1);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *copy = malloc(size > 0 ? size : 1);
	JsonSpan	span = {copy, size};
	JsonProblem problem;
	JsonVerdict verdict;
	bool		valid;

	require(copy != NULL);
	memcpy(copy, data, size);
	valid = json_is_valid(copy, size);
	verdict = json_check(copy, size, JSON_MAX_DEPTH, &problem);
	if (verdict == JSON_GOOD)
		require(valid);
	else if (valid)
		require(strstr(problem.what, "twice") != NULL ||
				strstr(problem.what, "NUL") != NULL ||
				strstr(problem.what, "surrogate") != NULL ||
				strstr(problem.what, "UTF-8") != NULL);
	if (valid)
	{
		(void) json_needs_text_form(copy, size, true);
		(void) json_is_readable(copy, size, false);
		walk(span, 0);
	}
	shim_reset();
	free(copy);
	return 0;
}
