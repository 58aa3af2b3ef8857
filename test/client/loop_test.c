/*
 * loop_test.c
 *	  tide_run(), tide_watch() and tide_verify() over libcurl, against the server
 *	  in memory behind a socket: what ends them, what does not, and calls that
 *	  make no sense.  test/client/loop.t runs it in a directory of its own.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "fake_server.h"

static FakeServer server;
static int	listener;
static char url[60];
static atomic_bool refuses;		/* answer everything with 401 */
static atomic_int requests;
static sqlite3 * app;			/* another connection to the file */
static tide *t;

/*
 * The server
 */

/* A request as the engine made it, without its body. */
static bool
read_request(int fd, Buffer *in, tide_step *step, size_t *body)
{
	char		data[8192];
	char	   *end = NULL;
	size_t		length = 0;
	ssize_t		n;

	for (;;)
	{
		if (end == NULL && in->data && (end = strstr(in->data, "\r\n\r\n")))
		{
			const char *said = strcasestr(in->data, "\nContent-Length:");

			*body = (size_t) (end - in->data) + 4;
			length = said ? strtoul(said + 16, NULL, 10) : 0;
		}
		if (end && in->length >= *body + length)
			break;
		n = read(fd, data, sizeof(data));
		if (n <= 0)
			return false;
		buffer_append(in, data, (size_t) n);
	}
	step->body = in->data + *body;
	step->body_length = length;
	return true;
}

static void
answer(int fd)
{
	Buffer		in = {0};
	Buffer		out = {0};
	tide_step	step = {0};
	FakeAnswer	answered = {.status = 401};
	size_t		body;

	if (read_request(fd, &in, &step, &body))
	{
		requests++;
		step.headers = in.data;
		step.url = in.data;
		if (strstr(in.data, "/sync/rows"))
		{
			answered.status = 200;
			buffer_text(&answered.body, "{\"rowsByType\":{\"plan\":["
						"{\"id\":\"v1\",\"owner\":\"ann\",\"a\":\"z\",\"stamp\":null,\"client\":null},"
						"{\"id\":\"v2\",\"owner\":\"ann\",\"a\":\"z\",\"stamp\":null,\"client\":null}"
						"]},\"remaining\":[]}");
		}
		else if (!refuses)
			fake_answer(&server, &step, &answered);
		buffer_format(&out, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n",
					  answered.status, answered.body.length,
					  answered.headers ? answered.headers : "");
		if (answered.body.length > 0)
			buffer_append(&out, answered.body.data, answered.body.length);
		check(write(fd, out.data, out.length) == (ssize_t) out.length);
	}
	buffer_free(&answered.body);
	buffer_free(&in);
	buffer_free(&out);
}

static void *
serve(void *arg)
{
	int			fd;

	(void) arg;
	while ((fd = accept(listener, NULL, NULL)) >= 0)
	{
		answer(fd);
		close(fd);
	}
	return NULL;
}

static void
start_server(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t	length = sizeof(address);
	pthread_t	thread;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	check(bind(listener, (struct sockaddr *) &address, length) == 0);
	check(listen(listener, 20) == 0);
	check(getsockname(listener, (struct sockaddr *) &address, &length) == 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", ntohs(address.sin_port));
	fake_open(&server);
	check(pthread_create(&thread, NULL, serve, NULL) == 0);
	check(pthread_detach(thread) == 0);
}

/*
 * The device
 */

static void
begin(const char *file)
{
	char		options[100];

	snprintf(options, sizeof(options), "{\"server\":\"%s\"}", url);
	check(tide_open(file, 1, &t) == TIDE_OK);
	check(tide_setup(t, options) == TIDE_OK);
	check(tide_set_token(t, fake_token) == TIDE_OK);
	check(tide_run(t) == TIDE_OK);
	check(sqlite3_open(file, &app) == SQLITE_OK);
	sqlite3_busy_timeout(app, 5000);
}

static void
end(void)
{
	tide_close(t);
	check(sqlite3_close(app) == SQLITE_OK);
}

static void *
run(void *arg)
{
	(void) arg;
	return (void *) (intptr_t) tide_run(t);
}

static void *
watch(void *arg)
{
	(void) arg;
	return (void *) (intptr_t) tide_watch(t);
}

static void
begin_thread(pthread_t *thread, void *(*call) (void *arg))
{
	check(pthread_create(thread, NULL, call, NULL) == 0);
}

static int
end_thread(pthread_t thread)
{
	void	   *code;

	check(pthread_join(thread, &code) == 0);
	return (int) (intptr_t) code;
}

/* Until a query gives this. */
static void
becomes(const char *sql, const char *wanted)
{
	bool		same = false;
	int			tries;

	for (tries = 0; !same && tries < 2000; tries++)
	{
		char	   *value = fake_value(app, sql);

		same = strcmp(value, wanted) == 0;
		free(value);
		if (!same)
			usleep(10000);
	}
	fake_is(app, sql, wanted);
}

/*
 * A file that a writer holds
 */

static int	busy_calls;

/* SQLite's own wait, of a second */
static int
wait_busy(void *arg, int count)
{
	(void) arg;
	(void) count;
	busy_calls++;
	sleep(1);
	return 0;
}

static void
test_held(void)
{
	sqlite3    *host;
	tide	   *other;

	begin("held.db");
	check(sqlite3_open("held.db", &host) == SQLITE_OK);
	check(tide_attach(host, &other) == TIDE_OK);
	check(tide_set_token(other, fake_token) == TIDE_OK);
	fake_sql(app, "BEGIN IMMEDIATE");
	check(sqlite3_busy_handler(host, wait_busy, NULL) == SQLITE_OK);
	check(tide_run(other) == TIDE_BUSY);
	/* ten seconds of them, and one that was begun before the end */
	check(busy_calls > 1 && busy_calls < 20);
	fake_sql(app, "ROLLBACK");
	check(tide_run(other) == TIDE_OK);
	fake_ok("a file that a writer holds is waited for, and not for ever");
	tide_close(other);
	check(sqlite3_close(host) == SQLITE_OK);
	end();
}

/*
 * Threads
 */

static void
test_resume(void)
{
	pthread_t	thread;
	int			i;

	begin("resume.db");
	for (i = 0; i < 30; i++)
	{
		begin_thread(&thread, run);
		usleep((useconds_t) (i % 10) * 300);
		(void) tide_pause(t, 500);
		check(tide_resume(t) == TIDE_OK);
		(void) end_thread(thread);
		check(tide_run(t) == TIDE_OK);
	}
	fake_is(app, "SELECT state FROM tide_status", "idle");
	fake_ok("a resume holds that comes while a run that was paused is ending");
	check(tide_pause(t, 500) == TIDE_OK);
	begin_thread(&thread, watch);
	fake_sql(app, "INSERT INTO plan (id, owner, a) VALUES ('p', 'ann', 'x')");
	usleep(300000);				/* it has begun, and goes on waiting */
	check(tide_resume(t) == TIDE_OK);
	becomes("SELECT pending FROM tide_status", "0");
	tide_stop(t);
	check(end_thread(thread) == TIDE_OK);
	fake_ok("a watch that begins while it is paused goes on when it is resumed");
	end();
}

static void
test_stop(void)
{
	pthread_t	thread;

	begin("stop.db");
	fake_sql(app, "INSERT INTO plan (id, owner, a) VALUES ('stop', 'ann', 'x')");
	tide_stop(t);
	check(tide_run(t) != TIDE_OK);
	fake_is(app, "SELECT pending FROM tide_status", "1");
	check(tide_run(t) == TIDE_OK);
	fake_is(app, "SELECT pending FROM tide_status", "0");
	fake_ok("a stop ends the run that it comes before, and no later one");
	tide_stop(t);
	check(tide_watch(t) == TIDE_OK);
	begin_thread(&thread, watch);
	fake_sql(app, "UPDATE plan SET a = 'y'");
	becomes("SELECT pending FROM tide_status", "0");
	tide_stop(t);
	check(end_thread(thread) == TIDE_OK);
	check(tide_run(t) == TIDE_OK);
	fake_ok("... nor a later watch");
	end();
}

static void
test_offline(void)
{
	pthread_t	thread;

	begin("offline.db");
	/* nobody listens there */
	fake_sql(app, "UPDATE tide_settings SET value = 'http://127.0.0.1:1' WHERE name = 'server';"
			 "INSERT INTO plan (id, owner, a) VALUES ('o', 'ann', 'x')");
	begin_thread(&thread, watch);
	becomes("SELECT state FROM tide_status", "offline");
	tide_stop(t);
	check(end_thread(thread) == TIDE_OK);
	fake_is(app, "SELECT state FROM tide_status", "offline");
	fake_ok("a watch that is stopped while the server is away does not say that it is back");
	end();
}

/*
 * Tokens
 */

static atomic_int asked;

static int
same_token(void *arg, tide *handle)
{
	asked++;
	return arg ? tide_set_token(handle, fake_token) : TIDE_OK;
}

static void
test_tokens(void *arg, const char *what)
{
	pthread_t	thread;

	asked = 0;
	tide_on_token(t, same_token, arg);
	requests = 0;
	begin_thread(&thread, watch);
	sleep(3);
	tide_stop(t);
	check(end_thread(thread) == TIDE_OK);
	/* 1, 2, 4, ... seconds between them */
	check(asked >= 2 && asked <= 4 && requests <= 8);
	fake_ok(what);
}

static void
test_refused(void)
{
	begin("refused.db");
	refuses = true;
	test_tokens(t, "a token that is refused again and again is not sent all the time");
	check(tide_set_token(t, NULL) == TIDE_OK);
	test_tokens(NULL, "... and who has none is not asked all the time");
	refuses = false;
	tide_on_token(t, same_token, t);
	fake_sql(app, "INSERT INTO plan (id, owner, a) VALUES ('q', 'ann', 'x')");
	check(tide_run(t) == TIDE_OK);
	fake_is(app, "SELECT pending FROM tide_status", "0");
	end();
}

/*
 * Calls from callbacks, and others that make no sense
 */

static int	differences;

static void
call_back(void *arg, const char *type, const char *key, const char *difference)
{
	(void) arg;
	differences++;
	check(strcmp(difference, "differs") == 0);
	check(tide_discard(t, type, key) == TIDE_LOCAL);
	check(strcmp(tide_error_code(t), "in_transaction") == 0);
}

static void
test_verify(void)
{
	begin("verify.db");
	fake_sql(app, "INSERT INTO plan (id, owner) VALUES ('v1', 'ann'), ('v2', 'ann')");
	check(tide_run(t) == TIDE_OK);
	fake_sql(server.db, "DELETE FROM row WHERE id IN ('v1', 'v2')");
	check(tide_verify(t, TIDE_VERIFY_FULL, call_back, NULL) == TIDE_SOME_FAILED);
	check(differences == 2);
	fake_ok("calls that a callback makes, and that are refused, do not end tide_verify()");
	check(tide_verify(t, TIDE_VERIFY_FULL, NULL, NULL) == TIDE_USAGE);
	end();
}

static void
test_statement(void)
{
	sqlite3_stmt *stmt;
	sqlite3    *host;
	tide	   *other;

	begin("statement.db");
	check(sqlite3_open("statement.db", &host) == SQLITE_OK);
	check(tide_attach(host, &other) == TIDE_OK);
	check(tide_set_token(other, fake_token) == TIDE_OK);
	check(sqlite3_prepare_v2(host, "INSERT INTO plan (id, owner) VALUES ('s1', 'ann'), ('s2', 'ann')"
							 " RETURNING id", -1, &stmt, NULL) == SQLITE_OK);
	check(sqlite3_step(stmt) == SQLITE_ROW);
	check(tide_run(other) == TIDE_LOCAL);
	check(strcmp(tide_error_code(other), "in_transaction") == 0);
	check(sqlite3_finalize(stmt) == SQLITE_OK);
	check(tide_run(other) == TIDE_OK);
	fake_ok("within a statement of the host's that writes nothing is done");
	tide_close(other);
	check(sqlite3_close(host) == SQLITE_OK);
	end();
}

int
main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(200);
	start_server();
	test_resume();
	test_stop();
	test_offline();
	test_refused();
	test_verify();
	test_statement();
	test_held();
	puts("1..10");
	return 0;
}
