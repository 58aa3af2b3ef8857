/*-------------------------------------------------------------------------
 *
 * gzip.c
 *	  Texts in gzip's format.
 *
 *-------------------------------------------------------------------------
 */
#include <limits.h>
#include <string.h>

#include <zlib.h>

#include "util/gzip.h"

#define LEVEL			4		/* JSON shrinks little more at higher ones */
#define GZIP_WINDOW		(15 + 16)	/* 16: gzip's header and checksum */
#define MEMORY			8
#define CHUNK			65536

/*
 * Pack a text.  False: it did not shrink, or there is no memory; then "packed"
 * is empty.
 */
bool
gzip_pack(const char *data, size_t length, Buffer *packed)
{
	z_stream	stream;
	unsigned char chunk[CHUNK];
	int			result;

	memset(&stream, 0, sizeof(stream));
	if (length > INT_MAX ||
		deflateInit2(&stream, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY,
					 Z_DEFAULT_STRATEGY) != Z_OK)
		return false;
	stream.next_in = (unsigned char *) data;
	stream.avail_in = (unsigned int) length;
	do
	{
		stream.next_out = chunk;
		stream.avail_out = CHUNK;
		result = deflate(&stream, Z_FINISH);
		buffer_append(packed, chunk, CHUNK - stream.avail_out);
	} while (result == Z_OK && !packed->failed && packed->length < length);
	deflateEnd(&stream);
	if (result == Z_STREAM_END && !packed->failed && packed->length < length)
		return true;
	buffer_free(packed);
	return false;
}
