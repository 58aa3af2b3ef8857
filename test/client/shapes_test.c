/*
 * shapes_test.c
 *	  Answers that are JSON of another form than ours: what stands in the wrong
 *	  place, is missing, or never ends.  test/client/shapes.t runs it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "loop/handle.h"
#include "one_device.h"

static int64_t now = 1600000000000;

/*
 * The requests whose path has this get these bodies, in turn, the last of them
 * for ever; all others what is usual.
 */
typedef struct Canned
{
	const char *path;
	int			status;
	const char *headers;
	const char *bodies[4];
} Canned;

#define ROW "{\"id\":\"p1\",\"owner\":\"ann\",\"a\":\"x\",\"stamp\":\"2020-01-01T00:00:00.000Z\",\"client\":null}"
#define PAGE(changes, deleted, rest, cursor, more) \
	"{\"changesByType\":" changes ",\"deletedByType\":" deleted "," rest \
	"\"cursor\":\"" cursor "\",\"hasMore\":" more "}"
#define CHANGES(changes) PAGE(changes, "{}", "", "c1", "false")

typedef struct Given
{
	const Canned *canned;
	const char *const *body;	/* the next */
	int			requests;
} Given;

static FakeChoice
answer_canned(void *arg, const tide_step *step, FakeAnswer *answer)
{
	Given	   *given = arg;
	const Canned *canned = given->canned;

	check(given->requests++ < 30);
	if (step->listens)
		return FAKE_END;
	if (strstr(step->url, canned->path) == NULL)
		return FAKE_USUAL;
	if (canned->status)
		answer->status = canned->status;
	answer->headers = canned->headers;
	buffer_text(&answer->body, *given->body);
	given->body += given->body[1] != NULL;
	return FAKE_ANSWERED;
}

/* A sync, which must come to an end. */
static int
sync_with(const Canned *canned)
{
	Given		given = {canned, canned->bodies, 0};

	return fake_sync_by(&server, t, now, answer_canned, &given);
}

#define sync_pull(...) sync_with(&(Canned) {"/sync/pull", 200, NULL, {__VA_ARGS__}})
#define sync_schema(...) sync_with(&(Canned) {"/sync/schema", 200, NULL, {__VA_ARGS__}})

/* The server is not understood, and says so; the file is as it was. */
static void
is_refused(int code)
{
	if (code != TIDE_REFUSED || strcmp(tide_error_code(t), "bad_reply") != 0)
		fprintf(stderr, "%d %s: %s\n", code, tide_error_code(t), tide_error(t));
	check(code == TIDE_REFUSED && strcmp(tide_error_code(t), "bad_reply") == 0);
	is("SELECT count(*) FROM tide_stage", "0");
	is("SELECT count(*) FROM tide_refused", "0");
}

/* What steps from name to name must not be led through an array. */
static void
test_steps(void)
{
	static const char text[] = "[\"a\",{\"b\":[1]},[\"c\"]]";
	const JsonNode *at;
	Json		json;

	check(json_parse(&json, text, strlen(text)));
	check(json_first_name(&json, json.nodes) == NULL && json_count(&json, json.nodes) == 3);
	at = json_next(&json, json.nodes, json_first(&json, json.nodes));
	check(json_first(&json, at) == NULL && json_count(&json, at) == 1);
	check(json_is(&json, json_first_name(&json, at), "b"));
	check(json_first(&json, at + 1) == NULL && json_first_name(&json, at + 1) == NULL);
	json_free(&json);
	fake_ok("names are an object's, elements an array's");
}

static const char *const pages[] = {
	"[]", "5", "null",
	CHANGES("[\"plan\"]"), CHANGES("[[]]"), CHANGES("5"), CHANGES("\"plan\""),
	CHANGES("{\"plan\":{\"id\":\"p9\"}}"), CHANGES("{\"plan\":\"p9\"}"),
	CHANGES("{\"plan\":[[\"id\"]]}"), CHANGES("{\"plan\":[[]]}"), CHANGES("{\"plan\":[5]}"),
	CHANGES("{\"plan\":[{}]}"), CHANGES("{\"plan\":[null]}"), CHANGES("{\"plan\":[\"p9\"]}"),
	CHANGES("{\"plan\":[{\"owner\":\"ann\"}]}"), CHANGES("{\"plan\":[{\"id\":null}]}"),
	CHANGES("{\"plan\":[" ROW ",{\"owner\":\"ann\"}]}"),
	PAGE("{}", "[\"plan\"]", "", "c1", "false"), PAGE("{}", "{\"plan\":[null]}", "", "c1", "false"),
	PAGE("{}", "{\"plan\":[{}]}", "", "c1", "false"), PAGE("{}", "{\"plan\":[[\"p1\"]]}", "", "c1", "false"),
	PAGE("{}", "{}", "\"revokedScopes\":[null],", "c1", "false"),
	PAGE("{}", "{}", "\"revokedScopes\":{\"a\":1},", "c1", "false"),
	PAGE("{}", "{}", "\"resetTypes\":[null],", "c1", "false"),
	PAGE("{}", "{}", "\"resetTypes\":[[\"plan\"]],", "c1", "false"),
	PAGE("{}", "{}", "\"unavailableTypes\":[null],", "c1", "false"),
	PAGE("{}", "{}", "\"unavailableTypes\":\"plan\",", "c1", "false"),
	"{\"changesByType\":{},\"deletedByType\":{},\"cursor\":[],\"hasMore\":false}",
};

static void
test_pages(void)
{
	size_t		i;

	open_device();
	check(sync_pull(CHANGES("{\"plan\":[" ROW "]}")) == TIDE_OK);
	for (i = 0; i < sizeof(pages) / sizeof(*pages); i++)
	{
		is_refused(sync_pull(pages[i]));
		is("SELECT group_concat(id) FROM plan", "p1");
		is("SELECT value FROM tide_settings WHERE name = 'cursor'", "c1");
	}
	fake_ok("a page of another form than ours is not understood, and leaves the file as it was");
	check(fake_sync(&server, t, now) == TIDE_OK);
	end();
}

/* The same row amid a pull, where it would be staged. */
static void
test_staged(void)
{
	open_device();
	check(sync_pull(CHANGES("{\"plan\":[" ROW "]}")) == TIDE_OK);
	is_refused(sync_pull(PAGE("{\"plan\":[5]}", "{}", "", "c2", "true")));
	is_refused(sync_pull(PAGE("{}", "{\"plan\":[{\"owner\":\"ann\"}]}", "", "c2", "true")));
	check(sync_pull(PAGE("{}", "{}", "", "c2", "true"), PAGE("{}", "{}", "", "c3", "false")) == TIDE_OK);
	is("SELECT group_concat(id) FROM plan", "p1");
	fake_ok("... also where more is to come: nothing of it is staged");
	end();
}

/* What an earlier version has staged, or kept as refused, of such rows. */
static void
test_spoiled(void)
{
	static const char *const rows[] = {"5", "{\"owner\":\"ann\"}", "not JSON"};
	size_t		i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
	{
		char	   *sql = sqlite3_mprintf("INSERT INTO tide_stage (entity_type, deleted, row) VALUES ('plan', 0, %Q);"
										  "INSERT INTO tide_settings VALUES ('stage_cursor', 'c2');"
										  "INSERT INTO tide_refused VALUES ('plan', 'p9', 0, %Q, 'x')", rows[i], rows[i]);

		open_device();
		check(sync_pull(CHANGES("{\"plan\":[" ROW "]}")) == TIDE_OK);
		fake_sql(db, sql);
		sqlite3_free(sql);
		/* the page after the stage, and then what comes from the start */
		check(sync_pull(PAGE("{}", "{}", "", "c3", "false"),
						CHANGES("{\"plan\":[{\"id\":\"p2\",\"owner\":\"ann\"}]}")) == TIDE_OK);
		is("SELECT group_concat(id) FROM plan", "p2");
		is("SELECT count(*) FROM tide_stage", "0");
		is("SELECT count(*) FROM tide_refused", "0");
		end();
	}
	fake_ok("what was staged and cannot be read stops no sync: all of it comes again");
}

#define BEGIN "{\"begin\":{\"reset\":false}}\n"
#define END "{\"end\":true,\"cursor\":\"c3\",\"hasMore\":false}\n"

static void
test_lines(void)
{
	static const char *const streams[] = {
		BEGIN "{\"type\":\"plan\",\"row\":5}\n" END,
		BEGIN "{\"type\":\"plan\",\"row\":[\"id\"]}\n" END,
		BEGIN "{\"type\":\"plan\",\"row\":{}}\n" END,
		BEGIN "{\"type\":\"plan\",\"row\":{\"owner\":\"ann\"}}\n{\"cursor\":\"c2\"}\n" END,
		BEGIN "{\"type\":\"plan\",\"deleted\":{}}\n" END,
		"{\"begin\":[\"revokedScopes\"]}\n" END,
		"{\"begin\":{\"revokedScopes\":[null]}}\n" END,
	};
	size_t		i;

	for (i = 0; i < sizeof(streams) / sizeof(*streams); i++)
	{
		open_device();
		is_refused(sync_pull(streams[i]));
		check(fake_sync(&server, t, now) == TIDE_OK);
		is("SELECT count(*) FROM plan", "0");
		end();
	}
	fake_ok("nor are lines of another form in a stream");
}

/* A server that always has more, and never what comes after it. */
static void
test_endless(void)
{
	open_device();
	check(sync_pull(PAGE("{\"plan\":[" ROW "]}", "{}", "", "c1", "true")) == TIDE_REFUSED);
	check(strcmp(tide_error_code(t), "bad_reply") == 0);
	check(fake_sync(&server, t, now) == TIDE_OK);
	is_refused(sync_pull(PAGE("{}", "{}", "", "c0", "true")));
	check(sync_pull(PAGE("{}", "{}", "\"reset\":true,", "c1", "true")) == TIDE_REFUSED);
	check(fake_sync(&server, t, now) == TIDE_OK);
	/* a reset may go back to where we are */
	check(sync_pull(PAGE("{}", "{}", "\"reset\":true,", "c0", "true"), PAGE("{}", "{}", "", "c1", "false")) == TIDE_OK);
	fake_ok("a server that always has more, from the same cursor, is not asked for ever");
	end();
}

/* Something else answers in the server's place. */
static void
test_elsewhere(void)
{
	static const char *const paths[] = {"/sync/schema", "/sync/pull", "/sync/push"};
	static const int statuses[] = {200, 302, 403, 404};
	size_t		p,
				s;

	for (p = 0; p < 3; p++)
	{
		for (s = 0; s < 5; s++)
		{
			Canned		canned = {paths[p], statuses[s % 4], NULL, {s == 4 ? "" : "<html>log in</html>"}};
			Canned		denied = {paths[p], 403, NULL, {"{\"error\":{\"code\":\"forbidden\",\"message\":\"no\"}}"}};

			open_device();
			check(fake_sync(&server, t, now) == TIDE_OK);
			fake_sql(db, "INSERT INTO plan (id, owner) VALUES ('p2', 'ann')");
			check(sync_with(&canned) == TIDE_REFUSED);
			check(tide_listen(t, 1) == TIDE_OK);
			check(sync_with(&canned) == TIDE_OFFLINE);
			is("SELECT state FROM tide_status", "offline");
			check(tide_network_is_back(t) == TIDE_OK);
			check(sync_with(&denied) == TIDE_REFUSED);
			check(tide_listen(t, 0) == TIDE_OK);
			check(fake_sync(&server, t, now) == TIDE_OK);
			is("SELECT count(*) FROM tide_pending", "0");
			end();
		}
	}
	fake_ok("who listens waits for the server when something else answers");
}

#define VERDICT(rest) \
	"{\"succeeded\":[{\"entityType\":\"plan\",\"status\":\"applied\"," rest "}],\"failed\":[],\"ack\":\"a\"}"

/* A verdict that does not say what stands is none: the row stays, and goes again. */
static void
test_verdicts(void)
{
	static const char *const verdicts[] = {
		VERDICT("\"entityId\":\"p2\""), VERDICT("\"entityId\":\"p2\",\"entity\":null"),
		VERDICT("\"entityId\":\"p2\",\"entity\":[]"), VERDICT("\"entityId\":\"p2\",\"entity\":{}"),
		VERDICT("\"entityId\":\"p2\",\"entity\":{\"owner\":\"ann\",\"a\":\"x\"}"),
		VERDICT("\"entityId\":\"p2\",\"entity\":{\"id\":null,\"a\":\"x\"}"),
		VERDICT("\"entityId\":null,\"entity\":" ROW), VERDICT("\"entityId\":[\"p2\"],\"entity\":" ROW),
		"{\"succeeded\":[5,null,[]],\"failed\":[\"x\",{\"entityType\":\"plan\",\"entityId\":null}]}",
	};
	size_t		i;

	for (i = 0; i < sizeof(verdicts) / sizeof(*verdicts); i++)
	{
		open_device();
		check(fake_sync(&server, t, now) == TIDE_OK);
		fake_sql(db, "INSERT INTO plan (id, owner, a) VALUES ('p2', 'ann', 'mine');"
				 "INSERT INTO tide_refused VALUES ('plan', 'p9', 0, '" ROW "', 'x')");
		check(sync_with(&(Canned) {"/sync/push", 200, NULL, {verdicts[i]}}) == TIDE_OK);
		is("SELECT a FROM plan WHERE id = 'p2'", "mine");
		is("SELECT key || state || code FROM tide_pending", "p2retryno_verdict");
		is("SELECT count(*) FROM tide_batch", "0");
		now += 60000;
		check(fake_sync(&server, t, now) == TIDE_OK);
		is("SELECT count(*) FROM tide_pending", "0");
		end();
	}
	open_device();
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(db, "INSERT INTO plan (id, owner) VALUES ('p2', 'ann')");
	check(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(db, "DELETE FROM plan");
	check(sync_with(&(Canned) {"/sync/push", 200, NULL, {VERDICT("\"entityId\":\"p2\"")}}) == TIDE_OK);
	is("SELECT (SELECT count(*) FROM plan) + (SELECT count(*) FROM tide_pending)", "0");
	end();
	fake_ok("a verdict without the row that stands removes none, and ends its batch");
}

#define SCHEMA(rest) "{\"protocol\":1,\"entityTypes\":" rest "}"
#define COLUMNS "\"columns\":[{\"name\":\"id\",\"type\":\"text\"}]"

static void
test_schemas(void)
{
	static const char *const schemas[] = {
		"[]", "5", SCHEMA("[\"plan\"]"), SCHEMA("[]"), SCHEMA("5"), SCHEMA("{\"plan\":[\"key\"]}"),
		SCHEMA("{\"plan\":{\"key\":[\"id\"],\"columns\":{\"name\":\"id\",\"type\":\"text\"}}}"),
		/* of an object's members only the names were counted, but all were read */
		SCHEMA("{\"plan\":{\"key\":{\"id\":\"id\",\"id\":\"id\",\"id\":\"id\"}," COLUMNS "}}"),
		SCHEMA("{\"plan\":{\"key\":[null]," COLUMNS "}}"),
	};
	size_t		i;

	for (i = 0; i < sizeof(schemas) / sizeof(*schemas); i++)
	{
		open_device();
		check(sync_schema(schemas[i]) == TIDE_REFUSED);
		check(strcmp(tide_error_code(t), "bad_schema") == 0);
		is("SELECT count(*) FROM tide_types", "0");
		check(fake_sync(&server, t, now) == TIDE_OK);
		end();
	}
	open_device();
	check(sync_schema(SCHEMA("{\"plan\":{\"key\":[\"id\"],\"parents\":{\"a\":\"b\",\"c\":\"d\",\"e\":\"f\"}," COLUMNS "}}")) == TIDE_OK);
	end();
	fake_ok("a schema of another form is not understood");
}

static void
test_maps(void)
{
	static const char *const maps[] = {
		"{\"plan\":[\"columns\"]}", "{\"plan\":5}", "{\"plan\":{\"columns\":[\"j\"]}}",
		"{\"plan\":{\"columns\":\"j\"}}", "{\"plan\":{\"columns\":[[\"j\"]]}}",
	};
	size_t		i;

	for (i = 0; i < sizeof(maps) / sizeof(*maps); i++)
	{
		char	   *options = sqlite3_mprintf("{\"server\":\"http://fake\",\"attach\":true,\"map\":%s}", maps[i]);

		fake_open(&server);
		check(sqlite3_open(":memory:", &db) == SQLITE_OK);
		fake_sql(db, "CREATE TABLE plan (id TEXT NOT NULL PRIMARY KEY, a TEXT)");
		check(tide_attach(db, &t) == TIDE_OK && tide_setup(t, options) == TIDE_OK);
		check(tide_set_token(t, fake_token) == TIDE_OK);
		check(fake_sync(&server, t, now) == TIDE_USAGE);
		check(strcmp(tide_error_code(t), "bad_map") == 0);
		sqlite3_free(options);
		end();
	}
	fake_open(&server);
	check(sqlite3_open(":memory:", &db) == SQLITE_OK && tide_attach(db, &t) == TIDE_OK);
	check(tide_setup(t, "{\"server\":\"http://fake\",\"entityTypes\":[null]}") == TIDE_USAGE);
	check(tide_setup(t, "{\"server\":\"http://fake\",\"scopes\":[[\"a\"]]}") == TIDE_USAGE);
	end();
	fake_ok("nor is such a map, nor are such lists");
}

int
main(void)
{
	void		(*tests[]) (void) = {test_steps, test_pages, test_staged, test_spoiled, test_lines,
	test_endless, test_elsewhere, test_verdicts, test_schemas, test_maps};
	size_t		i;

	alarm(60);					/* nothing here takes long, unless it hangs */
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tests[i] ();
	puts("1..10");
	return 0;
}
