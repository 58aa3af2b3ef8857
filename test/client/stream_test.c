/*
 * stream_test.c
 *	  A first sync as a stream of lines, from the server in memory.
 *	  test/client/stream.t runs it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_server.h"
#include "loop/handle.h"

static FakeServer server;
static sqlite3 * db;
static tide *t;
static int64_t now = 1000000000000;

static void
is(const char *sql, const char *wanted)
{
	fake_is(db, sql, wanted);
}

static void
is_like_server(void)
{
	char	   *theirs = fake_value(server.db, fake_rows_sql);

	is(fake_device_rows_sql, theirs);
	is("SELECT first_sync FROM tide_status", "done");
	is("SELECT count(*) FROM tide_stage", "0");
	free(theirs);
}

/* Five plans, two to a page; the third was deleted. */
static void
begin(void)
{
	fake_open(&server);
	fake_device(&db, &t);
	server.lines = true;
	server.page = 2;
	fake_sql(server.db, "INSERT INTO row SELECT 'plan', 'p' || column1, 'x', NULL,"
			 " '2020-01-01T00:00:00.000Z', NULL, column1 = 3, column1"
			 " FROM (VALUES (1), (2), (3), (4), (5)); UPDATE counter SET seq = 5");
}

static void
end(void)
{
	tide_close(t);
	check(sqlite3_close(db) == SQLITE_OK);
	fake_close(&server);
}

/* The request for the stream, with its answer. */
static void
ask(tide_step *step, FakeAnswer *answer)
{
	for (;;)
	{
		check(tide_next(t, now, step) == TIDE_OK && step->kind == TIDE_SEND);
		fake_answer(&server, step, answer);
		if (step->streams)
			break;
		check(tide_reply_begin(t, answer->status, answer->headers) == TIDE_OK);
		check(tide_reply(t, answer->body.data ? answer->body.data : "",
						 answer->body.length) == TIDE_OK);
		check(tide_reply_end(t, now) == TIDE_OK);
		buffer_free(&answer->body);
	}
}

static void
hand_in(const char *data, size_t length, size_t piece)
{
	while (length > 0)
	{
		size_t		n = length < piece ? length : piece;

		check(tide_reply(t, data, n) == TIDE_OK);
		data += n;
		length -= n;
	}
}

static void
copy(sqlite3 * from, sqlite3 * to)
{
	sqlite3_backup *copying = sqlite3_backup_init(to, "main", from, "main");

	check(copying && sqlite3_backup_step(copying, -1) == SQLITE_DONE);
	check(sqlite3_backup_finish(copying) == SQLITE_OK);
}

/* How many of the stream's cursors end before this byte? */
static int
cursors_before(const char *data, size_t length)
{
	const char *at = data;
	int			n = 0;

	while ((at = strstr(at, "{\"cursor\"")) && (at = strchr(at, '\n')) &&
		   (size_t) (at - data) < length)
		n++;
	return n;
}

static void
test_whole(void)
{
	tide_step	step;
	FakeAnswer	answer;
	size_t		piece;

	for (piece = 1; piece < 1000; piece += piece / 2 + 1)
	{
		begin();
		t->engine.stream_bytes = piece % 2;
		check(tide_sync(t) == TIDE_OK);
		ask(&step, &answer);
		check(strstr(step.headers, "application/x-ndjson, application/json;q="));
		check(tide_reply_begin(t, 200, NULL) == TIDE_OK);
		hand_in(answer.body.data, answer.body.length, piece);
		check(tide_reply_end(t, now) == TIDE_OK);
		buffer_free(&answer.body);
		is_like_server();
		is("SELECT count(*) FROM plan", "4");
		/* the next pull is a page again */
		check(tide_sync(t) == TIDE_OK);
		do
		{
			check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND && !step.streams);
			fake_answer(&server, &step, &answer);
			check(tide_reply_begin(t, answer.status, answer.headers) == TIDE_OK);
			check(tide_reply(t, answer.body.data ? answer.body.data : "",
							 answer.body.length) == TIDE_OK);
			check(tide_reply_end(t, now) == TIDE_OK);
			buffer_free(&answer.body);
		} while (!strstr(step.url, "/pull"));
		end();
	}
	fake_ok("a first sync is a stream, in pieces of any size");
}

static void
test_taken_as_it_comes(void)
{
	tide_step	step;
	FakeAnswer	answer;
	const char *second;

	begin();
	t->engine.stream_bytes = 1;
	check(tide_sync(t) == TIDE_OK);
	ask(&step, &answer);
	check(tide_reply_begin(t, 200, NULL) == TIDE_OK);
	second = strstr(strstr(answer.body.data, "{\"cursor\"") + 1, "{\"cursor\"");
	hand_in(answer.body.data, (size_t) (second - answer.body.data), 7);
	is("SELECT group_concat(id) FROM plan", "p1,p2");
	is("SELECT value FROM tide_settings WHERE name = 'cursor'", "c2");
	check(t->engine.answer.length < 200);
	fake_ok("lines are taken up to a cursor while more are on their way, and forgotten");
	/* the rest is for a file that is there no longer */
	fake_sql(db, "DELETE FROM tide_settings WHERE name = 'cursor'; UPDATE tide_state SET applying = 1;"
			 "DELETE FROM plan; UPDATE tide_state SET applying = 0");
	hand_in(second, strlen(second), 7);
	check(tide_is_due(t, now) == 1);
	is("SELECT count(*) FROM plan", "0");
	buffer_free(&answer.body);
	check(fake_sync(&server, t, now) == TIDE_OK);
	is_like_server();
	fake_ok("... but not by a file that was replaced meanwhile");
	end();
}

static void
test_cut(size_t step)
{
	tide_step	request;
	FakeAnswer	answer;
	static const char *const cursors[] = {"", "c2", "c4", "c5"};
	sqlite3    *blank;
	size_t		cut,
				length;

	begin();
	check(tide_sync(t) == TIDE_OK);
	ask(&request, &answer);
	length = answer.body.length;
	check(sqlite3_open(":memory:", &blank) == SQLITE_OK);
	copy(db, blank);
	for (cut = 0; cut < length; cut += step)
	{
		tide_close(t);
		copy(blank, db);
		check(tide_attach(db, &t) == TIDE_OK);
		check(tide_set_token(t, fake_token) == TIDE_OK);
		t->engine.stream_bytes = cut % 3 ? 1 : 1000000;
		buffer_free(&answer.body);
		check(tide_sync(t) == TIDE_OK);
		ask(&request, &answer);
		check(tide_reply_begin(t, 200, NULL) == TIDE_OK);
		hand_in(answer.body.data, cut, 50);
		/* the end of a connection may look like that of the answer */
		if (cut % 2)
			check(tide_no_answer(t, now, "cut") == TIDE_OFFLINE);
		else if (cut < length - 1)
			check(tide_reply_end(t, now) == (cut < 9 ? TIDE_REFUSED : TIDE_OFFLINE));
		else
			check(tide_reply_end(t, now) == TIDE_OK);
		is("SELECT value FROM tide_settings WHERE name = 'cursor'",
		   cursors[cursors_before(answer.body.data, cut % 2 ? cut : cut + 1)]);
		check(tide_network_is_back(t) == TIDE_OK);
		check(fake_sync(&server, t, now) == TIDE_OK);
		is_like_server();
	}
	buffer_free(&answer.body);
	check(sqlite3_close(blank) == SQLITE_OK);
	end();
	fake_ok("cut after any byte, it goes on from the last cursor that came");
}

/* The server has no streams, or a proxy has made a page of it. */
static void
test_page(void)
{
	begin();
	server.lines = false;
	check(fake_sync(&server, t, now) == TIDE_OK);
	is_like_server();
	fake_ok("a server without streams answers with pages");
	end();
}

static void
test_reset(void)
{
	tide_step	step;
	FakeAnswer	answer;
	char	   *cursor;

	begin();
	t->engine.stream_bytes = 1;
	check(tide_sync(t) == TIDE_OK);
	ask(&step, &answer);
	check(tide_reply_begin(t, 200, NULL) == TIDE_OK);
	cursor = strchr(strstr(answer.body.data, "{\"cursor\""), '\n') + 1;
	hand_in(answer.body.data, (size_t) (cursor - answer.body.data), 100);
	buffer_free(&answer.body);
	check(tide_no_answer(t, now, "cut") == TIDE_OFFLINE);
	check(tide_network_is_back(t) == TIDE_OK);
	is("SELECT group_concat(id) FROM plan", "p1,p2");
	/* meanwhile the server has lost its history, and a row */
	fake_sql(server.db, "DELETE FROM row WHERE id = 'p1'");
	fake_sql(db, "UPDATE plan SET a = 'mine' WHERE id = 'p2'");
	server.reset = true;
	check(tide_sync(t) == TIDE_OK);
	ask(&step, &answer);
	check(strstr(step.body, "\"since\":\"c2\""));
	check(tide_reply_begin(t, 200, NULL) == TIDE_OK);
	cursor = strchr(strstr(answer.body.data, "{\"cursor\""), '\n') + 1;
	hand_in(answer.body.data, (size_t) (cursor - answer.body.data), 100);
	buffer_free(&answer.body);
	is("SELECT group_concat(id || a) FROM plan", "p1x,p2mine");
	is("SELECT value FROM tide_settings WHERE name = 'stage_cursor'", "c3");
	check(tide_no_answer(t, now, "cut") == TIDE_OFFLINE);
	check(tide_network_is_back(t) == TIDE_OK);
	check(fake_sync(&server, t, now) == TIDE_OK);
	is_like_server();
	is("SELECT a FROM plan WHERE id = 'p2'", "mine");
	fake_ok("a reset in it is staged, also over a cut, and swept at its end; edits stay");
	end();
}

static void
last_line(const char *line, int code)
{
	tide_step	step;
	FakeAnswer	answer;
	char	   *last;

	begin();
	check(tide_sync(t) == TIDE_OK);
	ask(&step, &answer);
	last = strstr(answer.body.data, "{\"end\"");
	check(tide_reply_begin(t, 200, NULL) == TIDE_OK);
	hand_in(answer.body.data, (size_t) (last - answer.body.data), 100);
	hand_in(line, strlen(line), 100);
	buffer_free(&answer.body);
	check(tide_reply_end(t, now) == code);
	is("SELECT count(*) FROM plan", "4");
	is("SELECT value FROM tide_settings WHERE name = 'cursor'", "c5");
	is("SELECT first_sync FROM tide_status", "running");
}

static void
test_errors(void)
{
	last_line("{\"error\":{\"code\":\"try_again\",\"message\":\"the server stops\"}}\n", TIDE_OFFLINE);
	end();
	last_line("{\"error\":{\"code\":\"row_too_large\",\"message\":\"too large\"}}", TIDE_REFUSED);
	is("SELECT last_error FROM tide_status", "too large");
	end();
	last_line("{\"error\":{\"code\":\"unauthorized\",\"message\":\"expired\"}}\n", TIDE_SIGNED_OUT);
	is("SELECT state FROM tide_status", "signed_out");
	check(tide_set_token(t, fake_token) == TIDE_OK);
	check(fake_sync(&server, t, now) == TIDE_OK);
	is_like_server();
	end();
	last_line("{\"type\":\"plan\",\"row\":{\n", TIDE_OFFLINE);
	end();
	fake_ok("an error at its end: what came before stays");
}

/* A column that the schema lacks shows up in it. */
static void
test_unknown(void)
{
	tide_step	step;
	FakeAnswer	answer;

	begin();
	t->engine.stream_bytes = 1;
	check(tide_sync(t) == TIDE_OK);
	ask(&step, &answer);
	buffer_free(&answer.body);
	server.wide = true;
	fake_answer(&server, &step, &answer);
	check(tide_reply_begin(t, 200, NULL) == TIDE_OK);
	hand_in(answer.body.data, answer.body.length, 100);
	buffer_free(&answer.body);
	check(tide_is_due(t, now) == 1);
	is("SELECT count(*) FROM plan", "0");
	check(tide_next(t, now, &step) == TIDE_OK && strstr(step.url, "/schema"));
	check(fake_sync(&server, t, now) == TIDE_OK);
	is_like_server();
	is("SELECT group_concat(DISTINCT b) FROM plan", "wide");
	fake_ok("a column that the schema lacks: the schema first, then the rest");
	end();
}

/* Another program holds the file for a while. */
static void
test_busy(void)
{
	char		path[] = "/tmp/tide-stream-XXXXXX";
	char		command[200];
	tide_step	step;
	FakeAnswer	answer;
	sqlite3    *other;
	char	   *directory = mkdtemp(path);

	check(directory != NULL);
	begin();
	tide_close(t);
	check(sqlite3_close(db) == SQLITE_OK);
	snprintf(command, sizeof(command), "%s/file.db", path);
	check(sqlite3_open(command, &db) == SQLITE_OK);
	check(sqlite3_open(command, &other) == SQLITE_OK);
	check(tide_attach(db, &t) == TIDE_OK);
	check(tide_setup(t, "{\"server\":\"http://fake\"}") == TIDE_OK);
	check(tide_set_token(t, fake_token) == TIDE_OK);
	t->engine.stream_bytes = 1;
	check(tide_sync(t) == TIDE_OK);
	ask(&step, &answer);
	fake_sql(other, "BEGIN IMMEDIATE");
	check(tide_reply_begin(t, 200, NULL) == TIDE_OK);
	hand_in(answer.body.data, answer.body.length, 100);
	check(tide_reply_end(t, now) == TIDE_BUSY);
	fake_sql(other, "COMMIT");
	check(tide_reply_end(t, now) == TIDE_OK);
	is_like_server();
	buffer_free(&answer.body);
	check(sqlite3_close(other) == SQLITE_OK);
	fake_ok("while another program holds the file, lines wait in memory");
	end();
	snprintf(command, sizeof(command), "rm -r %s", path);
	check(system(command) == 0);
}

int
main(int argc, char **argv)
{
	alarm(300);					/* nothing here takes long, unless it hangs */
	test_whole();
	test_taken_as_it_comes();
	/* with sanitizers one of some bytes, without them each */
	test_cut(argc > 1 ? (size_t) atoi(argv[1]) : 1);
	test_page();
	test_reset();
	test_errors();
	test_unknown();
	test_busy();
	puts("1..9");
	return 0;
}
