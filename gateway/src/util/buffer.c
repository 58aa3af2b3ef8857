/*-------------------------------------------------------------------------
 *
 * buffer.c
 *	  A growing byte buffer whose failure is sticky.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "util/buffer.h"

#define FIRST_CAPACITY	256

/* Make room for "more" bytes and the terminating NUL. */
static bool
reserve(Buffer *buffer, size_t more)
{
	size_t		capacity = buffer->capacity;
	size_t		needed;
	char	   *data;

	if (buffer->failed)
		return false;
	if (more >= SIZE_MAX / 2 - buffer->length)
	{
		buffer->failed = true;
		return false;
	}

	needed = buffer->length + more + 1;
	if (needed <= capacity)
		return true;

	if (capacity == 0)
		capacity = FIRST_CAPACITY;
	while (capacity < needed)
		capacity *= 2;

	data = realloc(buffer->data, capacity);
	if (data == NULL)
	{
		buffer->failed = true;
		return false;
	}
	buffer->data = data;
	buffer->capacity = capacity;
	return true;
}

void
buffer_append(Buffer *buffer, const void *data, size_t length)
{
	if (!reserve(buffer, length))
		return;
	if (length > 0)
		memcpy(buffer->data + buffer->length, data, length);
	buffer->length += length;
	buffer->data[buffer->length] = '\0';
}

void
buffer_append_text(Buffer *buffer, const char *text)
{
	buffer_append(buffer, text, strlen(text));
}

void
buffer_append_char(Buffer *buffer, char c)
{
	buffer_append(buffer, &c, 1);
}

/* Free the content; the buffer is empty and may be used again. */
void
buffer_free(Buffer *buffer)
{
	free(buffer->data);
	memset(buffer, 0, sizeof(Buffer));
}
