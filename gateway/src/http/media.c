/*-------------------------------------------------------------------------
 *
 * media.c
 *	  Which media types are read and written: pure decisions.
 *
 * A browser sends application/json to another origin only after a preflight.
 * Forms of foreign pages cannot send it, and are refused.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/media.h"

/*
 * Does "text" begin with "word", in whatever case, and then end or go on with
 * one of the characters in "follows"?
 */
static bool
begins_with(const char *text, const char *word, const char *follows)
{
	size_t		length = strlen(word);

	return strncasecmp(text, word, length) == 0 &&
		(text[length] == '\0' || strchr(follows, text[length]) != NULL);
}

/*
 * Why a body of this type is refused; NULL: it is not.  Both arguments can be
 * NULL: a client that names no type sends JSON.
 */
const char *
media_refusal(const char *content_type, const char *content_encoding)
{
	const char *charset;

	if (content_encoding != NULL &&
		strcasecmp(content_encoding, "identity") != 0)
		return "the body has a content encoding that is not supported";
	if (content_type == NULL)
		return NULL;
	if (!begins_with(content_type, "application/json", "; \t"))
		return "the body is not application/json";

	charset = strcasestr(content_type, "charset=");
	if (charset == NULL)
		return NULL;
	charset += strlen("charset=");
	if (begins_with(charset, "utf-8", "; \t") ||
		begins_with(charset, "\"utf-8\"", "; \t"))
		return NULL;
	return "the body is not UTF-8";
}

/*
 * The weight of a media type in an Accept header, in thousandths; below 0: it is
 * not in it.
 */
static int
weight_of(const char *accept, const char *type)
{
	while (*accept != '\0')
	{
		size_t		length = strcspn(accept, ",");
		const char *start = accept + strspn(accept, " \t");
		const char *q;
		double		weight;

		accept += length + (accept[length] == ',');
		if (!begins_with(start, type, ",; \t"))
			continue;
		q = strcasestr(start, "q=");
		if (q == NULL || q >= accept)
			return 1000;
		weight = strtod(q + 2, NULL);
		/* no weight is above 1, but text may name any number, or none (nan) */
		return weight >= 1 ? 1000 : weight > 0 ? (int) (weight * 1000) : 0;
	}
	return -1;
}

/*
 * Does the client want a stream of lines rather than one document?  Whoever names
 * it alone does, and who gives it more weight.
 */
bool
media_wants_stream(const char *accept)
{
	int			lines = accept == NULL ? -1 : weight_of(accept, "application/x-ndjson");

	return lines > 0 && lines > weight_of(accept, "application/json");
}

/* Is a body of this Content-Encoding packed as we can unpack it? */
bool
media_is_gzip(const char *content_encoding)
{
	return content_encoding != NULL &&
		(strcasecmp(content_encoding, "gzip") == 0 ||
		 strcasecmp(content_encoding, "x-gzip") == 0);
}

/* Does this Accept-Encoding have gzip, and not with a weight of 0? */
bool
media_takes_gzip(const char *accept_encoding)
{
	const char *found = accept_encoding == NULL ? NULL :
		strcasestr(accept_encoding, "gzip");
	const char *weight;

	if (found == NULL || !begins_with(found, "gzip", ",; \t") ||
		(found > accept_encoding && strchr(", \t", found[-1]) == NULL))
		return false;
	weight = found + strlen("gzip");
	weight += strspn(weight, " \t;");
	if (strncasecmp(weight, "q=0", 3) != 0)
		return true;
	weight += 3;
	weight += strspn(weight, ".0");
	return *weight >= '1' && *weight <= '9';
}
