/*
 * fake_server.c
 *	  A server in memory for tests of the engine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_server.h"

/* {"alg":"none"}.{"sub":"ann"}. */
const char	fake_token[] = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.";

const char	fake_rows_sql[] =
"SELECT coalesce(group_concat(line, char(10)), '') FROM (SELECT type || ' ' || id || ' ' ||"
" coalesce(a, '-') || ' ' || coalesce(parent, '-') || ' ' || stamp AS line FROM row"
" WHERE NOT deleted ORDER BY type, id)";
const char	fake_device_rows_sql[] =
"SELECT coalesce(group_concat(line, char(10)), '') FROM ("
" SELECT 'item ' || id || ' ' || coalesce(a, '-') || ' ' || coalesce(parent, '-') || ' ' || stamp AS line FROM item"
" UNION ALL SELECT 'plan ' || id || ' ' || coalesce(a, '-') || ' - ' || stamp FROM plan ORDER BY 1)";

static const char schema[] =
"{\"protocol\":1,\"entityTypes\":{"
"\"item\":{\"key\":[\"id\"],\"scope\":\"owner\",\"shared\":false,\"modifiedAt\":\"stamp\",\"clientId\":\"client\","
"\"version\":null,\"deletedAt\":null,\"parents\":[\"plan\"],\"conflict\":\"last_write_wins\","
"\"references\":[{\"columns\":[\"parent\"],\"entityType\":\"plan\",\"refColumns\":[\"id\"],\"onDelete\":\"no action\"}],"
"\"columns\":[{\"name\":\"id\",\"type\":\"text\",\"nullable\":false,\"writable\":true,\"default\":false},"
"{\"name\":\"owner\",\"type\":\"text\",\"nullable\":false,\"writable\":true,\"default\":false},"
"{\"name\":\"a\",\"type\":\"text\",\"nullable\":true,\"writable\":true,\"default\":false},"
"{\"name\":\"parent\",\"type\":\"text\",\"nullable\":true,\"writable\":true,\"default\":false},"
"{\"name\":\"stamp\",\"type\":\"timestamp with time zone\",\"nullable\":true,\"writable\":true,\"default\":false},"
"{\"name\":\"client\",\"type\":\"text\",\"nullable\":true,\"writable\":true,\"default\":false}]},"
"\"plan\":{\"key\":[\"id\"],\"scope\":\"owner\",\"shared\":false,\"modifiedAt\":\"stamp\",\"clientId\":\"client\","
"\"version\":null,\"deletedAt\":null,\"parents\":[],\"conflict\":\"last_write_wins\",\"references\":[],"
"\"columns\":[{\"name\":\"id\",\"type\":\"text\",\"nullable\":false,\"writable\":true,\"default\":false},"
"{\"name\":\"owner\",\"type\":\"text\",\"nullable\":false,\"writable\":true,\"default\":false},"
"{\"name\":\"a\",\"type\":\"text\",\"nullable\":true,\"writable\":true,\"default\":false},"
"{\"name\":\"stamp\",\"type\":\"timestamp with time zone\",\"nullable\":true,\"writable\":true,\"default\":false},"
"{\"name\":\"client\",\"type\":\"text\",\"nullable\":true,\"writable\":true,\"default\":false}]}}}";

void
fake_sql(sqlite3 * db, const char *sql)
{
	char	   *message = NULL;

	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
	{
		fprintf(stderr, "%s\n%s\n", message, sql);
		exit(1);
	}
}

char *
fake_value(sqlite3 * db, const char *sql)
{
	sqlite3_stmt *stmt;
	char	   *value = NULL;

	if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
	{
		fprintf(stderr, "%s\n%s\n", sqlite3_errmsg(db), sql);
		exit(1);
	}
	if (sqlite3_step(stmt) == SQLITE_ROW && sqlite3_column_text(stmt, 0))
		value = strdup((const char *) sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	return value ? value : strdup("");
}

void
fake_is(sqlite3 * db, const char *sql, const char *wanted)
{
	char	   *value = fake_value(db, sql);

	if (strcmp(value, wanted) != 0)
	{
		fprintf(stderr, "%s\n  is:     %s\n  wanted: %s\n", sql, value, wanted);
		exit(1);
	}
	free(value);
}

void
fake_ok(const char *what)
{
	static int	n;

	printf("ok %d - %s\n", ++n, what);
}

void
fake_open(FakeServer *server)
{
	memset(server, 0, sizeof(*server));
	server->page = 500;
	check(sqlite3_open(":memory:", &server->db) == SQLITE_OK);
	fake_sql(server->db,
			 "CREATE TABLE row (type TEXT, id TEXT, a TEXT, parent TEXT, stamp TEXT, client TEXT,"
			 " deleted INTEGER, seq INTEGER, PRIMARY KEY (type, id));"
			 "CREATE TABLE history (type TEXT, id TEXT, a TEXT);"
			 "CREATE TABLE counter (seq INTEGER);"
			 "INSERT INTO counter VALUES (0);"
			 "CREATE TABLE receipt (batch TEXT PRIMARY KEY, body TEXT, reply TEXT)");
}

void
fake_close(FakeServer *server)
{
	sqlite3_close(server->db);
}

static void
append_json_text(Buffer *out, const char *name, const char *value)
{
	buffer_format(out, "\"%s\":", name);
	if (value)
		json_string(out, value, strlen(value));
	else
		buffer_text(out, "null");
}

/* a row as it stands; deleted: its key and when */
static void
append_row(FakeServer *server, Buffer *out, const char *type, sqlite3_stmt * row)
{
	const char *text[5];
	int			i;

	for (i = 0; i < 5; i++)
		text[i] = (const char *) sqlite3_column_text(row, i);
	buffer_char(out, '{');
	append_json_text(out, "id", text[0]);
	buffer_char(out, ',');
	if (sqlite3_column_int(row, 5))
		append_json_text(out, "deletedAt", text[3]);
	else
	{
		append_json_text(out, "owner", "ann");
		buffer_char(out, ',');
		append_json_text(out, "a", text[1]);
		if (server->wide && strcmp(type, "plan") == 0)
			buffer_text(out, ",\"b\":\"wide\"");
		if (strcmp(type, "item") == 0)
		{
			buffer_char(out, ',');
			append_json_text(out, "parent", text[2]);
		}
		buffer_char(out, ',');
		append_json_text(out, "stamp", text[3]);
		buffer_char(out, ',');
		append_json_text(out, "client", text[4]);
	}
	buffer_char(out, '}');
}

static void
append_section(FakeServer *server, Buffer *out, const char *member, bool deleted,
			   long since, long until)
{
	static const char *const types[] = {"plan", "item"};
	size_t		t;

	buffer_format(out, "\"%s\":{", member);
	for (t = 0; t < 2; t++)
	{
		sqlite3_stmt *stmt;
		bool		first = true;

		sqlite3_prepare_v2(server->db, "SELECT id, a, parent, stamp, client, deleted FROM row"
						   " WHERE type = ?1 AND deleted = ?2 AND seq > ?3 AND seq <= ?4"
						   " ORDER BY seq", -1, &stmt, NULL);
		sqlite3_bind_text(stmt, 1, types[t], -1, SQLITE_STATIC);
		sqlite3_bind_int(stmt, 2, deleted);
		sqlite3_bind_int64(stmt, 3, since);
		sqlite3_bind_int64(stmt, 4, until);
		buffer_format(out, "%s\"%s\":[", t ? "," : "", types[t]);
		while (sqlite3_step(stmt) == SQLITE_ROW)
		{
			buffer_text(out, first ? "" : ",");
			append_row(server, out, types[t], stmt);
			first = false;
		}
		buffer_char(out, ']');
		sqlite3_finalize(stmt);
	}
	buffer_text(out, "},");
}

static long
number(FakeServer *server, const char *sql)
{
	char	   *text = fake_value(server->db, sql);
	long		value = strtol(text, NULL, 10);

	free(text);
	return value;
}

static void
answer_pull(FakeServer *server, const Json *json, FakeAnswer *answer)
{
	char	   *since_text = json_text(json, json_member(json, json->nodes, "since"));
	long		since = since_text ? strtol(since_text + 1, NULL, 10) : 0;
	char		sql[200];
	long		until,
				last;
	bool		reset = server->reset && since_text;

	if (reset)
	{
		since = 0;
		server->reset = false;
	}
	snprintf(sql, sizeof(sql), "SELECT coalesce(max(seq), %ld) FROM (SELECT seq FROM row"
			 " WHERE seq > %ld ORDER BY seq LIMIT %d)", since, since, server->page);
	until = number(server, sql);
	last = number(server, "SELECT coalesce(max(seq), 0) FROM row");
	buffer_char(&answer->body, '{');
	append_section(server, &answer->body, "changesByType", false, since, until);
	append_section(server, &answer->body, "deletedByType", true, since, until);
	buffer_format(&answer->body, "\"cursor\":\"c%ld\",\"hasMore\":%s,\"reset\":%s,\"revokedScopes\":[]}",
				  until, until < last ? "true" : "false", reset ? "true" : "false");
	sqlite3_free(since_text);
}

/* Rows of a page as lines, with its cursor. */
static void
append_lines(FakeServer *server, Buffer *out, long since, long until)
{
	sqlite3_stmt *stmt;

	sqlite3_prepare_v2(server->db, "SELECT id, a, parent, stamp, client, deleted, type FROM row"
					   " WHERE seq > ?1 AND seq <= ?2 ORDER BY seq", -1, &stmt, NULL);
	sqlite3_bind_int64(stmt, 1, since);
	sqlite3_bind_int64(stmt, 2, until);
	while (sqlite3_step(stmt) == SQLITE_ROW)
	{
		const char *type = (const char *) sqlite3_column_text(stmt, 6);

		buffer_format(out, "{\"type\":\"%s\",\"%s\":", type,
					  sqlite3_column_int(stmt, 5) ? "deleted" : "row");
		append_row(server, out, type, stmt);
		buffer_text(out, "}\n");
	}
	sqlite3_finalize(stmt);
}

/* All of it in one answer, a cursor after each page. */
static void
answer_lines(FakeServer *server, const Json *json, FakeAnswer *answer)
{
	char	   *since_text = json_text(json, json_member(json, json->nodes, "since"));
	long		since = since_text ? strtol(since_text + 1, NULL, 10) : 0;
	long		last = number(server, "SELECT coalesce(max(seq), 0) FROM row");
	Buffer	   *out = &answer->body;
	bool		reset = server->reset && since_text;

	if (reset)
	{
		since = 0;
		server->reset = false;
	}
	buffer_format(out, "{\"begin\":{\"reset\":%s,\"resetTypes\":[],\"revokedScopes\":[],"
				  "\"unavailableTypes\":[]}}\n", reset ? "true" : "false");
	while (since < last)
	{
		char		sql[200];
		long		until;

		snprintf(sql, sizeof(sql), "SELECT coalesce(max(seq), %ld) FROM (SELECT seq FROM row"
				 " WHERE seq > %ld ORDER BY seq LIMIT %d)", since, since, server->page);
		until = number(server, sql);
		append_lines(server, out, since, until);
		buffer_format(out, "{\"cursor\":\"c%ld\"}\n", until);
		since = until;
	}
	buffer_format(out, "{\"end\":true,\"cursor\":\"c%ld\",\"hasMore\":false}\n", since);
	sqlite3_free(since_text);
}

/* which version stands: the later, of one time the greater client */
static bool
stands(const char *stamp, const char *client, const char *other, const char *other_client)
{
	int			order = strcmp(stamp, other ? other : "");

	if (order == 0)
		order = strcmp(client, other_client ? other_client : "");
	return order > 0;
}

/* One row of a push; what became of it. */
static void
store_row(FakeServer *server, const char *type, const Json *json, const JsonNode *row,
		  const char *client, Buffer *succeeded, Buffer *failed)
{
	char	   *id = json_text(json, json_member(json, row, "id"));
	char	   *a = json_text(json, json_member(json, row, "a"));
	char	   *parent = json_text(json, json_member(json, row, "parent"));
	char	   *stamp = json_text(json, json_member(json, row, "stamp"));
	char	   *deleted = json_text(json, json_member(json, row, "deletedAt"));
	const JsonNode *base_node = json_member(json, row, "_base");
	char	   *base = json_text(json, base_node);
	char	   *sql = sqlite3_mprintf("SELECT id, a, parent, stamp, client, deleted FROM row"
									  " WHERE type = %Q AND id = %Q", type, id);
	sqlite3_stmt *now;
	bool		there,
				win;
	Buffer	   *out = succeeded;
	const char *status = "applied";

	check(id && stamp);
	sqlite3_prepare_v2(server->db, sql, -1, &now, NULL);
	sqlite3_free(sql);
	there = sqlite3_step(now) == SQLITE_ROW;
	if (a && strncmp(a, "bad", 3) == 0 && !deleted)
	{
		buffer_format(failed, "%s{\"entityType\":\"%s\",\"entityId\":\"%s\",\"entity\":null,"
					  "\"errors\":[{\"code\":\"23514\",\"message\":\"a bad one\"}]}",
					  failed->length ? "," : "", type, id);
		goto done;
	}
	win = !there || stands(stamp, client, (const char *) sqlite3_column_text(now, 3),
						   (const char *) sqlite3_column_text(now, 4)) ||
		(base && !sqlite3_column_int(now, 5) &&
		 strcmp(base, (const char *) sqlite3_column_text(now, 3)) == 0);
	sqlite3_reset(now);
	if (win)
	{
		sql = sqlite3_mprintf("UPDATE counter SET seq = seq + 1;"
							  "INSERT OR REPLACE INTO row VALUES (%Q, %Q, %Q, %Q, %Q, %Q, %d,"
							  " (SELECT seq FROM counter));"
							  "INSERT INTO history VALUES (%Q, %Q, %Q)",
							  type, id, a, parent, stamp, client, deleted != NULL,
							  type, id, deleted ? "deleted" : a);
		fake_sql(server->db, sql);
		sqlite3_free(sql);
	}
	else
		status = "superseded";
	check(sqlite3_step(now) == SQLITE_ROW);
	buffer_format(out, "%s{\"entityType\":\"%s\",\"entityId\":\"%s\",\"status\":\"%s\",\"entity\":",
				  out->length ? "," : "", type, id, status);
	append_row(server, out, type, now);
	buffer_char(out, '}');
done:
	sqlite3_finalize(now);
	sqlite3_free(id);
	sqlite3_free(a);
	sqlite3_free(parent);
	sqlite3_free(stamp);
	sqlite3_free(deleted);
	sqlite3_free(base);
}

static int
count_changes(const Json *json)
{
	const JsonNode *changes = json_member(json, json->nodes, "changes");
	const JsonNode *name;
	int			n = 0;

	for (name = json_first_name(json, changes); name; name = json_next_name(json, changes, name))
		n += (int) json_count(json, name + 1);
	return n;
}

static void
answer_push(FakeServer *server, const Json *json, const char *body, FakeAnswer *answer)
{
	const JsonNode *changes = json_member(json, json->nodes, "changes");
	const JsonNode *name,
			   *row;
	char	   *client = json_text(json, json_member(json, json->nodes, "clientId"));
	char	   *batch = json_text(json, json_member(json, json->nodes, "batchId"));
	Buffer		succeeded = {0};
	Buffer		failed = {0};
	char	   *sql = sqlite3_mprintf("SELECT reply FROM receipt WHERE batch = %Q AND body = %Q",
									  batch, body);
	char	   *first_reply = fake_value(server->db, sql);

	sqlite3_free(sql);
	check(client && batch);
	if (server->largest_push && count_changes(json) > server->largest_push)
		answer->status = 413;
	else if (*first_reply)
		buffer_text(&answer->body, first_reply);
	else
	{
		server->pushes++;
		sql = sqlite3_mprintf("SELECT 1 FROM receipt WHERE batch = %Q", batch);
		check(number(server, sql) == 0);	/* no id with another body */
		sqlite3_free(sql);
		for (name = json_first_name(json, changes); name; name = json_next_name(json, changes, name))
		{
			char	   *type = json_text(json, name);

			for (row = json_first(json, name + 1); row; row = json_next(json, name + 1, row))
				store_row(server, type, json, row, client, &succeeded, &failed);
			sqlite3_free(type);
		}
		buffer_text(&answer->body, "{\"succeeded\":[");
		buffer_append(&answer->body, succeeded.data, succeeded.length);
		buffer_text(&answer->body, "],\"failed\":[");
		buffer_append(&answer->body, failed.data, failed.length);
		buffer_format(&answer->body, "],\"ack\":\"%s\"}", batch);
		sql = sqlite3_mprintf("INSERT INTO receipt VALUES (%Q, %Q, %Q)", batch, body,
							  answer->body.data);
		fake_sql(server->db, sql);
		sqlite3_free(sql);
	}
	free(first_reply);
	buffer_free(&succeeded);
	buffer_free(&failed);
	sqlite3_free(client);
	sqlite3_free(batch);
}

static void
answer_schema(FakeServer *server, const tide_step *step, FakeAnswer *answer)
{
	static const char wide[] = ",{\"name\":\"b\",\"type\":\"text\",\"nullable\":true,"
	"\"writable\":true,\"default\":false}";
	static const char end[] = "]}}}";

	answer->headers = server->wide ? "ETag: \"2\"\r\n" : "ETag: \"1\"\r\n";
	if (strstr(step->headers, server->wide ? "If-None-Match: \"2\"" : "If-None-Match: \"1\""))
	{
		answer->status = 304;
		return;
	}
	buffer_append(&answer->body, schema, strlen(schema) - strlen(end));
	if (server->wide)
		buffer_text(&answer->body, wide);
	buffer_text(&answer->body, end);
}

void
fake_answer(FakeServer *server, const tide_step *step, FakeAnswer *answer)
{
	Json		json;

	memset(answer, 0, sizeof(*answer));
	answer->status = 200;
	check(strstr(step->headers, fake_token) != NULL);
	if (server->status)
	{
		answer->status = server->status;
		answer->headers = server->headers;
		return;
	}
	if (strstr(step->url, "/sync/schema"))
	{
		answer_schema(server, step, answer);
		return;
	}
	if (strstr(step->url, "/sync/events"))
	{
		answer->status = server->events ? 200 : 404;
		return;
	}
	check(json_parse(&json, step->body, step->body_length));
	if (strstr(step->url, "/sync/pull") && server->lines && strstr(step->headers, "x-ndjson"))
		answer_lines(server, &json, answer);
	else if (strstr(step->url, "/sync/pull"))
		answer_pull(server, &json, answer);
	else
		answer_push(server, &json, step->body, answer);
	json_free(&json);
	check(!answer->body.failed);
}

void
fake_device(sqlite3 * *db, tide **t)
{
	check(sqlite3_open(":memory:", db) == SQLITE_OK);
	check(tide_attach(*db, t) == TIDE_OK);
	check(tide_setup(*t, "{\"server\":\"http://fake\"}") == TIDE_OK);
	check(tide_set_token(*t, fake_token) == TIDE_OK);
}

int
fake_give(tide *t, FakeAnswer *answer, int64_t now)
{
	int			code = tide_reply_begin(t, answer->status, answer->headers);

	if (code == TIDE_OK && answer->body.length > 0)
		code = tide_reply(t, answer->body.data, answer->body.length);
	if (code == TIDE_OK)
		code = tide_reply_end(t, now);
	buffer_free(&answer->body);
	return code;
}

int
fake_sync_by(FakeServer *server, tide *t, int64_t now, FakeAnswers answers, void *arg)
{
	tide_step	step;
	int			code = tide_sync(t);

	while (code == TIDE_OK)
	{
		FakeAnswer	answer = {.status = 200};
		FakeChoice	choice;

		code = tide_next(t, now, &step);
		if (code != TIDE_OK || step.kind == TIDE_WAIT)
			break;
		choice = answers ? answers(arg, &step, &answer) : FAKE_USUAL;
		if (choice == FAKE_END)
			break;
		if (choice == FAKE_USUAL)
			fake_answer(server, &step, &answer);
		code = fake_give(t, &answer, now);
	}
	return code;
}

int
fake_sync(FakeServer *server, tide *t, int64_t now)
{
	return fake_sync_by(server, t, now, NULL, NULL);
}
