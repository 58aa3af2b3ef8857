/*
 * recheck.h
 *	  Edits that were made while a table had no triggers: a 12-step ALTER of the
 *	  app's drops them silently.
 *
 * The type is read in full once more, and what the device has is compared with
 * it.  A row of the same stamp with other content was edited here, and so was one of
 * a later stamp, or that the app has marked as dirty; a row that
 * the server does not have was made here.  A row that is not here comes back:
 * only a trigger makes a delete.
 */
#ifndef TIDE_STORE_RECHECK_H
#define TIDE_STORE_RECHECK_H

#include "store/applying.h"

/*
 * A server's row, for a key that is not noted as dirty.  *edited: the device's
 * row was edited, and is noted now, with this one as its base if *is_base.
 */
bool		recheck_row(Applying *a, EntityType *type, const Json *json,
						const JsonNode *row, bool *edited, bool *is_base);

/*
 * A server's row, for a table of the app's that is synced for the first time.
 * *edited: the device's differs and its status column says dirty; it is noted as
 * an edit without a base.  One that differs and is not dirty has lost.
 */
bool		recheck_attached(Applying *a, EntityType *type, const Json *json,
							 const JsonNode *row, bool *edited);

/* Is there a row of the key, and is it the server's in all its columns? */
bool		recheck_compare(Store *store, EntityType *type, const Json *json,
							const JsonNode *row, bool *here, bool *same);

/*
 * A server's row, for a key that is noted as dirty: what the triggers kept as the
 * version that was edited may have been an edit that they had not seen.
 */
bool		recheck_base(Applying *a, EntityType *type, const Json *json,
						 const JsonNode *row, bool attaching);

/*
 * Rows that are here and did not come: made here.  came is the temporary table
 * of the keys that did; unseen: it is not that the server had them once.
 */
bool		recheck_rest(Applying *a, EntityType *type, const char *came, bool unseen);

#endif
