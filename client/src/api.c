/*
 * api.c
 *	  The calls of tide.h.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "store/commands.h"
#include "store/file.h"
#include "store/names.h"
#include "store/settings.h"
#include "store/signout.h"
#include "store/sql.h"
#include "tide.h"
#include "loop/handle.h"

#define BUSY_TIMEOUT_MS 5000
/* the years 1970 to 9999 */
#define LATEST_MS INT64_C(253402300799999)

/* Begin a call: what the last one said is over.  False if there is no handle. */
static bool
begin(tide *t)
{
	if (t)
		failure_clear(&t->engine.store.failure);
	return t != NULL;
}

static int
result(tide *t, bool good)
{
	int			code = t->engine.store.failure.result;

	if (good && code == TIDE_OK)
		return TIDE_OK;
	return code != TIDE_OK ? code : TIDE_LOCAL;
}

static int
need_file(tide *t)
{
	/* also within a statement of the host's that writes, which is one */
	if (t->engine.store.db == NULL)
		failure_set(&t->engine.store.failure, TIDE_LOCAL, "no_file", "no file is open");
	else if (!t->set_up)
		failure_set(&t->engine.store.failure, TIDE_LOCAL, "not_set_up",
					"the file is not set up for sync");
	else if (!sqlite3_get_autocommit(t->engine.store.db) ||
			 sqlite3_txn_state(t->engine.store.db, NULL) == SQLITE_TXN_WRITE)
		failure_set(&t->engine.store.failure, TIDE_LOCAL, "in_transaction",
					"the connection is in a transaction");
	return t->engine.store.failure.result;
}

static tide *
new_handle(void)
{
	tide	   *t = sqlite3_malloc64(sizeof(tide));

	if (t == NULL)
		return NULL;
	memset(t, 0, sizeof(*t));
	t->lock.fd = -1;
	t->told.kind = -1;
	pthread_mutex_init(&t->mutex, NULL);
	pthread_cond_init(&t->changed, NULL);
	engine_init(&t->engine);
	return t;
}

static int
use_connection(tide *t, sqlite3 * db)
{
	(void) lock_identity(sqlite3_db_filename(db, "main"), t->identity, sizeof(t->identity));
	return result(t, file_open(&t->engine.store, db, &t->set_up));
}

int
tide_attach(sqlite3 * db, tide **out)
{
	if (out == NULL)
		return TIDE_USAGE;
	*out = new_handle();
	if (*out == NULL)
		return TIDE_LOCAL;
	return db ? use_connection(*out, db) : loop_misuse(*out, "there is no connection");
}

int
tide_open(const char *path, int create, tide **out)
{
	int			flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX |
		(create ? SQLITE_OPEN_CREATE : 0);
	tide	   *t = out ? new_handle() : NULL;
	int			rc;

	if (out == NULL)
		return TIDE_USAGE;
	*out = t;
	if (t == NULL)
		return TIDE_LOCAL;
	if (path == NULL)
		return loop_misuse(t, "there is no name of a file");
	rc = sqlite3_open_v2(path, &t->own, flags, NULL);
	if (rc != SQLITE_OK)
	{
		failure_set(&t->engine.store.failure, TIDE_LOCAL, "cannot_open",
					"could not open \"%s\": %s", path,
					t->own ? sqlite3_errmsg(t->own) : "out of memory");
		return TIDE_LOCAL;
	}
	sqlite3_extended_result_codes(t->own, 1);
	sqlite3_busy_timeout(t->own, BUSY_TIMEOUT_MS);
	/* a pull must not keep the app from reading */
	if (sqlite3_exec(t->own, create ? "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL" :
					 "PRAGMA synchronous = NORMAL", NULL, NULL, NULL) != SQLITE_OK)
	{
		t->engine.store.db = t->own;
		sql_failed(&t->engine.store);
		t->engine.store.db = NULL;
		return result(t, false);
	}
	return use_connection(t, t->own);
}

void
tide_on_token(tide *t, tide_token_source source, void *arg)
{
	if (t == NULL)
		return;
	t->token_source = source;
	t->token_arg = arg;
}

void
tide_close(tide *t)
{
	if (t == NULL)
		return;
	engine_free(&t->engine);
	lock_release(&t->lock);
	http_free(t->http);
	buffer_free(&t->tables);
	pthread_cond_destroy(&t->changed);
	pthread_mutex_destroy(&t->mutex);
	if (t->own)
		sqlite3_close(t->own);
	sqlite3_free(t);
}

int
tide_is_set_up(tide *t)
{
	return t && t->set_up;
}

/* A member that is an array of names, as the text that it is. */
static bool
take_array(const Json *json, const char *name, char **text)
{
	const JsonNode *node = json_member(json, json->nodes, name);
	const JsonNode *at;

	*text = NULL;
	if (node == NULL || node->kind == JSON_NULL)
		return true;
	if (node->kind != JSON_ARRAY)
		return false;
	for (at = json_first(json, node); at; at = json_next(json, node, at))
	{
		if (at->kind != JSON_STRING)
			return false;
	}
	*text = json_text(json, node);
	return *text != NULL;
}

static bool
take_object(const Json *json, const char *name, char **text)
{
	const JsonNode *node = json_member(json, json->nodes, name);

	*text = NULL;
	if (node == NULL || node->kind == JSON_NULL)
		return true;
	if (node->kind != JSON_OBJECT)
		return false;
	*text = json_text(json, node);
	return *text != NULL;
}

static bool
take_options(tide *t, const Json *json, FileOptions *options)
{
	const JsonNode *naming = json_member(json, json->nodes, "naming");
	size_t		length;

	options->server = json_text(json, json_member(json, json->nodes, "server"));
	options->snake = json_is(json, naming, "snake");
	options->status_columns = json_is_true(json_member(json, json->nodes, "statusColumns"));
	options->number_keys = json_is_true(json_member(json, json->nodes, "allowNumberKeys"));
	options->attach = json_is_true(json_member(json, json->nodes, "attach"));
	if (options->server == NULL || options->server[0] == '\0' ||
		!take_array(json, "entityTypes", &options->entity_types) ||
		!take_array(json, "scopes", &options->scopes) ||
		!take_object(json, "map", &options->map) ||
		(options->map && !options->attach) ||
		(naming && !options->snake && !json_is(json, naming, "as_is")))
		return failure_set(&t->engine.store.failure, TIDE_USAGE, "bad_options",
						   "an option of the file is missing or of the wrong kind");
	if (sqlite3_strnicmp(options->server, "http://", 7) != 0 &&
		sqlite3_strnicmp(options->server, "https://", 8) != 0)
		return failure_set(&t->engine.store.failure, TIDE_USAGE, "bad_url",
						   "\"%s\" is no URL that begins with http:// or https://", options->server);
	length = strlen(options->server);
	while (length > 0 && options->server[length - 1] == '/')
		options->server[--length] = '\0';
	return true;
}

int
tide_setup(tide *t, const char *text)
{
	FileOptions options = {0};
	Json		json;
	bool		good;

	if (!begin(t) || text == NULL)
		return loop_misuse(t, "there are no options");
	if (t->engine.store.db == NULL)
		return need_file(t);
	if (t->set_up)
	{
		failure_set(&t->engine.store.failure, TIDE_LOCAL, "set_up",
					"the file is set up for sync already");
		return TIDE_LOCAL;
	}
	good = json_parse(&json, text, strlen(text)) && json.nodes->kind == JSON_OBJECT;
	if (!good)
		failure_set(&t->engine.store.failure, TIDE_USAGE, "bad_options",
					"the options are not a JSON object");
	good = good && take_options(t, &json, &options) &&
		file_create(&t->engine.store, &options);
	json_free(&json);
	sqlite3_free(options.server);
	sqlite3_free(options.entity_types);
	sqlite3_free(options.scopes);
	sqlite3_free(options.map);
	t->set_up = good;
	return result(t, good);
}

int
tide_set_token(tide *t, const char *token)
{
	if (!begin(t))
		return TIDE_USAGE;
	if (need_file(t) != TIDE_OK)
		return result(t, false);
	return result(t, engine_set_token(&t->engine, token));
}

int
tide_sync(tide *t)
{
	if (!begin(t))
		return TIDE_USAGE;
	if (need_file(t) != TIDE_OK)
		return result(t, false);
	t->engine.asked = true;
	return TIDE_OK;
}

/*
 * A file that was swapped for another one under our connection is written by
 * others from now on, and read by us no more.
 */
static bool
check_place(tide *t)
{
	char		identity[LOCK_IDENTITY_SIZE] = "";
	const char *path = sqlite3_db_filename(t->engine.store.db, "main");

	if (t->identity[0] == '\0')
		return true;
	(void) lock_identity(path, identity, sizeof(identity));
	if (strcmp(identity, t->identity) == 0)
		return true;
	failure_set(&t->engine.store.failure, TIDE_LOCAL, "file_replaced",
				"the file was %s while it was open", identity[0] ? "replaced" : "removed");
	return failure_hint(&t->engine.store.failure, "Open it again.");
}

/*
 * Before the first request of a sync: nobody else may be at it.  A file that
 * lies elsewhere than before is a copy, and gets a name of its own.
 */
static bool
begin_alone(tide *t)
{
	Store	   *store = &t->engine.store;
	const char *path = sqlite3_db_filename(store->db, "main");
	long		holder;
	int			error;

	if (t->lock.fd >= 0)
		return true;
	if (!lock_take(&t->lock, path, &holder, &error))
	{
		if (error != 0)
			return failure_set(&store->failure, TIDE_LOCAL, "no_lock",
							   "could not lock \"%s-tide-lock\": %s", path, strerror(error));
		return failure_set(&store->failure, TIDE_BUSY, "busy",
						   holder > 0 ? "process %ld is syncing this file" :
						   "another process is syncing this file", holder);
	}
	return file_check_identity(store, path);
}

/*
 * A clock that is far off: times are added to, and written as text with a year of
 * four digits; what is due at 0 is due now.
 */
static int64_t
sane_time(int64_t now)
{
	if (now > LATEST_MS)
		return LATEST_MS;
	return now < 0 ? 0 : now;
}

int
tide_listen(tide *t, int on)
{
	if (t == NULL)
		return TIDE_USAGE;
	t->engine.listening = on != 0;
	return TIDE_OK;
}

int
tide_is_due(tide *t, int64_t now)
{
	bool		due;

	if (!begin(t))
		return 0;
	if (need_file(t) != TIDE_OK || !check_place(t) || !engine_is_due(&t->engine, sane_time(now), &due))
		return 1;
	return due;
}

int
tide_next(tide *t, int64_t now, tide_step *step)
{
	Engine	   *e;
	bool		send = false,
				asked,
				good;

	if (!begin(t) || step == NULL)
		return loop_misuse(t, "there is no place for the step");
	e = &t->engine;
	now = sane_time(now);
	memset(step, 0, sizeof(*step));
	step->kind = TIDE_WAIT;
	if (need_file(t) != TIDE_OK)
		return result(t, false);
	if (atomic_exchange(&t->network_back, false))
	{
		e->failures = 0;
		e->next_try = 0;
	}
	good = check_place(t) && engine_look(e, now, &asked, &step->wait, &step->until) &&
		((engine_is_idle(e) && !asked) || begin_alone(t)) &&
		engine_next(e, now, &send, &step->wait, &step->until);
	/* held from a sync's first request to the taking of its last answer */
	if (engine_is_idle(e) || (good && !send))
		lock_release(&t->lock);
	if (!good || !send)
		return result(t, good);
	step->kind = TIDE_SEND;
	step->listens = e->phase == PHASE_LISTEN;
	step->streams = !step->listens && e->streams && !engine_is_push(e) && e->phase != PHASE_SCHEMA;
	step->method = e->body.length > 0 ? "POST" : "GET";
	step->url = e->url.data;
	step->headers = e->headers.data;
	step->body = e->body.length > 0 ? e->body.data : NULL;
	step->body_length = e->body.length;
	return TIDE_OK;
}

int
tide_reply_begin(tide *t, int status, const char *headers)
{
	if (!begin(t) || status < 100)
		return loop_misuse(t, "an answer has a status; for none there is tide_no_answer()");
	return result(t, engine_begin_answer(&t->engine, status, headers));
}

/* A request is out, and its answer has not begun. */
static bool
has_no_status(const tide *t)
{
	return t->engine.sent && !t->engine.complete && t->engine.status == 0;
}

static int
say_no_status(tide *t)
{
	return loop_misuse(t, "the answer has not begun: tide_reply_begin() comes first");
}

int
tide_reply(tide *t, const void *data, size_t length)
{
	if (!begin(t) || (data == NULL && length > 0))
		return loop_misuse(t, "there are no data");
	if (has_no_status(t))
		return say_no_status(t);
	return result(t, engine_add_answer(&t->engine, data, length));
}

int
tide_reply_end(tide *t, int64_t now)
{
	if (!begin(t))
		return TIDE_USAGE;
	if (need_file(t) != TIDE_OK)
		return result(t, false);
	if (has_no_status(t))
		return say_no_status(t);
	return result(t, engine_end_answer(&t->engine, sane_time(now)));
}

int
tide_no_answer(tide *t, int64_t now, const char *why)
{
	if (!begin(t))
		return TIDE_USAGE;
	return result(t, engine_no_answer(&t->engine, sane_time(now), why ? why : "no answer"));
}

int
tide_network_is_back(tide *t)
{
	if (t == NULL)
		return TIDE_USAGE;
	atomic_store(&t->network_back, true);
	return TIDE_OK;
}

int
tide_summarize(tide *t, tide_summary *summary)
{
	Engine	   *e;
	bool		good;

	if (!begin(t) || summary == NULL)
		return loop_misuse(t, "there is no place for the summary");
	e = &t->engine;
	memset(summary, 0, sizeof(*summary));
	if (need_file(t) != TIDE_OK)
		return result(t, false);
	good = sql_number(&e->store, &summary->pending, "SELECT pending FROM tide_status") &&
		sql_number(&e->store, &summary->parked, "SELECT parked FROM tide_status") &&
		freeze_next_retry(&e->store, INT64_MAX, &summary->next_retry);
	summary->finished = engine_is_idle(e);
	summary->result = e->result;
	summary->pulled = e->tally.pulled;
	summary->pushed = e->tally.pushed;
	summary->failed = e->tally.failed;
	summary->lost = e->tally.lost;
	summary->phase = engine_phase_name(e->phase);
	return result(t, good);
}

int
tide_retry(tide *t, const char *entity_type, const char *key)
{
	if (!begin(t))
		return TIDE_USAGE;
	if (need_file(t) != TIDE_OK)
		return result(t, false);
	if (entity_type == NULL && key != NULL)
		return loop_misuse(t, "an entity type is needed with a key");
	return result(t, file_check(&t->engine.store) &&
				  command_retry(&t->engine.store, entity_type, key));
}

int
tide_discard(tide *t, const char *entity_type, const char *key)
{
	if (!begin(t))
		return TIDE_USAGE;
	if (need_file(t) != TIDE_OK)
		return result(t, false);
	if (entity_type == NULL || key == NULL)
		return loop_misuse(t, "an entity type and a key are needed");
	return result(t, file_check(&t->engine.store) &&
				  command_discard(&t->engine.store, entity_type, key, tide_now()));
}

/*
 * What is to be wiped may have been edited without our triggers, in a table that an
 * app has made anew or that was attached: only a pull tells.
 */
static bool
check_compared(Store *store)
{
	Names		recheck;
	bool		good = names_load(store, &recheck, "recheck");

	if (good && recheck.count > 0)
		good = failure_set(&store->failure, TIDE_SOME_FAILED, "unsent",
						   "rows of \"%s\" have still to be compared with the server's:"
						   " edits of them may be unsent", recheck.names[0]);
	names_free(&recheck);
	return good;
}

int
tide_logout(tide *t, int flags)
{
	Store	   *store;
	int64_t		pending;

	if (!begin(t))
		return TIDE_USAGE;
	store = &t->engine.store;
	if (need_file(t) != TIDE_OK)
		return result(t, false);
	if (!file_check(store) ||
		!sql_number(store, &pending, "SELECT pending FROM tide_status"))
		return result(t, false);
	if (pending > 0 && !(flags & TIDE_LOGOUT_FORCE))
	{
		failure_set(&store->failure, TIDE_SOME_FAILED, "unsent",
					"%lld edits are not sent yet", (long long) pending);
		return TIDE_SOME_FAILED;
	}
	if ((flags & TIDE_LOGOUT_WIPE) && !(flags & TIDE_LOGOUT_FORCE) && !check_compared(store))
		return result(t, false);
	if (!engine_abandon(&t->engine) ||
		!signout(store, flags & TIDE_LOGOUT_WIPE, tide_now()))
		return result(t, false);
	lock_release(&t->lock);
	t->engine.state = "signed_out";
	t->engine.asked = false;
	return result(t, engine_set_token(&t->engine, NULL));
}

const char *
tide_error(tide *t)
{
	return t ? t->engine.store.failure.message : "there is no handle";
}

const char *
tide_error_code(tide *t)
{
	return t ? t->engine.store.failure.code : "usage";
}

const char *
tide_error_hint(tide *t)
{
	return t ? t->engine.store.failure.hint : "";
}

const char *
tide_version(void)
{
	return TIDE_VERSION;
}
