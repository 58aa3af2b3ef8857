/*
 * options.c
 *	  The command line.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "command/options.h"

/* the commands, and how many arguments each takes */
static const struct
{
	const char *name;
	int			least,
				most;
	const char *options;		/* those that it takes */
}			commands[] = {
	{"login", 1, 1, "--user --password-file"},
	{"clone", 2, 2, "--token-file --user --entity-types --scope --naming --status-columns --allow-number-keys"},
	{"attach", 2, 2, "--map --token-file --user --entity-types --scope --allow-number-keys"},
	{"sync", 1, 1, "--json --token-file"},
	{"watch", 1, 1, ""},
	{"status", 1, 1, "--json"},
	{"pending", 1, 1, "--json"},
	{"retry", 1, 3, "--json"},
	{"discard", 3, 3, ""},
	{"lost", 1, 1, "--json --clear"},
	{"verify", 1, 1, "--full --json"},
	{"logout", 1, 1, "--wipe --force"},
};

/* the options, and where each goes */
static const struct
{
	const char *name;
	bool		has_value;
	size_t		offset;
}			known[] = {
	{"--user", true, offsetof(Options, user)},
	{"--password-file", true, offsetof(Options, password_file)},
	{"--token-file", true, offsetof(Options, token_file)},
	{"--entity-types", true, offsetof(Options, entity_types)},
	{"--scope", true, offsetof(Options, scope)},
	{"--naming", true, offsetof(Options, naming)},
	{"--map", true, offsetof(Options, map)},
	{"--status-columns", false, offsetof(Options, status_columns)},
	{"--allow-number-keys", false, offsetof(Options, number_keys)},
	{"--json", false, offsetof(Options, json)},
	{"--clear", false, offsetof(Options, clear)},
	{"--full", false, offsetof(Options, full)},
	{"--wipe", false, offsetof(Options, wipe)},
	{"--force", false, offsetof(Options, force)},
};

void
options_print_help(void)
{
	fputs("tide syncs a file of SQLite with a server that runs pg_tide.\n"
		  "\n"
		  "  tide login URL --user NAME [--password-file F]\n"
		  "      log in, and keep the tokens for the commands below\n"
		  "  tide clone URL FILE [--token-file F | --user NAME] [--entity-types A,B]\n"
		  "             [--scope S] [--naming as_is|snake] [--status-columns]\n"
		  "             [--allow-number-keys]\n"
		  "      make a file with the server's tables and rows\n"
		  "  tide attach URL FILE [--map F] [--token-file F | --user NAME]\n"
		  "             [--entity-types A,B] [--scope S] [--allow-number-keys]\n"
		  "      sync the tables that an app has made in a file\n"
		  "  tide sync FILE [--json] [--token-file F]\n"
		  "      pull, push, and pull what the push caused\n"
		  "  tide watch FILE\n"
		  "      sync whenever something changes, here or on the server, until Ctrl-C\n"
		  "  tide status FILE [--json]\n"
		  "  tide pending FILE [--json]\n"
		  "      edits that are not sent yet, and why\n"
		  "  tide retry FILE [TYPE KEY] [--json]\n"
		  "      sync now, with edits that were refused or parked\n"
		  "  tide discard FILE TYPE KEY\n"
		  "      undo an edit that is not sent yet\n"
		  "  tide lost FILE [--json] [--clear]\n"
		  "      edits that another version won over\n"
		  "  tide verify FILE [--full] [--json]\n"
		  "      sync, then compare the file with the server: by keys and stamps, or in full\n"
		  "  tide logout FILE [--wipe] [--force]\n"
		  "      forget the tokens; refused while edits are unsent, unless forced\n"
		  "\n"
		  "URL is the gateway's, without /api/v1. KEY is the bare text, of several\n"
		  "columns the JSON object.\n"
		  "\n"
		  "Exit status: 0 done; 1 done, but some rows failed, were lost, or are pending;\n"
		  "2 usage; 3 offline; 4 not logged in, or as somebody else; 5 trouble with the\n"
		  "local file; 6 the server refused or is not understood.\n"
		  "\n"
		  "Read on: man tide; the page docs/client.md of pg_tide; tide.h for the library.\n",
		  stdout);
}

static bool
complain(const char *what, const char *which)
{
	fprintf(stderr, "tide: %s%s%s\nTry \"tide --help\".\n", what, which ? ": " : "",
			which ? which : "");
	return false;
}

/* Is the word one of a list with spaces between? */
static bool
is_listed(const char *list, const char *word, size_t length)
{
	const char *at = list;

	while ((at = strstr(at, word)) != NULL)
	{
		if ((at == list || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0'))
			return true;
		at += length;
	}
	return false;
}

/* One option at argv[*at]; its value may be behind "=" or the next word. */
static bool
take_option(int argc, char **argv, int *at, const char *allowed, Options *options)
{
	const char *word = argv[*at];
	const char *equals = strchr(word, '=');
	size_t		length = equals ? (size_t) (equals - word) : strlen(word);
	size_t		i;

	for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
	{
		char	   *field = (char *) options + known[i].offset;

		if (strlen(known[i].name) != length || strncmp(known[i].name, word, length) != 0)
			continue;
		if (!is_listed(allowed, known[i].name, length))
			return complain("this command has no such option", word);
		if (!known[i].has_value)
		{
			if (equals)
				return complain("the option takes no value", word);
			*(bool *) field = true;
			return true;
		}
		if (equals == NULL && ++*at >= argc)
			return complain("the option needs a value", word);
		*(const char **) field = equals ? equals + 1 : argv[*at];
		return true;
	}
	return complain("unknown option", word);
}

static bool
check(const Options *options, size_t command)
{
	if (options->narguments < commands[command].least ||
		options->narguments > commands[command].most ||
		(strcmp(options->command, "retry") == 0 && options->narguments == 2))
		return complain("the number of arguments is wrong for the command", options->command);
	if (strcmp(options->command, "login") == 0 && options->user == NULL)
		return complain("login needs --user", NULL);
	if (options->naming && strcmp(options->naming, "snake") != 0 &&
		strcmp(options->naming, "as_is") != 0)
		return complain("naming is as_is or snake, not", options->naming);
	return true;
}

bool
options_read(int argc, char **argv, Options *options)
{
	bool		only_arguments = false;
	size_t		command;
	int			i;

	memset(options, 0, sizeof(*options));
	if (argc < 2)
		return complain("a command is needed", NULL);
	options->command = argv[1];
	for (command = 0; command < sizeof(commands) / sizeof(commands[0]); command++)
	{
		if (strcmp(commands[command].name, options->command) == 0)
			break;
	}
	if (command == sizeof(commands) / sizeof(commands[0]))
		return complain("unknown command", options->command);
	for (i = 2; i < argc; i++)
	{
		if (!only_arguments && strcmp(argv[i], "--") == 0)
			only_arguments = true;
		else if (!only_arguments && strncmp(argv[i], "--", 2) == 0)
		{
			if (!take_option(argc, argv, &i, commands[command].options, options))
				return false;
		}
		else if (options->narguments == MOST_ARGUMENTS)
			return complain("one argument too many", argv[i]);
		else
			options->arguments[options->narguments++] = argv[i];
	}
	return check(options, command);
}
