/*-------------------------------------------------------------------------
 *
 * hash.h
 *	  The bucket of a key, and what a row adds to the sum of its bucket.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_HASH_H
#define TIDE_HASH_H

#include "table/tracked.h"

#define DIGEST_BUCKETS 256

/* palloc'd; it holds a resource of the current owner until it is freed */
typedef struct RowHasher RowHasher;

extern RowHasher *hasher_new(void);
extern void hasher_free(RowHasher *hasher);

/*
 * Both write values as they are on the wire, so they must run between
 * wire_begin() and wire_end(). key[] is by position in t->keys.
 */
extern int	hasher_bucket(RowHasher *hasher, TrackedTable *t, Datum *key);

/* of the row whose bucket was asked for last */
extern uint64 hasher_row(RowHasher *hasher, TrackedTable *t, Datum stamp,
						 bool no_stamp, Datum client, bool no_client);

#endif							/* TIDE_HASH_H */
