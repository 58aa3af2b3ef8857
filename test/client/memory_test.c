/*
 * memory_test.c
 *	  Each allocation of a sync fails once: nothing leaks, no transaction stays
 *	  open, and the next sync brings all where it belongs.
 *
 *		memory_test [step]		every step-th allocation
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_server.h"

static sqlite3_mem_methods real;
static long countdown;			/* 0: no failure to come */
static long made;

static void *
failing_malloc(int size)
{
	made++;
	if (countdown > 0 && --countdown == 0)
		return NULL;
	return real.xMalloc(size);
}

static void *
failing_realloc(void *old, int size)
{
	made++;
	if (countdown > 0 && --countdown == 0)
		return NULL;
	return real.xRealloc(old, size);
}

static void
fail_on_demand(void)
{
	sqlite3_mem_methods failing;

	check(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real) == SQLITE_OK);
	failing = real;
	failing.xMalloc = failing_malloc;
	failing.xRealloc = failing_realloc;
	check(sqlite3_config(SQLITE_CONFIG_MALLOC, &failing) == SQLITE_OK);
	/* no cache between us and the allocator */
	check(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0) == SQLITE_OK);
}

/*
 * A sync that pulls, pushes and is refused a row, as far as the failure lets it
 * come.  The server itself has all the memory that it wants.
 */
static int
sync_with_failure(FakeServer *server, tide *t, long at, int64_t now)
{
	tide_step	step;
	FakeAnswer	answer;
	int			code = TIDE_OK;
	long		rest = at;

	check(tide_sync(t) == TIDE_OK);
	for (;;)
	{
		countdown = rest;
		code = tide_next(t, now, &step);
		rest = countdown;
		countdown = 0;
		if (code != TIDE_OK || step.kind == TIDE_WAIT)
			break;
		fake_answer(server, &step, &answer);
		countdown = rest;
		code = fake_give(t, &answer, now);
		rest = countdown;
		countdown = 0;
		if (code != TIDE_OK)
			break;
	}
	return code;
}

static bool
one_run(long at)
{
	FakeServer	server;
	sqlite3    *db;
	tide	   *t;
	int64_t		now = 1000000000000;
	int			code;
	bool		failed;
	char	   *left,
			   *right;
	long		before;

	fake_open(&server);
	server.page = 2;
	fake_device(&db, &t);
	/* the host's setting, which a sync is to leave as it was */
	fake_sql(db, "PRAGMA foreign_keys = ON");
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(server.db, "INSERT INTO row VALUES"
			 " ('plan', 'p1', 'server', NULL, '2020-01-01T00:00:00.000Z', NULL, 0, 1),"
			 " ('plan', 'p2', 'server', NULL, '2020-01-01T00:00:00.000Z', NULL, 0, 2),"
			 " ('item', 'i1', 'server', 'p1', '2020-01-01T00:00:00.000Z', NULL, 0, 3);"
			 "UPDATE counter SET seq = 3");
	fake_sql(db, "INSERT INTO plan (id, owner, a) VALUES ('p1', 'ann', 'mine'), ('p3', 'ann', 'bad');"
			 "INSERT INTO item (id, owner, a) VALUES ('i2', 'ann', 'mine')");
	before = made;
	code = sync_with_failure(&server, t, at, now);
	failed = made - before >= at;
	if (code != TIDE_OK && code != TIDE_LOCAL)
	{
		fprintf(stderr, "allocation %ld: %d, %s\n", at, code, tide_error(t));
		exit(1);
	}
	check(sqlite3_get_autocommit(db));
	fake_is(db, "PRAGMA foreign_keys", "1");
	/* the process goes on, or it starts anew */
	if (at % 2)
	{
		tide_close(t);
		check(tide_attach(db, &t) == TIDE_OK);
		check(tide_set_token(t, fake_token) == TIDE_OK);
	}
	check(fake_sync(&server, t, now) == TIDE_OK);
	check(tide_discard(t, "plan", "p3") == TIDE_OK);
	left = fake_value(server.db, fake_rows_sql);
	right = fake_value(db, fake_device_rows_sql);
	if (strcmp(left, right) != 0)
	{
		fprintf(stderr, "allocation %ld\n%s\n---\n%s\n", at, left, right);
		exit(1);
	}
	free(left);
	free(right);
	left = fake_value(db, "PRAGMA integrity_check");
	check(strcmp(left, "ok") == 0);
	free(left);
	left = fake_value(db, "SELECT applying + (SELECT pending FROM tide_status) FROM tide_state");
	check(strcmp(left, "0") == 0);
	free(left);
	tide_close(t);
	check(sqlite3_close(db) == SQLITE_OK);
	fake_close(&server);
	return failed;
}

int
main(int argc, char **argv)
{
	long		step = argc > 1 ? strtol(argv[1], NULL, 10) : 1;
	long		first = argc > 2 ? strtol(argv[2], NULL, 10) : 0;
	long		at = 1 + first % step;
	long		n = 0;
	bool		failed;

	fail_on_demand();
	do
	{
		alarm(60);				/* no run takes long, unless it hangs */
		failed = one_run(at);
		at += step;
		n += failed;
	} while (failed);
	check(sqlite3_memory_used() == 0);
	check(n > 10);
	printf("ok 1 - %ld allocations failed, one at a time, each of %ld from %ld on\n1..1\n",
		   n, step, 1 + first % step);
	return 0;
}
