/*
 * pages_test.c
 *	  Pulls of several pages, each as a server may answer, one page after the
 *	  other: types that come in full again, that go and come back, rows that the
 *	  app's rules refuse.  test/client/pages.t runs it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop/handle.h"
#include "one_device.h"

static int64_t now = 1600000000000;

#define STAMP(at) "\"stamp\":\"20" at "-01-01T00:00:00.000Z\",\"client\":null}"
#define ROW(id, a, at) "{\"id\":\"" id "\",\"owner\":\"ann\",\"a\":\"" a "\"," STAMP(at)
#define PLAN(id) ROW(id, "x", "20")
#define ITEM(id) "{\"id\":\"" id "\",\"owner\":\"ann\",\"a\":\"x\",\"parent\":null," STAMP("20")
#define GONE(id) "{\"id\":\"" id "\",\"deletedAt\":\"2021-01-01T00:00:00.000Z\"}"
#define PAGE(plans, items, rest, cursor, more) \
	"{\"changesByType\":{\"plan\":[" plans "],\"item\":[" items "]},\"deletedByType\":{}," \
	"\"revokedScopes\":[],\"reset\":false," rest "\"cursor\":\"" cursor "\",\"hasMore\":" more "}"
#define MORE(plans, rest, cursor) PAGE(plans, "", rest, cursor, "true")
#define LAST(plans, rest, cursor) PAGE(plans, "", rest, cursor, "false")
#define DELETED(plans, cursor) \
	"{\"changesByType\":{},\"deletedByType\":{\"plan\":[" plans "]}," \
	"\"revokedScopes\":[],\"reset\":false,\"cursor\":\"" cursor "\",\"hasMore\":false}"
#define RESET_PLANS "\"resetTypes\":[\"plan\"],"
#define NO_PLANS "\"unavailableTypes\":[\"plan\"],"

static FakeChoice
answer_page(void *arg, const tide_step *step, FakeAnswer *answer)
{
	const char *const **pages = arg;
	const char *page = **pages;

	if (strstr(step->url, "/sync/pull") == NULL)
		return FAKE_USUAL;
	check(page != NULL);
	answer->status = *page == '!' ? 400 : 200;
	buffer_text(&answer->body, page + (*page == '!' ? 1 : 0));
	(*pages)++;
	return FAKE_ANSWERED;
}

/*
 * A sync whose pulls get these answers, in turn; all are asked for.  "!" and an
 * error: a 400.
 */
static int
sync_pages(const char *const *pages)
{
	int			code = fake_sync_by(&server, t, now, answer_page, &pages);

	check(code != TIDE_OK || *pages == NULL);
	return code;
}

#define SYNC(...) check(sync_pages((const char *const[]) {__VA_ARGS__, NULL}) == TIDE_OK)

static void
plans_are(const char *wanted)
{
	is("SELECT coalesce(group_concat(id), '') FROM (SELECT id FROM plan ORDER BY id)", wanted);
}

/* In a first sync, of pages. */
static void
test_first_sync(void)
{
	open_device();
	SYNC(MORE(PLAN("p1") "," PLAN("p2"), "", "c1"),
		 MORE(PLAN("p3"), RESET_PLANS, "c2"),
		 LAST(PLAN("p2"), RESET_PLANS, "c3"));
	plans_are("p2,p3");
	is("SELECT first_sync FROM tide_status", "done");
	is("SELECT count(*) FROM tide_stage", "0");
	is("SELECT count(*) FROM tide_pending", "0");
	SYNC(LAST("", "", "c4"));
	plans_are("p2,p3");
	fake_ok("first sync: a type comes in full again; what was there and does not come is dropped");
	end();

	open_device();
	check(sync_pages((const char *const[]) {MORE(PLAN("p1") "," PLAN("p2"), "", "c1"),
		"!{\"error\":{\"code\":\"x\",\"message\":\"stop\"}}", NULL}) == TIDE_REFUSED);
	plans_are("p1,p2");
	fake_sql(db, "UPDATE plan SET a = 'mine'; DELETE FROM plan WHERE id = 'p2';"
			 "INSERT INTO plan (id, owner, a) VALUES ('p9', 'ann', 'new')");
	SYNC(MORE(PLAN("p3"), RESET_PLANS, "c2"), LAST(PLAN("p2"), RESET_PLANS, "c3"),
		 LAST("", "", "c4"));
	is("SELECT group_concat(entity_type || ' ' || key || ' ' || state || ' ' || code) FROM tide_pending",
	   "plan p1 parked resync_required");
	plans_are("p3,p9");
	fake_ok("... what was edited during it is kept");
	end();
}

/* The same in a stream: a second beginning, in the middle of it. */
static void
test_stream(void)
{
	static const char lines[] =
	"{\"begin\":{\"reset\":false,\"resetTypes\":[]}}\n"
	"{\"type\":\"plan\",\"row\":" PLAN("p1") "}\n{\"type\":\"plan\",\"row\":" PLAN("p2") "}\n"
	"{\"cursor\":\"c1\"}\n"
	"{\"begin\":{\"reset\":false,\"resetTypes\":[\"plan\"]}}\n"
	"{\"type\":\"plan\",\"row\":" PLAN("p2") "}\n{\"cursor\":\"c2\"}\n";
	static const char end_line[] = "{\"end\":true,\"cursor\":\"c3\",\"hasMore\":false}\n";
	char		whole[2000];
	int			piece;

	snprintf(whole, sizeof(whole), "%s%s", lines, end_line);
	for (piece = 0; piece < 2; piece++)
	{
		open_device();
		t->engine.stream_bytes = piece ? 1 : 1000000;
		SYNC(whole);
		plans_are("p2");
		is("SELECT count(*) FROM tide_stage", "0");
		end();
	}
	/* cut before its end, then a page */
	open_device();
	check(sync_pages((const char *const[]) {lines, NULL}) == TIDE_OFFLINE);
	plans_are("p1,p2");
	is("SELECT value FROM tide_settings WHERE name = 'stage_cursor'", "c2");
	check(tide_network_is_back(t) == TIDE_OK);
	SYNC(LAST(PLAN("p3"), RESET_PLANS, "c3"), LAST("", "", "c4"));
	plans_are("p2,p3");
	fake_ok("... also where a stream says so in its middle, and is cut");
	end();
}

/* The type came in part before it comes in full: what it was then is not again. */
static void
test_staged_before_reset(void)
{
	open_device();
	SYNC(LAST(PLAN("p1") "," PLAN("p2"), "", "c1"));
	SYNC(MORE(PLAN("p1"), "", "c2"),
		 MORE(PLAN("p2"), RESET_PLANS, "c3"),
		 LAST("", RESET_PLANS, "c4"));
	plans_are("p2");
	fake_ok("rows that came before their type comes in full do not count as come again");
	end();
}

static void
test_malformed_cursor(void)
{
	open_device();
	check(sync_pages((const char *const[]) {MORE(PLAN("p1") "," PLAN("p2"), "", "c1"),
		"!{\"error\":{\"code\":\"x\",\"message\":\"stop\"}}", NULL}) == TIDE_REFUSED);
	SYNC("!{\"error\":{\"code\":\"malformed_cursor\",\"message\":\"?\"}}",
		 MORE(PLAN("p2"), "", "c1"), LAST(PLAN("p3"), "", "c2"));
	plans_are("p2,p3");
	fake_ok("a first sync whose cursor is of no use starts over, and drops what does not come again");
#define MALFORMED "!{\"error\":{\"code\":\"malformed_cursor\",\"message\":\"what is that?\"}}"
	check(sync_pages((const char *const[]) {MALFORMED, MALFORMED, MALFORMED, NULL}) == TIDE_REFUSED);
	is("SELECT last_error FROM tide_status", "what is that?");
	SYNC(LAST(PLAN("p4"), "", "d1"));
	plans_are("p4");
	fake_ok("... but not for ever");
	end();
}

static int	pushes;

/* A sync whose pulls bring nothing, and whose pushes are answered by this. */
static int
sync_pushes(void (*answer_push) (const tide_step *step, FakeAnswer *answer))
{
	tide_step	step;
	FakeAnswer	answer;
	int			code = tide_sync(t);

	pushes = 0;
	while (code == TIDE_OK && pushes < 20)
	{
		code = tide_next(t, now, &step);
		if (code != TIDE_OK || step.kind == TIDE_WAIT)
			break;
		memset(&answer, 0, sizeof(answer));
		answer.status = 200;
		if (strstr(step.url, "/sync/push"))
		{
			pushes++;
			answer_push(&step, &answer);
		}
		else if (strstr(step.url, "/sync/pull"))
			buffer_text(&answer.body, LAST("", "", "c2"));
		else
			fake_answer(&server, &step, &answer);
		code = fake_give(t, &answer, now);
	}
	return code;
}

/* The id of each batch is taken. */
static void
refuse_id(const tide_step *step, FakeAnswer *answer)
{
	(void) step;
	answer->status = 409;
	buffer_text(&answer->body, "{\"error\":{\"code\":\"batch_id_reused\",\"message\":\"taken\"}}");
}

static void
test_batch_taken(void)
{
	open_device();
	SYNC(LAST(PLAN("p1"), "", "c1"));
	fake_sql(db, "UPDATE plan SET a = 'mine' WHERE id = 'p1'");
	check(sync_pushes(refuse_id) == TIDE_REFUSED);
	check(pushes == 3);
	is("SELECT last_error FROM tide_status", "taken");
	is("SELECT count(*) FROM tide_pending", "1");
	fake_ok("a batch whose id is always taken is not pushed for ever");
	end();
}

static void
test_unavailable(void)
{
	open_device();
	SYNC(PAGE(PLAN("p1") "," PLAN("p2") "," PLAN("p3"), ITEM("i1"), "", "c1", "false"));
	SYNC(MORE(PLAN("p1"), RESET_PLANS, "c2"), LAST("", NO_PLANS, "c3"));
	is("SELECT count(*) FROM item", "1");
	SYNC(LAST(PLAN("p2"), RESET_PLANS, "c4"));
	plans_are("p1,p2");
	is("SELECT count(*) FROM tide_stage", "0");
	fake_ok("a type that goes while it comes in full: the rest comes later, and only then is it swept");
	SYNC("{\"changesByType\":{\"item\":[" ITEM("i2") "]},\"deletedByType\":{},\"revokedScopes\":[],"
		 "\"reset\":true," NO_PLANS "\"cursor\":\"d1\",\"hasMore\":false}");
	is("SELECT group_concat(id) FROM item", "i2");
	plans_are("p1,p2");
	SYNC(LAST(PLAN("p2"), "", "d2"));
	plans_are("p2");
	fake_ok("a type that is not there at a reset is swept when it is");
	SYNC(LAST(PLAN("p4"), "", "d2"));
	plans_are("p2,p4");
	fake_ok("... once");
	end();
}

/* Triggers that were missing: the type is asked for in full when it is there. */
static void
test_recheck_unavailable(void)
{
	open_device();
	SYNC(LAST(PLAN("p1") "," PLAN("p2"), "", "c1"));
	fake_sql(db, "DROP TRIGGER tide_plan_after_update; UPDATE plan SET a = 'mine' WHERE id = 'p1'");
	SYNC(LAST("", NO_PLANS, "c2"));
	is("SELECT count(*) FROM tide_pending", "0");
	SYNC(LAST(PLAN("p1") "," PLAN("p2"), "", "c3"), LAST("", "", "c4"));
	is("SELECT a FROM plan WHERE id = 'p1'", "mine");
	fake_is(server.db, "SELECT a FROM row WHERE id = 'p1'", "mine");
	fake_ok("edits that no trigger saw are found when the type is there again");
	end();
}

/* A row that changes on the server between two pages comes twice. */
static void
test_recheck_twice(void)
{
	open_device();
	SYNC(LAST(PLAN("p1") "," PLAN("p2"), "", "c1"));
	fake_sql(db, "DROP TRIGGER tide_plan_after_update; UPDATE plan SET a = 'mine' WHERE id = 'p1'");
	SYNC(MORE(PLAN("p1") "," PLAN("p2"), "", "c2"), LAST(ROW("p1", "theirs", "25"), "", "c3"), LAST("", "", "c4"));
	is("SELECT a FROM plan WHERE id = 'p1'", "mine");
	fake_ok("... also of a row that comes twice");
	end();
}

/*
 * Rows that no trigger saw coming, edited again when the triggers are there, before
 * the server's have come.
 */
static void
test_recheck_edited(void)
{
	open_device();
	SYNC(LAST(PLAN("p1") "," PLAN("p2"), "", "c1"));
	fake_sql(db, "DROP TRIGGER tide_plan_after_insert;"
			 "INSERT INTO plan (id, owner, a) VALUES ('p8', 'ann', 'first'), ('p9', 'ann', 'first')");
	check(sync_pages((const char *const[]) {MORE(PLAN("p1"), "", "c2"),
		"!{\"error\":{\"code\":\"x\",\"message\":\"stop\"}}", NULL}) == TIDE_REFUSED);
	fake_sql(db, "UPDATE plan SET a = 'second' WHERE id = 'p8'; DELETE FROM plan WHERE id = 'p9'");
	check(engine_hurry(&t->engine));
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_is(server.db, "SELECT count(*) FROM row", "0");
	fake_ok("what is not compared with the server's rows yet is not pushed");
	SYNC(LAST(PLAN("p2"), "", "c3"), LAST("", "", "c4"));
	plans_are("p1,p2,p8");
	is("SELECT count(*) FROM tide_pending", "0");
	fake_is(server.db, "SELECT group_concat(id || a) FROM row", "p8second");
	fake_ok("a row that no trigger saw coming, and that was edited since, is new");
	end();
}

/* A version that was refused is tried again before the rows are compared. */
static void
test_recheck_refused(void)
{
	open_device();
	SYNC(LAST(PLAN("p1"), "", "c1"));
	fake_sql(db, "CREATE TRIGGER app BEFORE UPDATE ON plan WHEN NEW.a = 'ugly' BEGIN SELECT RAISE(ABORT, 'ugly'); END");
	SYNC(LAST(ROW("p1", "ugly", "21"), "", "c2"));
	is("SELECT count(*) FROM tide_refused", "1");
	fake_sql(db, "DROP TRIGGER app; DROP TRIGGER tide_plan_after_update;"
			 "UPDATE plan SET a = 'mine', stamp = '2022-01-01T00:00:00.000Z'");
	SYNC(LAST(ROW("p1", "ugly", "21"), "", "c3"), LAST("", "", "c4"));
	is("SELECT a || (SELECT count(*) FROM tide_refused) FROM plan", "mine0");
	fake_is(server.db, "SELECT a FROM row WHERE id = 'p1'", "mine");
	fake_ok("an edit that no trigger saw is not written over by what was refused before it");
	end();
}

/* The same in the tables of an app that are synced for the first time. */
static void
test_attaching_edited(void)
{
	fake_open(&server);
	check(sqlite3_open(":memory:", &db) == SQLITE_OK);
	fake_sql(db, "CREATE TABLE plan (id TEXT NOT NULL PRIMARY KEY, owner TEXT, a TEXT, stamp TEXT, client TEXT);"
			 "INSERT INTO plan (id, owner, a) VALUES ('p1', 'ann', 'here'), ('p2', 'ann', 'here'), ('p3', 'ann', 'here')");
	check(tide_attach(db, &t) == TIDE_OK);
	check(tide_setup(t, "{\"server\":\"http://fake\",\"attach\":true}") == TIDE_OK);
	check(tide_set_token(t, fake_token) == TIDE_OK);
	check(sync_pages((const char *const[]) {MORE("", "", "c1"),
		"!{\"error\":{\"code\":\"x\",\"message\":\"stop\"}}", NULL}) == TIDE_REFUSED);
	fake_sql(db, "UPDATE plan SET a = 'edited' WHERE id IN ('p1', 'p2')");
	SYNC(LAST("{\"id\":\"p1\",\"owner\":\"ann\",\"a\":\"theirs\",\"stamp\":null,\"client\":null}", "", "c2"),
		 LAST("", "", "c3"));
	plans_are("p1,p2,p3");
	is("SELECT count(*) FROM tide_pending", "0");
	fake_is(server.db, "SELECT group_concat(id || a) FROM (SELECT * FROM row ORDER BY id)", "p1edited,p2edited,p3here");
	fake_is(server.db, "SELECT group_concat(instr(body, '_base')) FROM receipt", "0");
	fake_ok("rows of an app's own that are edited before the server's have come are no edits of those");
	end();
}

/* The server's version comes back to what the edit was made upon. */
static void
test_theirs(void)
{
	open_device();
	SYNC(LAST(PLAN("p1"), "", "c1"));
	fake_sql(db, "UPDATE plan SET a = 'bad' WHERE id = 'p1'");
	/* refused, so it stays */
	SYNC(LAST("", "", "c2"));
	is("SELECT state FROM tide_pending", "retry");
	SYNC(DELETED(GONE("p1"), "c3"));
	SYNC(LAST(PLAN("p1"), "", "c4"));
	check(tide_discard(t, "plan", "p1") == TIDE_OK);
	is("SELECT a FROM plan", "x");
	fake_ok("a row that went and came back is there after a discard");
	end();
}

/* What rules of the app's refuse. */
static void
test_refused(void)
{
	open_device();
	SYNC(LAST(PLAN("p1"), "", "c1"));
	fake_sql(db, "CREATE TRIGGER app BEFORE UPDATE ON plan WHEN NEW.a = 'ugly' BEGIN SELECT RAISE(ABORT, 'ugly'); END;"
			 "CREATE TRIGGER app2 BEFORE INSERT ON plan WHEN NEW.a = 'ugly' BEGIN SELECT RAISE(ABORT, 'ugly'); END");
	SYNC(MORE(ROW("p1", "ugly", "21"), "", "c2"), LAST(ROW("p1", "fine", "22"), "", "c3"));
	is("SELECT count(*) FROM tide_refused", "0");
	is("SELECT a FROM plan", "fine");
	fake_sql(db, "DROP TRIGGER app; DROP TRIGGER app2");
	SYNC(LAST("", "", "c4"));
	is("SELECT a FROM plan", "fine");
	fake_ok("a version that was refused does not come back over a later one of the same pull");
	end();

	open_device();
	SYNC(LAST(PLAN("p1"), "", "c1"));
	fake_sql(db, "CREATE TRIGGER app BEFORE INSERT ON plan WHEN NEW.a = 'ugly' BEGIN SELECT RAISE(ABORT, 'ugly'); END");
	SYNC(LAST(ROW("p2", "ugly", "21"), "", "c2"));
	is("SELECT count(*) FROM tide_refused", "1");
	SYNC(LAST(PLAN("p1"), RESET_PLANS, "c3"));
	fake_sql(db, "DROP TRIGGER app");
	SYNC(LAST("", "", "c4"));
	plans_are("p1");
	fake_ok("... nor when the type came in full without the row");
	end();

	open_device();
	SYNC(LAST(PLAN("p1"), "", "c1"));
	fake_sql(db, "CREATE TRIGGER app BEFORE INSERT ON plan WHEN NEW.a = 'ugly' BEGIN SELECT RAISE(ABORT, 'ugly'); END");
	SYNC(LAST(ROW("p2", "ugly", "21"), "", "c2"));
	is("SELECT count(*) FROM tide_refused", "1");
	SYNC("{\"changesByType\":{},\"deletedByType\":{},\"revokedScopes\":[\"ann\"],\"reset\":false,"
		 "\"cursor\":\"c3\",\"hasMore\":false}");
	is("SELECT count(*) FROM tide_refused", "0");
	plans_are("");
	fake_ok("... nor is it kept of a scope that is revoked");
	end();

	open_device();
	SYNC(LAST(PLAN("p1") "," PLAN("p2"), "", "c1"));
	fake_sql(db, "CREATE TRIGGER app BEFORE DELETE ON plan WHEN OLD.id = 'p1' BEGIN SELECT RAISE(ABORT, 'kept'); END");
	SYNC(LAST("", RESET_PLANS, "c2"));
	plans_are("p1");
	is("SELECT count(*) FROM tide_refused", "1");
	fake_sql(db, "DROP TRIGGER app");
	SYNC(LAST("", "", "c3"));
	plans_are("");
	fake_ok("a row that a rule of the app's keeps from being dropped stops no pull, and is tried again");
	end();

	open_device();
	SYNC(LAST(PLAN("p1") "," PLAN("p2"), "", "c1"));
	fake_sql(db, "CREATE TRIGGER app BEFORE DELETE ON plan WHEN OLD.id = 'p2' BEGIN SELECT RAISE(FAIL, 'kept'); END;"
			 "UPDATE plan SET a = 'bad mine'");
	SYNC(LAST("", RESET_PLANS, "c2"));
	is("SELECT group_concat(key || ' ' || state || ' ' || code, ', ') FROM (SELECT * FROM tide_pending ORDER BY key)",
	   "p1 parked resync_required, p2 parked resync_required");
	is("SELECT group_concat(id || a) FROM (SELECT * FROM plan ORDER BY id)", "p1bad mine,p2bad mine");
	check(tide_discard(t, "plan", "p1") == TIDE_OK);
	plans_are("p2");
	fake_ok("... nor does it if it is edited: the edit is parked where it is");
	end();
}

int
main(void)
{
	void		(*tests[]) (void) = {test_first_sync, test_stream, test_staged_before_reset, test_malformed_cursor, test_batch_taken,
	test_unavailable, test_recheck_unavailable, test_recheck_twice,
	test_recheck_edited, test_recheck_refused, test_attaching_edited, test_theirs, test_refused};
	size_t		i;

	alarm(120);					/* nothing here takes long, unless it hangs */
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tests[i] ();
	puts("1..22");
	return 0;
}
