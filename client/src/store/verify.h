/*
 * verify.h
 *	  Rows of the file against the server's: what is suspected to differ, and
 *	  whether it does.
 *
 * Rows that were edited here and not sent are no difference.
 */
#ifndef TIDE_STORE_VERIFY_H
#define TIDE_STORE_VERIFY_H

#include "store/digest.h"

/* Begin: nothing is suspected. */
bool		verify_begin(Store *store);

/*
 * Suspect the keys of some buckets that server and file name differently: `rows`
 * are the server's, cut down to key, stamp and clientId.
 */
bool		verify_keys(Store *store, EntityType *type, const bool *buckets,
						const Json *json, const JsonNode *rows);

/* A whole row of the server's: suspect it if the file's is another. */
bool		verify_row(Store *store, EntityType *type, const Json *json, const JsonNode *row);

/* All rows of the type have come: suspect those that have not. */
bool		verify_rest(Store *store, EntityType *type);

/* Append some of the suspected keys, {"Type": [{"id": ...}]}; *n: how many. */
bool		verify_append_suspects(Store *store, Buffer *out, int most, int64_t *n);

/* what a suspect turns out to be */
typedef bool (*VerifyFound) (void *arg, const char *entity_type, const char *key,
							 const char *difference);

/*
 * Begin and end to settle by an answer.  It says nothing of a file that has been
 * synced or replaced since it was asked for: that fails with PLACE_REPLACED.
 */
bool		verify_enter(Store *store);
bool		verify_leave(Store *store, bool good);

/* One that the server has shown now: is it missing here, another, or the same? */
bool		verify_settle(Store *store, EntityType *type, const Json *json,
						  const JsonNode *row, VerifyFound found, void *arg);

/*
 * Those of `keys`, as they were appended, that the server has not shown: is there
 * a row of it here?
 */
bool		verify_settle_rest(Store *store, const Json *keys, VerifyFound found, void *arg);

#endif
