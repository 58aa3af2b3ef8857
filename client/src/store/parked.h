/*
 * parked.h
 *	  Edits that have no place in their table any more, kept with their
 *	  content in tide_parked_<table>.
 */
#ifndef TIDE_STORE_PARKED_H
#define TIDE_STORE_PARKED_H

#include "store/applying.h"

/*
 * After a reset: edits of rows that the server once had and has no more.  came
 * is the temporary table of the keys that it has.
 */
bool		parked_take_gone(Applying *a, EntityType *type, const char *came);

/* Edits in a scope that was revoked. */
bool		parked_take_scope(Applying *a, EntityType *type, const char *scope);

/* The edit of one key, which the server says is of a row that is gone. */
bool		parked_take_row(Applying *a, EntityType *type, const Json *json,
							const JsonNode *key, const char *code, const char *message);

/* The code of the failure of a row that its table does not take back. */
#define PARKED_REFUSED "row_refused"

/* Put an edit back as the one that it was, or drop it; *found says if there is
 * one. */
bool		parked_put_back(Store *store, EntityType *type, const Json *json,
							const JsonNode *key, bool *found);
bool		parked_discard(Store *store, EntityType *type, const Json *json,
						   const JsonNode *key, bool *found);

#endif
