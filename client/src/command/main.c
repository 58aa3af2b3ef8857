/*
 * main.c
 *	  The command `tide`.
 */
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command/login.h"
#include "command/logout.h"
#include "command/options.h"
#include "command/print.h"
#include "command/progress.h"
#include "command/session.h"
#include "command/watch.h"
#include "loop/handle.h"
#include "store/names.h"
#include "store/settings.h"

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
set_up(Session *s, const Options *options)
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

/* A clone that was begun before goes on, if it is of the same server. */
static int
go_on(Session *s, const char *url)
{
	Store	   *store = &s->t->engine.store;
	char	   *server;
	size_t		length = strlen(url);
	bool		same;

	while (length > 0 && url[length - 1] == '/')
		length--;
	if (setting_is(store, "first_sync", "done"))
	{
		failure_set(&s->failure, TIDE_LOCAL, "cloned", "the file has been cloned already");
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
	return same ? TIDE_OK : TIDE_LOCAL;
}

static int
run_clone(Session *s, const Options *options)
{
	int			code = session_open(s, options->arguments[1], true);

	if (code == TIDE_OK)
		code = tide_is_set_up(s->t) ? go_on(s, options->arguments[0]) : set_up(s, options);
	if (code == TIDE_OK && options->token_file)
		code = session_use_token_file(s, options->token_file);
	if (code == TIDE_OK)
		code = session_sign_in(s, NULL, options->user);
	if (code != TIDE_OK)
		return code;
	progress_show(s->t);
	return print_sync(s, tide_run(s->t), false);
}

static int
run_sync(Session *s, const Options *options)
{
	int			code = session_open(s, options->arguments[0], false);

	if (code == TIDE_OK && options->token_file)
		code = session_use_token_file(s, options->token_file);
	if (code == TIDE_OK)
		code = session_sign_in(s, NULL, NULL);
	if (code == TIDE_OK)
	{
		if (isatty(STDERR_FILENO) && !options->json)
			progress_show(s->t);
		code = tide_run(s->t);
	}
	return print_sync(s, code, options->json);
}

static int
run_retry(Session *s, const Options *options)
{
	int			code = session_open(s, options->arguments[0], false);

	if (code == TIDE_OK)
		code = tide_retry(s->t, options->narguments > 1 ? options->arguments[1] : NULL,
						  options->narguments > 1 ? options->arguments[2] : NULL);
	if (code == TIDE_OK)
		code = session_sign_in(s, NULL, NULL);
	if (code == TIDE_OK)
		code = tide_run(s->t);
	return print_sync(s, code, options->json);
}

static int
run_discard(Session *s, const Options *options)
{
	int			code = session_open(s, options->arguments[0], false);

	return code == TIDE_OK ? tide_discard(s->t, options->arguments[1],
										  options->arguments[2]) : code;
}

static int
run_status(Session *s, const Options *options)
{
	int			code = session_open(s, options->arguments[0], false);

	return code == TIDE_OK ? print_record(s, "SELECT * FROM tide_status",
										  options->json) : code;
}

static int
run_pending(Session *s, const Options *options)
{
	int			code = session_open(s, options->arguments[0], false);

	return code == TIDE_OK ? print_table(s, "SELECT * FROM tide_pending ORDER BY edited_at",
										 options->json) : code;
}

static int
run_lost(Session *s, const Options *options)
{
	int			code = session_open(s, options->arguments[0], false);

	if (code == TIDE_OK)
		code = print_table(s, "SELECT * FROM tide_lost", options->json);
	if (code == TIDE_OK && options->clear &&
		sqlite3_exec(s->db, "DELETE FROM tide_lost_rows", NULL, NULL, NULL) != SQLITE_OK)
	{
		failure_set(&s->failure, TIDE_LOCAL, "local", "%s", sqlite3_errmsg(s->db));
		code = TIDE_LOCAL;
	}
	return code;
}

int
main(int argc, char **argv)
{
	static const struct
	{
		const char *name;
		int			(*run) (Session *s, const Options *options);
	}			runs[] = {
		{"clone", run_clone},
		{"sync", run_sync},
		{"status", run_status},
		{"pending", run_pending},
		{"retry", run_retry},
		{"discard", run_discard},
		{"lost", run_lost},
		{"watch", watch_run},
		{"logout", logout_run},
	};
	Options		options;
	Session		session = {0};
	int			code = TIDE_USAGE;
	size_t		i;

	setlocale(LC_ALL, "");
	if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
	{
		options_print_help();
		return TIDE_OK;
	}
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
	{
		printf("tide %s\n", tide_version());
		return TIDE_OK;
	}
	if (!options_read(argc, argv, &options))
		return TIDE_USAGE;
	if (strcmp(options.command, "login") == 0)
		return login_run(&options);
	for (i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
	{
		if (strcmp(runs[i].name, options.command) == 0)
			code = runs[i].run(&session, &options);
	}
	if (code == TIDE_BUSY)
		code = TIDE_LOCAL;
	if (code > TIDE_SOME_FAILED && !(options.json && session_failure(&session)->code[0] &&
									 strcmp(options.command, "sync") == 0))
		session_complain(&session);
	session_close(&session);
	return code;
}
