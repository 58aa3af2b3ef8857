/*-------------------------------------------------------------------------
 *
 * ack.c
 *	  The text form of the name of a push.
 *
 * Opaque to clients: base64url over
 *
 *	  version		1 byte, such that the text begins with a letter
 *	  generation	8 bytes
 *	  xid			8 bytes
 *	  number		4 bytes
 *
 * These are 21 bytes, so the 28 characters have no bits to spare, and each ack
 * has exactly one text.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cursor/ack.h"
#include "cursor/base64url.h"
#include "util/errors.h"

/* "a" in base64 is 26; the two low bits are free for later versions */
#define ACK_VERSION		((26 << 2) | 1)
#define ACK_BYTES		21
#define ACK_TEXT		28

static void
put_number(uint8 *to, uint64 value, int nbytes)
{
	int			i;

	for (i = 0; i < nbytes; i++)
		to[i] = (uint8) (value >> (8 * (nbytes - 1 - i)));
}

static uint64
get_number(const uint8 *from, int nbytes)
{
	uint64		value = 0;
	int			i;

	for (i = 0; i < nbytes; i++)
		value = value << 8 | from[i];
	return value;
}

char *
ack_encode(const Ack *ack)
{
	uint8		bytes[ACK_BYTES];

	bytes[0] = ACK_VERSION;
	put_number(bytes + 1, ack->generation, 8);
	put_number(bytes + 9, ack->xid, 8);
	put_number(bytes + 17, ack->number, 4);
	return base64url_encode(bytes, ACK_BYTES);
}

static void
malformed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
			 errmsg("malformed ack"),
			 errhint("Pass an ack exactly as the reply to a push had it.")));
}

void
ack_decode(const char *text, Ack *ack)
{
	uint8	   *bytes;
	size_t		n;

	if (strlen(text) != ACK_TEXT)
		malformed();
	bytes = base64url_decode(text, ACK_TEXT, &n);
	if (bytes == NULL || bytes[0] != ACK_VERSION)
		malformed();
	ack->generation = get_number(bytes + 1, 8);
	ack->xid = get_number(bytes + 9, 8);
	ack->number = (uint32) get_number(bytes + 17, 4);
	pfree(bytes);
}
