/*-------------------------------------------------------------------------
 *
 * text.h
 *	  Pure functions on text: UTF-8, base64url, numbers, names, lists of strings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buffer.h"

typedef struct StringList
{
	char	  **items;
	int			count;
} StringList;

extern size_t text_utf8_length(const char *data, size_t length);
extern bool text_is_utf8(const char *data, size_t length);
extern bool text_parse_integer(const char *text, int64_t *value);
extern char *text_trim(char *text);
extern void text_end_at_comment(char *value);
extern bool text_quote_function(const char *name, Buffer *quoted);

extern char *base64url_encode(const unsigned char *data, size_t length);
extern unsigned char *base64url_decode(const char *text, size_t text_length,
									   size_t *length);

extern bool list_append(StringList *list, const char *item, size_t length);
extern bool list_split(StringList *list, const char *text);
extern bool list_split_some(StringList *list, const char *text, int most);
extern bool list_contains(const StringList *list, const char *item);
extern char *list_array_literal(const StringList *list);
extern void list_free(StringList *list);

#endif							/* TEXT_H */
