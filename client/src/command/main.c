/*
 * main.c
 *	  The command `tide`.
 */
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command/clone.h"
#include "command/login.h"
#include "command/logout.h"
#include "command/options.h"
#include "command/print.h"
#include "command/progress.h"
#include "command/session.h"
#include "command/watch.h"
#include "loop/handle.h"

static int
run_sync(Session *s, const Options *options)
{
	int			code = session_open(s, options->arguments[0], SESSION_OURS);

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
	int			code = session_open(s, options->arguments[0], SESSION_OURS);

	if (code == TIDE_OK)
		code = tide_retry(s->t, options->narguments > 1 ? options->arguments[1] : NULL,
						  options->narguments > 1 ? options->arguments[2] : NULL);
	if (code == TIDE_OK)
		code = session_sign_in(s, NULL, NULL);
	if (code == TIDE_OK)
		code = tide_run(s->t);
	return print_sync(s, code, options->json);
}

/* Lines are printed as they are found. */
typedef struct Found
{
	bool		json;
	int64_t		n;
} Found;

static void
print_difference(void *arg, const char *entity_type, const char *key, const char *difference)
{
	Found	   *found = arg;
	const char *fields[3] = {entity_type, key, difference};

	print_fields(fields, 3, found->json, found->n++ == 0);
}

static int
run_verify(Session *s, const Options *options)
{
	Found		found = {.json = options->json};
	int			code = session_open(s, options->arguments[0], SESSION_OURS);

	if (code == TIDE_OK)
		code = session_sign_in(s, NULL, NULL);
	if (code != TIDE_OK)
		return code;
	if (!options->json)
		puts("entity_type\tkey\tdifference");
	code = tide_verify(s->t, options->full ? TIDE_VERIFY_FULL : 0, print_difference, &found);
	if (options->json)
		puts(found.n > 0 ? "]" : "[]");
	return code;
}

static int
run_discard(Session *s, const Options *options)
{
	int			code = session_open(s, options->arguments[0], SESSION_OURS);

	return code == TIDE_OK ? tide_discard(s->t, options->arguments[1],
										  options->arguments[2]) : code;
}

static int
run_status(Session *s, const Options *options)
{
	int			code = session_open(s, options->arguments[0], SESSION_OURS);

	return code == TIDE_OK ? print_record(s, "SELECT * FROM tide_status",
										  options->json) : code;
}

static int
run_pending(Session *s, const Options *options)
{
	int			code = session_open(s, options->arguments[0], SESSION_OURS);

	return code == TIDE_OK ? print_table(s, "SELECT * FROM tide_pending ORDER BY edited_at",
										 options->json) : code;
}

static int
run_lost(Session *s, const Options *options)
{
	int			code = session_open(s, options->arguments[0], SESSION_OURS);

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
		{"clone", clone_run},
		{"attach", attach_run},
		{"sync", run_sync},
		{"status", run_status},
		{"pending", run_pending},
		{"retry", run_retry},
		{"discard", run_discard},
		{"lost", run_lost},
		{"watch", watch_run},
		{"logout", logout_run},
		{"verify", run_verify},
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
		printf("tide %s\nRead on: man tide; the page docs/client.md of pg_tide.\n", tide_version());
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
