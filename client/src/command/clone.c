/*
 * clone.c
 *	  tide clone and tide attach: the first sync of a file.
 */
#include <stdio.h>
#include <string.h>

#include "command/clone.h"
#include "command/print.h"
#include "command/progress.h"
#include "loop/handle.h"
#include "store/settings.h"
#include "util/file.h"

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

/* One that was begun before goes on, if it is of the same server. */
static int
go_on(Session *s, const char *url, bool attach, const char *map)
{
	Store	   *store = &s->t->engine.store;
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
		failure_set(&s->failure, TIDE_LOCAL, "other_server",
					"the file was begun with the server \"%s\"", server);
	sqlite3_free(server);
	if (same && setting_is(store, "attach", "1") != attach)
		same = failure_set(&s->failure, TIDE_LOCAL, "other_kind",
						   "the file was begun with %s", attach ? "clone" : "attach");
	/* the one before may not have fit */
	return same && (map == NULL || setting_set(store, "map", map)) ? TIDE_OK : TIDE_LOCAL;
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
run(Session *s, const Options *options, bool attach)
{
	const char *url = options->arguments[0];
	Buffer		map = {0};
	int			code = session_open(s, options->arguments[1], attach ? SESSION_ANY : SESSION_MAKE);

	if (code == TIDE_OK)
		code = read_map(s, options->map, &map);
	if (code == TIDE_OK)
		code = tide_is_set_up(s->t) ? go_on(s, url, attach, map.data) :
			set_up(s, options, attach, map.data);
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
