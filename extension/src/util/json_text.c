/*-------------------------------------------------------------------------
 *
 * json_text.c
 *	  JSON that is kept as text, because jsonb cannot hold all that json can.
 *
 * PostgreSQL's own json_object_field() decodes escapes, and fails for those
 * that text cannot hold.  pg_tide wrote these texts itself, so they are well
 * formed, and each name looks as escape_json() writes it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/json.h"

#include "util/json_text.h"

static const char *
skip_space(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* p is at the opening quote; returns what follows the closing one */
static const char *
skip_string(const char *p)
{
	for (p++; *p != '\0' && *p != '"'; p++)
	{
		if (*p == '\\' && p[1] != '\0')
			p++;
	}
	return *p == '"' ? p + 1 : p;
}

static const char *
skip_value(const char *p)
{
	int			depth = 0;

	while (*p != '\0')
	{
		if (*p == '"')
			p = skip_string(p);
		else if (depth == 0 && strchr(",}]", *p))
			return p;
		else
		{
			depth += (*p == '{' || *p == '[');
			depth -= (*p == '}' || *p == ']');
			p++;
		}
	}
	return p;
}

char *
json_text_member(const char *object, const char *name)
{
	const char *p = skip_space(object);
	StringInfoData quoted;

	if (*p != '{')
		return NULL;
	initStringInfo(&quoted);
	escape_json(&quoted, name);
	for (p = skip_space(p + 1); *p == '"'; p = skip_space(p + 1))
	{
		const char *key = p;
		const char *key_end = skip_string(p);
		const char *value = skip_space(skip_space(key_end) + 1);
		const char *end = skip_value(value);

		if (key_end - key == quoted.len && memcmp(key, quoted.data, quoted.len) == 0)
		{
			while (end > value && strchr(" \t\r\n", end[-1]))
				end--;
			return pnstrdup(value, end - value);
		}
		if (*end != ',')
			break;
		p = end;
	}
	return NULL;
}
