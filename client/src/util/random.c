/*
 * random.c
 *	  Names that nobody else makes.
 */
#include <stdio.h>
#include <unistd.h>

#include "util/random.h"
#include "util/sqlite.h"

static void
random_bytes(unsigned char *bytes, size_t length)
{
	/* SQLite's own, where the system has none to give */
	if (getentropy(bytes, length) != 0)
		sqlite3_randomness((int) length, bytes);
}

void
random_uuid(char uuid[UUID_SIZE])
{
	unsigned char b[16];

	random_bytes(b, sizeof(b));
	b[6] = (b[6] & 0x0f) | 0x40;
	b[8] = (b[8] & 0x3f) | 0x80;
	snprintf(uuid, UUID_SIZE,
			 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
			 b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7],
			 b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

uint32_t
random_number(void)
{
	unsigned char b[4];

	random_bytes(b, sizeof(b));
	return (uint32_t) b[0] << 24 | (uint32_t) b[1] << 16 |
		(uint32_t) b[2] << 8 | b[3];
}
