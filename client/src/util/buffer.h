/*
 * buffer.h
 *	  Text that grows.  A failed allocation sticks: later appends do nothing,
 *	  and who made the buffer asks once, at the end.
 *
 * All memory of the core comes from SQLite's allocator, so that a host limits
 * it, and a test makes it fail, in one place.
 */
#ifndef TIDE_UTIL_BUFFER_H
#define TIDE_UTIL_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Buffer
{
	char	   *data;			/* NULL or terminated */
	size_t		length;
	size_t		capacity;
	bool		failed;			/* memory ran out; the content is of no use */
} Buffer;

void		buffer_append(Buffer *buf, const char *text, size_t length);
void		buffer_text(Buffer *buf, const char *text);
void		buffer_char(Buffer *buf, char c);
void		buffer_format(Buffer *buf, const char *format,...)
__attribute__ ((format(printf, 2, 3)));

/* "name" with its double quotes doubled, an SQL identifier */
void		buffer_identifier(Buffer *buf, const char *name);

/* 'text' with its quotes doubled, an SQL string */
void		buffer_literal(Buffer *buf, const char *text);

/* Take so much from the front. */
void		buffer_remove(Buffer *buf, size_t length);

/* Keep so much of the beginning. */
void		buffer_truncate(Buffer *buf, size_t length);

/* Empty it, but keep the memory. */
void		buffer_reset(Buffer *buf);
void		buffer_free(Buffer *buf);

/* Copies that sqlite3_free() frees; NULL where memory ran out. */
char	   *text_copy(const char *text);
char	   *text_copy_length(const char *text, size_t length);

#endif
