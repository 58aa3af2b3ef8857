/*
 * pause_test.c
 *	  A thread is in tide_watch(), another pauses and resumes it, as an app does
 *	  that goes into the background: test/client/pause.t runs it.
 *
 *		pause_test URL FILE TOKEN BLACK_HOLE_URL
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fake_server.h"

static sqlite3 * app;			/* the app's connection, not the library's */
static tide *t;
static int	n;

/* what the observer saw, in the thread that watches */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int64_t told_at;
static int64_t shortest = INT64_MAX;
static int	told_kind = -1;
static int	told;
static char tables[200];

static int64_t
steady(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
observe(void *arg, const tide_state *state)
{
	int64_t		now = steady();

	(void) arg;
	pthread_mutex_lock(&mutex);
	/* the last of a watch and of a pause may come sooner */
	if (told_at != 0 && state->kind != TIDE_STATE_PAUSED && now - told_at < shortest)
		shortest = now - told_at;
	told_at = now;
	told_kind = state->kind;
	told++;
	if (strcmp(state->changed_tables, "[]") != 0)
		snprintf(tables, sizeof(tables), "%s", state->changed_tables);
	pthread_mutex_unlock(&mutex);
}

static void *
watch(void *arg)
{
	(void) arg;
	return (void *) (intptr_t) tide_watch(t);
}

static void
ok(bool good, const char *what)
{
	printf("%s %d - %s\n", good ? "ok" : "not ok", ++n, what);
	if (!good)
		exit(1);
}

/* Until a query gives this value. */
static bool
becomes(const char *sql, const char *wanted)
{
	int64_t		end = steady() + 20000;
	bool		same = false;

	while (!same && steady() < end)
	{
		char	   *value = fake_value(app, sql);

		same = strcmp(value, wanted) == 0;
		free(value);
		if (!same)
			usleep(10000);
	}
	return same;
}

static bool
kind_becomes(int kind)
{
	int64_t		end = steady() + 20000;
	int			now = -1;

	while (now != kind && steady() < end)
	{
		pthread_mutex_lock(&mutex);
		now = told_kind;
		pthread_mutex_unlock(&mutex);
		usleep(10000);
	}
	return now == kind;
}

/* No lock of any kind: a checkpoint that needs them all, and a write. */
static bool
is_free(void)
{
	char	   *busy;
	bool		free_now;

	sqlite3_busy_timeout(app, 0);
	busy = fake_value(app, "PRAGMA wal_checkpoint(TRUNCATE)");
	free_now = strcmp(busy, "0") == 0 &&
		sqlite3_exec(app, "BEGIN EXCLUSIVE; ROLLBACK", NULL, NULL, NULL) == SQLITE_OK;
	sqlite3_busy_timeout(app, 5000);
	free(busy);
	return free_now;
}

static void
begin_watch(pthread_t *thread, const char *file, const char *token)
{
	check(tide_open(file, 0, &t) == TIDE_OK);
	check(tide_set_token(t, token) == TIDE_OK);
	tide_on_state(t, observe, NULL);
	check(pthread_create(thread, NULL, watch, NULL) == 0);
}

static void
end_watch(pthread_t thread)
{
	void	   *code;

	tide_stop(t);
	check(pthread_join(thread, &code) == 0);
	ok((intptr_t) code == TIDE_OK, "tide_stop() ends tide_watch() with TIDE_OK");
	tide_close(t);
}

static void
test_pause(pthread_t thread)
{
	int64_t		began;

	fake_sql(app, "UPDATE plan SET name = 'first'");
	ok(becomes("SELECT pending FROM tide_status", "0"), "what the app writes is pushed");
	ok(kind_becomes(TIDE_STATE_IDLE), "then it is idle");
	fake_sql(app, "UPDATE plan SET name = 'before the pause'");
	began = steady();
	ok(tide_pause(t, 2000) == TIDE_OK, "it pauses");
	ok(steady() - began < 2000, "... within the time it has");
	ok(is_free(), "... and holds no lock of SQLite");
	ok(becomes("SELECT pending FROM tide_status", "0"), "... and what was queued has been pushed");
	ok(becomes("SELECT state FROM tide_status", "paused"), "... and tide_status says so");
	ok(kind_becomes(TIDE_STATE_PAUSED), "... and the observer was told");
	fake_sql(app, "UPDATE plan SET name = 'during the pause'");
	usleep(600000);				/* longer than an edit takes to be noticed */
	ok(becomes("SELECT pending FROM tide_status", "1"), "paused, nothing is pushed");
	ok(tide_resume(t) == TIDE_OK, "it resumes");
	ok(becomes("SELECT pending FROM tide_status", "0"), "... with a sync");
	ok(kind_becomes(TIDE_STATE_IDLE), "... after which it is idle");
	end_watch(thread);
	ok(shortest >= 200, "the observer was called at most every 200 ms");
	printf("# told %d times, the shortest time between two was %lld ms\n", told,
		   (long long) shortest);
}

/* A server that takes the request and says nothing. */
static void
test_silence(pthread_t thread)
{
	int64_t		began;

	fake_sql(app, "UPDATE plan SET name = 'into the silence'");
	ok(kind_becomes(TIDE_STATE_SYNCING), "a request is out, and not answered");
	began = steady();
	ok(tide_pause(t, 300) == TIDE_OK, "it pauses all the same");
	ok(steady() - began <= 320, "... within the time it has");
	ok(is_free(), "... and holds no lock of SQLite");
	end_watch(thread);
	ok(becomes("SELECT pending FROM tide_status", "1"), "the edit is still there");
}

/* Nobody works: the thread that pauses pushes by itself. */
static void
test_alone(const char *file, const char *token)
{
	tide	   *other;

	check(tide_open(file, 0, &other) == TIDE_OK);
	check(tide_set_token(other, token) == TIDE_OK);
	fake_sql(app, "UPDATE plan SET name = 'alone'");
	ok(tide_pause(other, 2000) == TIDE_OK, "a handle that does nothing pauses");
	ok(becomes("SELECT pending FROM tide_status", "0"), "... and pushes before it does");
	ok(tide_run(other) == TIDE_BUSY, "paused, tide_run() refuses");
	ok(strcmp(tide_error_code(other), "paused") == 0, "... and says why");
	ok(tide_resume(other) == TIDE_OK && tide_run(other) == TIDE_OK, "resumed, it syncs");

	/*
	 * as between a schema that brings a column and the pull that brings its
	 * values
	 */
	fake_sql(app, "INSERT INTO tide_settings VALUES ('grown', json_array('plan' || char(10) || 'name'));"
			 "UPDATE plan SET name = 'not yet'");
	ok(tide_pause(other, 2000) == TIDE_OK && becomes("SELECT pending FROM tide_status", "1"),
	   "a row that lacks what the server has in a new column is not pushed before the pull");
	ok(tide_resume(other) == TIDE_OK && tide_run(other) == TIDE_OK &&
	   becomes("SELECT pending FROM tide_status", "0"), "... but behind it");
	tide_close(other);
}

int
main(int argc, char **argv)
{
	pthread_t	thread;
	char		sql[300];

	setvbuf(stdout, NULL, _IOLBF, 0);
	check(argc == 5);
	alarm(120);
	check(sqlite3_open(argv[2], &app) == SQLITE_OK);
	sqlite3_busy_timeout(app, 5000);
	begin_watch(&thread, argv[2], argv[3]);
	test_pause(thread);
	ok(strcmp(tables, "[\"plan\"]") == 0, "the observer was told which table changed");
	test_alone(argv[2], argv[3]);
	snprintf(sql, sizeof(sql), "UPDATE tide_settings SET value = '%s' WHERE name = 'server'", argv[4]);
	fake_sql(app, sql);
	told_kind = -1;				/* no other thread is there */
	begin_watch(&thread, argv[2], argv[3]);
	test_silence(thread);
	check(sqlite3_close(app) == SQLITE_OK);
	printf("1..%d\n", n);
	return 0;
}
