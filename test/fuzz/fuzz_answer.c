/*-------------------------------------------------------------------------
 *
 * fuzz_answer.c
 *	  libtide with any answer of a server.
 *
 * The first byte says which request is answered so: 'c' the schema, 'p' a pull,
 * 'u' a push, 'n' a request for news; the second which status it has, '0' 200,
 * '1' 400, '2' 410, '3' 413, '4' 500.  The rest is the body.  The requests before
 * are answered as they should be.  Whatever comes: no transaction stays open, the
 * triggers' gate is closed by nobody, and an edit that was not answered is there.
 *
 *-------------------------------------------------------------------------
 */
#include "fake_server.h"
#include "fuzz.h"

static const int64_t now = 1000000000000;
static unsigned char *image;
static sqlite3_int64 image_size;

/* A device that has synced, and has edits since. */
int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	FakeServer	server;
	sqlite3    *db;
	tide	   *t;

	(void) argc;
	(void) argv;
	fake_open(&server);
	fake_device(&db, &t);
	fake_sql(server.db, "INSERT INTO row VALUES"
			 " ('plan', 'p1', 'server', NULL, '2020-01-01T00:00:00.000Z', NULL, 0, 1),"
			 " ('item', 'i1', 'server', 'p1', '2020-01-01T00:00:00.000Z', NULL, 0, 2);"
			 "UPDATE counter SET seq = 2");
	require(fake_sync(&server, t, now) == TIDE_OK);
	fake_sql(db, "UPDATE plan SET a = 'mine'; INSERT INTO item (id, owner) VALUES ('i2', 'ann');"
			 "DELETE FROM item WHERE id = 'i1'");
	tide_close(t);
	image = sqlite3_serialize(db, "main", &image_size, 0);
	require(image != NULL);
	require(sqlite3_close(db) == SQLITE_OK);
	fake_close(&server);
	return 0;
}

static sqlite3 *
restore(void)
{
	unsigned char *copy = sqlite3_malloc64((sqlite3_uint64) image_size);
	sqlite3    *db;

	require(copy != NULL);
	memcpy(copy, image, (size_t) image_size);
	require(sqlite3_open(":memory:", &db) == SQLITE_OK);
	require(sqlite3_deserialize(db, "main", copy, image_size, image_size,
								SQLITE_DESERIALIZE_FREEONCLOSE |
								SQLITE_DESERIALIZE_RESIZEABLE) == SQLITE_OK);
	return db;
}

static bool
is_meant(const tide_step *step, char which)
{
	return which == 'c' ? strstr(step->url, "/schema") != NULL :
		which == 'p' ? strstr(step->url, "/pull") && !step->listens :
		which == 'u' ? strstr(step->url, "/push") != NULL : step->listens;
}

static int
status_of(char which)
{
	static const int statuses[] = {200, 400, 410, 413, 500};

	return which >= '0' && which <= '4' ? statuses[which - '0'] : 200;
}

static int
hand_in(tide *t, int status, const char *body, size_t length)
{
	int			code = tide_reply_begin(t, status, NULL);

	if (code == TIDE_OK && length > 0)
		code = tide_reply(t, body, length);
	return code == TIDE_OK ? tide_reply_end(t, now) : code;
}

static void
check_file(sqlite3 *db, char which)
{
	char	   *value;

	require(sqlite3_get_autocommit(db));
	value = fake_value(db, "SELECT applying FROM tide_state");
	require(strcmp(value, "0") == 0);
	free(value);
	/* by now the edits have been answered, as they should be or otherwise */
	if (which == 'u' || which == 'n')
		return;
	/* nobody has answered the edits */
	value = fake_value(db, "SELECT count(*) FROM (SELECT key1 FROM tide_dirty_plan UNION ALL"
					   " SELECT key1 FROM tide_dirty_item UNION ALL SELECT id FROM tide_parked_plan"
					   " UNION ALL SELECT id FROM tide_parked_item)");
	/* the delete of a row that the server no longer has is done */
	require(strcmp(value, "3") == 0 || strcmp(value, "2") == 0);
	free(value);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FakeServer	server;
	sqlite3    *db;
	tide	   *t;
	tide_step	step;
	bool		meant = false;
	int			code,
				i;

	if (size < 2 || data[0] == '\0' || !strchr("cpun", data[0]))
		return -1;
	fake_open(&server);
	db = restore();
	require(tide_attach(db, &t) == TIDE_OK);
	require(tide_set_token(t, fake_token) == TIDE_OK);
	require(tide_listen(t, 1) == TIDE_OK && tide_sync(t) == TIDE_OK);
	for (i = 0; i < 12 && !meant; i++)
	{
		FakeAnswer	answer;

		code = tide_next(t, now, &step);
		if (code != TIDE_OK || step.kind == TIDE_WAIT)
			break;
		meant = is_meant(&step, (char) data[0]);
		if (meant)
		{
			char	   *body = copy_input(data + 2, size - 2);

			(void) hand_in(t, status_of((char) data[1]), body, size - 2);
			free(body);
		}
		else
		{
			fake_answer(&server, &step, &answer);
			(void) hand_in(t, answer.status, answer.body.data, answer.body.length);
			buffer_free(&answer.body);
		}
	}
	check_file(db, (char) data[0]);
	(void) tide_next(t, now, &step);
	check_file(db, (char) data[0]);
	tide_close(t);
	require(sqlite3_close(db) == SQLITE_OK);
	fake_close(&server);
	return 0;
}
