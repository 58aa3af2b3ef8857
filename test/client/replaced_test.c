/*
 * replaced_test.c
 *	  The file is replaced while a request is out: the answer that comes then is
 *	  for a file that is no longer there.  test/client/replaced.t runs it.
 *
 * A file is replaced by SQLite's backup, which raises its schema_version, or by
 * statements that write its tables over, which does not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_server.h"
#include "loop/handle.h"
#include "store/place.h"
#include "store/verify.h"

static FakeServer server;
static sqlite3 *db;
static sqlite3 *backup;
static tide *t;
static const int64_t now = 1000000000000;

static const char empty_page[] =
"{\"changesByType\":{},\"deletedByType\":{},\"cursor\":\"c9\",\"hasMore\":false,"
"\"reset\":false,\"revokedScopes\":[]}";

static void
copy(sqlite3 *from, sqlite3 *to)
{
	sqlite3_backup *copying = sqlite3_backup_init(to, "main", from, "main");

	check(copying && sqlite3_backup_step(copying, -1) == SQLITE_DONE);
	check(sqlite3_backup_finish(copying) == SQLITE_OK);
}

static void
save(void)
{
	copy(db, backup);
}

/* Write a table of the backup over the file's. */
static void
write_over(const char *table)
{
	sqlite3_stmt *rows;
	char	   *sql = sqlite3_mprintf("DELETE FROM \"%w\"", table);
	int			i;

	fake_sql(db, sql);
	sqlite3_free(sql);
	sql = sqlite3_mprintf("SELECT * FROM \"%w\"", table);
	check(sqlite3_prepare_v2(backup, sql, -1, &rows, NULL) == SQLITE_OK);
	sqlite3_free(sql);
	while (sqlite3_step(rows) == SQLITE_ROW)
	{
		sqlite3_str *text = sqlite3_str_new(NULL);

		sqlite3_str_appendf(text, "INSERT INTO \"%w\" VALUES (", table);
		for (i = 0; i < sqlite3_column_count(rows); i++)
			sqlite3_str_appendf(text, sqlite3_column_type(rows, i) == SQLITE_INTEGER ? "%s%s" :
								"%s%Q", i ? ", " : "", sqlite3_column_text(rows, i));
		sqlite3_str_appendall(text, ")");
		sql = sqlite3_str_finish(text);
		fake_sql(db, sql);
		sqlite3_free(sql);
	}
	sqlite3_finalize(rows);
}

/* Bring back what was saved: with its schema, or its rows alone. */
static void
restore(bool whole)
{
	static const char *const tables[] = {"plan", "item", "tide_base_plan", "tide_dirty_plan",
	"tide_stage", "tide_acks", "tide_batch", "tide_settings", "tide_state"};
	size_t		i;

	if (whole)
	{
		copy(backup, db);
		return;
	}
	fake_sql(db, "BEGIN; UPDATE tide_state SET applying = 1");
	for (i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		write_over(tables[i]);
	fake_sql(db, "COMMIT");
}

/* Rows of plans on the server, numbered on. */
static void
server_writes(const char *ids)
{
	for (; *ids; ids++)
	{
		char	   *sql = sqlite3_mprintf("UPDATE counter SET seq = seq + 1;"
										  "INSERT INTO row VALUES ('plan', '%c', 'x', NULL,"
										  " '2020-01-01T00:00:00.000Z', NULL, 0,"
										  " (SELECT seq FROM counter))", *ids);

		fake_sql(server.db, sql);
		sqlite3_free(sql);
	}
}

static void
answer_with(int status, const char *body)
{
	check(tide_reply_begin(t, status, NULL) == TIDE_OK);
	check(tide_reply(t, body, strlen(body)) == TIDE_OK);
	(void) tide_reply_end(t, now);
}

static void
give(FakeAnswer *answer)
{
	check(fake_give(t, answer, now) == TIDE_OK);
}

/* The sync as far as a request that has this in its URL, with its answer. */
static void
sync_until(const char *path, tide_step *step, FakeAnswer *answer)
{
	for (;;)
	{
		check(tide_next(t, now, step) == TIDE_OK && step->kind == TIDE_SEND);
		fake_answer(&server, step, answer);
		if (strstr(step->url, path))
			break;
		give(answer);
	}
}

static void
begin_with(const char *ids)
{
	fake_open(&server);
	fake_device(&db, &t);
	check(sqlite3_open(":memory:", &backup) == SQLITE_OK);
	server_writes(ids);
	check(fake_sync(&server, t, now) == TIDE_OK);
}

/* In the end the file has what the server has. */
static void
end(const char *what)
{
	char	   *theirs;

	check(fake_sync(&server, t, now) == TIDE_OK);
	theirs = fake_value(server.db, fake_rows_sql);
	fake_is(db, fake_device_rows_sql, theirs);
	fake_is(db, "SELECT count(*) FROM tide_pending", "0");
	fake_is(db, "SELECT count(*) FROM tide_stage", "0");
	free(theirs);
	fake_ok(what);
	tide_close(t);
	check(sqlite3_close(db) == SQLITE_OK);
	check(sqlite3_close(backup) == SQLITE_OK);
	fake_close(&server);
}

static void
test_page(bool whole)
{
	tide_step	step;
	FakeAnswer	answer;

	begin_with("a");
	save();
	server_writes("b");
	check(fake_sync(&server, t, now) == TIDE_OK);
	server_writes("c");
	check(tide_sync(t) == TIDE_OK);
	sync_until("/pull", &step, &answer);
	restore(whole);
	give(&answer);
	fake_is(db, "SELECT value FROM tide_settings WHERE name = 'cursor'", "c1");
	end("a page: the cursor does not move past rows that the file does not have");
}

static void
test_staged(bool whole)
{
	tide_step	step;
	FakeAnswer	answer;

	begin_with("a");
	save();
	server_writes("bcd");
	server.page = 1;
	check(tide_sync(t) == TIDE_OK);
	sync_until("/pull", &step, &answer);
	give(&answer);
	sync_until("/pull", &step, &answer);
	check(strstr(step.body, "\"since\":\"c2\""));
	restore(whole);
	give(&answer);
	fake_is(db, "SELECT count(*) FROM tide_stage", "0");
	end("a page in the midst of a pull, whose pages before are gone");
}

/* The page leaves out what a push has told, of which the file knows nothing. */
static void
test_acks(bool whole)
{
	tide_step	step;
	FakeAnswer	answer;

	begin_with("a");
	save();
	fake_sql(db, "INSERT INTO plan (id, owner, a) VALUES ('mine', 'ann', 'mine')");
	check(tide_sync(t) == TIDE_OK);
	sync_until("/push", &step, &answer);
	give(&answer);
	sync_until("/pull", &step, &answer);
	buffer_free(&answer.body);
	check(strstr(step.body, "\"ack\":"));
	restore(whole);
	fake_is(db, "SELECT value FROM tide_settings WHERE name = 'cursor'", "c1");
	answer_with(200, empty_page);
	end("a page that leaves out rows of a push, for a file from before it");
}

static void
test_schema(void)
{
	tide_step	step;
	FakeAnswer	answer;

	begin_with("a");
	save();
	server.wide = true;
	check(fake_sync(&server, t, now) == TIDE_OK);
	check(tide_sync(t) == TIDE_OK);
	sync_until("/schema", &step, &answer);
	check(answer.status == 304);
	restore(true);
	give(&answer);
	server_writes("b");
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_is(db, "SELECT group_concat(id || b) FROM plan", "bwide");
	end("a schema that has not changed: the file's is an older one");
}

static void
test_new_schema(void)
{
	tide_step	step;
	FakeAnswer	answer;

	begin_with("a");
	fake_sql(db, "UPDATE tide_settings SET value = 'older' WHERE name = 'schema_etag'");
	save();
	fake_sql(db, "UPDATE tide_settings SET value = 'old' WHERE name = 'schema_etag'");
	check(tide_sync(t) == TIDE_OK);
	sync_until("/schema", &step, &answer);
	check(answer.status == 200);
	restore(false);
	give(&answer);
	fake_is(db, "SELECT value FROM tide_settings WHERE name = 'schema_etag'", "older");
	end("a schema is taken by the file that asked for it");
}

static void
test_same_schema(void)
{
	tide_step	step;
	FakeAnswer	answer;

	begin_with("a");
	save();
	fake_sql(backup, "UPDATE tide_settings SET value = 'older' WHERE name = 'schema_etag'");
	check(tide_sync(t) == TIDE_OK);
	sync_until("/schema", &step, &answer);
	check(answer.status == 304);
	restore(false);
	give(&answer);
	check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
	check(strstr(step.url, "/schema"));
	end("that a schema has not changed is told to the file that asked");
}

/* No request is out: the types are those of the file that was there before. */
static void
test_between(void)
{
	tide_step	step;
	FakeAnswer	answer;

	begin_with("a");
	fake_sql(db, "INSERT INTO plan (id, owner, a) VALUES ('mine', 'ann', 'mine')");
	save();
	server.wide = true;
	check(fake_sync(&server, t, now) == TIDE_OK);
	check(tide_sync(t) == TIDE_OK);
	sync_until("/pull", &step, &answer);
	give(&answer);
	restore(true);
	check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
	check(strstr(step.url, "/schema"));
	end("between two requests: the sync begins anew, with the types that the file has");
}

static void
test_other_user(void)
{
	tide_step	step;
	FakeAnswer	answer;

	begin_with("a");
	check(tide_sync(t) == TIDE_OK);
	sync_until("/pull", &step, &answer);
	give(&answer);
	fake_sql(db, "UPDATE tide_settings SET value = 'bob' WHERE name = 'user';"
			 "INSERT INTO plan (id, owner, a) VALUES ('his', 'bob', 'x')");
	check(tide_next(t, now, &step) == TIDE_SIGNED_OUT);
	check(strcmp(tide_error_code(t), "other_user") == 0);
	fake_sql(db, "UPDATE tide_settings SET value = 'ann' WHERE name = 'user'");
	end("between two requests it has become another user's: nothing is sent");
}

/* What a refusal does to a batch is done to the one that was sent. */
static void
test_refused(int status, const char *body, bool whole)
{
	tide_step	step;
	FakeAnswer	answer;
	char	   *batch;

	begin_with("a");
	fake_sql(db, "INSERT INTO plan (id, owner, a) VALUES ('mine', 'ann', 'mine'),"
			 " ('second', 'ann', 'x')");
	if (status == 400)
		fake_sql(db, "DELETE FROM plan WHERE id = 'second'");
	check(tide_sync(t) == TIDE_OK);
	sync_until("/push", &step, &answer);
	buffer_free(&answer.body);
	save();
	check(tide_no_answer(t, now, "cut") == TIDE_OFFLINE);
	check(tide_network_is_back(t) == TIDE_OK);
	fake_sql(backup, "UPDATE tide_batch SET body = replace(body, batch_id, 'another'),"
			 " batch_id = 'another'");
	sync_until("/push", &step, &answer);
	buffer_free(&answer.body);
	restore(whole);
	batch = fake_value(db, "SELECT id || body FROM tide_batch");
	answer_with(status, body);
	fake_is(db, "SELECT id || body FROM tide_batch", batch);
	fake_is(db, "SELECT group_concat(DISTINCT batch) FROM tide_dirty_plan", "1");
	free(batch);
	end("a refusal: the file's batch is another one, and is sent byte for byte");
}

static void
test_malformed(void)
{
	tide_step	step;
	FakeAnswer	answer;

	begin_with("ab");
	save();
	fake_sql(db, "UPDATE tide_settings SET value = 'rubbish' WHERE name = 'cursor'");
	check(tide_sync(t) == TIDE_OK);
	sync_until("/pull", &step, &answer);
	buffer_free(&answer.body);
	restore(false);
	answer_with(400, "{\"error\":{\"code\":\"malformed_cursor\"}}");
	fake_is(db, "SELECT value FROM tide_settings WHERE name = 'cursor'", "c2");
	end("a cursor that is of no use is not that of the file");
}

/* Nothing but the restore itself says that there is something to do. */
static void
test_listening(bool whole)
{
	tide_step	step;
	FakeAnswer	answer;

	begin_with("a");
	save();
	server_writes("b");
	check(tide_listen(t, 1) == TIDE_OK && tide_sync(t) == TIDE_OK);
	do
	{
		check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND);
		fake_answer(&server, &step, &answer);
		if (!step.listens)
			give(&answer);
	} while (!step.listens);
	buffer_free(&answer.body);
	check(tide_is_due(t, now) == 0);
	restore(whole);
	check(tide_is_due(t, now) == 1);
	check(tide_next(t, now, &step) == TIDE_OK && step.kind == TIDE_SEND && !step.listens);
	check(tide_listen(t, 0) == TIDE_OK);
	end("a file that goes back while it listens is synced");
}

/* What tide_verify() reads says nothing of a file that has moved since. */
static void
test_verify(bool whole)
{
	Store	   *store;

	begin_with("a");
	store = &t->engine.store;
	save();
	server_writes("b");
	check(fake_sync(&server, t, now) == TIDE_OK);
	check(place_note(store) && verify_enter(store) && verify_leave(store, true));
	restore(whole);
	check(!verify_enter(store) && strcmp(store->failure.code, PLACE_REPLACED) == 0);
	check(sqlite3_get_autocommit(db));
	end("rows are not compared with those of another file");
}

int
main(void)
{
	int			whole;

	alarm(120);					/* nothing here takes long, unless it hangs */
	for (whole = 0; whole < 2; whole++)
	{
		test_page(whole);
		test_staged(whole);
		test_acks(whole);
		test_refused(413, "{\"error\":{\"code\":\"too_large\"}}", whole);
		test_refused(400, "{\"error\":{\"code\":\"bad_request\"}}", whole);
		test_refused(409, "{\"error\":{\"code\":\"batch_id_reused\"}}", whole);
		test_refused(410, "{\"error\":{\"code\":\"resync_required\"}}", whole);
		test_listening(whole);
		test_verify(whole);
	}
	test_schema();
	test_new_schema();
	test_same_schema();
	test_between();
	test_other_user();
	test_malformed();
	puts("1..24");
	return 0;
}
