/*-------------------------------------------------------------------------
 *
 * text.c
 *	  Pure functions on text: UTF-8, base64url, numbers, names, lists of strings.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "util/text.h"

#define MAX_NAME	63			/* bytes in the name of a PostgreSQL object */

/*
 * How many bytes at the beginning are well-formed UTF-8 without NUL?  PostgreSQL
 * would refuse other bytes too, but with an error that depends on where in the
 * request they are.
 */
size_t
text_utf8_length(const char *data, size_t length)
{
	const unsigned char *begin = (const unsigned char *) data;
	const unsigned char *p = begin;
	const unsigned char *end = p + length;

	while (p < end)
	{
		const unsigned char *character = p;
		unsigned char lead = *p++;
		unsigned char low = 0x80;
		unsigned char high = 0xBF;
		int			follow;

		if (lead > 0 && lead < 0x80)
			continue;
		if (lead >= 0xC2 && lead <= 0xDF)
			follow = 1;
		else if (lead >= 0xE0 && lead <= 0xEF)
			follow = 2;
		else if (lead >= 0xF0 && lead <= 0xF4)
			follow = 3;
		else
			return (size_t) (character - begin);

		/* overlong forms, surrogates and what is above U+10FFFF */
		if (lead == 0xE0)
			low = 0xA0;
		else if (lead == 0xED)
			high = 0x9F;
		else if (lead == 0xF0)
			low = 0x90;
		else if (lead == 0xF4)
			high = 0x8F;

		for (; follow > 0; follow--, p++)
		{
			if (p >= end || *p < low || *p > high)
				return (size_t) (character - begin);
			low = 0x80;
			high = 0xBF;
		}
	}
	return length;
}

bool
text_is_utf8(const char *data, size_t length)
{
	return text_utf8_length(data, length) == length;
}

/* A whole decimal number and nothing else. */
bool
text_parse_integer(const char *text, int64_t *value)
{
	char	   *end;
	long long	number;

	if (*text != '-' && (*text < '0' || *text > '9'))
		return false;
	errno = 0;
	number = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0')
		return false;
	*value = number;
	return true;
}

/* Cut white space off both ends, in place. */
char *
text_trim(char *text)
{
	size_t		length;

	text += strspn(text, " \t\r\n");
	length = strlen(text);
	while (length > 0 && strchr(" \t\r\n", text[length - 1]) != NULL)
		length--;
	text[length] = '\0';
	return text;
}

/*
 * Cut off a comment behind a value.  It begins with a # at the start of a word,
 * because passwords and the fragments of URLs have one in words; and not within the
 * single quotes of a conninfo string.
 */
void
text_end_at_comment(char *value)
{
	bool		is_quoted = false;
	char	   *c;

	for (c = value; *c != '\0'; c++)
	{
		if (is_quoted && *c == '\\' && c[1] != '\0')
			c++;
		else if (*c == '\'')
			is_quoted = !is_quoted;
		else if (*c == '#' && !is_quoted &&
				 (c == value || c[-1] == ' ' || c[-1] == '\t'))
		{
			*c = '\0';
			return;
		}
	}
}

/*
 * Append "schema.function", whose names are as in the catalogs, in the form in
 * which a statement can name it.  False: "name" is not of this form.
 */
bool
text_quote_function(const char *name, Buffer *quoted)
{
	const char *dot = strchr(name, '.');
	const char *c;

	if (dot == NULL || dot == name || dot[1] == '\0' ||
		dot - name > MAX_NAME || strlen(dot + 1) > MAX_NAME ||
		strchr(dot + 1, '.') != NULL || strchr(dot + 1, '(') != NULL)
		return false;

	buffer_append_char(quoted, '"');
	for (c = name; *c != '\0'; c++)
	{
		if (c == dot)
		{
			buffer_append_text(quoted, "\".\"");
			continue;
		}
		if (*c == '"')
			buffer_append_char(quoted, '"');
		buffer_append_char(quoted, *c);
	}
	buffer_append_char(quoted, '"');
	return !quoted->failed;
}

/* Without padding, as JWT wants it.  The caller frees; NULL: no memory. */
char *
base64url_encode(const unsigned char *data, size_t length)
{
	char	   *text = malloc((length + 2) / 3 * 4 + 1);
	char	   *c;

	if (text == NULL)
		return NULL;
	EVP_EncodeBlock((unsigned char *) text, data, (int) length);
	for (c = text; *c != '\0' && *c != '='; c++)
	{
		if (*c == '+')
			*c = '-';
		else if (*c == '/')
			*c = '_';
	}
	*c = '\0';
	return text;
}

static int
base64url_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	if (c == '_')
		return 63;
	return -1;
}

/*
 * Strict: no padding, no white space, no stray bits at the end, so that each
 * token has one spelling.  A NUL follows the bytes.  The caller frees them;
 * NULL: the text is not base64url, or there is no memory.
 */
unsigned char *
base64url_decode(const char *text, size_t text_length, size_t *length)
{
	unsigned char *data = malloc(text_length * 3 / 4 + 1);
	uint32_t	bits = 0;
	int			count = 0;
	size_t		i;

	if (data == NULL)
		return NULL;

	*length = 0;
	for (i = 0; i < text_length; i++)
	{
		int			value = base64url_value(text[i]);

		if (value < 0)
			break;
		bits = (bits << 6) | (uint32_t) value;
		count += 6;
		if (count >= 8)
		{
			count -= 8;
			data[(*length)++] = (unsigned char) (bits >> count);
			bits &= (1U << count) - 1;
		}
	}
	if (i < text_length || count >= 6 || bits != 0)
	{
		free(data);
		return NULL;
	}
	data[*length] = '\0';
	return data;
}

bool
list_append(StringList *list, const char *item, size_t length)
{
	char	  **items;
	char	   *copy;

	items = realloc(list->items, sizeof(char *) * (size_t) (list->count + 1));
	if (items == NULL)
		return false;
	list->items = items;

	copy = strndup(item, length);
	if (copy == NULL)
		return false;
	items[list->count++] = copy;
	return true;
}

/* Append the items of a comma-separated list; empty items do not count. */
bool
list_split(StringList *list, const char *text)
{
	return list_split_some(list, text, INT_MAX);
}

/* The same, until the list has so many. */
bool
list_split_some(StringList *list, const char *text, int most)
{
	while (*text != '\0' && list->count < most)
	{
		size_t		length = strcspn(text, ",");
		const char *item = text;
		size_t		item_length = length;

		while (item_length > 0 && *item == ' ')
			item++, item_length--;
		while (item_length > 0 && item[item_length - 1] == ' ')
			item_length--;
		if (item_length > 0 && !list_append(list, item, item_length))
			return false;
		text += length;
		if (*text == ',')
			text++;
	}
	return true;
}

bool
list_contains(const StringList *list, const char *item)
{
	int			i;

	for (i = 0; i < list->count; i++)
	{
		if (strcmp(list->items[i], item) == 0)
			return true;
	}
	return false;
}

/* The list as the text of a PostgreSQL text[].  The caller frees. */
char *
list_array_literal(const StringList *list)
{
	Buffer		literal = {0};
	int			i;
	const char *c;

	buffer_append_char(&literal, '{');
	for (i = 0; i < list->count; i++)
	{
		buffer_append_text(&literal, i == 0 ? "\"" : ",\"");
		for (c = list->items[i]; *c != '\0'; c++)
		{
			if (*c == '"' || *c == '\\')
				buffer_append_char(&literal, '\\');
			buffer_append_char(&literal, *c);
		}
		buffer_append_char(&literal, '"');
	}
	buffer_append_char(&literal, '}');

	if (literal.failed)
		buffer_free(&literal);
	return literal.data;
}

void
list_free(StringList *list)
{
	int			i;

	for (i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	memset(list, 0, sizeof(StringList));
}
