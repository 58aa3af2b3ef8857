/*-------------------------------------------------------------------------
 *
 * head.c
 *	  Is a request's head one that all readers take the same way?
 *
 * A proxy in front of the gateway decides by path and headers what passes,
 * and where one request ends and the next begins.  Whoever makes it read them
 * otherwise than we do gets around it.  So what could be read in two ways is
 * refused, whatever libmicrohttpd makes of it.
 *
 * Before version 1.0 that library takes lines that end with a bare LF, cuts
 * lines at a NUL, and glues a folded line to the *name* of its header, which
 * makes "Transfer: x" and " -Encoding" one, and takes a line that begins with a
 * colon for the end of the head.  None of these can be seen in names and values.
 * But it leaves both where they came in, so that they must follow each other at
 * the distance of ": " and CRLF, with an empty line behind the last: that is what
 * "in_place" asks to check.  (An LF alone at the very end goes unseen, and does
 * no harm; so does a line of a lone colon.  No proxy passes that one on.)
 *
 *-------------------------------------------------------------------------
 */
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

/* Headers that must not be there twice: readers take the first, or the last. */
static const struct
{
	const char *name;
	const char *twice;
}			singles[SINGLE_COUNT] = {
	[SINGLE_HOST] = {"Host", "the header Host is there twice"},
	[SINGLE_CONTENT_LENGTH] = {"Content-Length",
	"the header Content-Length is there twice"},
	[SINGLE_TRANSFER_ENCODING] = {"Transfer-Encoding",
	"the header Transfer-Encoding is there twice"},
	[SINGLE_AUTHORIZATION] = {"Authorization",
	"the header Authorization is there twice"},
	[SINGLE_CONTENT_TYPE] = {"Content-Type",
	"the header Content-Type is there twice"},
	[SINGLE_CONTENT_ENCODING] = {"Content-Encoding",
	"the header Content-Encoding is there twice"},
	[SINGLE_EXPECT] = {"Expect", "the header Expect is there twice"},
	[SINGLE_ORIGIN] = {"Origin", "the header Origin is there twice"}
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
 * Is this request target a path and perhaps a query, not a whole URI, without
 * anything that could be decoded into another path?  No path of ours needs
 * an escape.  In the query they are whole.
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

/* The version is where it came in, too. */
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
	/* not all of them need be pointers into one object */
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

/* Text, tabs and what is beyond ASCII. */
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
	/* what has more digits overflows somewhere */
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

/* All headers were there; NULL: the head is good, else what is not. */
const char *
head_finish(HeadCheck *check)
{
	/*
	 * The library has put NUL in the place of CR and LF.  If we are beyond
	 * the head here, there still is memory of its own.
	 */
	if (check->in_place &&
		(check->next_line[0] != '\0' || check->next_line[1] != '\0'))
		complain(check, "the head does not end with an empty line");
	if (has(check, SINGLE_TRANSFER_ENCODING))
	{
		if (has(check, SINGLE_CONTENT_LENGTH))
			complain(check, "Content-Length and Transfer-Encoding are both there");
		if (check->is_http_1_0)
			complain(check, "HTTP/1.0 knows no Transfer-Encoding");
	}
	if (!check->is_http_1_0 && !has(check, SINGLE_HOST))
		complain(check, "the header Host is missing");
	return check->problem;
}

/* A request id of somebody else's that can go into our log and reply. */
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
