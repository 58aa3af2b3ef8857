/*
 * network_test.c
 *	  Devices that edit at random over a network that drops, cuts, repeats and
 *	  delays, with processes that die: after it has healed every replica is the
 *	  server's, every edit was stored or is kept as lost, and nothing is pending
 *	  but what the server refuses.
 *
 *		network_test [seed [rounds]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fake_server.h"

#define DEVICES 3
#define KEYS 6
#define STEPS 60

typedef struct Device
{
	sqlite3    *db;
	tide	   *t;
	int			edits;
} Device;

static FakeServer server;
static Device devices[DEVICES];
static int64_t now;
static unsigned long seed;
static uint64_t state;
static int	values;

static unsigned int
dice(unsigned int sides)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned int) (state >> 32) % sides;
}

/*
 * The triggers' clock is the test's, so that a seed is the same run each time.
 */
static int
virtual_time(sqlite3_vfs *vfs, sqlite3_int64 *time_in_ms)
{
	(void) vfs;
	*time_in_ms = INT64_C(210866760000000) + now;	/* since the Julian epoch */
	return SQLITE_OK;
}

static void
use_virtual_time(void)
{
	static sqlite3_vfs vfs;

	vfs = *sqlite3_vfs_find(NULL);
	vfs.zName = "virtual";
	vfs.xCurrentTimeInt64 = virtual_time;
	check(sqlite3_vfs_register(&vfs, 1) == SQLITE_OK);
	setenv("TIDE_RETRY_BASE_MS", "1", 1);
}

static void
fail(const char *what, const char *left, const char *right)
{
	fprintf(stderr, "seed %lu: %s\n--- server\n%s\n--- device\n%s\n", seed, what, left, right);
	exit(1);
}

/* Write a row as an app would, and note the value as edited here. */
static void
edit(Device *d)
{
	const char *table = dice(3) ? "item" : "plan";
	unsigned int key = dice(KEYS);
	char		value[32];
	char		sql[400];

	snprintf(value, sizeof(value), "%s%d", dice(40) ? "v" : "bad", ++values);
	switch (dice(6))
	{
		case 0:
			snprintf(sql, sizeof(sql), "DELETE FROM %s WHERE id = 'k%u'", table, key);
			break;
		case 1:
			snprintf(sql, sizeof(sql), "UPDATE %s SET a = '%s' WHERE id = 'k%u'", table, value, key);
			break;
		case 2:
			snprintf(sql, sizeof(sql), "UPDATE OR REPLACE %s SET id = 'k%u', a = '%s' WHERE id = 'k%u'",
					 table, dice(KEYS), value, key);
			break;
		default:
			snprintf(sql, sizeof(sql), "INSERT OR REPLACE INTO %s (id, owner, a) VALUES ('k%u', 'ann', '%s')",
					 table, key, value);
			break;
	}
	fake_sql(d->db, sql);
	if (getenv("VERBOSE"))
		fprintf(stderr, "%d: %s\n", (int) (d - devices), sql);
	d->edits++;
}

static void
restart(Device *d)
{
	tide_close(d->t);
	check(tide_attach(d->db, &d->t) == TIDE_OK);
	check(tide_set_token(d->t, fake_token) == TIDE_OK);
	check(tide_sync(d->t) == TIDE_OK);
}

/* Hand an answer in, in pieces; perhaps only its beginning. */
static int
deliver(Device *d, FakeAnswer *answer, bool whole, bool healed)
{
	size_t		at = 0;
	int			code = tide_reply_begin(d->t, answer->status, answer->headers);

	while (code == TIDE_OK && at < answer->body.length)
	{
		size_t		n = 1 + dice(200);

		if (n > answer->body.length - at)
			n = answer->body.length - at;
		if (!whole && !dice(4))
			break;
		code = tide_reply(d->t, answer->body.data + at, n);
		at += n;
	}
	if (!whole)
		return tide_no_answer(d->t, now, "cut");
	/* somebody writes between the answer and its taking */
	if (!healed && !dice(4))
		edit(d);
	return code == TIDE_OK ? tide_reply_end(d->t, now) : code;
}

/* One request and what a bad network makes of it; false: there was none. */
static bool
step_device(Device *d, bool healed)
{
	tide_step	step;
	FakeAnswer	answer;
	unsigned int chance = healed ? 99 : dice(20);
	int			code;

	if (tide_next(d->t, now, &step) != TIDE_OK)
		fail("tide_next failed", "", tide_error(d->t));
	if (step.kind == TIDE_WAIT)
		return false;
	if (chance == 0)
	{
		check(tide_no_answer(d->t, now, "dropped") == TIDE_OFFLINE);
		return true;
	}
	server.status = chance == 1 ? 503 : 0;
	server.headers = NULL;
	fake_answer(&server, &step, &answer);
	if (chance == 2)
	{
		/* it came twice */
		buffer_free(&answer.body);
		fake_answer(&server, &step, &answer);
	}
	if (!healed && !dice(4))
		edit(d);
	if (chance == 3)
		check(tide_no_answer(d->t, now, "the reply was lost") == TIDE_OFFLINE);
	else if (chance == 4)
		restart(d);
	else
	{
		code = deliver(d, &answer, chance != 5, healed);
		if (code != TIDE_OK && code != TIDE_OFFLINE)
			fail("an answer was not taken", answer.body.data, tide_error(d->t));
	}
	server.status = 0;
	buffer_free(&answer.body);
	return true;
}

/* Has the device's last sync moved anything, or is there more to come? */
static bool
is_at_rest(Device *d)
{
	tide_summary summary;

	check(tide_summarize(d->t, &summary) == TIDE_OK);
	return summary.pulled == 0 && summary.pushed == 0 && summary.failed == 0 &&
		summary.next_retry == INT64_MAX;
}

/* Until all devices have nothing left to do. */
static void
heal(void)
{
	bool		rest;
	int			still = 0,
				round,
				i;

	/* a sync that was under way is followed by another, which alone is told: so
	 * two rounds in which nothing moves */
	for (round = 0; round < 12 && still < 2; round++)
	{
		rest = true;
		for (i = 0; i < DEVICES; i++)
		{
			/* past every retry, so that what is refused gets parked */
			now += 3600000;
			check(tide_network_is_back(devices[i].t) == TIDE_OK);
			check(tide_sync(devices[i].t) == TIDE_OK);
			while (step_device(&devices[i], true))
				;
			rest = is_at_rest(&devices[i]) && rest;
		}
		still = rest ? still + 1 : 0;
	}
}

/* the server's rows, but for those that the device has parked edits of */
static void
compare(Device *d)
{
	char	   *on_server = fake_value(server.db, fake_rows_sql);
	char	   *on_device;
	char	   *parked = fake_value(d->db, "SELECT count(*) FROM tide_pending WHERE state <> 'parked'");

	if (strcmp(parked, "0") != 0)
		fail("something is pending that is not parked", "",
			 fake_value(d->db, "SELECT group_concat(entity_type || key || state || coalesce(code, '')) FROM tide_pending"));
	free(parked);
	/* what is parked is discarded: then theirs comes back */
	for (;;)
	{
		char	   *type = fake_value(d->db, "SELECT entity_type FROM tide_pending LIMIT 1");
		char	   *key = fake_value(d->db, "SELECT key FROM tide_pending LIMIT 1");
		bool		more = *type != '\0';

		if (more && getenv("VERBOSE"))
			fprintf(stderr, "discard %s %s: %s\n", type, key, fake_value(d->db, "SELECT group_concat(key1 || ' ' || operation || ' ' || coalesce(theirs, 'null') || ' ' || theirs_deleted, char(10)) FROM (SELECT * FROM tide_dirty_item UNION ALL SELECT * FROM tide_dirty_plan)"));
		if (more)
			check(tide_discard(d->t, type, key) == TIDE_OK);
		free(type);
		free(key);
		if (!more)
			break;
	}
	on_device = fake_value(d->db, fake_device_rows_sql);
	if (strcmp(on_server, on_device) != 0)
		fail("a replica is not the server's", on_server, on_device);
	free(on_server);
	free(on_device);
	on_device = fake_value(d->db, "SELECT (SELECT count(*) FROM tide_base_item) + (SELECT count(*) FROM tide_base_plan)"
						   " + (SELECT count(*) FROM tide_batch) + (SELECT count(*) FROM tide_stage)"
						   " + (SELECT applying FROM tide_state)");
	if (strcmp(on_device, "0") != 0)
		fail("something is left behind", "", on_device);
	free(on_device);
}

static void
run(void)
{
	int			i,
				s;

	state = seed * 2654435761u + 88172645463325252u;
	now = 1000000000000;
	values = 0;
	fake_open(&server);
	server.page = 1 + (int) dice(5);
	server.lines = dice(2) == 0;
	for (i = 0; i < DEVICES; i++)
	{
		char		sql[100];

		fake_device(&devices[i].db, &devices[i].t);
		snprintf(sql, sizeof(sql), "UPDATE tide_settings SET value = 'device %d'"
				 " WHERE name = 'client_id'", i);
		fake_sql(devices[i].db, sql);
		/* the first sync: the tables are to be there */
		check(fake_sync(&server, devices[i].t, now) == TIDE_OK);
	}
	for (s = 0; s < STEPS; s++)
	{
		Device	   *d = &devices[dice(DEVICES)];

		now += dice(3000);
		if (!dice(3))
			edit(d);
		if (!dice(8))
			check(tide_sync(d->t) == TIDE_OK);
		if (!dice(40))
			restart(d);
		(void) step_device(d, false);
	}
	heal();
	for (i = 0; i < DEVICES; i++)
	{
		compare(&devices[i]);
		tide_close(devices[i].t);
		check(sqlite3_close(devices[i].db) == SQLITE_OK);
	}
	fake_close(&server);
}

int
main(int argc, char **argv)
{
	unsigned long first = argc > 1 ? strtoul(argv[1], NULL, 10) : (unsigned long) time(NULL) * 1000;
	unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;

	alarm(3600);
	use_virtual_time();
	for (seed = first; seed < first + rounds; seed++)
		run();
	printf("ok 1 - %lu rounds from seed %lu\n1..1\n", rounds, first);
	return 0;
}
