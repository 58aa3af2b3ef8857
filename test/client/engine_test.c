/*
 * engine_test.c
 *	  The engine against a server in memory, in virtual time: schedules, what
 *	  stops a sync and what does not, batches, resets.  test/client/engine.t runs
 *	  it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "one_device.h"

static int64_t now = 1000000000000;

/* what a wait is for, and for how long */
static int
wait_of(int64_t *delay)
{
	tide_step	step;

	check(tide_next(t, now, &step) == TIDE_OK);
	check(step.kind == TIDE_WAIT);
	*delay = step.until == INT64_MAX ? -1 : step.until - now;
	return step.wait;
}

static void
test_transport(void)
{
	static const int64_t most[] = {1000, 2000, 4000, 8000, 16000, 16000, 16000};
	tide_step	step;
	int64_t		delay;
	size_t		i;

	open_device();
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(db, "INSERT INTO plan (id, owner, a) VALUES ('p', 'ann', 'x')");
	check(tide_sync(t) == TIDE_OK);
	for (i = 0; i < 7; i++)
	{
		check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
		check(tide_no_answer(t, now, "no network") == TIDE_OFFLINE);
		check(wait_of(&delay) == TIDE_FOR_NETWORK);
		check(delay > 0 && delay <= most[i]);
		is("SELECT state FROM tide_status", "offline");
		now += delay;
	}
	fake_ok("without an answer: 1, 2, 4, 8, 16, 16 seconds at most");
	check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
	check(tide_no_answer(t, now, "no network") == TIDE_OFFLINE);
	check(tide_network_is_back(t) == TIDE_OK);
	check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
	check(tide_no_answer(t, now, "no network") == TIDE_OFFLINE);
	check(wait_of(&delay) == TIDE_FOR_NETWORK && delay <= 1000);
	fake_ok("when the network is back: at once, and from the start again");
	now += delay;
	server.status = 503;
	server.headers = "Retry-After: 77\r\n";
	check(fake_sync(&server, t, now) == TIDE_OFFLINE);
	check(wait_of(&delay) == TIDE_FOR_NETWORK && delay == 77000);
	now += delay;
	server.status = 429;
	server.headers = "retry-after: 90\r\n";
	check(fake_sync(&server, t, now) == TIDE_OFFLINE);
	check(wait_of(&delay) == TIDE_FOR_NETWORK && delay == 90000);
	fake_ok("Retry-After is kept");
	for (i = 0; i < 3; i++)
	{
		now += delay;
		server.headers = (const char *[])
		{"Retry-After: 86400\r\n", "Retry-After: 9223372036854775807\r\n",
		"Retry-After: 99999999999999999999\r\n"}[i];
		check(fake_sync(&server, t, now) == TIDE_OFFLINE);
		check(wait_of(&delay) == TIDE_FOR_NETWORK && delay == 15 * 60 * 1000);
	}
	fake_ok("... for a quarter of an hour at most");
	now += delay;
	server.status = 0;
	is("SELECT tries FROM tide_pending", "0");
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT count(*) FROM tide_pending", "0");
	is("SELECT state FROM tide_status", "idle");
	check(wait_of(&delay) == TIDE_FOR_SYNC && delay == -1);
	fake_ok("no try of a row was counted, and it goes when the server is there");
	end();
}

/* A clock that is far off, or broken. */
static void
test_clock(void)
{
	static const int64_t times[] = {INT64_MAX, INT64_MAX - 1, INT64_MIN, -1, 0};
	tide_step	step;
	size_t		i;

	for (i = 0; i < sizeof(times) / sizeof(*times); i++)
	{
		open_device();
		check(tide_sync(t) == TIDE_OK);
		check(tide_is_due(t, times[i]) == 1);
		check(tide_next(t, times[i], &step) == TIDE_OK && step.kind == TIDE_SEND);
		check(tide_no_answer(t, times[i], "no network") == TIDE_OFFLINE);
		check(tide_network_is_back(t) == TIDE_OK);
		check(fake_sync(&server, t, times[i]) == TIDE_OK);
		is("SELECT length(last_sync_at) FROM tide_status", "24");
		end();
	}
	fake_ok("a clock that is far off");
}

static void
test_rows(void)
{
	static const int64_t delays[] = {30000, 60000, 120000, 240000, 480000};
	int64_t		delay;
	int			i;

	open_device();
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(db, "INSERT INTO plan (id, owner, a) VALUES ('p', 'ann', 'bad')");
	for (i = 0; i < 5; i++)
	{
		check(fake_sync(&server, t, now) == TIDE_OK);
		check(wait_of(&delay) == TIDE_FOR_RETRY && delay == delays[i]);
		/* before its time it is not sent, also not with a sync */
		check(fake_sync(&server, t, now + delay - 1) == TIDE_OK);
		is("SELECT state || tries FROM tide_pending", (const char *[])
		   {"retry1", "retry2", "retry3", "retry4", "retry5"}[i]);
		now += delay;
	}
	fake_ok("a refused row: 30, 60, 120, 240, 480 seconds");
	check(fake_sync(&server, t, now) == TIDE_OK);
	check(wait_of(&delay) == TIDE_FOR_SYNC);
	is("SELECT state || tries || code FROM tide_pending", "parked623514");
	is("SELECT pending || ' ' || parked FROM tide_status", "1 1");
	fake_ok("... then it is parked");
	fake_sql(db, "INSERT INTO item (id, owner, parent) VALUES ('child', 'ann', 'p');"
			 "INSERT INTO item (id, owner) VALUES ('other', 'ann')");
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT group_concat(key || ' ' || state || ' ' || coalesce(code, '')) FROM tide_pending"
	   " WHERE entity_type = 'item'", "child parked parent_parked");
	fake_ok("its children are parked with it, others go");
	fake_sql(db, "UPDATE plan SET a = 'good'");
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT count(*) FROM tide_pending", "0");
	fake_ok("an edit makes it due, and its children go with it");
	end();
}

/* A retry is made when its time has come, not only at the next write. */
static void
test_due(void)
{
	tide_step	step;
	int64_t		delay;

	open_device();
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(db, "INSERT INTO plan (id, owner, a) VALUES ('p', 'ann', 'bad')");
	check(fake_sync(&server, t, now) == TIDE_OK);
	check(wait_of(&delay) == TIDE_FOR_RETRY);
	now += delay;
	check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
	fake_ok("a row that is due starts a sync by itself");
	end();
}

static void
test_batches(void)
{
	tide_step	step;
	char	   *body;
	FakeAnswer	answer;
	int			i;

	open_device();
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(db, "INSERT INTO plan (id, owner, a) VALUES ('p', 'ann', 'first')");
	check(tide_sync(t) == TIDE_OK);
	for (i = 0; i < 3; i++)
	{
		check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
		if (strstr(step.url, "push"))
			break;
		fake_answer(&server, &step, &answer);
		check(fake_give(t, &answer, now) == TIDE_OK);
	}
	body = strdup(step.body);
	/* the server stores it, the reply is lost, the process dies, the row is edited */
	fake_answer(&server, &step, &answer);
	buffer_free(&answer.body);
	tide_close(t);
	fake_sql(db, "UPDATE plan SET a = 'second'");
	check(tide_attach(db, &t) == TIDE_OK);
	check(tide_set_token(t, fake_token) == TIDE_OK);
	check(tide_sync(t) == TIDE_OK);
	for (i = 0; i < 3; i++)
	{
		check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
		if (strstr(step.url, "push"))
			break;
		fake_answer(&server, &step, &answer);
		check(fake_give(t, &answer, now) == TIDE_OK);
	}
	check(strcmp(body, step.body) == 0);
	free(body);
	fake_ok("a batch that was not answered is sent again byte for byte, also after a crash");
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT count(*) FROM tide_pending", "0");
	is("SELECT a FROM plan", "second");
	check(server.pushes == 2);
	fake_ok("... and the edit that was made meanwhile is sent after it");

	/* a limit of the server: halves, down to the one row that is too large */
	server.largest_push = 3;
	for (i = 0; i < 20; i++)
	{
		char		sql[100];

		snprintf(sql, sizeof(sql), "INSERT INTO item (id, owner) VALUES ('i%d', 'ann')", i);
		fake_sql(db, sql);
	}
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT count(*) FROM tide_pending", "0");
	fake_ok("413 halves the batch");
	end();
}

static void
test_for_good(void)
{
	int64_t		delay;

	open_device();
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(db, "INSERT INTO plan (id, owner, a) VALUES ('p', 'ann', 'x')");
	server.status = 403;
	check(fake_sync(&server, t, now) == TIDE_REFUSED);
	is("SELECT state || tries FROM tide_pending", "queued0");
	is("SELECT state FROM tide_status", "error");
	check(wait_of(&delay) == TIDE_FOR_SYNC);
	fake_ok("403 stops, edits stay, no try is counted");
	server.status = 401;
	check(fake_sync(&server, t, now) == TIDE_SIGNED_OUT);
	check(wait_of(&delay) == TIDE_FOR_TOKEN);
	is("SELECT state FROM tide_status", "signed_out");
	server.status = 0;
	check(tide_set_token(t, fake_token) == TIDE_OK);
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT count(*) FROM tide_pending", "0");
	fake_ok("401 asks for a token, and goes on with it");
	check(tide_set_token(t, "eyJhbGciOiJub25lIn0.eyJzdWIiOiJib2IifQ.") == TIDE_SIGNED_OUT);
	check(tide_set_token(t, "rubbish") == TIDE_SIGNED_OUT);
	fake_ok("the token of another user, and what is none");
	end();
}

static void
test_reset(void)
{
	open_device();
	fake_sql(server.db, "INSERT INTO row VALUES ('plan', 'stays', 'x', NULL, '2020-01-01T00:00:00.000Z', NULL, 0, 1),"
			 " ('plan', 'goes', 'x', NULL, '2020-01-01T00:00:00.000Z', NULL, 0, 2),"
			 " ('plan', 'edited', 'x', NULL, '2020-01-01T00:00:00.000Z', NULL, 0, 3);"
			 "UPDATE counter SET seq = 3");
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT count(*) FROM plan", "3");
	/* history is lost: two rows with it */
	fake_sql(server.db, "DELETE FROM row WHERE id IN ('goes', 'edited')");
	fake_sql(db, "UPDATE plan SET a = 'mine' WHERE id = 'edited';"
			 "INSERT INTO plan (id, owner, a) VALUES ('new', 'ann', 'mine')");
	server.reset = true;
	server.page = 1;
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT group_concat(id) FROM (SELECT id FROM plan ORDER BY id)", "new,stays");
	is("SELECT a FROM tide_parked_plan", "mine");
	is("SELECT key || state || code FROM tide_pending", "editedparkedresync_required");
	fake_ok("after a reset: clean rows that did not come go, an edit of one is parked with its content");
	check(tide_retry(t, "plan", "edited") == TIDE_OK);
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT group_concat(id) FROM (SELECT id FROM plan ORDER BY id)", "edited,new,stays");
	is("SELECT count(*) FROM tide_pending", "0");
	fake_ok("... retry puts it back");
	end();
}

/* The request for news that is out, or is to be sent now. */
static void
next_listens(tide_step *step, const char *path)
{
	check(tide_next(t, now, step) == TIDE_OK);
	check(step->kind == TIDE_SEND && step->listens && strstr(step->url, path));
}

/* Answer what a step asks for. */
static void
answer_step(const tide_step *step)
{
	FakeAnswer	answer;

	fake_answer(&server, step, &answer);
	check(fake_give(t, &answer, now) == TIDE_OK);
}

/* All requests of a sync that is due, until it listens again. */
static void
sync_by_itself(tide_step *step)
{
	check(tide_is_due(t, now) == 1);
	for (;;)
	{
		check(tide_next(t, now, step) == TIDE_OK);
		if (step->kind == TIDE_WAIT || step->listens)
			break;
		answer_step(step);
	}
}

static void
test_listen(void)
{
	tide_step	step;
	int64_t		delay;
	int			i;

	open_device();
	check(tide_listen(t, 1) == TIDE_OK);
	check(tide_sync(t) == TIDE_OK);
	sync_by_itself(&step);
	next_listens(&step, "/sync/events?since=c0");
	answer_step(&step);
	next_listens(&step, "/sync/pull");
	check(strstr(step.body, "\"wait\":25"));
	check(tide_is_due(t, now) == 0);
	fake_ok("with nothing to do it listens: to events, or to a pull that is held back");

	fake_sql(db, "INSERT INTO plan (id, owner, a) VALUES ('p', 'ann', 'x')");
	sync_by_itself(&step);
	is("SELECT count(*) FROM tide_pending", "0");
	check(step.kind == TIDE_SEND && step.listens);
	fake_ok("an edit is a reason to give that up and to sync");

	now += 25000;
	answer_step(&step);
	next_listens(&step, "/sync/pull");
	fake_sql(server.db, "UPDATE counter SET seq = seq + 1;"
			 "INSERT INTO row VALUES ('plan', 'q', 'news', NULL, '2020-01-01T00:00:00.000Z', NULL, 0,"
			 " (SELECT seq FROM counter))");
	answer_step(&step);
	is("SELECT count(*) FROM plan WHERE id = 'q'", "0");
	sync_by_itself(&step);
	is("SELECT a FROM plan WHERE id = 'q'", "news");
	fake_ok("so are news of the server; the answer itself brings none");

	for (i = 0; i < 3; i++)
	{
		check(tide_next(t, now, &step) == TIDE_OK);
		if (step.kind == TIDE_WAIT)
			break;
		answer_step(&step);
	}
	check(step.kind == TIDE_WAIT && step.wait == TIDE_FOR_NEWS && step.until > now);
	check(tide_is_due(t, now) == 0);
	fake_sql(db, "UPDATE plan SET a = 'meanwhile' WHERE id = 'q'");
	sync_by_itself(&step);
	is("SELECT count(*) FROM tide_pending", "0");
	fake_ok("a server that answers at once is asked less often; edits go all the same");

	now += 3600000;
	check(tide_is_due(t, now) == 1);
	sync_by_itself(&step);
	fake_ok("after an hour without news there is a sync, so that the cursor does not grow old");

	check(step.kind == TIDE_SEND);
	check(tide_no_answer(t, now, "the network is gone") == TIDE_OFFLINE);
	is("SELECT state || ': ' || last_error FROM tide_status", "offline: the network is gone");
	check(wait_of(&delay) == TIDE_FOR_NETWORK);
	now += delay;
	sync_by_itself(&step);
	is("SELECT state FROM tide_status", "idle");
	fake_ok("a request for news that is cut off means offline, and then a sync");
	end();
}

static void
piece(const char *text)
{
	check(tide_reply(t, text, strlen(text)) == TIDE_OK);
}

static void
test_events(void)
{
	tide_step	step;

	open_device();
	server.events = true;
	check(tide_listen(t, 1) == TIDE_OK);
	check(tide_sync(t) == TIDE_OK);
	sync_by_itself(&step);
	next_listens(&step, "/sync/events");
	check(tide_reply_begin(t, 200, "Content-Type: text/event-stream\r\n") == TIDE_OK);
	piece(": hello\n\ndata: event: change\n\neve");
	check(tide_is_due(t, now) == 0);
	piece("nt: change\r");
	check(tide_is_due(t, now) == 0);
	piece("\ndata: {\"entityTypes\":[\"plan\"]}\n\n");
	check(tide_is_due(t, now) == 1);
	fake_ok("a change in a stream is a reason to sync, once its line is whole");
	sync_by_itself(&step);
	check(step.kind == TIDE_SEND && strstr(step.url, "/sync/events"));
	check(tide_reply_begin(t, 200, NULL) == TIDE_OK);
	piece(": still here\n\n");
	now += 60000;
	check(tide_no_answer(t, now, "cut") == TIDE_OK);
	next_listens(&step, "/sync/events");
	fake_ok("a stream that ends goes on from the cursor");
	check(tide_reply_begin(t, 200, NULL) == TIDE_OK);
	now += 45000;
	check(tide_no_answer(t, now, "silent") == TIDE_OK);
	next_listens(&step, "/sync/pull");
	fake_ok("one that says nothing does not get through: it is a pull then");
	now += 25000;
	answer_step(&step);
	next_listens(&step, "/sync/pull");
	now += 10 * 60 * 1000;
	answer_step(&step);
	next_listens(&step, "/sync/events");
	fake_ok("... and after ten minutes a stream again");
	check(tide_reply_begin(t, 429, "Retry-After: 30\r\n") == TIDE_OK);
	check(tide_reply_end(t, now) == TIDE_OK);
	check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_WAIT);
	now = step.until;
	next_listens(&step, "/sync/events");
	fake_ok("one for which there were too many is asked for again when it is time");
	check(tide_reply_begin(t, 401, NULL) == TIDE_OK);
	check(tide_reply_end(t, now) == TIDE_SIGNED_OUT);
	check(tide_next(t, now, &step) == TIDE_OK && step.wait == TIDE_FOR_TOKEN);
	check(tide_set_token(t, fake_token) == TIDE_OK);
	sync_by_itself(&step);
	is("SELECT state FROM tide_status", "idle");
	fake_ok("a token that ends while it listens is asked for");
	end();
}

/* So much at once of what a server says */
#define MEGABYTE (1024 * 1024)

static void
test_too_much(void)
{
	char	   *much = malloc(MEGABYTE);
	tide_step	step;
	int			code = TIDE_OK,
				i;

	check(much);
	memset(much, 'x', MEGABYTE);
	open_device();
	check(tide_sync(t) == TIDE_OK);
	check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
	check(tide_reply_begin(t, 200, NULL) == TIDE_OK);
	for (i = 0; i < 1000 && code == TIDE_OK; i++)
		code = tide_reply(t, much, MEGABYTE);
	check(code == TIDE_OFFLINE && i == TIDE_ANSWER_BYTES / MEGABYTE + 1);
	check(tide_no_answer(t, now, "too much") == TIDE_OFFLINE);
	now += 1000;
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_ok("an answer that is too large is none, and the sync goes on later");

	server.events = true;
	check(tide_listen(t, 1) == TIDE_OK);
	check(tide_next(t, now, &step) == TIDE_OK && step.listens);
	check(tide_reply_begin(t, 200, NULL) == TIDE_OK);
	much[MEGABYTE - 8] = '\n';
	for (i = 0; i < 2 * TIDE_ANSWER_BYTES / MEGABYTE; i++)
		check(tide_reply(t, much, MEGABYTE) == TIDE_OK);
	check(tide_is_due(t, now) == 0);
	piece("\nevent: change\n");
	check(tide_is_due(t, now) == 1);
	fake_ok("a stream of events whose pieces end in their lines may go on for ever");
	free(much);
	end();
}

/* A push is acknowledged by the pull after it; edited meanwhile, a row stays dirty
 * and takes what else the server changed. */
static void
test_follow(void)
{
	tide_step	step;
	FakeAnswer	answer;

	open_device();
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(db, "INSERT INTO plan (id, owner) VALUES ('p', 'ann'), ('q', 'ann');"
			 "INSERT INTO item (id, owner, a, parent) VALUES ('i', 'ann', 'first', 'p')");
	check(tide_sync(t) == TIDE_OK);
	do
	{
		check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
		if (!strstr(step.url, "push"))
			answer_step(&step);
	} while (!strstr(step.url, "push"));
	fake_answer(&server, &step, &answer);
	fake_sql(db, "UPDATE item SET a = 'second' WHERE id = 'i'");
	/* a trigger of the server's has changed the other column */
	memcpy(strstr(answer.body.data, "\"parent\":\"p\"") + 10, "q", 1);
	check(tide_reply_begin(t, 200, NULL) == TIDE_OK);
	check(tide_reply(t, answer.body.data, answer.body.length) == TIDE_OK);
	check(tide_reply_end(t, now) == TIDE_OK);
	buffer_free(&answer.body);
	is("SELECT a || parent FROM item", "secondq");
	is("SELECT a || parent FROM tide_base_item", "firstq");
	is("SELECT key || state FROM tide_pending", "iqueued");
	fake_ok("edited between freezing and the reply: dirty, upon the reply, and nothing is reverted");
	is("SELECT count(*) FROM tide_acks", "1");
	do
	{
		check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
		if (!strstr(step.url, "pull"))
			answer_step(&step);
	} while (!strstr(step.url, "pull"));
	check(strstr(step.body, "\"ack\":\""));
	answer_step(&step);
	is("SELECT count(*) FROM tide_acks", "0");
	fake_ok("pushes whose replies are stored are acknowledged by the next pull, once");
	end();
}

/* What a file is turned into under a running handle. */
static void
test_restored(void)
{
	tide_step	step;
	FakeAnswer	answer;

	open_device();
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(db, "UPDATE tide_settings SET value = 'bob' WHERE name = 'user'");
	check(tide_sync(t) == TIDE_OK);
	check(tide_next(t, now, &step) == TIDE_SIGNED_OUT);
	check(strcmp(tide_error_code(t), "other_user") == 0);
	fake_ok("a file that has become another user's gets nothing sent with our token");
	fake_sql(db, "UPDATE tide_settings SET value = 'ann' WHERE name = 'user';"
			 "INSERT INTO plan (id, owner, a) VALUES ('p', 'ann', 'mine')");
	for (;;)
	{
		check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
		if (strstr(step.url, "push"))
			break;
		answer_step(&step);
	}
	/* the file is now a copy of another device's, with a batch of the same number */
	fake_answer(&server, &step, &answer);
	fake_sql(db, "UPDATE tide_batch SET batch_id = 'another',"
			 " body = replace(replace(body, 'mine', 'other'), batch_id, 'another');"
			 "UPDATE plan SET a = 'other'");
	check(tide_reply_begin(t, 200, NULL) == TIDE_OK);
	check(tide_reply(t, answer.body.data, answer.body.length) == TIDE_OK);
	check(tide_reply_end(t, now) == TIDE_OK);
	buffer_free(&answer.body);
	is("SELECT batch_id FROM tide_batch", "another");
	is("SELECT count(*) FROM tide_pending", "1");
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT count(*) FROM tide_pending", "0");
	fake_ok("an answer is not taken for that of another batch");
	end();
}

static void
test_paused(void)
{
	tide_step	step;
	int64_t		delay;

	open_device();
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(db, "INSERT INTO plan (id, owner, a) VALUES ('p', 'ann', 'x')");
	check(tide_pause(t, 0) == TIDE_OK);
	check(tide_sync(t) == TIDE_OK);
	check(wait_of(&delay) == TIDE_FOR_RESUME && delay == -1);
	is("SELECT state FROM tide_status", "paused");
	check(tide_resume(t) == TIDE_OK);
	check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
	fake_ok("paused, nothing is sent, until it is resumed");
	end();
}

/* Calls that are made in a host's transaction change nothing. */
static void
test_transaction(void)
{
	open_device();
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(db, "BEGIN; INSERT INTO plan (id, owner) VALUES ('p', 'ann')");
	check(fake_sync(&server, t, now) == TIDE_LOCAL);
	check(strcmp(tide_error_code(t), "in_transaction") == 0);
	fake_sql(db, "COMMIT");
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT count(*) FROM tide_pending", "0");
	fake_ok("in a transaction of the host's nothing is done, after it everything");
	end();
}

/* Times that were noted before the clock was set back by a year. */
static void
test_clock_set_back(void)
{
	const int64_t year = INT64_C(365) * 86400000;
	tide_step	step;
	int64_t		delay;
	int64_t		later = now;
	int			i;

	open_device();
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(db, "INSERT INTO plan (id, owner, a) VALUES ('p', 'ann', 'bad')");
	check(tide_sync(t) == TIDE_OK);
	check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
	check(tide_no_answer(t, now, "no network") == TIDE_OFFLINE);
	now -= year;
	check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
	check(tide_no_answer(t, now, "no network") == TIDE_OFFLINE);
	check(wait_of(&delay) == TIDE_FOR_NETWORK && delay <= 2000);
	now = later + 16000;
	fake_ok("a clock that is set back makes no wait for the network longer");
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT state || tries FROM tide_pending", "retry1");
	now -= year;
	check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT state || tries FROM tide_pending", "retry2");
	check(wait_of(&delay) == TIDE_FOR_RETRY && delay == 60000);
	fake_ok("... and none for a refused row");
	fake_sql(db, "DELETE FROM plan");
	now = later;
	check(fake_sync(&server, t, now) == TIDE_OK);
	check(tide_listen(t, 1) == TIDE_OK);
	server.events = true;
	now -= year;
	check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND && step.listens);
	check(tide_is_due(t, now + 3600000));
	fake_ok("... nor the hour after which all is looked at again");
	now = later;
	for (i = 0; i < 5; i++)
	{
		check(tide_next(t, now, &step) == TIDE_OK);
		if (step.kind == TIDE_WAIT)
			break;
		if (!step.listens)
		{
			answer_step(&step);
			continue;
		}
		check(tide_reply_begin(t, 200, NULL) == TIDE_OK && tide_reply_end(t, now) == TIDE_OK);
	}
	check(step.kind == TIDE_WAIT && step.wait == TIDE_FOR_NEWS);
	now -= year;
	check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND && step.listens);
	fake_ok("... nor a wait for news");
	now = later;
	end();
}

/* A table that the app drops, and what it is told. */
static void
test_dropped(void)
{
	tide	   *other;

	open_device();
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(db, "INSERT INTO item (id, owner) VALUES ('i', 'ann')");
	fake_sql(db, "DROP TABLE plan");
	check(fake_sync(&server, t, now) == TIDE_LOCAL);
	check(strcmp(tide_error_code(t), "table_missing") == 0 && strstr(tide_error(t), "\"plan\""));
	check(strstr(tide_error_hint(t), "make it again"));
	check(tide_attach(db, &other) == TIDE_OK);
	is("SELECT key FROM tide_pending", "i");
	is("SELECT pending FROM tide_status", "1");
	tide_close(other);
	fake_ok("of a table that the app dropped a sync tells, and the file can be looked at");
	fake_sql(db, "CREATE TABLE plan (id TEXT NOT NULL PRIMARY KEY, owner TEXT, a TEXT, stamp TEXT, client TEXT)");
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT pending FROM tide_status", "0");
	fake_ok("... and when it is there again, syncs go on");
	fake_sql(db, "CREATE UNIQUE INDEX one ON plan (a)");
	check(fake_sync(&server, t, now) == TIDE_LOCAL);
	check(strcmp(tide_error_code(t), "unique_index") == 0 && strstr(tide_error(t), "\"one\""));
	fake_sql(db, "DROP INDEX one; CREATE INDEX one ON plan (a)");
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_ok("a unique index of the app's own is refused, for a REPLACE would remove rows by it");
	fake_sql(db, "ALTER TABLE plan RENAME COLUMN a TO b");
	check(tide_attach(db, &other) == TIDE_OK);
	is("SELECT pending FROM tide_status", "0");
	tide_close(other);
	check(fake_sync(&server, t, now) == TIDE_LOCAL);
	check(strcmp(tide_error_code(t), "column_missing") == 0);
	fake_ok("... and a lost column is no reason not to look, either");
	end();
}

/* What is wrong, and told by a view. */
static void
test_told(void)
{
	open_device();
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(db, "CREATE TEMP TABLE noted (id TEXT);"
			 "CREATE TEMP TRIGGER notes AFTER UPDATE ON plan BEGIN INSERT INTO noted VALUES (new.id); END");
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT warning IS NULL FROM tide_status", "1");
	fake_sql(db, "CREATE TEMP TRIGGER meddles AFTER UPDATE ON plan BEGIN UPDATE item SET a = 'x'; END");
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT warning FROM tide_status", "the trigger meddles on plan changes rows while they are pulled");
	fake_sql(db, "DROP TRIGGER meddles");
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT warning IS NULL FROM tide_status", "1");
	fake_ok("a temporary trigger that changes rows is told of, as long as it is there");
	fake_sql(db, "INSERT INTO plan (id, owner) VALUES ('gone', 'ann'); UPDATE tide_types SET available = 0"
			 " WHERE entity_type = 'plan'");
	is("SELECT state || code || message FROM tide_pending",
	   "queuednot_availablethe server does not have this entity type any more");
	fake_sql(db, "UPDATE tide_types SET available = 1");
	is("SELECT state || coalesce(code, '-') FROM tide_pending", "queued-");
	fake_ok("an edit of a type that the server has no more says so");
	fake_sql(db, "INSERT INTO tide_command (id, command) VALUES (0, 'sync'), (-1, 'frobnicate')");
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT count(*) FROM tide_command", "0");
	is("SELECT last_command FROM tide_status", "sync: done");
	fake_ok("a command may have any number");
	/* the process is killed, or the file is busy, before the command is done with */
	fake_sql(db, "UPDATE plan SET a = 'mine'; INSERT INTO tide_command (command, entity_type, key) VALUES ('discard', 'plan', 'gone');"
			 "CREATE TEMP TRIGGER killed BEFORE DELETE ON tide_command BEGIN SELECT RAISE(ABORT, 'killed'); END");
	check(fake_sync(&server, t, now) == TIDE_LOCAL);
	is("SELECT a || (SELECT count(*) FROM tide_pending) FROM plan", "mine1");
	fake_sql(db, "DROP TRIGGER killed");
	check(fake_sync(&server, t, now) == TIDE_OK);
	is("SELECT a IS NULL AND last_command = 'discard: done' FROM plan, tide_status", "1");
	is("SELECT count(*) FROM tide_command", "0");
	fake_ok("a command that is still there has had no effect");
	end();
}

/* Misuse is an error. */
static void
test_misuse(void)
{
	tide	   *other;
	tide_step	step;
	tide_summary summary;

	check(tide_attach(NULL, &other) == TIDE_USAGE && *tide_error(other));
	tide_close(other);
	check(tide_open(NULL, 0, &other) == TIDE_USAGE && *tide_error(other));
	tide_close(other);
	open_device();
	check(tide_attach(db, NULL) == TIDE_USAGE && tide_open("x", 0, NULL) == TIDE_USAGE);
	check(tide_setup(t, NULL) == TIDE_USAGE && *tide_error(t));
	check(fake_sync(&server, t, now) == TIDE_OK);
	check(tide_next(t, now, NULL) == TIDE_USAGE && *tide_error(t));
	check(tide_summarize(t, NULL) == TIDE_USAGE && tide_get_state(t, NULL) == TIDE_USAGE);
	check(tide_discard(t, NULL, "k") == TIDE_USAGE && tide_discard(t, "plan", NULL) == TIDE_USAGE);
	check(tide_retry(t, NULL, "k") == TIDE_USAGE && tide_retry(t, NULL, NULL) == TIDE_OK);
	check(tide_verify(t, 0, NULL, NULL) == TIDE_USAGE);
	fake_ok("what a call needs and does not get is an error");
	check(tide_sync(NULL) == TIDE_USAGE && tide_next(NULL, now, &step) == TIDE_USAGE);
	check(tide_summarize(NULL, &summary) == TIDE_USAGE && tide_set_token(NULL, "") == TIDE_USAGE);
	check(tide_reply_begin(NULL, 200, NULL) == TIDE_USAGE && tide_reply(NULL, "", 0) == TIDE_USAGE);
	check(tide_reply_end(NULL, now) == TIDE_USAGE && tide_no_answer(NULL, now, "") == TIDE_USAGE);
	check(tide_run(NULL) == TIDE_USAGE && tide_watch(NULL) == TIDE_USAGE);
	check(tide_pause(NULL, 0) == TIDE_USAGE && tide_resume(NULL) == TIDE_USAGE);
	check(tide_network_is_back(NULL) == TIDE_USAGE && tide_listen(NULL, 1) == TIDE_USAGE);
	check(tide_retry(NULL, NULL, NULL) == TIDE_USAGE && tide_discard(NULL, "a", "b") == TIDE_USAGE);
	check(tide_logout(NULL, 0) == TIDE_USAGE && tide_setup(NULL, "{}") == TIDE_USAGE);
	check(!tide_is_set_up(NULL) && !tide_is_due(NULL, now) && *tide_error(NULL) && *tide_error_code(NULL));
	tide_stop(NULL);
	tide_on_state(NULL, NULL, NULL);
	tide_on_token(NULL, NULL, NULL);
	fake_ok("... and so is a call without a handle");
	check(tide_sync(t) == TIDE_OK);
	check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
	check(tide_reply_end(t, now) == TIDE_USAGE && tide_reply(t, "x", 1) == TIDE_USAGE);
	check(tide_reply_begin(t, 0, NULL) == TIDE_USAGE);
	is("SELECT state FROM tide_status", "syncing");
	check(tide_no_answer(t, now, NULL) == TIDE_OFFLINE && *tide_error(t));
	now += 1000;
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_ok("an answer without a beginning ends nothing");
	end();
}

int
main(void)
{
	alarm(120);					/* nothing here takes long, unless it hangs */
	test_transport();
	test_clock();
	test_rows();
	test_due();
	test_batches();
	test_for_good();
	test_reset();
	test_transaction();
	test_clock_set_back();
	test_misuse();
	test_dropped();
	test_told();
	test_listen();
	test_events();
	test_too_much();
	test_restored();
	test_paused();
	test_follow();
	puts("1..54");
	return 0;
}
