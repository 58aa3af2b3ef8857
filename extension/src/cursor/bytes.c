/*-------------------------------------------------------------------------
 *
 * bytes.c
 *	  The numbers and texts that a cursor is made of, as bytes.
 *
 * Numbers are varints (seven bits a byte, low bits first), ascending numbers are
 * stored as runs and differences, and a canonical uuid takes 16 bytes.  There is
 * exactly one encoding of each, and decoding accepts no other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "cursor/bytes.h"
#include "cursor/cursor.h"

#define UUID_TEXT			36
#define UUID_BYTES			16

/*
 * Writing
 */

static void
put_bytes(Writer *w, const void *data, size_t n)
{
	if (w->used + n > w->room)
	{
		w->room = Max(w->room * 2, w->used + n);
		w->data = repalloc(w->data, w->room);
	}
	memcpy(w->data + w->used, data, n);
	w->used += n;
}

void
put_byte(Writer *w, uint8 byte)
{
	put_bytes(w, &byte, 1);
}

void
put_varint(Writer *w, uint64 v)
{
	while (v >= 0x80)
	{
		put_byte(w, (uint8) (v | 0x80));
		v >>= 7;
	}
	put_byte(w, (uint8) v);
}

void
put_fixed64(Writer *w, uint64 v)
{
	int			shift;

	for (shift = 56; shift >= 0; shift -= 8)
		put_byte(w, (uint8) (v >> shift));
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/*
 * only the canonical, lower-case form, because any other must keep its
 * spelling
 */
static bool
parse_uuid(const char *text, size_t len, uint8 *bytes)
{
	size_t		i;
	int			n = 0;

	if (len != UUID_TEXT)
		return false;
	for (i = 0; i < UUID_TEXT; i++)
	{
		int			high;
		int			low;

		if (i == 8 || i == 13 || i == 18 || i == 23)
		{
			if (text[i] != '-')
				return false;
			continue;
		}
		high = hex_digit(text[i]);
		low = hex_digit(text[++i]);
		if (high < 0 || low < 0)
			return false;
		bytes[n++] = (uint8) (high << 4 | low);
	}
	return true;
}

/* 0 and 16 bytes for a uuid, else length + 1 and the bytes */
void
put_string(Writer *w, const char *text)
{
	size_t		len = strlen(text);
	uint8		bytes[UUID_BYTES];

	if (parse_uuid(text, len, bytes))
	{
		put_varint(w, 0);
		put_bytes(w, bytes, UUID_BYTES);
	}
	else
	{
		put_varint(w, (uint64) len + 1);
		put_bytes(w, text, len);
	}
}

/* runs of consecutive numbers: tables tracked one after the other are one */
void
put_numbers(Writer *w, const int32 *numbers, int n)
{
	int			nruns = 0;
	int64		next = 0;
	int			i;
	int			j;

	for (i = 0; i < n; i++)
	{
		Assert(i == 0 || numbers[i - 1] < numbers[i]);
		if (i == 0 || numbers[i] != numbers[i - 1] + 1)
			nruns++;
	}
	put_varint(w, (uint64) nruns);
	for (i = 0; i < n; i = j)
	{
		for (j = i + 1; j < n && numbers[j] == numbers[j - 1] + 1;)
			j++;
		put_varint(w, (uint64) (numbers[i] - next));
		put_varint(w, (uint64) (j - i - 1));

		/*
		 * a run cannot begin right behind another, because both would be one
		 * run
		 */
		next = (int64) numbers[j - 1] + 2;
	}
}

/*
 * Reading.  Each get_ function raises the error itself.
 */

uint8
get_byte(Reader *r)
{
	if (r->at >= r->end)
		cursor_malformed();
	return *r->at++;
}

static const uint8 *
get_bytes(Reader *r, uint64 n)
{
	const uint8 *bytes = r->at;

	if (n > (uint64) (r->end - r->at))
		cursor_malformed();
	r->at += n;
	return bytes;
}

uint64
get_fixed64(Reader *r)
{
	const uint8 *bytes = get_bytes(r, 8);
	uint64		v = 0;
	int			i;

	for (i = 0; i < 8; i++)
		v = v << 8 | bytes[i];
	return v;
}

uint64
get_varint(Reader *r, uint64 max)
{
	uint64		v = 0;
	int			shift = 0;
	uint8		byte;

	for (;;)
	{
		byte = get_byte(r);
		/* the tenth byte has room for one bit, and there is no eleventh */
		if (shift == 63 && byte > 1)
			cursor_malformed();
		v |= (uint64) (byte & 0x7f) << shift;
		if ((byte & 0x80) == 0)
			break;
		shift += 7;
	}
	/* the last byte is zero, so the number is longer than necessary */
	if (byte == 0 && shift > 0)
		cursor_malformed();
	if (v > max)
		cursor_malformed();
	return v;
}

/* a number of things that take at least one byte each */
int
get_count(Reader *r, uint64 max)
{
	return (int) get_varint(r, Min(max, (uint64) (r->end - r->at)));
}

static char *
format_uuid(const uint8 *bytes)
{
	static const char hex[] = "0123456789abcdef";
	char	   *text = palloc(UUID_TEXT + 1);
	char	   *to = text;
	int			i;

	for (i = 0; i < UUID_BYTES; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*to++ = '-';
		*to++ = hex[bytes[i] >> 4];
		*to++ = hex[bytes[i] & 15];
	}
	*to = '\0';
	return text;
}

char *
get_string(Reader *r)
{
	uint64		tag = get_varint(r, CURSOR_MAX_TEXT);
	const uint8 *bytes;
	uint8		uuid[UUID_BYTES];
	size_t		len;
	char	   *text;

	if (tag == 0)
		return format_uuid(get_bytes(r, UUID_BYTES));

	len = (size_t) (tag - 1);
	bytes = get_bytes(r, len);
	text = palloc(len + 1);
	memcpy(text, bytes, len);
	text[len] = '\0';
	/* it sees to zero bytes too */
	if (!pg_verifymbstr(text, (int) len, true) || parse_uuid(text, len, uuid))
		cursor_malformed();
	return text;
}

/* ascending numbers, at most so many, none above the largest */
int32 *
get_numbers(Reader *r, int max, int32 largest, int *n)
{
	int			nruns = get_count(r, max);
	int			room = Max(nruns, 1);
	int32	   *numbers = palloc(sizeof(int32) * room);
	int64		next = 0;

	*n = 0;
	while (nruns-- > 0)
	{
		int64		first;
		int			length;
		int			i;

		if (next > largest)
			cursor_malformed();
		first = next + (int64) get_varint(r, (uint64) (largest - next));
		length = 1 + (int) get_varint(r, (uint64) Min(max - *n - 1, largest - first));
		if (*n + length + nruns > room)
		{
			room = *n + length + nruns;
			numbers = repalloc(numbers, sizeof(int32) * room);
		}
		for (i = 0; i < length; i++)
			numbers[(*n)++] = (int32) (first + i);
		next = first + length + 1;
		/* the runs still to come hold at least one each */
		if (*n + nruns > max)
			cursor_malformed();
	}
	return numbers;
}
