/*-------------------------------------------------------------------------
 *
 * events_test.c
 *	  Unit tests of the gateway's events.c: what a stream of events says, and
 *	  when.
 *
 * Seen to fail with: an event of a page that has more told at once; no comments;
 * the token's end not looked at; an event for a page with nothing in it.
 *
 * Prints TAP.  Usage: events_test.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/events.h"
#include "util/clock.h"
#include "tap.h"

/* All that is to be sent now, in pieces of seven bytes. */
static const char *
said(Events *events)
{
	static char text[1024];
	size_t		length = 0;
	size_t		more;

	while ((more = events_take(events, text + length, 7)) > 0)
		length += more;
	text[length] = '\0';
	return text;
}

static bool
says(Events *events, const char *expected)
{
	return strcmp(said(events), expected) == 0;
}

/* A page of the job that has come to its end. */
static void
take_page(Events *events, Job *job, bool is_news, const char *changed,
		  const char *cursor)
{
	PageAbout	about = {0};

	about.changed = changed == NULL ? NULL : strdup(changed);
	about.is_complete = cursor != NULL;
	job->is_news = is_news;
	job->cursor = cursor;
	events_take_page(events, &about);
	free(about.changed);
}

static void
test_changes(void)
{
	Events	   *events = events_create(3600);
	Job			job = {.since = strdup("c1")};
	int64_t		now = clock_now();

	ok(says(events, ":\n\n"), "a stream begins with a comment");
	take_page(events, &job, false, NULL, "c1");
	ok(!events_go_on(events, &job, false, now), "of a page with nothing in it nothing is said");
	ok(job.wait_until > now + 20 * CLOCK_SECOND && job.wait_until < now + 30 * CLOCK_SECOND,
	   "it waits until a comment is due");
	take_page(events, &job, true, "[\"plan\",\"day\"]", "c2");
	ok(events_go_on(events, &job, false, now) &&
	   says(events, "event: change\ndata: {\"entityTypes\":[\"plan\",\"day\"]}\n\n"),
	   "an event names the types of a page");
	ok(strcmp(job.since, "c2") == 0, "and the stream goes on behind it");
	ok(!events_go_on(events, &job, false, now) && says(events, ""), "it is said once");
	take_page(events, &job, true, NULL, "c3");
	ok(events_go_on(events, &job, false, now) && says(events, "event: change\ndata: {\"entityTypes\":[]}\n\n"),
	   "news of no type, such as a scope that was lost");

	take_page(events, &job, true, "[\"plan\"]", NULL);
	ok(!events_go_on(events, &job, false, now) && says(events, ""), "of a page with more nothing is said yet");
	ok(strcmp(job.since, "now") == 0, "but it is asked where to go on from");
	take_page(events, &job, true, NULL, "c9");
	ok(events_go_on(events, &job, false, now) && says(events, "event: change\ndata: {\"entityTypes\":[\"plan\"]}\n\n"),
	   "then it is");
	ok(strcmp(job.since, "c9") == 0 && !events->is_last, "and the stream goes on from there");

	free(job.since);
	job.since = strdup("now");
	take_page(events, &job, true, NULL, "c1");
	ok(!events_go_on(events, &job, false, now), "a stream from now on begins with nothing");
	free(job.since);
	job.since = strdup("now");
	take_page(events, &job, true, NULL, NULL);
	ok(events_go_on(events, &job, false, now) && events->is_last,
	   "if it is not told where it is, it ends rather than ask without end");
	events_free(events);
	free(job.since);
}

static void
test_time(void)
{
	Events	   *events = events_create(60);
	Job			job = {.since = strdup("c1")};
	int64_t		now = clock_now();

	said(events);
	ok(!events_go_on(events, &job, false, now + 24 * CLOCK_SECOND), "nothing for a while");
	ok(events_go_on(events, &job, false, now + 26 * CLOCK_SECOND) && says(events, ":\n\n"),
	   "then a comment");
	ok(!events_go_on(events, &job, false, now + 49 * CLOCK_SECOND) && !events->is_last, "and no more for as long");
	ok(job.wait_until > now + 50 * CLOCK_SECOND && job.wait_until < now + 52 * CLOCK_SECOND, "when the next is due");
	events_go_on(events, &job, false, now + 52 * CLOCK_SECOND);
	said(events);
	ok(!events_go_on(events, &job, false, now + 55 * CLOCK_SECOND) && job.wait_until <= now + 61 * CLOCK_SECOND,
	   "it waits no longer than the token is good");
	ok(events_go_on(events, &job, false, now + 61 * CLOCK_SECOND) && events->is_last, "and ends with it");
	events_free(events);
	free(job.since);
}

static void
test_ends(void)
{
	Events	   *events = events_create(60);
	Job			job = {.since = strdup("c1")};

	said(events);
	take_page(events, &job, true, "[\"plan\"]", NULL);
	ok(events_go_on(events, &job, true, clock_now()) && events->is_last &&
	   says(events, "event: change\ndata: {\"entityTypes\":[\"plan\"]}\n\n"),
	   "when the gateway stops, what is known is said");
	events_free(events);

	events = events_create(60);
	said(events);
	job.failure.status = 503;
	ok(events_go_on(events, &job, false, clock_now()) && events->is_last, "a failure ends it");
	events_free(events);
	free(job.since);
}

int
main(void)
{
	test_changes();
	test_time();
	test_ends();
	return done_testing();
}
