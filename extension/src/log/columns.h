/*-------------------------------------------------------------------------
 *
 * columns.h
 *	  Values of the columns that several of pg_tide's tables have.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_COLUMNS_H
#define TIDE_COLUMNS_H

#include "util/store.h"
#include "version/stamp.h"

/* the transaction that writes, as its rows say */
extern Datum top_xid(void);

/* a time and a client id, columns n and n + 1 of a row */
extern Stamp stamp_get(TupleTableSlot *slot, AttrNumber n);
extern void stamp_put(StoreRow *row, AttrNumber n, const Stamp *stamp);

/* a key as our indexes hold it, palloc'd or the key itself; see columns.c */
extern char *indexed_key(char *key);
extern Datum indexed_keys(char **keys, int nkeys);

/* the one of these keys that is held so */
extern char *key_of(char *indexed, char **keys, int nkeys);

#endif							/* TIDE_COLUMNS_H */
