/*-------------------------------------------------------------------------
 *
 * empty.c
 *	  The reply to a pull that brings nothing, without the database.
 *
 * Member by member what tide.pull and tide.pull_lines write, with the cursor that
 * came.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "api/empty.h"

/* A time in Unix milliseconds, as the request wants times. */
static void
append_time(Buffer *reply, const char *times, int64_t at)
{
	time_t		seconds = (time_t) (at / 1000);
	struct tm	parts;
	char		text[64];
	char		whole[96];

	if (strcmp(times, "ms") == 0)
		snprintf(whole, sizeof(whole), "%lld", (long long) at);
	else
	{
		gmtime_r(&seconds, &parts);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
		snprintf(whole, sizeof(whole), "\"%s.%03dZ\"", text, (int) (at % 1000));
	}
	buffer_append_text(reply, whole);
}

/* The members that say where the client is now. */
static void
append_place(const Job *job, int64_t at, Buffer *reply)
{
	buffer_append_text(reply, "\"cursor\":\"");
	buffer_append_text(reply, job->since);
	buffer_append_text(reply, "\",\"syncTimestamp\":");
	append_time(reply, job->times, at);
	buffer_append_text(reply, ",\"serverTime\":");
	append_time(reply, job->times, at);
}

/*
 * job->since must be a cursor that a server has made.  "unavailable": a JSON
 * array, or NULL.
 */
void
empty_write(const Job *job, int64_t at, const char *unavailable, Buffer *reply)
{
	buffer_append_text(reply, "{\"changesByType\":{},\"deletedByType\":{},");
	append_place(job, at, reply);
	if (unavailable != NULL)
	{
		buffer_append_text(reply, ",\"unavailableTypes\":");
		buffer_append_text(reply, unavailable);
	}
	buffer_append_text(reply, ",\"stats\":{},\"hasMore\":false,\"reset\":false,"
					   "\"revokedScopes\":[]}");
}

/* Likewise as the lines of a stream. */
void
empty_write_lines(const Job *job, int64_t at, const char *unavailable,
				  Buffer *reply)
{
	buffer_append_text(reply, "{\"begin\":{\"reset\":false,\"resetReason\":null,"
					   "\"resetTypes\":[],\"revokedScopes\":[],\"unavailableTypes\":");
	buffer_append_text(reply, unavailable != NULL ? unavailable : "[]");
	buffer_append_text(reply, "}}\n{\"cursor\":\"");
	buffer_append_text(reply, job->since);
	buffer_append_text(reply, "\"}\n{\"end\":true,");
	append_place(job, at, reply);
	buffer_append_text(reply, ",\"stats\":{},\"hasMore\":false}\n");
}
