/*
 * verify.c
 *	  tide_verify(): does the file hold what the server holds?
 *
 * A sync first.  Then a digest, or with TIDE_VERIFY_FULL all rows, names the keys
 * that may differ; after another sync the server shows those rows once more, and
 * what is then another one here differs.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/refusal.h"
#include "engine/request.h"
#include "loop/handle.h"
#include "store/place.h"
#include "store/shape.h"
#include "store/sql.h"
#include "store/verify.h"

#define ROWS_AT_ONCE 500
/* another program may sync the file meanwhile */
#define MOST_TIMES_AGAIN 10

/* what is asked, and whom to tell */
typedef struct Verifying
{
	tide	   *t;
	tide_difference difference;
	void	   *arg;
	int64_t		found;
} Verifying;

static bool
carry_on(void *arg)
{
	tide	   *t = arg;

	return !atomic_load(&t->stop) && !atomic_load(&t->pause_asked);
}

/* What an answer other than 200 says. */
static int
refused(tide *t, const HttpAnswer *answer)
{
	int			result = answer->status == 429 || answer->status >= 500 ? TIDE_OFFLINE :
		answer->status == 401 ? TIDE_SIGNED_OUT : TIDE_REFUSED;

	(void) refusal_read(&t->engine.store.failure, result, &answer->body,
						"the server cannot compare what the file holds");
	return t->engine.store.failure.result;
}

/* Send the engine's request; the document of a 200, to be freed in any case. */
static int
ask(tide *t, HttpAnswer *answer, Json *json)
{
	Engine	   *e = &t->engine;
	HttpRequest request = {
		.method = e->body.length > 0 ? "POST" : "GET",
		.url = e->url.data,
		.headers = e->headers.data,
		.body = e->body.length > 0 ? e->body.data : NULL,
		.body_length = e->body.length,
		.carry_on = carry_on,
		.arg = t
	};

	memset(json, 0, sizeof(*json));
	http_send(t->http, &request, answer);
	if (answer->status == 0)
		failure_set(&e->store.failure, TIDE_OFFLINE, "no_answer", "%s",
					answer->given_up ? "stopped" : answer->why);
	else if (answer->status != 200)
		return refused(t, answer);
	else if (answer->body.data == NULL ||
			 !json_parse(json, answer->body.data, answer->body.length) ||
			 json->nodes->kind != JSON_OBJECT)
		failure_set(&e->store.failure, TIDE_REFUSED, "bad_reply",
					"the server's answer is not JSON");
	return e->store.failure.result;
}

static void
free_answer(HttpAnswer *answer, Json *json)
{
	json_free(json);
	http_answer_free(answer);
}

/*
 * By digest
 */

/* A whole number; in digests they are texts, for 64 bits do not fit a double. */
static bool
read_number(const Json *json, const JsonNode *node, uint64_t *value)
{
	char	   *text = json_text(json, node);
	char	   *end;
	bool		good;

	if (text == NULL)
		return false;
	*value = strtoull(text, &end, 10);
	good = *end == '\0' && end > text;
	sqlite3_free(text);
	return good;
}

/* Which buckets have other counts or sums than ours? */
static bool
compare_buckets(const Json *json, const JsonNode *of_type, const Digest *ours, bool *buckets)
{
	const JsonNode *counts = json_member(json, of_type, "counts");
	const JsonNode *sums = json_member(json, of_type, "sums");
	const JsonNode *count = json_first(json, counts);
	const JsonNode *sum = json_first(json, sums);
	uint64_t	rows,
				total;
	int			i;

	for (i = 0; i < DIGEST_BUCKETS; i++)
	{
		if (!read_number(json, count, &rows) || !read_number(json, sum, &total))
			return false;
		buckets[i] = rows != ours->counts[i] || total != ours->sums[i];
		count = json_next(json, counts, count);
		sum = json_next(json, sums, sum);
	}
	return true;
}

/* The buckets of a type that differ; *n is how many. */
static int
compare_digest(tide *t, EntityType *type, const Json *json, bool *buckets, int *n)
{
	Store	   *store = &t->engine.store;
	const JsonNode *of_type = json_member(json, json_member(json, json->nodes, "digestByType"),
										  type->name);
	const JsonNode *moved = json_member(json, json_member(json, json->nodes, "moved"),
										type->name);
	const JsonNode *at;
	Digest	   *ours = sqlite3_malloc64(sizeof(Digest));
	int			i;

	*n = 0;
	memset(buckets, 0, DIGEST_BUCKETS * sizeof(bool));
	if (ours == NULL)
		failure_memory(&store->failure);
	else if (digest_make(store, type, ours))
	{
		if (of_type && !compare_buckets(json, of_type, ours, buckets))
			failure_set(&store->failure, TIDE_REFUSED, "bad_reply",
						"the server's digest has not %d counts and sums", DIGEST_BUCKETS);
		for (at = json_first(json, moved); at; at = json_next(json, moved, at))
		{
			char	   *text = json_text(json, at);

			i = text ? (int) strtol(text, NULL, 10) : -1;
			if (i >= 0 && i < DIGEST_BUCKETS)
				buckets[i] = false;
			sqlite3_free(text);
		}
		for (i = 0; i < DIGEST_BUCKETS; i++)
			*n += buckets[i];
	}
	sqlite3_free(ours);
	return store->failure.result;
}

/* The keys of some buckets; where there are too many for one answer, of half of
 * them at a time. */
static int
compare_keys(tide *t, EntityType *type, const bool *buckets, int n)
{
	Store	   *store = &t->engine.store;
	HttpAnswer	answer = {0};
	Json		json = {0};
	bool		half[DIGEST_BUCKETS];
	int			code,
				i,
				taken = 0;

	if (!request_keys(&t->engine, type->name, buckets, DIGEST_BUCKETS))
		return store->failure.result;
	code = ask(t, &answer, &json);
	if (code == TIDE_OK)
		verify_keys(store, type, buckets, &json,
					json_member(&json, json_member(&json, json.nodes, "keysByType"), type->name));
	i = answer.status;
	free_answer(&answer, &json);
	if (i != 400 || n == 1)
		return store->failure.result;
	failure_clear(&store->failure);
	memset(half, 0, sizeof(half));
	for (i = 0; i < DIGEST_BUCKETS && taken < n / 2; i++)
		taken += half[i] = buckets[i];
	code = compare_keys(t, type, half, taken);
	if (code != TIDE_OK)
		return code;
	for (i = 0; i < DIGEST_BUCKETS; i++)
		half[i] = buckets[i] && !half[i];
	return compare_keys(t, type, half, n - taken);
}

static int
suspect_by_digest(tide *t)
{
	Store	   *store = &t->engine.store;
	HttpAnswer	answer = {0};
	Json		json = {0};
	bool		buckets[DIGEST_BUCKETS];
	int			code,
				i,
				n;

	if (!request_digest(&t->engine))
		return store->failure.result;
	code = ask(t, &answer, &json);
	for (i = 0; code == TIDE_OK && i < store->ntypes; i++)
	{
		if (!store->types[i].available)
			continue;
		code = compare_digest(t, &store->types[i], &json, buckets, &n);
		if (code == TIDE_OK && n > 0)
			code = compare_keys(t, &store->types[i], buckets, n);
	}
	free_answer(&answer, &json);
	return code;
}

/*
 * By all rows
 */

typedef bool (*TakeRow) (Store *store, EntityType *type, const Json *json,
						 const JsonNode *row, void *arg);

static int
each_row(Store *store, const Json *json, const char *member, TakeRow take, void *arg)
{
	const JsonNode *types = json_member(json, json->nodes, member);
	const JsonNode *name,
			   *row;

	for (name = json_first_name(json, types); name; name = json_next_name(json, types, name))
	{
		char	   *text = json_text(json, name);
		EntityType *type = text ? store_type(store, text, strlen(text)) : NULL;

		if (text == NULL)
			failure_memory(&store->failure);
		sqlite3_free(text);
		/* rows of a type that the file goes without are not compared */
		if (type && !type->available)
			type = NULL;
		for (row = json_first(json, name + 1); row && type; row = json_next(json, name + 1, row))
		{
			if (!take(store, type, json, row, arg))
				return store->failure.result;
		}
	}
	return store->failure.result;
}

static bool
suspect_whole(Store *store, EntityType *type, const Json *json, const JsonNode *row, void *arg)
{
	(void) arg;
	return verify_row(store, type, json, row);
}

/* The cursor of the next page, which must be another one than before. */
static int
move_on(Store *store, const Json *json, char **cursor)
{
	char	   *next = json_text(json, json_member(json, json->nodes, "cursor"));

	if (next == NULL || (*cursor && strcmp(next, *cursor) == 0))
		failure_set(&store->failure, TIDE_REFUSED, "bad_reply",
					"the server has more, but its cursor does not move");
	if (json->no_memory)
		failure_memory(&store->failure);
	sqlite3_free(*cursor);
	*cursor = next;
	return store->failure.result;
}

static int
suspect_by_rows(tide *t)
{
	Store	   *store = &t->engine.store;
	char	   *cursor = NULL;
	bool		more = true;
	int			code = TIDE_OK;
	int			i;

	while (more && code == TIDE_OK)
	{
		HttpAnswer	answer = {0};
		Json		json = {0};

		if (!request_page(&t->engine, cursor))
			code = store->failure.result;
		else
			code = ask(t, &answer, &json);
		if (code == TIDE_OK && !shape_check_page(store, &json))
			code = store->failure.result;
		if (code == TIDE_OK)
		{
			code = each_row(store, &json, "changesByType", suspect_whole, NULL);
			more = json_is_true(json_member(&json, json.nodes, "hasMore"));
			if (code == TIDE_OK && more)
				code = move_on(store, &json, &cursor);
		}
		free_answer(&answer, &json);
	}
	sqlite3_free(cursor);
	for (i = 0; code == TIDE_OK && i < store->ntypes; i++)
	{
		if (store->types[i].available)
			code = verify_rest(store, &store->types[i]) ? TIDE_OK : store->failure.result;
	}
	return code;
}

/*
 * What is suspected
 */

static bool
tell(void *arg, const char *entity_type, const char *key, const char *difference)
{
	Verifying  *v = arg;
	Store	   *store = &v->t->engine.store;
	const Failure before = store->failure;

	v->found++;
	v->difference(v->arg, entity_type, key, difference);
	/* calls that it made are refused within our transaction, and that is theirs */
	store->failure = before;
	return true;
}

static bool
settle_row(Store *store, EntityType *type, const Json *json, const JsonNode *row, void *arg)
{
	return verify_settle(store, type, json, row, tell, arg);
}

/* The server's rows of some keys. */
static bool
settle_answer(Verifying *v, const Json *keys, const Json *json)
{
	Store	   *store = &v->t->engine.store;
	bool		good;

	if (!verify_enter(store))
		return false;
	good = each_row(store, json, "rowsByType", settle_row, v) == TIDE_OK;
	/* what there was no room for is asked for again, like what is left */
	if (good && json_count(json, json_member(json, json->nodes, "remaining")) == 0)
		good = verify_settle_rest(store, keys, tell, v);
	return verify_leave(store, good);
}

/* Some of them; *left: there may be more. */
static int
settle_some(Verifying *v, bool *left)
{
	Store	   *store = &v->t->engine.store;
	Buffer		text = {0};
	HttpAnswer	answer = {0};
	Json		json = {0};
	Json		keys = {0};
	int64_t		n;
	int			code = TIDE_OK;

	if (!verify_append_suspects(store, &text, ROWS_AT_ONCE, &n) ||
		!json_parse(&keys, text.data, text.length) ||
		(n > 0 && !request_rows(&v->t->engine, text.data)))
		code = store->failure.result != TIDE_OK ? store->failure.result : TIDE_LOCAL;
	*left = n > 0;
	if (code == TIDE_OK && n > 0)
	{
		code = ask(v->t, &answer, &json);
		if (code == TIDE_OK && !settle_answer(v, &keys, &json))
			code = store->failure.result;
	}
	free_answer(&answer, &json);
	json_free(&keys);
	buffer_free(&text);
	return code;
}

/* A sync; one that was stopped is not enough to compare anything. */
static int
sync_first(tide *t)
{
	bool		stopped;
	int			code = loop_run(t, &stopped);

	if (code != TIDE_OK && code != TIDE_SOME_FAILED)
		return code;
	failure_clear(&t->engine.store.failure);
	if (stopped)
		failure_set(&t->engine.store.failure, TIDE_OFFLINE, "no_answer", "stopped");
	return t->engine.store.failure.result;
}

static int
verify(Verifying *v, bool full)
{
	Store	   *store = &v->t->engine.store;
	bool		left = true;
	int			again = MOST_TIMES_AGAIN;
	int64_t		n;
	int			code = TIDE_OK;

	if (!verify_begin(store))
		return store->failure.result;
	code = full ? suspect_by_rows(v->t) : suspect_by_digest(v->t);
	if (code != TIDE_OK)
		return code;
	if (!sql_number(store, &n, "SELECT count(*) FROM temp.tide_suspects"))
		return store->failure.result;
	/* what changed on the server since the first sync is no difference */
	if (n > 0)
		code = sync_first(v->t);
	while (code == TIDE_OK && n > 0 && left)
	{
		code = settle_some(v, &left);
		if (code == TIDE_LOCAL && strcmp(store->failure.code, PLACE_REPLACED) == 0 &&
			again-- > 0)
			code = sync_first(v->t);
	}
	if (code == TIDE_OK && v->found > 0)
		code = TIDE_SOME_FAILED;
	return code;
}

int
tide_verify(tide *t, int flags, tide_difference difference, void *arg)
{
	Verifying	v = {.t = t, .difference = difference, .arg = arg};
	int			code;

	if (t == NULL || difference == NULL)
		return loop_misuse(t, "a function to tell differences to is needed");
	code = sync_first(t);
	if (code == TIDE_OK)
		code = verify(&v, (flags & TIDE_VERIFY_FULL) != 0);
	/* a stop is done with, unless it is for another thread, which is at work */
	if (code != TIDE_BUSY)
		atomic_store(&t->stop, false);
	return code;
}
