/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  A pull whose reply is a stream of lines.
 *
 * The database writes the lines of a page; here are those between pages: what
 * they begin with, and the last one.  Neither HTTP nor libpq is known here.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "http/stream.h"

/* NULL: no memory */
Stream *
stream_create(bool packed)
{
	Stream	   *stream = calloc(1, sizeof(Stream));

	if (stream == NULL)
		return NULL;
	stream->counts = cJSON_CreateObject();
	if (packed)
		stream->packer = gzip_begin();
	if (stream->counts != NULL && (!packed || stream->packer != NULL))
		return stream;
	stream_free(stream);
	return NULL;
}

void
stream_free(Stream *stream)
{
	if (stream == NULL)
		return;
	buffer_free(&stream->piece);
	free(stream->begin);
	cJSON_Delete(stream->counts);
	gzip_end(stream->packer);
	free(stream);
}

static void
add(Stream *stream, const char *text, size_t length)
{
	if (stream->packer == NULL)
		buffer_append(&stream->piece, text, length);
	else
		gzip_add(stream->packer, text, length, &stream->piece);
}

/*
 * End the piece, so that a client that unpacks as it reads can read all of it.
 */
static void
end_piece(Stream *stream)
{
	if (stream->packer != NULL)
		gzip_flush(stream->packer, stream->is_last, &stream->piece);
}

static void
start_piece(Stream *stream)
{
	buffer_free(&stream->piece);
	stream->taken = 0;
	stream->is_new = true;
}

/*
 * What concerns a page goes before its rows.  It does so for the first page,
 * and for a later page that tells the client to drop rows, unless the same was
 * said before.
 */
static void
add_begin(Stream *stream, const Job *job)
{
	if (stream->has_begun &&
		(!job->begins || (stream->begin != NULL &&
						  strcmp(stream->begin, job->begin) == 0)))
		return;
	add(stream, job->begin, strlen(job->begin));
	free(stream->begin);
	/* if there is no memory, it is said once more */
	stream->begin = strdup(job->begin);
}

/* Add a page's rows, which PostgreSQL has counted by type. */
static void
add_counts(Stream *stream, const Job *job)
{
	cJSON	   *counts = cJSON_Parse(job->counts);
	cJSON	   *count;
	cJSON	   *type;
	cJSON	   *sum;

	cJSON_ArrayForEach(count, counts)
	{
		type = cJSON_GetObjectItemCaseSensitive(stream->counts, count->string);
		if (type == NULL)
		{
			type = cJSON_AddObjectToObject(stream->counts, count->string);
			cJSON_AddNumberToObject(type, "count", 0);
			cJSON_AddFalseToObject(type, "hasMore");
		}
		sum = cJSON_GetObjectItemCaseSensitive(type, "count");
		if (sum != NULL)
			cJSON_SetNumberValue(sum, sum->valuedouble + count->valuedouble);
	}
	cJSON_Delete(counts);
}

static void
add_end(Stream *stream, const Job *job)
{
	static const char start[] = "{\"end\":true,";
	static const char stats[] = ",\"stats\":";
	static const char end[] = ",\"hasMore\":false}\n";
	char	   *counts = cJSON_PrintUnformatted(stream->counts);

	stream->is_last = true;
	add(stream, start, sizeof(start) - 1);
	add(stream, job->tail, strlen(job->tail));
	add(stream, stats, sizeof(stats) - 1);
	if (counts != NULL)
		add(stream, counts, strlen(counts));
	else
		stream->piece.failed = true;
	add(stream, end, sizeof(end) - 1);
	cJSON_free(counts);
}

/*
 * The next piece, made of a page.  The job then asks for the page after it, if
 * there is one.
 */
void
stream_add_page(Stream *stream, Job *job)
{
	char	   *cursor = strdup(job->cursor);

	start_piece(stream);
	add_begin(stream, job);
	add(stream, job->reply, job->reply_length);
	add_counts(stream, job);
	if (!job->has_more)
		add_end(stream, job);
	stream->has_begun = true;
	end_piece(stream);
	if (cursor == NULL)
		stream->piece.failed = true;
	free(job->since);
	job->since = cursor;
	job->wait_until = 0;
}

/* The only piece, made of lines that are there already. */
void
stream_add_whole(Stream *stream, const Buffer *lines)
{
	start_piece(stream);
	stream->has_begun = true;
	stream->is_last = true;
	stream->piece.failed = lines->failed;
	if (!lines->failed)
		add(stream, lines->data, lines->length);
	end_piece(stream);
}

/* The last piece, which tells why the stream does not go on. */
void
stream_add_failure(Stream *stream, const Failure *failure)
{
	Buffer		line = {0};

	start_piece(stream);
	stream->is_last = true;
	failure_write(failure, &line);
	buffer_append_char(&line, '\n');
	if (line.failed)
		stream->piece.failed = true;
	else
		add(stream, line.data, line.length);
	buffer_free(&line);
	end_piece(stream);
}

/* take up to so many bytes of the piece; 0: there are no more */
size_t
stream_take(Stream *stream, char *target, size_t most)
{
	size_t		length = stream->piece.length - stream->taken;

	if (length > most)
		length = most;
	if (length > 0)
		memcpy(target, stream->piece.data + stream->taken, length);
	stream->taken += length;
	return length;
}
