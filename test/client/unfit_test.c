/*
 * unfit_test.c
 *	  Types and columns of the server that the file cannot have.
 *	  test/client/unfit.t runs it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop/handle.h"
#include "one_device.h"

static int64_t now = 1600000000000;
static int	schemas;			/* requests for one */
static bool refreshed;			/* a pull asked for a type in full */

#define COLUMN(name) "{\"name\":\"" name "\",\"type\":\"text\",\"nullable\":true,\"writable\":true,\"default\":false}"
#define TYPE(name, columns) \
	"\"" name "\":{\"key\":[\"id\"],\"scope\":\"owner\",\"modifiedAt\":\"stamp\",\"clientId\":\"client\"," \
	"\"version\":null,\"deletedAt\":null,\"parents\":[],\"references\":[],\"conflict\":\"last_write_wins\"," \
	"\"columns\":[" COLUMN("id") "," COLUMN("owner") "," COLUMN("a") "," COLUMN("stamp") "," \
	COLUMN("client") columns "]}"
#define SCHEMA(types) "{\"protocol\":1,\"entityTypes\":{" types "}}"
#define PLAIN SCHEMA(TYPE("plan", "") "," TYPE("item", ""))
#define PAGE(changes) "{\"changesByType\":{" changes "},\"deletedByType\":{},\"cursor\":\"c9\",\"hasMore\":false}"
#define ROW(rest) "{\"id\":\"r1\",\"owner\":\"ann\",\"a\":\"x\",\"stamp\":\"2020-01-01T00:00:00.000Z\",\"client\":null" rest "}"

/* What the server has become. */
typedef struct Become
{
	const char *schema;
	const char *page;			/* of each pull; NULL: what is usual */
} Become;

static FakeChoice
answer_become(void *arg, const tide_step *step, FakeAnswer *answer)
{
	const Become *become = arg;

	refreshed = refreshed || (step->body && strstr(step->body, "\"refresh\":["));
	if (strstr(step->url, "/sync/schema"))
	{
		schemas++;
		answer->headers = "ETag: \"x\"\r\n";
		if (strstr(step->headers, "If-None-Match"))
			answer->status = 304;
		else
			buffer_text(&answer->body, become->schema);
		return FAKE_ANSWERED;
	}
	if (strstr(step->url, "/sync/pull") == NULL || become->page == NULL)
		return FAKE_USUAL;
	buffer_text(&answer->body, become->page);
	return FAKE_ANSWERED;
}

/* A sync of this schema, and of pulls that bring this, or what is usual. */
static int
sync_of(const char *schema, const char *page)
{
	Become		become = {schema, page};

	schemas = 0;
	refreshed = false;
	return fake_sync_by(&server, t, now, answer_become, &become);
}

/* The server's schema has become another one. */
static int
sync_anew(const char *schema, const char *page)
{
	fake_sql(db, "DELETE FROM tide_settings WHERE name = 'schema_etag'");
	return sync_of(schema, page);
}

static void
begin(void)
{
	open_device();
	check(sync_of(PLAIN, NULL) == TIDE_OK);
	fake_sql(db, "INSERT INTO plan (id, owner, a) VALUES ('p1', 'ann', 'mine');"
			 "INSERT INTO item (id, owner, a) VALUES ('i1', 'ann', 'mine')");
}

/* A new type is left out, for a reason with this in it; all else goes. */
static void
is_left_out(const char *schema, const char *why)
{
	char	   *warning;

	begin();
	check(sync_anew(schema, NULL) == TIDE_OK);
	warning = fake_value(db, "SELECT warning FROM tide_status");
	if (!strstr(warning, why))
		fprintf(stderr, "%s\n", warning);
	check(strstr(warning, "\"gadget\" is left out") && strstr(warning, why));
	free(warning);
	is("SELECT count(*) FROM tide_pending", "0");
	fake_is(server.db, "SELECT count(*) FROM row", "2");
	/* its rows are no reason to ask for the schema again */
	check(sync_of(schema, PAGE("\"gadget\":[" ROW("") "],\"item\":[" ROW("") "]")) == TIDE_OK);
	check(schemas == 1);
	is("SELECT count(*) FROM item", "2");
	check(sync_anew(PLAIN, NULL) == TIDE_OK);
	is("SELECT coalesce(warning, '-') FROM tide_status", "-");
	end();
}

/* A schema with a gadget of so many more columns. */
static char *
wide_schema(int columns)
{
	Buffer		text = {0};
	int			i;

	buffer_text(&text, "{\"protocol\":1,\"entityTypes\":{" TYPE("plan", "") "," TYPE("item", "") ",");
	buffer_text(&text, TYPE("gadget", ""));
	buffer_truncate(&text, text.length - 2);
	for (i = 0; i < columns; i++)
		buffer_format(&text, "," "{\"name\":\"c%d\",\"type\":\"text\",\"nullable\":true,\"writable\":true,\"default\":false}", i);
	buffer_text(&text, "]}}}");
	check(!text.failed);
	return text.data;
}

static void
test_new_types(void)
{
	char	   *wide = wide_schema(1100);

	is_left_out(SCHEMA(TYPE("plan", "") "," TYPE("gadget", "," COLUMN("A")) "," TYPE("item", "")), "have the same name in SQLite");
	is_left_out(SCHEMA(TYPE("gadget", "," COLUMN("tide_operation")) "," TYPE("plan", "") "," TYPE("item", "")), "one of ours");
	is_left_out(wide, "more than SQLite can compare");
	sqlite3_free(wide);
	fake_ok("a new type that the file cannot have is left out, and all else goes on");
	wide = wide_schema(990);
	begin();
	check(sync_anew(wide, NULL) == TIDE_OK);
	fake_sql(db, "INSERT INTO gadget (id, owner) VALUES ('g1', 'ann'); UPDATE gadget SET c989 = 'x';"
			 "UPDATE gadget SET id = 'g2'; DELETE FROM gadget");
	is("SELECT coalesce(warning, '-') FROM tide_status", "-");
	check(sync_of(wide, PAGE("\"gadget\":[" ROW("") "]")) == TIDE_OK);
	is("SELECT count(*) FROM gadget", "1");
	sqlite3_free(wide);
	end();
	fake_ok("one of many columns is not");
}

#define GADGETS SCHEMA(TYPE("plan", "") "," TYPE("item", "") "," TYPE("gadget", ""))

/* The app has a table of the name; then it has another one. */
static void
test_table_in_the_way(void)
{
	begin();
	fake_sql(db, "CREATE TABLE gadget (x)");
	check(sync_anew(GADGETS, NULL) == TIDE_OK);
	is("SELECT warning FROM tide_status",
	   "entity type \"gadget\" is left out: there is a table \"gadget\" in this file already");
	is("SELECT count(*) FROM tide_pending", "0");
	check(sync_of(GADGETS, NULL) == TIDE_OK && schemas == 1);
	fake_sql(db, "ALTER TABLE gadget RENAME TO my_gadget");
	check(sync_of(GADGETS, PAGE("\"gadget\":[" ROW("") "]")) == TIDE_OK);
	check(refreshed);
	is("SELECT count(*) FROM gadget", "1");
	is("SELECT coalesce(warning, '-') FROM tide_status", "-");
	end();
	fake_ok("a table in the way is told; once it is out of the way, all of the type comes");
}

#define WORSE SCHEMA(TYPE("plan", "," COLUMN("A")) "," TYPE("item", ""))

/* A type that did fit. */
static void
test_new_column(void)
{
	begin();
	check(sync_anew(WORSE, NULL) == TIDE_OK);
	is("SELECT warning FROM tide_status", "entity type \"plan\" is left out:"
	   " columns \"a\" and \"A\" of \"plan\" have the same name in SQLite");
	is("SELECT group_concat(key) FROM tide_pending", "p1");
	check(sync_of(WORSE, PAGE("\"plan\":[" ROW(",\"A\":\"y\"") "]")) == TIDE_OK && schemas == 1);
	is("SELECT group_concat(id) FROM plan", "p1");
	check(sync_anew(PLAIN, NULL) == TIDE_OK);
	check(refreshed);
	is("SELECT count(*) FROM tide_pending", "0");
	is("SELECT coalesce(warning, '-') FROM tide_status", "-");
	end();
	fake_ok("one that did fit keeps its rows and edits, and comes in full when it fits again");
}

#define WIDER SCHEMA(TYPE("plan", "," COLUMN("room")) "," TYPE("item", ""))

/* SQLite does not list a generated column among those that a table has. */
static void
test_generated_column(void)
{
	begin();
	fake_sql(db, "ALTER TABLE plan ADD COLUMN room TEXT AS (a || '!')");
	check(sync_anew(WIDER, NULL) == TIDE_OK);
	is("SELECT warning FROM tide_status", "entity type \"plan\" is left out: the column \"room\" of"
	   " the table \"plan\" is a generated one, and the server has a column of that name");
	is("SELECT code || ': ' || message FROM tide_pending", "not_available: the entity type is left out,"
	   " for the file cannot have what the server has of it");
	fake_sql(db, "ALTER TABLE plan DROP COLUMN room");
	check(sync_of(WIDER, PAGE("\"plan\":[" ROW(",\"room\":\"gym\"") "]")) == TIDE_OK);
	check(refreshed);
	is("SELECT group_concat(room) FROM plan", "gym");
	is("SELECT coalesce(warning, '-') FROM tide_status", "-");
	end();
	fake_ok("a generated column in the way is named, and edits are said to wait for it");
}

/* A file that is wiped is in use no less. */
static void
test_wiped(void)
{
	begin();
	check(sync_anew(WORSE, NULL) == TIDE_OK);
	check(tide_logout(t, TIDE_LOGOUT_WIPE | TIDE_LOGOUT_FORCE) == TIDE_OK);
	tide_close(t);
	check(tide_attach(db, &t) == TIDE_OK);
	check(tide_set_token(t, fake_token) == TIDE_OK);
	check(sync_of(WORSE, PAGE("\"plan\":[" ROW(",\"A\":\"y\"") "]")) == TIDE_OK && schemas == 1);
	is("SELECT warning LIKE 'entity type \"plan\" is left out:%' FROM tide_status", "1");
	check(sync_anew(PLAIN, PAGE("\"plan\":[" ROW("") "]")) == TIDE_OK);
	check(refreshed);
	is("SELECT group_concat(id) FROM plan", "r1");
	is("SELECT coalesce(warning, '-') FROM tide_status", "-");
	end();
	fake_ok("what is left out of a file is so after a wipe, too, and comes in full when it fits");
}

/* What is wrong with the file itself is said as ever. */
static void
test_refused(void)
{
	fake_open(&server);
	fake_device(&db, &t);
	fake_sql(db, "CREATE TABLE plan (x)");
	check(sync_of(PLAIN, NULL) == TIDE_LOCAL);
	check(strcmp(tide_error_code(t), "table_exists") == 0);
	end();
	begin();
	fake_sql(db, "DROP TABLE plan");
	check(sync_anew(PLAIN, NULL) == TIDE_LOCAL);
	end();
	fake_ok("a new file is refused, and so is one that has lost a table");
}

int
main(void)
{
	alarm(100);					/* nothing here takes long, unless it hangs */
	test_new_types();
	test_table_in_the_way();
	test_new_column();
	test_generated_column();
	test_wiped();
	test_refused();
	puts("1..7");
	return 0;
}
