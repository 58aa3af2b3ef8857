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

/* palloc'd; has a resource of the current owner until it is freed */
typedef struct RowHasher RowHasher;

extern RowHasher *hasher_new(void);
extern void hasher_free(RowHasher *hasher);

/*
 * Both write values as the wire has them: between wire_begin() and wire_end().
 * key[] is by position in t->keys.
 */
extern int	hasher_bucket(RowHasher *hasher, TrackedTable *t, Datum *key);

/* of the row whose key hasher_bucket() was last asked for */
extern uint64 hasher_row(RowHasher *hasher, TrackedTable *t, Datum stamp,
						 bool no_stamp, Datum client, bool no_client);

#endif							/* TIDE_HASH_H */
