/*-------------------------------------------------------------------------
 *
 * fuzz_head.c
 *	  The checks of a request's head, behind a parser as lenient as
 *	  libmicrohttpd's.
 *
 * The input is a head from the HTTP version on.  The parser cuts it up in place
 * as the library does before 1.0, with all that it lets through; what the
 * checks then find good must be good to a reader that takes nothing but the
 * letter of RFC 9112, except for an LF alone at the very end, and a line of
 * nothing but a colon, which the library takes for the empty one.  (Without any
 * header, which only HTTP/1.0 allows, there is nothing to be smuggled.)
 *
 *-------------------------------------------------------------------------
 */
#include <stdbool.h>
#include <strings.h>

#include "fuzz.h"
#include "http/head.h"

/* ---------- the lenient parser ---------- */

typedef struct Parser
{
	char	   *at;
	char	   *end;
	char	   *folded;			/* a name that was glued, to be freed */
	int			count;			/* headers that were handed on */
} Parser;

/* The next line, its end replaced by NUL; NULL: there is no whole one. */
static char *
next_line(Parser *parser)
{
	char	   *line = parser->at;
	char	   *c;

	for (c = line; c < parser->end; c++)
	{
		if (*c == '\r' && c + 1 < parser->end && c[1] == '\n')
		{
			c[0] = c[1] = '\0';
			parser->at = c + 2;
			return line;
		}
		if (*c == '\n')
		{
			*c = '\0';
			parser->at = c + 1;
			return line;
		}
	}
	return NULL;
}

/* False: the library itself refuses this head. */
static bool
parse(Parser *parser, HeadCheck *check)
{
	char	   *name = NULL;
	char	   *value = NULL;
	char	   *line = next_line(parser);

	if (line == NULL ||
		(strcmp(line, "HTTP/1.1") != 0 && strcmp(line, "HTTP/1.0") != 0))
		return false;
	head_begin(check, line, true);
	for (;;)
	{
		line = next_line(parser);
		if (line == NULL)
			return false;
		if (name != NULL && (line[0] == ' ' || line[0] == '\t'))
		{
			char	   *glued;

			line += strspn(line, " \t");
			glued = malloc(strlen(name) + strlen(line) + 1);
			require(glued != NULL);
			strcpy(glued, name);
			strcat(glued, line);
			free(parser->folded);
			name = parser->folded = glued;
			continue;
		}
		if (name != NULL)
		{
			head_take_field(check, name, strlen(name), value, strlen(value));
			parser->count++;
		}
		if (line[0] == '\0')
			return true;
		name = line;
		value = strchr(line, ':');
		if (value == NULL)
			return false;
		*value++ = '\0';
		value += strspn(value, " \t");
		if (line[0] == '\0')
			return true;
	}
}

/* ---------- the strict reader ---------- */

static bool
is_token(const char *text, size_t length)
{
	size_t		i;

	for (i = 0; i < length; i++)
	{
		if (text[i] == '\0' ||
			strchr("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "abcdefghijklmnopqrstuvwxyz", text[i]) == NULL)
			return false;
	}
	return length > 0;
}

/* Is "name" that of this line? */
static bool
is_header(const char *line, size_t length, const char *name)
{
	return length > strlen(name) &&
		strncasecmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':';
}

/* Is this what may be left of a head, once its last header was there? */
static bool
is_end(const char *rest)
{
	if (*rest == ':')
		rest++;
	return *rest == '\0' || strcmp(rest, "\r\n") == 0 || strcmp(rest, "\n") == 0;
}

static void
require_strict(const char *head, size_t size)
{
	const char *line = head;
	int			hosts = 0;
	int			lengths = 0;
	int			encodings = 0;
	int			tokens = 0;

	for (;;)
	{
		const char *end = memchr(line, '\n', size - (size_t) (line - head));
		size_t		length;
		const char *colon;

		require(end != NULL);
		if (end > line && end[-1] == '\r')
			length = (size_t) (end - 1 - line);
		else
		{
			/* not seen at the very end, where it ends no line early */
			require(is_end(end + 1));
			length = (size_t) (end - line);
		}
		require(memchr(line, '\r', length) == NULL);
		if (line == head)
			require(length == 8);
		else if (length == 0 || (length == 1 && *line == ':'))
			break;
		else
		{
			colon = memchr(line, ':', length);
			require(colon != NULL && is_token(line, (size_t) (colon - line)));
			hosts += is_header(line, length, "host");
			lengths += is_header(line, length, "content-length");
			encodings += is_header(line, length, "transfer-encoding");
			tokens += is_header(line, length, "authorization");
		}
		line = end + 1;
	}
	require(hosts == 1 || (hosts == 0 && head[7] == '0'));
	require(lengths + encodings <= 1);
	require(encodings == 0 || head[7] == '1');
	require(tokens <= 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* behind the head the library has memory of its own */
	char	   *head = memset(malloc(size + 3), 'z', size + 3);
	Parser		parser = {head, head + size, NULL, 0};
	HeadCheck	check;

	if (size > 0)
		memcpy(head, data, size);
	head[size] = '\0';
	if (head_target_is_plain(head))
		require(head[0] == '/' && strchr(head, '#') == NULL);
	if (head_id_is_sane(head))
		require(strlen(head) <= 64 && is_token(head, strlen(head)));
	if (parse(&parser, &check) && head_finish(&check) == NULL)
	{
		char	   *original = copy_input(data, size);

		/*
		 * A value that is cut by NUL ends the last line early without a
		 * trace: then the reader finds no NUL, but we cannot.
		 */
		size = (size_t) (parser.at - head);
		original[size] = '\0';
		if (memchr(original, '\0', size) == NULL && parser.count > 0)
			require_strict(original, size);
		free(original);
	}
	free(parser.folded);
	free(head);
	return 0;
}
