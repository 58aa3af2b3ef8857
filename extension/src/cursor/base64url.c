/*-------------------------------------------------------------------------
 *
 * base64url.c
 *	  Bytes as text that needs no escape in a URL: base64url without padding (RFC
 *	  4648, section 5).
 *
 * There is exactly one text for some bytes, and decoding accepts no other.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cursor/base64url.h"

static const char digits[] =
"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

char *
base64url_encode(const uint8 *data, size_t n)
{
	char	   *text = palloc(n / 3 * 4 + 5);
	char	   *to = text;
	size_t		i;

	for (i = 0; i < n; i += 3)
	{
		uint32		bits = (uint32) data[i] << 16;

		if (i + 1 < n)
			bits |= (uint32) data[i + 1] << 8;
		if (i + 2 < n)
			bits |= data[i + 2];
		*to++ = digits[bits >> 18];
		*to++ = digits[bits >> 12 & 63];
		if (i + 1 < n)
			*to++ = digits[bits >> 6 & 63];
		if (i + 2 < n)
			*to++ = digits[bits & 63];
	}
	*to = '\0';
	return text;
}

static int
base64_value(char c)
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

uint8 *
base64url_decode(const char *text, size_t len, size_t *n)
{
	uint8	   *data;
	uint32		bits = 0;
	int			nbits = 0;
	size_t		i;

	if (len % 4 == 1)
		return NULL;
	data = palloc(len / 4 * 3 + 3);
	*n = 0;
	for (i = 0; i < len; i++)
	{
		int			value = base64_value(text[i]);

		if (value < 0)
			return NULL;
		bits = bits << 6 | (uint32) value;
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			data[(*n)++] = (uint8) (bits >> nbits);
			bits &= (1U << nbits) - 1;
		}
	}
	if (bits != 0)
		return NULL;
	return data;
}
