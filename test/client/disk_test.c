/*
 * disk_test.c
 *	  A file on a disk that fills up, at each write of a sync; one that others
 *	  hold, at the moments that matter; two handles in one process.
 *
 *		disk_test DIRECTORY [step]		every step-th write
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_server.h"

static char path[500];
static long countdown;			/* 0: no write fails */
static long writes;
static int64_t now = 1000000000000;
static FakeServer server;
static int	n;

static void
ok(const char *what)
{
	printf("ok %d - %s\n", ++n, what);
}

/*
 * A VFS whose disk is full from the countdown's end on, until it is reset
 */

typedef struct ShimFile
{
	sqlite3_file base;
	sqlite3_io_methods methods;
	const		sqlite3_io_methods *real;
} ShimFile;

static sqlite3_vfs shim;
static sqlite3_vfs * real_vfs;

/* the real file lies behind ours */
static sqlite3_file *
real_file(sqlite3_file * file)
{
	return (sqlite3_file *) ((char *) file + sizeof(ShimFile));
}

static int
is_full(void)
{
	writes++;
	if (countdown == 0)
		return 0;
	if (countdown > 1)
		countdown--;
	return countdown == 1;
}

static int
shim_write(sqlite3_file * file, const void *data, int amount, sqlite3_int64 offset)
{
	if (is_full())
		return SQLITE_FULL;
	return real_file(file)->pMethods->xWrite(real_file(file), data, amount, offset);
}

#define FORWARD(name, parameters, arguments) \
	static int shim_##name parameters { return real_file(f)->pMethods->x##name arguments; }

FORWARD(Read, (sqlite3_file * f, void *p, int a, sqlite3_int64 o), (real_file(f), p, a, o))
FORWARD(Truncate, (sqlite3_file * f, sqlite3_int64 s), (real_file(f), s))
FORWARD(Sync, (sqlite3_file * f, int s), (real_file(f), s))
FORWARD(FileSize, (sqlite3_file * f, sqlite3_int64 * s), (real_file(f), s))
FORWARD(Lock, (sqlite3_file * f, int l), (real_file(f), l))
FORWARD(Unlock, (sqlite3_file * f, int l), (real_file(f), l))
FORWARD(CheckReservedLock, (sqlite3_file * f, int *r), (real_file(f), r))
FORWARD(FileControl, (sqlite3_file * f, int o, void *p), (real_file(f), o, p))
FORWARD(SectorSize, (sqlite3_file * f), (real_file(f)))
FORWARD(DeviceCharacteristics, (sqlite3_file * f), (real_file(f)))
FORWARD(ShmMap, (sqlite3_file * f, int a, int b, int c, void volatile **p), (real_file(f), a, b, c, p))
FORWARD(ShmLock, (sqlite3_file * f, int a, int b, int c), (real_file(f), a, b, c))
FORWARD(ShmUnmap, (sqlite3_file * f, int d), (real_file(f), d))

static void
shim_barrier(sqlite3_file * f)
{
	real_file(f)->pMethods->xShmBarrier(real_file(f));
}

static int
shim_close(sqlite3_file * f)
{
	return real_file(f)->pMethods->xClose(real_file(f));
}

static const sqlite3_io_methods shim_methods = {
	2, shim_close, shim_Read, shim_write, shim_Truncate, shim_Sync, shim_FileSize, shim_Lock,
	shim_Unlock, shim_CheckReservedLock, shim_FileControl, shim_SectorSize,
	shim_DeviceCharacteristics, shim_ShmMap, shim_ShmLock, shim_barrier, shim_ShmUnmap,
	NULL, NULL
};

static int
shim_open(sqlite3_vfs * vfs, sqlite3_filename name, sqlite3_file * file, int flags, int *out)
{
	int			rc = real_vfs->xOpen(real_vfs, name, real_file(file), flags, out);

	(void) vfs;
	file->pMethods = rc == SQLITE_OK ? &shim_methods : NULL;
	return rc;
}

static void
install_shim(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	shim = *real_vfs;
	shim.zName = "shim";
	shim.szOsFile = (int) sizeof(ShimFile) + real_vfs->szOsFile;
	shim.xOpen = shim_open;
	check(sqlite3_vfs_register(&shim, 1) == SQLITE_OK);
}

/*
 * Devices on files
 */

static void
remove_file(void)
{
	static const char *const ends[] = {"", "-wal", "-shm", "-journal", "-tide-lock"};
	char		name[520];
	size_t		i;

	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
	{
		snprintf(name, sizeof(name), "%s%s", path, ends[i]);
		(void) unlink(name);
	}
}

static sqlite3 *
connect(const char *mode)
{
	sqlite3    *db;
	char		sql[90];

	check(sqlite3_open(path, &db) == SQLITE_OK);
	snprintf(sql, sizeof(sql), "PRAGMA journal_mode = %s; PRAGMA synchronous = OFF", mode);
	fake_sql(db, sql);
	sqlite3_busy_timeout(db, 0);
	return db;
}

static tide *
new_device(sqlite3 * db)
{
	tide	   *t;

	check(tide_attach(db, &t) == TIDE_OK);
	check(tide_setup(t, "{\"server\":\"http://fake\"}") == TIDE_OK);
	check(tide_set_token(t, fake_token) == TIDE_OK);
	return t;
}

static void
fill_server(void)
{
	fake_open(&server);
	server.page = 2;
	fake_sql(server.db, "INSERT INTO row VALUES"
			 " ('plan', 'p1', 'server', NULL, '2020-01-01T00:00:00.000Z', NULL, 0, 1),"
			 " ('plan', 'p2', 'server', NULL, '2020-01-01T00:00:00.000Z', NULL, 0, 2),"
			 " ('item', 'i1', 'server', 'p1', '2020-01-01T00:00:00.000Z', NULL, 0, 3);"
			 "UPDATE counter SET seq = 3");
}

static void
is_same(sqlite3 * db)
{
	char	   *left = fake_value(server.db, fake_rows_sql);
	char	   *right = fake_value(db, fake_device_rows_sql);

	if (strcmp(left, right) != 0)
	{
		fprintf(stderr, "%s\n---\n%s\n", left, right);
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
}

/* false: the sync has no so many writes */
static bool
fill_disk_at(long at, const char *mode)
{
	sqlite3    *db;
	tide	   *t;
	int			code;
	long		before;
	bool		filled;

	remove_file();
	fill_server();
	db = connect(mode);
	fake_sql(db, "PRAGMA cache_size = 5");	/* pages are written early */
	t = new_device(db);
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(server.db, "UPDATE row SET a = 'later', stamp = '2021-01-01T00:00:00.000Z',"
			 " seq = seq + 10; UPDATE counter SET seq = 13");
	fake_sql(db, "UPDATE plan SET a = 'mine' WHERE id = 'p1';"
			 "INSERT INTO item (id, owner, a) VALUES ('i2', 'ann', 'mine')");
	before = writes;
	countdown = at + 1;
	code = fake_sync(&server, t, now);
	countdown = 0;
	filled = writes - before >= at;
	if (getenv("VERBOSE"))
		fprintf(stderr, "%ld: %ld writes, code %d\n", at, writes - before, code);
	if (filled && code == TIDE_LOCAL)
		check(strcmp(tide_error_code(t), "disk_full") == 0 && *tide_error_hint(t));
	else
		check(code == TIDE_OK);
	check(sqlite3_get_autocommit(db));
	check(fake_sync(&server, t, now) == TIDE_OK);
	is_same(db);
	tide_close(t);
	check(sqlite3_close(db) == SQLITE_OK);
	fake_close(&server);
	return filled;
}

static void
test_full(long step)
{
	long		at;

	for (at = 1; fill_disk_at(at, "WAL"); at += step)
		;
	check(at > 10);
	printf("# %ld writes\n", at);
	ok("a disk that fills up, at each write: a clear error, and nothing is lost");
	for (at = 1; fill_disk_at(at, "DELETE"); at += step)
		;
	check(at > 10);
	ok("... with a rollback journal, too");
}

/* A reader keeps a COMMIT from being done, where there is no WAL. */
static void
test_busy_commit(void)
{
	sqlite3    *db,
			   *other;
	sqlite3_stmt *reader;
	tide	   *t;
	int			busy = 0,
				code;
	tide_step	step;
	FakeAnswer	answer;

	remove_file();
	fill_server();
	db = connect("DELETE");
	t = new_device(db);
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(server.db, "UPDATE row SET a = 'later', stamp = '2021-01-01T00:00:00.000Z',"
			 " seq = seq + 10; UPDATE counter SET seq = 13");
	fake_sql(db, "UPDATE plan SET a = 'mine' WHERE id = 'p1'");
	other = connect("DELETE");
	check(tide_sync(t) == TIDE_OK);
	/* at each call somebody reads at first, then has done */
	for (;;)
	{
		check(sqlite3_prepare_v2(other, "SELECT * FROM plan", -1, &reader, NULL) == SQLITE_OK);
		check(sqlite3_step(reader) == SQLITE_ROW);
		code = tide_next(t, now, &step);
		busy += code == TIDE_BUSY;
		check(code == TIDE_OK || code == TIDE_BUSY);
		check(sqlite3_get_autocommit(db));
		check(sqlite3_finalize(reader) == SQLITE_OK);
		if (code == TIDE_BUSY)
			check(tide_next(t, now, &step) == TIDE_OK);
		if (step.kind == TIDE_WAIT)
			break;
		fake_answer(&server, &step, &answer);
		check(tide_reply_begin(t, answer.status, answer.headers) == TIDE_OK);
		if (answer.body.length)
			check(tide_reply(t, answer.body.data, answer.body.length) == TIDE_OK);
		check(sqlite3_prepare_v2(other, "SELECT * FROM plan", -1, &reader, NULL) == SQLITE_OK);
		check(sqlite3_step(reader) == SQLITE_ROW);
		code = tide_reply_end(t, now);
		busy += code == TIDE_BUSY;
		check(code == TIDE_OK || code == TIDE_BUSY);
		check(sqlite3_get_autocommit(db));
		check(sqlite3_finalize(reader) == SQLITE_OK);
		if (code == TIDE_BUSY)
			check(tide_reply_end(t, now) == TIDE_OK);
		buffer_free(&answer.body);
	}
	check(busy > 3);
	is_same(db);
	tide_close(t);
	check(sqlite3_close(db) == SQLITE_OK && sqlite3_close(other) == SQLITE_OK);
	fake_close(&server);
	ok("a COMMIT that is refused leaves no transaction, and the call is made again");
}

/* Two handles and their connections in one process, a reader and a writer. */
static void
test_handles(void)
{
	sqlite3    *db[3],
			   *other;
	sqlite3_stmt *reader;
	tide	   *t[3];
	tide_step	step;
	FakeAnswer	answer;
	char		who[60];
	int			i;

	remove_file();
	fill_server();
	db[0] = connect("WAL");
	t[0] = new_device(db[0]);
	check(fake_sync(&server, t[0], now) == TIDE_OK);
	for (i = 1; i < 3; i++)
	{
		db[i] = connect("WAL");
		check(tide_attach(db[i], &t[i]) == TIDE_OK);
		check(tide_set_token(t[i], fake_token) == TIDE_OK);
		check(tide_sync(t[i]) == TIDE_OK);
	}
	snprintf(who, sizeof(who), "process %ld is syncing", (long) getpid());
	fake_sql(db[0], "UPDATE plan SET a = 'mine' WHERE id = 'p1'");
	check(tide_sync(t[0]) == TIDE_OK && tide_next(t[0], now, &step) == TIDE_OK);
	check(step.kind == TIDE_SEND);
	for (i = 1; i < 3; i++)
	{
		tide_step	none;

		check(tide_next(t[i], now, &none) == TIDE_BUSY && strstr(tide_error(t[i]), who));
		/* closing that handle frees nobody's lock */
		tide_close(t[i]);
		check(sqlite3_close(db[i]) == SQLITE_OK);
	}
	ok("of two handles in one process one syncs, and the other says who does");

	/* a reader that began before, and a writer that does not wait */
	other = connect("WAL");
	check(sqlite3_prepare_v2(other, "SELECT a FROM plan", -1, &reader, NULL) == SQLITE_OK);
	check(sqlite3_step(reader) == SQLITE_ROW);
	db[1] = connect("WAL");
	for (i = 0; step.kind == TIDE_SEND; i++)
	{
		char		sql[100];

		snprintf(sql, sizeof(sql), "INSERT INTO item (id, owner) VALUES ('w%d', 'ann')", i);
		if (i < 8)
			fake_sql(db[1], sql);	/* while a request is out nobody holds the
									 * file */
		fake_answer(&server, &step, &answer);
		check(fake_give(t[0], &answer, now) == TIDE_OK);
		check(tide_next(t[0], now, &step) == TIDE_OK);
	}
	check(sqlite3_finalize(reader) == SQLITE_OK);
	check(fake_sync(&server, t[0], now) == TIDE_OK);
	is_same(db[0]);
	ok("a reader in a long transaction and a writer without patience are no hindrance");
	tide_close(t[0]);
	check(sqlite3_close(db[0]) == SQLITE_OK && sqlite3_close(db[1]) == SQLITE_OK &&
		  sqlite3_close(other) == SQLITE_OK);
	fake_close(&server);
}

/* A connection that may not write. */
static void
test_read_only(void)
{
	sqlite3    *db;
	tide	   *t;

	remove_file();
	fill_server();
	db = connect("DELETE");
	t = new_device(db);
	check(fake_sync(&server, t, now) == TIDE_OK);
	tide_close(t);
	check(sqlite3_close(db) == SQLITE_OK);
	check(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK);
	check(tide_attach(db, &t) == TIDE_OK);
	check(tide_set_token(t, fake_token) == TIDE_OK);
	check(fake_sync(&server, t, now) == TIDE_LOCAL);
	check(strcmp(tide_error_code(t), "read_only") == 0);
	check(sqlite3_get_autocommit(db));
	tide_close(t);
	check(sqlite3_close(db) == SQLITE_OK);
	fake_close(&server);
	ok("a file that may not be written: a clear error");
}

int
main(int argc, char **argv)
{
	check(argc > 1);
	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(300);
	snprintf(path, sizeof(path), "%s/device.db", argv[1]);
	install_shim();
	test_full(argc > 2 ? strtol(argv[2], NULL, 10) : 1);
	test_busy_commit();
	test_handles();
	test_read_only();
	printf("1..%d\n", n);
	return 0;
}
