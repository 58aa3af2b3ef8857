/*-------------------------------------------------------------------------
 *
 * stream.h
 *	  A pull whose reply is a stream of lines.
 *
 *-------------------------------------------------------------------------
 */
#ifndef STREAM_H
#define STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "database/job.h"
#include "util/buffer.h"
#include "util/failure.h"
#include "util/gzip.h"

struct cJSON;

/*
 * A stream is made of pieces, one for each page.  A database thread writes a
 * piece and the thread for all connections reads it, never at the same time.
 */
typedef struct Stream
{
	Buffer		piece;
	size_t		taken;			/* how much of the piece */
	bool		is_new;			/* nothing of the piece was taken yet */
	bool		has_begun;		/* its first page is there */
	bool		is_last;		/* nothing comes after this piece */
	char	   *begin;			/* the last "begin" line that was sent */
	struct cJSON *counts;		/* rows so far, by type */
	GzipWriter *packer;			/* NULL: it is not packed */
} Stream;

/* NULL: no memory */
extern Stream *stream_create(bool packed);
extern void stream_free(Stream *stream);

/*
 * The next piece: of a page, whose job is then set to ask for the next one; lines
 * that are all there is; or what keeps the stream from going on.
 */
extern void stream_add_page(Stream *stream, Job *job);
extern void stream_add_whole(Stream *stream, const Buffer *lines);
extern void stream_add_failure(Stream *stream, const Failure *failure);

/* take up to so many bytes of the piece; 0: there are no more */
extern size_t stream_take(Stream *stream, char *target, size_t most);

#endif							/* STREAM_H */
