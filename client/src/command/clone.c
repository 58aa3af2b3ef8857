/*
 * clone.c
 *	  tide clone and tide attach: the first sync of a file.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command/clone.h"
#include "command/print.h"
#include "command/progress.h"
#include "loop/handle.h"
#include "store/file.h"
#include "store/settings.h"
#include "store/sql.h"
#include "util/file.h"
#include "util/lock.h"

/* A,B as a JSON array; NULL: there are none */
static bool
append_words(Buffer *out, const char *member, const char *words)
{
	const char *end;

	if (words == NULL)
		return true;
	buffer_format(out, ",\"%s\":[", member);
	for (;;)
	{
		end = words + strcspn(words, ",");
		json_string(out, words, (size_t) (end - words));
		if (*end == '\0')
			break;
		buffer_char(out, ',');
		words = end + 1;
	}
	buffer_char(out, ']');
	return !out->failed;
}

static int
set_up(Session *s, const Options *options, bool attach, const char *map)
{
	Buffer		text = {0};
	int			code;

	buffer_text(&text, "{\"server\":");
	json_string(&text, options->arguments[0], strlen(options->arguments[0]));
	append_words(&text, "entityTypes", options->entity_types);
	if (options->scope)
	{
		buffer_text(&text, ",\"scopes\":[");
		json_string(&text, options->scope, strlen(options->scope));
		buffer_char(&text, ']');
	}
	if (options->naming)
		buffer_format(&text, ",\"naming\":\"%s\"", options->naming);
	if (options->status_columns)
		buffer_text(&text, ",\"statusColumns\":true");
	if (options->number_keys)
		buffer_text(&text, ",\"allowNumberKeys\":true");
	if (attach)
		buffer_text(&text, ",\"attach\":true");
	if (map)
	{
		buffer_text(&text, ",\"map\":");
		buffer_text(&text, map);
	}
	buffer_char(&text, '}');
	if (text.failed)
	{
		failure_memory(&s->failure);
		code = TIDE_LOCAL;
	}
	else
		code = tide_setup(s->t, text.data);
	buffer_free(&text);
	return code;
}

/* Is an option given that is another than when the file was begun? */
static bool
differs(Store *store, const char *setting, const char *words, bool many)
{
	Buffer		text = {0};
	bool		same;

	if (words == NULL)
		return false;
	if (many)
		append_words(&text, "", words);
	else
	{
		buffer_text(&text, ",\"\":[");
		json_string(&text, words, strlen(words));
		buffer_char(&text, ']');
	}
	/* behind ,"": */
	same = !text.failed && setting_is(store, setting, text.data + 4);
	buffer_free(&text);
	return !same;
}

/* The tables were made by the options that the file was begun with. */
static bool
check_options(Session *s, const Options *options)
{
	Store	   *store = &s->t->engine.store;

	if (!differs(store, "entity_types", options->entity_types, true) &&
		!differs(store, "scopes", options->scope, false) &&
		(options->naming == NULL || setting_is(store, "naming", options->naming)) &&
		(!options->status_columns || setting_is(store, "status_columns", "1")) &&
		(!options->number_keys || setting_is(store, "number_keys", "1")))
		return store->failure.result == TIDE_OK;
	failure_set(&s->failure, TIDE_LOCAL, "other_options", "the file was begun with other options");
	return failure_hint(&s->failure, "Give the same ones, or none; or begin another file.");
}

/* One that was begun before goes on, if it is of the same server. */
static int
go_on(Session *s, const Options *options, bool attach, const char *map)
{
	Store	   *store = &s->t->engine.store;
	const char *url = options->arguments[0];
	char	   *server;
	size_t		length = strlen(url);
	bool		same;

	while (length > 0 && url[length - 1] == '/')
		length--;
	if (setting_is(store, "first_sync", "done"))
	{
		failure_set(&s->failure, TIDE_LOCAL, "cloned", "the file has been %s already", attach ? "attached" : "cloned");
		failure_hint(&s->failure, "Use \"tide sync\".");
		return TIDE_LOCAL;
	}
	if (!setting_get(store, "server", &server) || server == NULL)
		return TIDE_LOCAL;
	same = strlen(server) == length && strncmp(server, url, length) == 0;
	if (!same)
	{
		failure_set(&s->failure, TIDE_LOCAL, "other_server",
					"the file was begun with the server \"%s\"", server);
		failure_hint(&s->failure, "Begin another file.");
	}
	sqlite3_free(server);
	if (same && setting_is(store, "attach", "1") != attach)
		same = failure_set(&s->failure, TIDE_LOCAL, "other_kind",
						   "the file was begun with %s", attach ? "clone" : "attach");
	/* the one before may not have fit */
	return same && check_options(s, options) &&
		(map == NULL || setting_set(store, "map", map)) ? TIDE_OK : TIDE_LOCAL;
}

/*
 * Before the server's tables are there, what was begun is of no use, and its
 * options may be what was wrong.  Who else is at the file keeps it.
 */
static void
take_back(Session *s, const char *path)
{
	Lock		lock = {.fd = -1};
	long		holder;
	int			error;
	bool		undone = false;

	if (!tide_is_set_up(s->t) || !lock_take(&lock, path, &holder, &error))
		return;
	(void) file_undo(&s->t->engine.store, &undone);
	failure_clear(&s->t->engine.store.failure);
	if (undone)
		s->t->set_up = false;
	lock_release(&lock);
}

/* A file that was made in vain. */
static void
remove_empty(Session *s, const char *path)
{
	static const char *const ends[] = {"", "-wal", "-shm", "-tide-lock"};
	int64_t		n;
	size_t		i;

	if (!sql_number(&s->t->engine.store, &n, "SELECT count(*) FROM sqlite_schema"
					" WHERE name <> 'sqlite_sequence'") || n > 0)
		return;
	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
	{
		char	   *name = sqlite3_mprintf("%s%s", path, ends[i]);

		if (name)
			(void) unlink(name);
		sqlite3_free(name);
	}
}

/* A map that is no JSON object is said to be none, by its file's name. */
static int
read_map(Session *s, const char *path, Buffer *map)
{
	Json		json;
	bool		good;

	if (path == NULL)
		return TIDE_OK;
	if (!file_read(path, map, &s->failure))
		return s->failure.result = TIDE_USAGE;
	good = map->data && json_parse(&json, map->data, map->length) &&
		json.nodes->kind == JSON_OBJECT;
	if (map->data)
		json_free(&json);
	if (!good)
		failure_set(&s->failure, TIDE_USAGE, "bad_map", "\"%s\" is not a JSON object", path);
	return s->failure.result;
}

static int
first_sync(Session *s, const Options *options, bool attach)
{
	Buffer		map = {0};
	int			code = read_map(s, options->map, &map);

	if (code == TIDE_OK)
	{
		take_back(s, options->arguments[1]);
		code = tide_is_set_up(s->t) ? go_on(s, options, attach, map.data) :
			set_up(s, options, attach, map.data);
	}
	buffer_free(&map);
	if (code == TIDE_OK && options->token_file)
		code = session_use_token_file(s, options->token_file);
	if (code == TIDE_OK)
		code = session_sign_in(s, NULL, options->user);
	if (code != TIDE_OK)
		return code;
	progress_show(s->t);
	code = tide_run(s->t);
	if (code == TIDE_OK && s->t->engine.store.ntypes == 0)
		fputs("tide: the server has no tables for this user\n"
			  "hint: Whoever runs it sees why with SELECT * FROM tide.check('tide_user'), or whatever role the token names.\n",
			  stderr);
	return print_sync(s, code, false);
}

static int
run(Session *s, const Options *options, bool attach)
{
	const char *path = options->arguments[1];
	bool		made = !attach && access(path, F_OK) != 0;
	int			code = session_open(s, path, attach ? SESSION_ANY : SESSION_MAKE);

	if (code == TIDE_OK)
		code = first_sync(s, options, attach);
	/* another program that is at it goes on with what there is */
	if (code > TIDE_SOME_FAILED && code != TIDE_BUSY && s->t)
	{
		s->failure = *session_failure(s);
		take_back(s, path);
		if (made)
			remove_empty(s, path);
	}
	return code;
}

int
clone_run(Session *s, const Options *options)
{
	return run(s, options, false);
}

int
attach_run(Session *s, const Options *options)
{
	return run(s, options, true);
}
