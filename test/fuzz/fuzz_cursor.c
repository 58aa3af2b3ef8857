/*-------------------------------------------------------------------------
 *
 * fuzz_cursor.c
 *	  cursor_decode with what clients may send for a cursor.
 *
 * The first byte says whether the rest is the text itself or the bytes that
 * the text stands for.  What is refused is so with its SQLSTATE; what is taken
 * is the same after it has been encoded and decoded again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cursor/cursor.h"
#include "util/errors.h"
#include "fuzz.h"

static const char digits[] =
"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static char *
bytes_to_text(const uint8_t *bytes, size_t size)
{
	char	   *text = malloc(size * 2 + 3);
	size_t		length = 0;
	uint32_t	bits = 0;
	int			count = 0;
	size_t		i;

	require(text != NULL);
	for (i = 0; i < size; i++)
	{
		bits = (bits << 8 | bytes[i]) & 0xffff;
		for (count += 8; count >= 6; count -= 6)
			text[length++] = digits[bits >> (count - 6) & 63];
	}
	if (count > 0)
		text[length++] = digits[bits << (6 - count) & 63];
	text[length] = '\0';
	return text;
}

/* NULL: refused */
static Cursor *
decode(const char *text)
{
	shim_sqlstate = 0;
	if (setjmp(shim_catch) != 0)
	{
		require(shim_sqlstate == ERRCODE_TIDE_MALFORMED_CURSOR);
		return NULL;
	}
	return cursor_decode(text);
}

static char *
encode(const Cursor *cursor)
{
	shim_sqlstate = 0;
	if (setjmp(shim_catch) != 0)
		return NULL;
	return cursor_encode(cursor);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text;
	char	   *first;
	Cursor	   *cursor;

	if (size == 0)
		return 0;
	if (*data == 't')
		text = copy_input(data + 1, size - 1);
	else
		text = bytes_to_text(data + 1, size - 1);

	(void) cursor_is_cursor(text);
	cursor = decode(text);
	if (cursor != NULL)
	{
		require(cursor_is_cursor(text));
		first = encode(cursor);
		require(first != NULL);
		/* one cursor has one spelling */
		require(strcmp(first, text) == 0);
		cursor = decode(first);
		require(cursor != NULL);
		require(strcmp(encode(cursor), first) == 0);
		if (cursor->nplaces > 0)
			(void) snapshot_shows(&cursor->places[0].seen, cursor->places[0].seen.xmax);
	}
	shim_reset();
	free(text);
	return 0;
}
