/*
 * commands.h
 *	  What a user decides about edits: retry, discard.
 */
#ifndef TIDE_STORE_COMMANDS_H
#define TIDE_STORE_COMMANDS_H

#include "store/store.h"

/*
 * Have a refused or parked edit sent with the next sync; without a type, all.
 * The key is its bare text, of several columns the JSON object.
 */
bool		command_retry(Store *store, const char *type, const char *key);

/* Undo an edit: the server's latest version that we know comes back. */
bool		command_discard(Store *store, const char *type, const char *key, int64_t now);

/*
 * Run what other programs wrote into tide_command; *sync: one asked for a
 * sync.  A command that fails is told in tide_status.last_command.
 */
bool		command_run_table(Store *store, int64_t now, bool *sync);

#endif
