/*-------------------------------------------------------------------------
 *
 * gzip.c
 *	  Texts packed as gzip, and unpacked up to a limit.
 *
 *-------------------------------------------------------------------------
 */
#include <limits.h>
#include <stdlib.h>
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

struct GzipWriter
{
	z_stream	stream;
};

/* NULL: no memory. */
GzipWriter *
gzip_begin(void)
{
	GzipWriter *writer = calloc(1, sizeof(GzipWriter));

	if (writer != NULL &&
		deflateInit2(&writer->stream, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY,
					 Z_DEFAULT_STRATEGY) != Z_OK)
	{
		free(writer);
		return NULL;
	}
	return writer;
}

static void
pack(GzipWriter *writer, const char *data, size_t length, int flush,
	 Buffer *packed)
{
	unsigned char chunk[CHUNK];
	size_t		some;
	int			result;

	do
	{
		/* zlib counts in ints */
		some = length < INT_MAX ? length : INT_MAX;
		writer->stream.next_in = (unsigned char *) data;
		writer->stream.avail_in = (unsigned int) some;
		data += some;
		length -= some;
		do
		{
			writer->stream.next_out = chunk;
			writer->stream.avail_out = CHUNK;
			result = deflate(&writer->stream, length > 0 ? Z_NO_FLUSH : flush);
			buffer_append(packed, chunk, CHUNK - writer->stream.avail_out);
		} while (writer->stream.avail_out == 0 && result == Z_OK);
	} while (length > 0);
}

/* Pack one more piece; what comes of it may be held back. */
void
gzip_add(GzipWriter *writer, const char *data, size_t length, Buffer *packed)
{
	pack(writer, data, length, Z_NO_FLUSH, packed);
}

/* Whoever has all until now can unpack all until now. */
void
gzip_flush(GzipWriter *writer, bool is_end, Buffer *packed)
{
	pack(writer, "", 0, is_end ? Z_FINISH : Z_SYNC_FLUSH, packed);
}

void
gzip_end(GzipWriter *writer)
{
	if (writer == NULL)
		return;
	deflateEnd(&writer->stream);
	free(writer);
}

struct GzipReader
{
	z_stream	stream;
	GzipState	state;
};

/* NULL: no memory. */
GzipReader *
gzip_open(void)
{
	GzipReader *reader = calloc(1, sizeof(GzipReader));

	if (reader != NULL &&
		inflateInit2(&reader->stream, GZIP_WINDOW) != Z_OK)
	{
		free(reader);
		return NULL;
	}
	return reader;
}

/*
 * Unpack one more piece and append it to the text, which never gets longer than
 * "most": a few bytes can be packed gigabytes.
 */
GzipState
gzip_unpack(GzipReader *reader, const char *data, size_t length, size_t most,
			Buffer *text)
{
	unsigned char chunk[CHUNK];
	size_t		got;
	int			result = Z_OK;

	/* nothing may follow the end */
	if (reader->state == GZIP_DONE && length > 0)
		reader->state = GZIP_BROKEN;
	if (reader->state != GZIP_MORE)
		return reader->state;
	reader->stream.next_in = (unsigned char *) data;
	reader->stream.avail_in = (unsigned int) length;
	do
	{
		reader->stream.next_out = chunk;
		reader->stream.avail_out = CHUNK;
		result = inflate(&reader->stream, Z_NO_FLUSH);
		got = CHUNK - reader->stream.avail_out;
		if (text->length + got > most)
			return reader->state = GZIP_TOO_LONG;
		buffer_append(text, chunk, got);
	} while (result == Z_OK && reader->stream.avail_out == 0);

	if (result == Z_STREAM_END)
		reader->state = reader->stream.avail_in == 0 ? GZIP_DONE : GZIP_BROKEN;
	else if (result != Z_OK && result != Z_BUF_ERROR)
		reader->state = GZIP_BROKEN;
	return reader->state;
}

GzipState
gzip_state(const GzipReader *reader)
{
	return reader->state;
}

void
gzip_close(GzipReader *reader)
{
	if (reader == NULL)
		return;
	inflateEnd(&reader->stream);
	free(reader);
}
