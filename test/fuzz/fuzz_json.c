/*-------------------------------------------------------------------------
 *
 * fuzz_json.c
 *	  json_check, the scan of every body, with any bytes.
 *
 * What it takes cJSON reads too, and finds no key twice in an object; cut off,
 * or with something behind, it is refused.  A push may have what json_check
 * takes, and beyond that only escapes that PostgreSQL does not store.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>

#include <cjson/cJSON.h>

#include "fuzz.h"
#include "util/json.h"

static JsonVerdict
check_by(JsonVerdict (*scan) (const char *, size_t, int, JsonProblem *),
		 const char *text, size_t length, int depth, JsonProblem *problem)
{
	char	   *copy = malloc(length > 0 ? length : 1);
	JsonVerdict verdict;

	require(copy != NULL);
	memcpy(copy, text, length);
	problem->what = NULL;
	problem->offset = length + 1;
	verdict = scan(copy, length, depth, problem);
	free(copy);
	if (verdict == JSON_REFUSED)
	{
		require(problem->what != NULL);
		require(problem->offset <= length);
	}
	return verdict;
}

static JsonVerdict
check(const char *text, size_t length, int depth, JsonProblem *problem)
{
	JsonProblem of_push;
	JsonVerdict push = check_by(json_check_push, text, length, depth, &of_push);
	JsonVerdict verdict = check_by(json_check, text, length, depth, problem);

	if (verdict == JSON_GOOD)
		require(push == JSON_GOOD);
	else if (push == JSON_GOOD)
		require(strstr(problem->what, "NUL") != NULL ||
				strstr(problem->what, "surrogate") != NULL);
	return verdict;
}

static void
require_single_keys(const cJSON *item)
{
	const cJSON *one;
	const cJSON *other;

	cJSON_ArrayForEach(one, item)
	{
		if (cJSON_IsObject(item))
		{
			for (other = one->next; other != NULL; other = other->next)
				require(strcmp(one->string, other->string) != 0);
		}
		require_single_keys(one);
	}
}

/* cJSON cuts numbers at 63 characters */
static int
has_long_number(const char *text)
{
	int			length = 0;

	for (; *text != '\0'; text++)
	{
		length = isdigit((unsigned char) *text) || strchr("+-.eE", *text) ?
			length + 1 : 0;
		if (length > 60)
			return 1;
	}
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int			depth;
	char	   *text;
	size_t		length;
	JsonProblem problem;
	JsonVerdict verdict;

	if (size == 0)
		return 0;
	depth = *data + 1;
	text = copy_input(data + 1, size - 1);
	length = size - 1;
	verdict = check(text, length, depth, &problem);
	require(verdict != JSON_NO_MEMORY);
	if (verdict == JSON_GOOD)
	{
		require(strlen(text) == length);
		require(check(text, length, depth + 1, &problem) == JSON_GOOD);
		if (!has_long_number(text))
		{
			cJSON	   *document = cJSON_ParseWithOpts(text, NULL, 1);

			require(document != NULL);
			if (length < 2000)
				require_single_keys(document);
			cJSON_Delete(document);
		}
		text[length] = 'x';
		require(check(text, length + 1, depth, &problem) == JSON_REFUSED);
		if (text[length - 1] == '}' || text[length - 1] == ']' ||
			text[length - 1] == '"')
			require(check(text, length - 1, depth, &problem) == JSON_REFUSED);
	}
	free(text);
	return 0;
}
