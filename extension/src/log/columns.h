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

/* the transaction that writes, as the rows of the log name it */
extern Datum top_xid(void);

/* the stamp in columns n and n + 1 of a row: a time and a client id */
extern Stamp stamp_get(TupleTableSlot *slot, AttrNumber n);
extern void stamp_put(StoreRow *row, AttrNumber n, const Stamp *stamp);

/* A key as the indexes hold it, palloc'd, or the key itself; see columns.c. */
extern char *indexed_key(char *key);
extern Datum indexed_keys(char **keys, int nkeys);

/* that one of these keys which the index holds in this form */
extern char *key_of(char *indexed, char **keys, int nkeys);

#endif							/* TIDE_COLUMNS_H */
