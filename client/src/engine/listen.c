/*
 * listen.c
 *	  A request that waits for news of the server, while there is nothing else to
 *	  do: a stream of events, or, where that does not get through, a pull that the
 *	  server holds back.
 *
 * Neither brings rows.  News are a reason for a sync like any other, and so no
 * lock is held, and nothing is lost with a request that is given up.
 */
#include <string.h>

#include "engine/request.h"
#include "engine/schedule.h"
#include "engine/steps.h"
#include "util/random.h"

/* the stream of events is tried again after this */
#define EVENTS_AGAIN_MS (10 * 60 * 1000)
/* an answer without news is expected later than this */
#define TOO_SOON_MS 1000
/* a stream says something more often than that */
#define SILENCE_MS 30000

bool
listen_begin(Engine *e, int64_t now, bool *send, int *wait, int64_t *until)
{
	bool		ready;

	if (now < e->next_listen)
	{
		*wait = TIDE_FOR_NEWS;
		*until = e->next_listen < e->due_at ? e->next_listen : e->due_at;
		return true;
	}
	if (e->no_events && now >= e->events_again)
		e->no_events = false;
	if (!request_news(e, &ready))
		return false;
	if (!ready)
	{
		/* nothing was pulled yet: that comes first */
		e->asked = true;
		*wait = TIDE_FOR_NEWS;
		*until = now;
		return true;
	}
	e->phase = PHASE_LISTEN;
	e->listen_began = now;
	e->events_read = 0;
	e->events_heard = false;
	e->sent = true;
	e->status = 0;
	buffer_reset(&e->answer);
	*send = true;
	return true;
}

/*
 * The next one.  A server that answers each at once, with nothing in it that a
 * sync would bring, is asked less and less often; engine_finish() forgets that.
 */
static bool
listen_again(Engine *e, int64_t now, bool too_soon)
{
	e->phase = PHASE_IDLE;
	e->sent = false;
	e->complete = false;
	if (!too_soon && now - e->listen_began >= TOO_SOON_MS)
		e->quick = 0;
	else if (++e->quick > 1)
		e->next_listen = now + TOO_SOON_MS +
			schedule_transport(e->quick - 1, SCHEDULE_BASE_MS, random_number());
	return true;
}

/*
 * Lines of a stream: "event: change" is what we wait for.  Data and comments
 * are of no interest; whole lines only.
 */
void
listen_take_piece(Engine *e)
{
	const char *text = e->answer.data;
	const char *end;

	if (e->no_events || e->status != 200)
		return;
	e->events_heard = true;
	while ((end = memchr(text + e->events_read, '\n', e->answer.length - e->events_read)))
	{
		size_t		length = (size_t) (end - text) - e->events_read;
		const char *line = text + e->events_read;

		if (length > 0 && line[length - 1] == '\r')
			length--;
		if (length == 13 && memcmp(line, "event: change", 13) == 0)
			e->asked = true;
		e->events_read = (size_t) (end - text) + 1;
	}
	/* a stream lasts for as long as the token does, and its pieces may end anywhere */
	buffer_remove(&e->answer, e->events_read);
	e->events_read = 0;
}

static bool
has_members(const Json *json, const char *member)
{
	return json_count(json, json_member(json, json->nodes, member)) > 0;
}

static bool
has_rows(const Json *json, const char *member)
{
	const JsonNode *types = json_member(json, json->nodes, member);
	const JsonNode *name;

	for (name = json_first_name(json, types); name; name = json_next_name(json, types, name))
	{
		if (json_count(json, name + 1) > 0)
			return true;
	}
	return false;
}

/* A pull that the server held back until there was something, or time was up. */
static void
take_held_pull(Engine *e)
{
	Json		json;

	if (e->answer.data == NULL)
		return;
	if (!json_parse(&json, e->answer.data, e->answer.length) ||
		has_rows(&json, "changesByType") || has_rows(&json, "deletedByType") ||
		json_is_true(json_member(&json, json.nodes, "hasMore")) ||
		json_is_true(json_member(&json, json.nodes, "reset")) ||
		has_members(&json, "resetTypes") || has_members(&json, "revokedScopes"))
		e->asked = true;
	json_free(&json);
}

/* For a while the server is asked for a pull that it holds back. */
static void
do_without_events(Engine *e, int64_t now)
{
	e->no_events = true;
	e->events_again = now + EVENTS_AGAIN_MS;
}

/* Without news in it, an answer is no more than time that has passed. */
bool
listen_take_answer(Engine *e, int64_t now)
{
	if (e->status == 200)
	{
		if (e->no_events)
			take_held_pull(e);
		return listen_again(e, now, false);
	}
	/* a server without a stream of events is asked for a pull, at once */
	if (!e->no_events && e->status != 429)
	{
		do_without_events(e, now);
		e->phase = PHASE_IDLE;
		e->sent = false;
		e->complete = false;
		return true;
	}
	/* the sync itself will say what is wrong */
	if (e->status != 429 && e->quick == 0)
		e->asked = true;
	(void) listen_again(e, now, true);
	if (e->retry_after > 0 && e->next_listen < now + e->retry_after)
		e->next_listen = now + e->retry_after;
	return true;
}

/*
 * A stream ends with its connection, and goes on from the cursor.  One that
 * never says anything is held up on its way.
 */
bool
listen_cut_off(Engine *e, int64_t now)
{
	if (!e->no_events && !e->events_heard && now - e->listen_began >= SILENCE_MS)
		do_without_events(e, now);
	return listen_again(e, now, false);
}
