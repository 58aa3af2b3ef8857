/*
 * options.h
 *	  The command line.
 */
#ifndef TIDE_COMMAND_OPTIONS_H
#define TIDE_COMMAND_OPTIONS_H

#include <stdbool.h>

#define MOST_ARGUMENTS 3

typedef struct Options
{
	const char *command;
	const char *arguments[MOST_ARGUMENTS];
	int			narguments;
	const char *user;
	const char *password_file;
	const char *token_file;
	const char *entity_types;
	const char *scope;
	const char *naming;
	const char *map;
	bool		status_columns;
	bool		number_keys;
	bool		json;
	bool		clear;
	bool		wipe;
	bool		full;
	bool		force;
} Options;

/* False where it makes no sense, which was said on standard error. */
bool		options_read(int argc, char **argv, Options *options);
void		options_print_help(void);

#endif
