/*
 * buffer.c
 *	  Text that grows.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/buffer.h"
#include "util/sqlite.h"

static bool
make_room(Buffer *buf, size_t more)
{
	size_t		capacity = buf->capacity ? buf->capacity : 256;
	char	   *data;

	if (buf->failed)
		return false;
	if (more >= SIZE_MAX / 4 || buf->length >= SIZE_MAX / 4)
	{
		buf->failed = true;
		return false;
	}
	if (buf->length + more + 1 <= buf->capacity)
		return true;
	while (capacity < buf->length + more + 1)
		capacity *= 2;
	data = sqlite3_realloc64(buf->data, capacity);
	if (data == NULL)
	{
		buf->failed = true;
		return false;
	}
	buf->data = data;
	buf->capacity = capacity;
	return true;
}

void
buffer_append(Buffer *buf, const char *text, size_t length)
{
	if (!make_room(buf, length))
		return;
	if (length > 0)
		memcpy(buf->data + buf->length, text, length);
	buf->length += length;
	buf->data[buf->length] = '\0';
}

void
buffer_text(Buffer *buf, const char *text)
{
	buffer_append(buf, text, strlen(text));
}

void
buffer_char(Buffer *buf, char c)
{
	buffer_append(buf, &c, 1);
}

void
buffer_format(Buffer *buf, const char *format,...)
{
	va_list		args;
	int			length;

	va_start(args, format);
	length = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (length < 0 || !make_room(buf, (size_t) length))
	{
		buf->failed = true;
		return;
	}
	va_start(args, format);
	vsnprintf(buf->data + buf->length, (size_t) length + 1, format, args);
	va_end(args);
	buf->length += (size_t) length;
}

static void
append_quoted(Buffer *buf, const char *text, char quote)
{
	buffer_char(buf, quote);
	for (; *text; text++)
	{
		if (*text == quote)
			buffer_char(buf, quote);
		buffer_char(buf, *text);
	}
	buffer_char(buf, quote);
}

void
buffer_identifier(Buffer *buf, const char *name)
{
	append_quoted(buf, name, '"');
}

void
buffer_literal(Buffer *buf, const char *text)
{
	append_quoted(buf, text, '\'');
}

void
buffer_remove(Buffer *buf, size_t length)
{
	if (buf->failed || length == 0)
		return;
	memmove(buf->data, buf->data + length, buf->length - length + 1);
	buf->length -= length;
}

void
buffer_truncate(Buffer *buf, size_t length)
{
	if (buf->failed || length >= buf->length)
		return;
	buf->length = length;
	buf->data[length] = '\0';
}

void
buffer_reset(Buffer *buf)
{
	buf->length = 0;
	buf->failed = false;
	if (buf->data)
		buf->data[0] = '\0';
}

void
buffer_free(Buffer *buf)
{
	sqlite3_free(buf->data);
	memset(buf, 0, sizeof(*buf));
}

char *
text_copy(const char *text)
{
	return text_copy_length(text, strlen(text));
}

char *
text_copy_length(const char *text, size_t length)
{
	char	   *copy = sqlite3_malloc64(length + 1);

	if (copy == NULL)
		return NULL;
	memcpy(copy, text, length);
	copy[length] = '\0';
	return copy;
}
