/*-------------------------------------------------------------------------
 *
 * pending.c
 *	  Requests that wait: for the database, or for something to change.
 *
 * A request's job is queued, or the request has a seat among those who wait for
 * the watcher's next look; it may go from one to the other several times.  A
 * poll that is remembered begins with a seat.  A pull that found nothing and may
 * wait takes one, and asks the database again when it is woken.  All this while
 * its connection is suspended: it costs no thread, no place in the queue, and no
 * connection to the database.
 *
 *-------------------------------------------------------------------------
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/empty.h"
#include "database/database.h"
#include "database/queue.h"
#include "http/etag.h"
#include "http/exchange.h"
#include "http/pending.h"
#include "http/reply.h"
#include "util/clock.h"

#define RETRY_WAITS		10		/* seconds: when too many pulls wait */

static atomic_int with_database = 0;	/* requests whose job has no outcome */

static void job_finished(Job *job);

/* ---------- the end of it ---------- */

/*
 * Pack the reply as it is sent.  A database thread does this, because the
 * thread for all connections has no time for it.
 */
static void
pack_reply(Request *request)
{
	Job		   *job = &request->job;

	if (job->failure.status != 0 || job->reply == NULL ||
		request->login != NULL)
		return;
	request->rows = job->rows;
	if (job->kind == JOB_SCHEMA)
		etag_make(request->etag, job->reply, job->reply_length);
	if (request->takes_gzip && job->reply_length >= REPLY_LEAST_PACKED &&
		gzip_pack(job->reply, job->reply_length, &request->packed))
		database_free(job);
}

/* So many bytes are counted for the current piece of a stream, none before. */
static bool
hold(Request *request, size_t length)
{
	client_give_bytes(request->client, request->held);
	request->held = 0;
	if (!client_take_bytes(request->client, length, request->settings,
						   &request->failure))
		return false;
	request->held = length;
	return true;
}

/*
 * Make the next piece of a stream from a page.  The page is counted before it is
 * packed, and what it shrinks by is given back: a page that has gone through the
 * packer must be sent, or what follows it cannot be unpacked.
 */
static void
add_page(Request *request)
{
	Job		   *job = &request->job;
	Stream	   *stream = request->stream;

	if (hold(request, job->reply_length))
	{
		request->rows += job->rows;
		stream_add_page(stream, job);
		if (stream->piece.length < request->held)
		{
			client_give_bytes(request->client,
							  request->held - stream->piece.length);
			request->held = stream->piece.length;
		}
	}
	else
		stream_add_failure(stream, &request->failure);
	database_free(job);
}

/*
 * Likewise the next piece of a stream.  A stream that has no piece yet fails
 * as other replies do.
 */
static void
add_piece(Request *request)
{
	Job		   *job = &request->job;

	if (job->failure.status == 0)
		add_page(request);
	else if (request->stream->has_begun)
	{
		request->failure = job->failure;
		stream_add_failure(request->stream, &job->failure);
	}
}

/* Make the reply that says nothing has changed, as of this time. */
static void
make_empty(Request *request, int64_t at, const char *unavailable)
{
	Job		   *job = &request->job;

	request->rows = 0;
	if (request->stream == NULL)
		empty_write(job, at, unavailable, &request->made);
	else
	{
		empty_write_lines(job, at, unavailable, &request->made);
		stream_add_whole(request->stream, &request->made);
	}
	if (request->made.failed)
		failure_try_again(&job->failure, "the server is short of memory");
}

/* The request goes on, on its connection's thread. */
static void
resume(Request *request)
{
	client_set_pending(request->client, NULL, NULL);
	request->job_done = true;
	exchange_resume(request->connection);
}

/* The job has its outcome. */
static void
settle(Request *request)
{
	if (request->stream != NULL)
		add_piece(request);
	else if (request->events == NULL)
		pack_reply(request);
	resume(request);
}

/* ---------- the queue ---------- */

static bool
abandon_job(void *job)
{
	return queue_abandon(job);
}

static bool
put_job(Request *request)
{
	if (request->job.is_login)
		return database_put_login(&request->job, request->settings);
	return database_put(&request->job, request->settings, request->has_waited);
}

/* Hand the job over; the connection is suspended. */
static void
enqueue(Request *request)
{
	Job		   *job = &request->job;

	job->finished = job_finished;
	job->owner = request;
	job->user = request->login != NULL ? request->login->address :
		request->identity.user;
	job->timeout = request->settings->request_timeout * CLOCK_SECOND;
	request->asked_at = clock_now();
	job->deadline = request->asked_at + job->timeout;
	/* before the snapshot of the pull, which is taken when its turn comes */
	if (job->kind == JOB_PULL)
		request->base = live_last_look();

	client_set_pending(request->client, abandon_job, job);
	with_database++;
	if (put_job(request))
		return;
	failure_try_again(&job->failure, "the server is too busy");
	with_database--;
	settle(request);
}

/* ---------- seats ---------- */

static bool
abandon_seat(void *seat)
{
	return live_abandon(seat);
}

/*
 * The key of a poll that has this cursor, and everything else as this request.
 */
static bool
poll_key(const Request *request, const char *cursor, unsigned char *key)
{
	const Job  *job = &request->job;
	PollParts	parts = {
		.cursor = cursor,
		.claims = job->claims,
		.role = job->role,
		.scopes = job->scopes,
		.entity_types = job->entity_types,
		.acks = job->acks,
		.client_id = job->client_id
	};

	return live_key(&parts, key);
}

/* The watcher, or another thread in its place, is done with a seat. */
static void
seat_finished(LiveSeat *seat)
{
	Request    *request = seat->owner;
	Job		   *job = &request->job;

	switch (seat->outcome)
	{
		case LIVE_EMPTY:
			if (request->events == NULL)
				make_empty(request, seat->seat.at, seat->seat.unavailable);
			free(seat->seat.unavailable);
			seat->seat.unavailable = NULL;
			resume(request);
			break;
		case LIVE_ASK:
			request->has_waited |= seat->seat.until != 0;
			enqueue(request);
			break;
		case LIVE_GONE:
			failure_try_again(&job->failure, "the client has gone");
			resume(request);
			break;
	}
}

static void
prepare_seat(Request *request)
{
	request->seat.owner = request;
	request->seat.finished = seat_finished;
	request->seat.seat.until = request->job.wait_until;
	client_set_pending(request->client, abandon_seat, &request->seat);
}

/*
 * The next poll would find what this pull has found, until something changes.
 * False: nobody knows.
 */
static bool
remember(Request *request, PageAbout *about, unsigned char *key)
{
	bool		good = interest_read(request->job.interest, about) &&
		about->is_complete && poll_key(request, request->job.cursor, key);

	/* what the watcher sees is the primary's, and a replica may be behind it */
	if (good)
		live_remember(key, about, request->job.may_be_stale ? 0 : request->base,
					  request->asked_at, request->settings);
	return good;
}

/*
 * Take a seat for a pull that found nothing.  Another thread may end it at
 * once.
 */
static LiveSat
take_seat(Request *request, bool is_known, const unsigned char *key)
{
	LiveSat		sat = LIVE_NOT_REMEMBERED;
	bool		asked_again = request->asked_again;

	/* once it is seated, the request belongs to another thread */
	request->asked_again = false;
	prepare_seat(request);
	if (is_known)
		sat = live_wait(key, &request->seat, request->settings);

	/*
	 * something has changed meanwhile, or may have, so ask again, but only
	 * once
	 */
	if (sat == LIVE_NOT_REMEMBERED && is_known && !asked_again &&
		live_last_look() != 0)
	{
		request->asked_again = true;
		enqueue(request);
		return LIVE_SEATED;
	}
	if (sat == LIVE_NOT_REMEMBERED)
		sat = live_wait_blindly(&request->seat, request->settings);
	return sat;
}

/*
 * Let a pull that found nothing wait, and free what it has in memory.  False:
 * it has its outcome.
 */
static bool
begin_to_wait(Request *request, bool is_known, const unsigned char *key)
{
	Job		   *job = &request->job;
	Job			kept = *job;
	char	   *cursor = strdup(job->cursor);
	LiveSat		sat;

	if (cursor == NULL)
		return false;
	free(job->since);
	job->since = cursor;		/* where it goes on */
	job->result = NULL;
	job->reply = job->cursor = job->interest = NULL;
	request->has_waited = true;
	sat = take_seat(request, is_known, key);
	if (sat == LIVE_SEATED)
	{
		database_free(&kept);
		return true;
	}
	job->result = kept.result;
	job->reply = kept.reply;
	job->cursor = kept.cursor;
	/* a client would ask again at once after an empty reply */
	if (sat == LIVE_FULL)
		pending_refuse_to_wait(&job->failure);
	return false;
}

/* A pull has its outcome.  True: it waits on. */
static bool
goes_on(Request *request)
{
	Job		   *job = &request->job;
	Events	   *events = request->events;
	unsigned char key[BOOK_KEY_SIZE];
	PageAbout	about;
	bool		is_known;
	bool		waits;

	if (job->kind != JOB_PULL || job->failure.status != 0)
		return false;
	is_known = remember(request, &about, key);
	waits = !job->is_news && clock_now() < job->wait_until;
	if (events != NULL && !waits)
		events_take_page(events, &about);
	interest_about_free(&about);
	return waits && begin_to_wait(request, is_known, key);
}

/* Called by a database thread: the job has its outcome. */
static void
job_finished(Job *job)
{
	Request    *request = job->owner;

	with_database--;
	if (goes_on(request))
		return;
	settle(request);
}

/* ---------- beginnings ---------- */

/* There is no room for one more that waits. */
void
pending_refuse_to_wait(Failure *failure)
{
	failure_set(failure, 503, "try_again",
				"too many pulls wait for something to come",
				"Pull without wait, or later.");
	failure->retry_after = RETRY_WAITS;
}

/* Ask the database. */
void
pending_ask(Request *request)
{
	/* suspended first: the job may be done before enqueue returns */
	request->job_done = false;
	exchange_suspend(request->connection);
	enqueue(request);
}

/* A pull, which may be a remembered poll. */
void
pending_poll(Request *request)
{
	Job		   *job = &request->job;
	unsigned char key[BOOK_KEY_SIZE];

	request->job_done = false;
	exchange_suspend(request->connection);
	if (job->since != NULL && job->refresh == NULL &&
		poll_key(request, job->since, key))
	{
		prepare_seat(request);
		if (live_poll(key, &request->seat, request->settings) == LIVE_SEATED)
			return;
	}
	enqueue(request);
}

/* How many requests have a job that has no outcome yet? */
int
pending_count_with_database(void)
{
	return with_database;
}
