/*-------------------------------------------------------------------------
 *
 * gzip.h
 *	  Texts in gzip's format.
 *
 *-------------------------------------------------------------------------
 */
#ifndef GZIP_H
#define GZIP_H

#include <stdbool.h>
#include <stddef.h>

#include "util/buffer.h"

/* What is known of a text that is being unpacked. */
typedef enum GzipState
{
	GZIP_MORE,					/* good so far, more must come */
	GZIP_DONE,
	GZIP_TOO_LONG,
	GZIP_BROKEN
} GzipState;

typedef struct GzipReader GzipReader;

extern GzipReader *gzip_open(void);
extern GzipState gzip_unpack(GzipReader *reader, const char *data,
							 size_t length, size_t most, Buffer *text);
extern GzipState gzip_state(const GzipReader *reader);
extern void gzip_close(GzipReader *reader);

/* a text that is packed piece by piece; NULL: no memory */
typedef struct GzipWriter GzipWriter;

extern GzipWriter *gzip_begin(void);
extern void gzip_add(GzipWriter *writer, const char *data, size_t length,
					 Buffer *packed);
extern void gzip_flush(GzipWriter *writer, bool is_end, Buffer *packed);
extern void gzip_end(GzipWriter *writer);

extern bool gzip_pack(const char *data, size_t length, Buffer *packed);

#endif							/* GZIP_H */
