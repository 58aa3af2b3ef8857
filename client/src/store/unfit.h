/*
 * unfit.h
 *	  Entity types of the server that the file cannot have.
 */
#ifndef TIDE_STORE_UNFIT_H
#define TIDE_STORE_UNFIT_H

#include "store/store.h"

/* Can SQLite have a table of these columns, and ours beside it? */
bool		unfit_check_columns(Store *store, const EntityType *type);

/*
 * After a schema that could not be taken, and whose transaction is undone: was it
 * for a type that has come or changed since the file was made?  Then the type goes
 * to `left`, the reason to `why`, and the schema can be tried without it.
 */
bool		unfit_leave_out(Store *store, const Json *schema, Names *left, Buffer *why);

/* Does the file go without the type of this name? */
bool		unfit_is_left_out(const Store *store, const Json *json, const JsonNode *name);

#endif
