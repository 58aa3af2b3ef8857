/*-------------------------------------------------------------------------
 *
 * buffer.h
 *	  A growing byte buffer whose failure is sticky.
 *
 * A failed allocation marks the buffer; later appends do nothing, so a
 * caller may append a whole document and look at "failed" once at the end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BUFFER_H
#define BUFFER_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Buffer
{
	char	   *data;			/* NULL or a NUL-terminated string */
	size_t		length;			/* without the terminating NUL */
	size_t		capacity;
	bool		failed;			/* memory ran out; the content is incomplete */
} Buffer;

extern void buffer_append(Buffer *buffer, const void *data, size_t length);
extern void buffer_append_text(Buffer *buffer, const char *text);
extern void buffer_append_char(Buffer *buffer, char c);
extern void buffer_free(Buffer *buffer);

#endif							/* BUFFER_H */
