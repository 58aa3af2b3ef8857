/*-------------------------------------------------------------------------
 *
 * digest.h
 *	  What a client compares its copy of a table with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_DIGEST_H
#define TIDE_DIGEST_H

#include "digest/hash.h"
#include "pull/page.h"

typedef struct TableDigest
{
	PullTable  *table;
	int64		count[DIGEST_BUCKETS];	/* rows that the caller may sync */
	uint64		sum[DIGEST_BUCKETS];	/* of hasher_row() */
	bool		moved[DIGEST_BUCKETS];	/* it has a key that changed since the
										 * cursor */
} TableDigest;

/*
 * moved.c: mark the buckets of keys that the log has between what the places
 * of pull->begin have seen and the active snapshot.
 */
extern void digest_mark_moved(Pull *pull, TableDigest *digests, RowHasher *hasher);

#endif							/* TIDE_DIGEST_H */
