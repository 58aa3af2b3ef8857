/*
 * digest.h
 *	  What the file holds, as the server sums up what it has: for each of 256
 *	  buckets of keys the number of rows, and a sum over keys and stamps.
 *
 * A row that was edited here counts as the server last showed it.
 */
#ifndef TIDE_STORE_DIGEST_H
#define TIDE_STORE_DIGEST_H

#include "store/store.h"

#define DIGEST_BUCKETS 256

typedef struct Digest
{
	uint64_t	counts[DIGEST_BUCKETS];
	uint64_t	sums[DIGEST_BUCKETS];
} Digest;

bool		digest_make(Store *store, EntityType *type, Digest *digest);

/* A row of the file, as the wire would show it: key, stamp, clientId. */
typedef bool (*DigestRow) (void *arg, int bucket, const Json *json);

/* Call a function for each row. */
bool		digest_rows(Store *store, EntityType *type, DigestRow take, void *arg);

#endif
