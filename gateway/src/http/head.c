/*-------------------------------------------------------------------------
 *
 * head.c
 *	  Is a request's head one that all readers take the same way?
 *
 * A proxy in front of the gateway decides by path and headers what may pass,
 * and where one request ends and the next begins.  A client that makes the
 * proxy read them otherwise than we do gets around the proxy.  So a head that
 * could be read in two ways is refused, even if libmicrohttpd accepts it.
 *
 * Before version 1.0 that library accepts lines that end with a bare LF, and
 * cuts lines at a NUL.  It glues a folded line to the *name* of its header, so
 * that "Transfer: x" and " -Encoding" become one header, and takes a line that
 * begins with a colon for the end of the head.  Names and values show none of
 * this.  But the library leaves both where they came in, so that they must
 * follow each other at the distance of ": " and CRLF, with an empty line behind
 * the last one: with "in_place" that is checked.  (An LF alone at the very end
 * is not noticed, nor is a line of a lone colon.  Neither does harm: no proxy
 * passes the latter on.)
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "http/head.h"

#define MAX_ID_LENGTH	64
#define MAX_SPACE		4096	/* before a value; more is not looked at */

typedef enum Single
{
	SINGLE_HOST,
	SINGLE_CONTENT_LENGTH,
	SINGLE_TRANSFER_ENCODING,
	SINGLE_AUTHORIZATION,
	SINGLE_CONTENT_TYPE,
	SINGLE_CONTENT_ENCODING,
	SINGLE_EXPECT,
	SINGLE_ORIGIN,
	SINGLE_COUNT
} Single;

/*
 * Headers that may be given once: of two, some readers take the first and
 * others the last.
 */
static const struct
{
	const char *name;
	const char *twice;
}			singles[SINGLE_COUNT] = {
	[SINGLE_HOST] = {"Host", "the header Host is given twice"},
	[SINGLE_CONTENT_LENGTH] = {"Content-Length",
	"the header Content-Length is given twice"},
	[SINGLE_TRANSFER_ENCODING] = {"Transfer-Encoding",
	"the header Transfer-Encoding is given twice"},
	[SINGLE_AUTHORIZATION] = {"Authorization",
	"the header Authorization is given twice"},
	[SINGLE_CONTENT_TYPE] = {"Content-Type",
	"the header Content-Type is given twice"},
	[SINGLE_CONTENT_ENCODING] = {"Content-Encoding",
	"the header Content-Encoding is given twice"},
	[SINGLE_EXPECT] = {"Expect", "the header Expect is given twice"},
	[SINGLE_ORIGIN] = {"Origin", "the header Origin is given twice"}
};

static bool
is_alphanumeric(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
		(c >= 'a' && c <= 'z');
}

static bool
is_one_of(char c, const char *characters)
{
	return c != '\0' && strchr(characters, c) != NULL;
}

static bool
is_hexadecimal(char c)
{
	return is_one_of(c, "0123456789abcdefABCDEF");
}

/*
 * Is this request target a path, perhaps with a query, in which nothing could
 * be decoded into another path?  None of our paths needs an escape; in the
 * query, escapes must be whole.  A whole URI is no path.
 */
bool
head_target_is_plain(const char *target)
{
	const char *c = target;

	if (*c != '/')
		return false;
	while (is_alphanumeric(*c) || is_one_of(*c, "/-._~!$&'()*+,;=:@"))
		c++;
	if (*c == '\0')
		return true;
	if (*c != '?')
		return false;
	for (; *c != '\0'; c++)
	{
		if ((unsigned char) *c <= ' ' || *c == '\x7F' || *c == '#')
			return false;
		if (*c == '%' && (!is_hexadecimal(c[1]) || !is_hexadecimal(c[2])))
			return false;
	}
	return true;
}

static void
complain(HeadCheck *check, const char *problem)
{
	if (check->problem == NULL)
		check->problem = problem;
}

/* Begin with the HTTP version, which is where it came in, too. */
void
head_begin(HeadCheck *check, const char *version, bool in_place)
{
	memset(check, 0, sizeof(HeadCheck));
	check->is_http_1_0 = strcmp(version, "HTTP/1.0") == 0;
	check->in_place = in_place;
	check->next_line = version + strlen(version) + 2;
}

/* Does this header stand on a line of its own, where it should? */
static bool
is_whole_line(const HeadCheck *check, const char *name, size_t name_length,
			  const char *value)
{
	/* numbers: these pointers may point into different objects */
	uintptr_t	after_colon = (uintptr_t) (name + name_length + 1);
	uintptr_t	space = (uintptr_t) value - after_colon;

	return (uintptr_t) name == (uintptr_t) check->next_line &&
		(uintptr_t) value >= after_colon && space <= MAX_SPACE &&
		strspn(name + name_length + 1, " \t") >= space;
}

static bool
is_name(const char *name, size_t length)
{
	size_t		i;

	for (i = 0; i < length; i++)
	{
		if (!is_alphanumeric(name[i]) && !is_one_of(name[i], "!#$%&'*+-.^_`|~"))
			return false;
	}
	return length > 0;
}

/* Does it have no control character but tabs? */
static bool
is_value(const char *value, size_t length)
{
	size_t		i;

	for (i = 0; i < length; i++)
	{
		if (((unsigned char) value[i] < ' ' && value[i] != '\t') ||
			value[i] == '\x7F')
			return false;
	}
	return true;
}

static bool
is_number(const char *value, size_t length)
{
	size_t		i;

	for (i = 0; i < length; i++)
	{
		if (value[i] < '0' || value[i] > '9')
			return false;
	}
	/* with more digits, some reader overflows */
	return length > 0 && length <= 18;
}

/* The next header of the request, in the order in which they came. */
void
head_take_field(HeadCheck *check, const char *name, size_t name_length,
				const char *value, size_t value_length)
{
	int			i;

	if (check->in_place && !is_whole_line(check, name, name_length, value))
		complain(check, "a line of the head is folded, or does not end with CR and LF");
	check->next_line = value + value_length + 2;
	if (!is_name(name, name_length))
		complain(check, "a header has a malformed name");
	if (!is_value(value, value_length))
		complain(check, "a header has a control character");

	for (i = 0; i < SINGLE_COUNT; i++)
	{
		if (name_length != strlen(singles[i].name) ||
			strncasecmp(name, singles[i].name, name_length) != 0)
			continue;
		if ((check->seen & (1U << i)) != 0)
			complain(check, singles[i].twice);
		check->seen |= 1U << i;
		if (i == SINGLE_CONTENT_LENGTH && !is_number(value, value_length))
			complain(check, "Content-Length is not a number");
		if (i == SINGLE_TRANSFER_ENCODING &&
			(value_length != 7 || strncasecmp(value, "chunked", 7) != 0))
			complain(check, "Transfer-Encoding may only be chunked");
	}
}

static bool
has(const HeadCheck *check, Single single)
{
	return (check->seen & (1U << single)) != 0;
}

/* After the last header.  What is wrong with the head; NULL: nothing. */
const char *
head_finish(HeadCheck *check)
{
	/*
	 * The library has replaced CR and LF by NUL.  Should next_line be beyond
	 * the head here, it still points into the library's memory.
	 */
	if (check->in_place &&
		(check->next_line[0] != '\0' || check->next_line[1] != '\0'))
		complain(check, "the head does not end with an empty line");
	if (has(check, SINGLE_TRANSFER_ENCODING))
	{
		if (has(check, SINGLE_CONTENT_LENGTH))
			complain(check, "Content-Length and Transfer-Encoding are both given");
		if (check->is_http_1_0)
			complain(check, "HTTP/1.0 has no Transfer-Encoding");
	}
	if (!check->is_http_1_0 && !has(check, SINGLE_HOST))
		complain(check, "the header Host is missing");
	return check->problem;
}

/* Can this request id, which the client chose, go into our log and reply? */
bool
head_id_is_sane(const char *id)
{
	size_t		length = strlen(id);
	size_t		i;

	for (i = 0; i < length; i++)
	{
		if (!is_alphanumeric(id[i]) && !is_one_of(id[i], "-._"))
			return false;
	}
	return length > 0 && length <= MAX_ID_LENGTH;
}
