/*-------------------------------------------------------------------------
 *
 * events.c
 *	  A stream of server-sent events: when a pull would bring something.
 *
 * It is a pull that waits, time after time, and tells the types of what it found
 * instead of the rows.  Where that was more than a page, any type may have
 * changed, and it goes on from now.  "Now" is asked for before the client is told:
 * it pulls as soon as it is, and what is committed behind its pull must not lie
 * before our "now".  Neither HTTP's library nor libpq is known here.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "http/events.h"
#include "util/clock.h"

#define COMMENT_INTERVAL	(25 * CLOCK_SECOND)

Events *
events_create(double seconds_left)
{
	Events	   *events = calloc(1, sizeof(Events));
	int64_t		now = clock_now();

	if (events == NULL)
		return NULL;
	events->next_comment = now + COMMENT_INTERVAL;
	if (seconds_left > 1e9)
		seconds_left = 1e9;
	events->expires = now + (int64_t) (seconds_left * CLOCK_SECOND);

	/*
	 * send something at once, because a proxy or a library may keep the head
	 * to itself until then
	 */
	buffer_append_text(&events->text, ":\n\n");
	return events;
}

void
events_free(Events *events)
{
	if (events == NULL)
		return;
	buffer_free(&events->text);
	free(events->changed);
	free(events);
}

void
events_take_page(Events *events, PageAbout *about)
{
	free(events->changed);
	events->changed = about->changed;
	about->changed = NULL;
	events->is_complete = about->is_complete;
	events->has_page = true;
}

/* Tell what a page has, and go on from it.  False: that is not possible. */
static bool
tell_page(Events *events, Job *job)
{
	bool		from_now = strcmp(job->since, "now") == 0;
	char	   *since = strdup(events->is_complete ? job->cursor : "now");

	events->has_page = false;

	/*
	 * a pull from now on is always complete, unless the extension says
	 * nothing of it
	 */
	if (since == NULL || (from_now && !events->is_complete))
	{
		free(since);
		return false;
	}
	if (job->is_news && !from_now)
	{
		buffer_append_text(&events->text, "event: change\ndata: {\"entityTypes\":");
		buffer_append_text(&events->text,
						   events->changed == NULL ? "[]" : events->changed);
		buffer_append_text(&events->text, "}\n\n");
	}
	free(job->since);
	job->since = since;
	events->is_held = !events->is_complete;
	return true;
}

bool
events_go_on(Events *events, Job *job, bool is_stopping, int64_t now)
{
	if (events->text.length == events->taken)
	{
		buffer_free(&events->text);
		events->taken = 0;
	}
	if (job->failure.status != 0 ||
		(events->has_page && !tell_page(events, job)))
		events->is_last = true;
	if (now >= events->next_comment)
	{
		buffer_append_text(&events->text, ":\n\n");
		events->next_comment = now + COMMENT_INTERVAL;
	}
	if (is_stopping || now >= events->expires || events->text.failed)
		events->is_last = true;
	job->wait_until = events->next_comment < events->expires ?
		events->next_comment : events->expires;
	if (events->is_last)
		events->is_held = false;
	return events->is_last || (events->text.length > 0 && !events->is_held);
}

size_t
events_take(Events *events, char *target, size_t most)
{
	size_t		length = events->is_held ? 0 :
		events->text.length - events->taken;

	if (length > most)
		length = most;
	if (length > 0)
		memcpy(target, events->text.data + events->taken, length);
	events->taken += length;
	return length;
}
