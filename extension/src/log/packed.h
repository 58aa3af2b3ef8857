/*-------------------------------------------------------------------------
 *
 * packed.h
 *	  Tombstones of very many rows that one statement deleted.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_PACKED_H
#define TIDE_PACKED_H

#include "utils/snapshot.h"

#include "log/records.h"
#include "table/tracked.h"

typedef struct Packing Packing;

/*
 * Gather deleted rows that all have this stamp.  The result lives in a context
 * of its own below parent.
 */
extern Packing *packed_begin(TrackedTable *t, const Stamp *stamp, MemoryContext parent);

/* the key and scope (NULL: nobody's or everybody's) of a deleted row */
extern void packed_add(Packing *p, const char *key, const char *scope);

/* write what was gathered, and free it */
extern void packed_end(Packing *p);

/*
 * Tombstones, palloc'd, of those of these keys that are in packs: the greatest
 * of each key.  This makes an SPI connection of its own.
 */
extern List *packed_read(TrackedTable *t, char **keys, int nkeys, Snapshot snapshot);

#endif							/* TIDE_PACKED_H */
