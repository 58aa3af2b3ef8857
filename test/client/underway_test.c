/*
 * underway_test.c
 *	  Edits that are made while something is under way, in the order in which a
 *	  server may answer.  test/client/underway.t runs it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop/handle.h"
#include "one_device.h"

static int64_t now = 1600000000000;

/* a table that is deleted from softly, and one that is not */
#define COLUMN(name, type, filled) \
	"{\"name\":\"" name "\",\"type\":\"" type "\",\"nullable\":true,\"writable\":true,\"default\":" filled "}"
#define TYPE(name, deleted_at, columns) \
	"\"" name "\":{\"key\":[\"id\"],\"scope\":\"owner\",\"modifiedAt\":\"stamp\",\"clientId\":\"client\"," \
	"\"version\":null,\"deletedAt\":" deleted_at ",\"parents\":[],\"references\":[],\"conflict\":\"last_write_wins\"," \
	"\"columns\":[" COLUMN("id", "text", "false") "," COLUMN("owner", "text", "false") "," COLUMN("a", "text", "false") \
	"," COLUMN("stamp", "timestamp with time zone", "false") "," COLUMN("client", "text", "false") columns "]}"
#define SCHEMA \
	"{\"protocol\":1,\"entityTypes\":{" \
	TYPE("task", "\"removed\"", "," COLUMN("b", "text", "false") "," COLUMN("c", "text", "true") "," \
		 COLUMN("removed", "timestamp with time zone", "false")) "," TYPE("plan", "null", "") "}}"
#define TASK(a, b, removed, at) \
	"{\"id\":\"t1\",\"owner\":\"ann\",\"a\":" a ",\"b\":" b ",\"c\":\"filled\",\"removed\":" removed ",\"stamp\":\"" at "\",\"client\":null}"
#define PLAN(id, a, at) \
	"{\"id\":\"" id "\",\"owner\":\"ann\",\"a\":\"" a "\",\"stamp\":\"" at "\",\"client\":null}"
#define PAGE(tasks, plans, cursor, more) \
	"{\"changesByType\":{\"task\":[" tasks "],\"plan\":[" plans "]},\"deletedByType\":{},\"revokedScopes\":[]," \
	"\"reset\":false,\"cursor\":\"" cursor "\",\"hasMore\":" more "}"
#define VERDICT(type, id, entity) \
	"{\"succeeded\":[{\"entityType\":\"" type "\",\"entityId\":\"" id "\",\"status\":\"applied\",\"entity\":" entity "}]," \
	"\"failed\":[],\"ack\":\"x\"}"

/* What a sync brings: pages and verdicts in turn, and what is edited meanwhile. */
typedef struct Script
{
	const char *const *pages;
	const char *const *verdicts;
	const char *meanwhile;		/* while the first push is out */
	Buffer		pushed;			/* the bodies */
	bool		acked;			/* a pull left something out */
} Script;

static FakeChoice
answer_script(void *arg, const tide_step *step, FakeAnswer *answer)
{
	Script	   *s = arg;
	const char *const **from = strstr(step->url, "/sync/pull") ? &s->pages :
		strstr(step->url, "/sync/push") ? &s->verdicts : NULL;

	if (from == NULL)
	{
		buffer_text(&answer->body, SCHEMA);
		return FAKE_ANSWERED;
	}
	if (from == &s->verdicts)
	{
		buffer_append(&s->pushed, step->body, step->body_length);
		if (s->meanwhile)
			fake_sql(db, s->meanwhile);
		s->meanwhile = NULL;
	}
	else
		s->acked = s->acked || strstr(step->body, "\"ack\":");
	if (**from == NULL)
		return FAKE_END;
	answer->status = ***from == '!' ? 413 : 200;
	buffer_text(&answer->body, **from + (answer->status == 413));
	(*from)++;
	return FAKE_ANSWERED;
}

#define LIST(...) ((const char *const[]) {__VA_ARGS__, NULL})

static void
begin(const char *page)
{
	Script		s = {.pages = LIST(page), .verdicts = LIST(NULL)};

	open_device();
	check(fake_sync_by(&server, t, now, answer_script, &s) == TIDE_OK);
	buffer_free(&s.pushed);
}

/* A sync in which so many pushes are answered; the bodies, to be freed. */
static char *
sync_while(const char *meanwhile, const char *const *verdicts)
{
	Script		s = {.pages = LIST(PAGE("", "", "c8", "false"), PAGE("", "", "c9", "false")),
	.verdicts = verdicts, .meanwhile = meanwhile};

	(void) fake_sync_by(&server, t, now, answer_script, &s);
	return s.pushed.data;
}

/* A row is deleted softly, and made anew before the server has said so. */
static void
test_soft_delete(void)
{
	char	   *pushed;

	begin(PAGE(TASK("\"old\"", "\"old\"", "null", "2020-01-01T00:00:00.000Z"), "", "c1", "false"));
	fake_sql(db, "DELETE FROM task");
	pushed = sync_while("INSERT INTO task (id, a) VALUES ('t1', 'again')",
						LIST(VERDICT("task", "t1", TASK("\"old\"", "\"old\"", "\"2021-01-01T00:00:00.000Z\"",
														"2021-01-01T00:00:00.000Z"))));
	is("SELECT id || a || coalesce(b, '-') || coalesce(removed, '-') FROM task", "t1again--");
	is("SELECT count(*) FROM tide_pending", "1");
	check(pushed && strstr(pushed, "\"a\":\"again\",\"b\":null,") && strstr(pushed, "\"removed\":null"));
	check(strstr(pushed, "\"_base\":\"2021-01-01T00:00:00.000Z\""));
	fake_ok("a row that is made anew while it is deleted softly is there, as it was made");
	check(strstr(pushed, "\"owner\":\"ann\"") && strstr(pushed, "\"c\":\"filled\""));
	fake_ok("... but for what the server fills in");
	sqlite3_free(pushed);
	end();
}

/* The server's clock is ahead of ours. */
static void
test_hard_delete(void)
{
	char	   *pushed;

	begin(PAGE("", PLAN("p1", "old", "2020-01-01T00:00:00.000Z"), "c1", "false"));
	fake_sql(db, "DELETE FROM plan");
	pushed = sync_while("INSERT INTO plan (id, owner, a) VALUES ('p1', 'ann', 'again')",
						LIST(VERDICT("plan", "p1", "{\"id\":\"p1\",\"deletedAt\":\"2999-01-01T00:00:00.000Z\"}")));
	is("SELECT group_concat(id || a) FROM plan", "p1again");
	check(pushed && strstr(pushed, "\"a\":\"again\",\"stamp\":\"2999-01-01T00:00:00.001Z\"}"));
	fake_ok("a row that is made anew while it is deleted is later than that, whatever the clock says");
	sqlite3_free(pushed);
	end();
}

/* An edit that no trigger saw, while a batch was without an answer. */
static void
test_unseen(void)
{
	Script		s = {.pages = LIST(PAGE("", PLAN("p1", "first", "2022-01-01T00:00:00.000Z"), "c8", "false"),
								   PAGE("", "", "c9", "false")),
	.verdicts = LIST(VERDICT("plan", "p1", PLAN("p1", "first", "2022-01-01T00:00:00.000Z")),
					 VERDICT("plan", "p1", PLAN("p1", "unseen", "2023-01-01T00:00:00.000Z")))};

	begin(PAGE("", PLAN("p1", "old", "2020-01-01T00:00:00.000Z"), "c1", "false"));
	fake_sql(db, "UPDATE plan SET a = 'first'");
	sqlite3_free(sync_while(NULL, LIST(NULL)));
	is("SELECT count(*) FROM tide_batch", "1");
	fake_sql(db, "DROP TRIGGER tide_plan_after_update; UPDATE plan SET a = 'unseen'");
	check(engine_abandon(&t->engine));
	(void) fake_sync_by(&server, t, now, answer_script, &s);
	is("SELECT a || (SELECT count(*) FROM tide_pending) FROM plan", "unseen0");
	check(s.pushed.data && strstr(s.pushed.data, "unseen"));
	fake_ok("an edit that no trigger saw is not written over by the verdict of one before");
	buffer_free(&s.pushed);
	end();
}

/* The same, and what is under way was discarded first. */
static void
test_unseen_after_discard(void)
{
	Script		s = {.pages = LIST(PAGE("", PLAN("p1", "first", "2022-01-01T00:00:00.000Z"), "c8", "false"),
								   PAGE("", "", "c9", "false")),
	.verdicts = LIST(VERDICT("plan", "p1", PLAN("p1", "first", "2022-01-01T00:00:00.000Z")),
					 VERDICT("plan", "p1", PLAN("p1", "unseen", "2024-01-01T00:00:00.000Z")))};

	begin(PAGE("", PLAN("p1", "old", "2020-01-01T00:00:00.000Z"), "c1", "false"));
	fake_sql(db, "UPDATE plan SET a = 'first'");
	sqlite3_free(sync_while(NULL, LIST(NULL)));
	check(tide_discard(t, "plan", "p1") == TIDE_OK);
	fake_sql(db, "DROP TRIGGER tide_plan_after_update;"
			 "UPDATE plan SET a = 'unseen', stamp = '2023-01-01T00:00:00.000Z'");
	check(engine_abandon(&t->engine));
	(void) fake_sync_by(&server, t, now, answer_script, &s);
	is("SELECT a || (SELECT count(*) FROM tide_pending) FROM plan", "unseen0");
	check(s.pushed.data && strstr(s.pushed.data, "unseen"));
	fake_ok("... nor by that of one that was discarded");
	buffer_free(&s.pushed);
	end();
}

/* The server names the row by another form of its key than it was made under. */
static void
test_other_form(void)
{
	char	   *pushed;

	begin(PAGE("", "", "c1", "false"));
	fake_sql(db, "INSERT INTO plan (id, owner, a) VALUES ('P1', 'ann', 'first')");
	pushed = sync_while("UPDATE plan SET a = 'second'",
						LIST(VERDICT("plan", "P1", PLAN("p1", "first", "2022-01-01T00:00:00.000Z")),
							 VERDICT("plan", "P1", PLAN("p1", "second", "2023-01-01T00:00:00.000Z"))));
	check(pushed && strstr(pushed, "\"a\":\"second\""));
	check(strstr(pushed, "\"_base\":\"2022-01-01T00:00:00.000Z\""));
	is("SELECT group_concat(id || a) || (SELECT count(*) FROM tide_pending) FROM plan", "p1second0");
	is("SELECT count(*) FROM tide_base_plan", "0");
	fake_ok("an edit of a row that has another form of its key on the server is upon what that has");
	sqlite3_free(pushed);
	end();
}

/* What the server does not take is not what is there by now. */
static void
test_refused(void)
{
	static const char *const answers[] = {
		"!{\"error\":{\"code\":\"too_large\",\"message\":\"too large\"}}", "{\"succeeded\":[],\"failed\":[]}"
	};
	size_t		i;

	for (i = 0; i < 2; i++)
	{
		begin(PAGE("", PLAN("p1", "old", "2020-01-01T00:00:00.000Z"), "c1", "false"));
		fake_sql(db, "UPDATE plan SET a = 'large'");
		sqlite3_free(sync_while("UPDATE plan SET a = 'short'",
								LIST(answers[i], VERDICT("plan", "p1", PLAN("p1", "short", "2022-01-01T00:00:00.000Z")))));
		is("SELECT a || (SELECT count(*) FROM tide_pending) FROM plan", "short0");
		end();
	}
	fake_ok("an edit of a row that was refused, or got no verdict, is sent at once");
}

/* A pause pushes what is queued, and leaves a pull where it was. */
static void
test_push_amid_pull(void)
{
	static const char *const none[] = {NULL};
	Script		s = {.pages = LIST(PAGE("", PLAN("p1", "theirs", "2021-01-01T00:00:00.000Z") ","
										PLAN("p2", "theirs", "2021-01-01T00:00:00.000Z"), "c2", "true")),
	.verdicts = LIST("{\"succeeded\":[{\"entityType\":\"plan\",\"entityId\":\"p1\",\"status\":\"applied\",\"entity\":"
					 PLAN("p1", "mine", "2022-01-01T00:00:00.000Z") "},"
					 "{\"entityType\":\"plan\",\"entityId\":\"p2\",\"status\":\"applied\",\"entity\":"
					 "{\"id\":\"p2\",\"deletedAt\":\"2022-01-01T00:00:00.000Z\"}}],\"failed\":[],\"ack\":\"x\"}")};

	begin(PAGE("", PLAN("p1", "old", "2020-01-01T00:00:00.000Z") "," PLAN("p2", "old", "2020-01-01T00:00:00.000Z"),
			   "c1", "false"));
	(void) fake_sync_by(&server, t, now, answer_script, &s);
	is("SELECT count(*) FROM tide_stage", "2");
	fake_sql(db, "UPDATE plan SET a = 'mine' WHERE id = 'p1'; DELETE FROM plan WHERE id = 'p2'");
	check(engine_hurry(&t->engine));
	(void) fake_sync_by(&server, t, now, answer_script, &s);
	is("SELECT (SELECT group_concat(id || a) FROM plan) || (SELECT count(*) FROM tide_pending)", "p1mine0");
	/* what the server leaves out of the rest, for the device is said to have it */
	s.verdicts = none;
	s.pages = LIST(PAGE("", PLAN("p1", "mine", "2022-01-01T00:00:00.000Z"), "c3", "false"));
	s.acked = false;
	check(engine_abandon(&t->engine));
	check(fake_sync_by(&server, t, now, answer_script, &s) == TIDE_OK);
	check(!s.acked);
	fake_ok("a push amid a pull: the rest of the pull leaves nothing out that was staged before");
	buffer_free(&s.pushed);
	end();
}

static int
interrupt_commit(void *arg, int action, const char *what, const char *b, const char *c, const char *d)
{
	(void) arg, (void) b, (void) c, (void) d;
	if (action == SQLITE_TRANSACTION && strcmp(what, "COMMIT") == 0)
		sqlite3_interrupt(db);
	return SQLITE_OK;
}

/* SQLite remembers an interrupt for as long as a statement of the host's is open. */
static void
test_interrupted(void)
{
	sqlite3_stmt *stmt;

	begin(PAGE("", PLAN("p1", "old", "2020-01-01T00:00:00.000Z"), "c1", "false"));
	check(sqlite3_prepare_v2(db, "SELECT 1 UNION ALL SELECT 2", -1, &stmt, NULL) == SQLITE_OK);
	check(sqlite3_step(stmt) == SQLITE_ROW);
	check(sqlite3_set_authorizer(db, interrupt_commit, NULL) == SQLITE_OK);
	check(tide_discard(t, "plan", "p1") == TIDE_USAGE);
	fake_sql(db, "UPDATE plan SET a = 'mine'");
	check(tide_discard(t, "plan", "p1") == TIDE_BUSY);
	check(sqlite3_get_autocommit(db));
	sqlite3_finalize(stmt);
	check(sqlite3_set_authorizer(db, NULL, NULL) == SQLITE_OK);
	is("SELECT applying FROM tide_state", "0");
	is("SELECT a || (SELECT count(*) FROM tide_pending) FROM plan", "mine1");
	check(tide_discard(t, "plan", "p1") == TIDE_OK);
	fake_ok("what is interrupted leaves no transaction open, whatever else the host has open");
	end();
}

int
main(void)
{
	alarm(120);					/* nothing here takes long, unless it hangs */
	test_soft_delete();
	test_hard_delete();
	test_refused();
	test_unseen();
	test_unseen_after_discard();
	test_other_form();
	test_push_amid_pull();
	test_interrupted();
	puts("1..9");
	return 0;
}
