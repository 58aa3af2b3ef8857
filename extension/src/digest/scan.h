/*-------------------------------------------------------------------------
 *
 * scan.h
 *	  Key and stamp of every row of a table that the caller may sync.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_SCAN_H
#define TIDE_SCAN_H

#include "read/rows.h"

/* key and stamp of a row, in memory that lasts for one batch */
typedef struct ScannedRow
{
	Datum		key[INDEX_MAX_KEYS];	/* by position in t->keys */
	Datum		stamp;
	bool		no_stamp;
	Datum		client;
	bool		no_client;
} ScannedRow;

/* false: it wants no more rows */
typedef bool (*TakeScannedRow) (ScannedRow *row, void *arg);

/*
 * Must be called in an SPI connection, with the caller's rights and the active
 * snapshot.  The rows come in no order, and are read batch by batch, so that
 * memory does not grow with the table. take_row is called between wire_begin()
 * and wire_end(), in memory that is reset with each batch.
 */
extern void scan_rows(PullTable *table, TakeScannedRow take_row, void *arg);

#endif							/* TIDE_SCAN_H */
