/*-------------------------------------------------------------------------
 *
 * records.h
 *	  What is remembered beside the log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_RECORDS_H
#define TIDE_RECORDS_H

#include "nodes/pg_list.h"
#include "utils/snapshot.h"
#include "table/registry.h"
#include "version/stamp.h"

/* an SPI connection is made and finished inside each of these functions */

typedef struct Tombstone
{
	char	   *key;
	Stamp		stamp;
	char	   *scope;

	/* under merge: the row's columns, see merge.c, and their stamps, JSON */
	char	   *image;			/* NULL: never seen, or too large */
	char	   *clocks;			/* NULL: all have the tombstone's */
} Tombstone;

/* keep the greater stamp of an existing tombstone and this one */
extern void tombstone_write(TrackedTable *t, Tombstone *tombstones, int n);

/*
 * Replace the image of a row and its columns' stamps.  False if the tombstone
 * has another stamp by now.
 */
extern bool tombstone_set_image(TrackedTable *t, const Tombstone *tombstone);

/* tombstones of these keys; latest: whatever the transaction's snapshot is */
extern List *tombstone_read(TrackedTable *t, char **keys, int nkeys,
							Snapshot snapshot);

/* a version that lost, or a stamp that was not stored as it was sent */
typedef struct Conflict
{
	int64		id;
	Oid			relid;
	char	   *key;
	char	   *scope;
	char	   *subject;		/* who pushed; NULL: no user, or not read */
	const char *kind;
	char	   *lost;			/* JSON, NULL: none */
	bool		lost_is_delete;
	Stamp		lost_stamp;		/* as sent */
	char	   *stood;			/* JSON */
	Stamp		stood_stamp;
} Conflict;

#define CONFLICT_SUPERSEDED "superseded"
#define CONFLICT_OVERRULED "overruled"
#define CONFLICT_MERGED "merged"
#define CONFLICT_ADJUSTED "adjusted"

#define CONFLICT_REPLACED "replaced"

/*
 * Stamps of versions that were replaced, by whatever: when one comes again it
 * is known.  Of the tombstones only key, scope and stamp count.
 */
extern void conflict_write_replaced(TrackedTable *t, Tombstone *replaced, int n);

extern void conflict_write(TrackedTable *t, const Conflict *conflict, const char *subject);

/* those of these keys: without the JSON */
extern List *conflict_read(TrackedTable *t, char **keys, int nkeys, Snapshot snapshot);
extern Conflict *conflict_by_id(int64 id);

/*
 * The reply to a batch, NULL if there is none, and the hash of its body, as
 * the snapshot sees it (InvalidSnapshot: this command).
 */
extern char *receipt_read(const char *subject, const char *batch_id,
						  Snapshot snapshot, bytea **body_hash);
extern void receipt_write(const char *subject, const char *batch_id,
						  bytea *body_hash, const char *reply);

/* what has been forgotten, and when that was done */
typedef struct Horizon
{
	uint64		xid;			/* all transactions before this one */
	TimestampTz at;				/* changes of before this time */
	TimestampTz pruned_at;
} Horizon;

/* false: nothing was ever forgotten */
extern bool horizon_read(Snapshot snapshot, Horizon *horizon);
extern void horizon_set(const Horizon *horizon);

/* forget up to max_rows of what the horizon allows; returns how many */
extern int64 changelog_forget(uint64 horizon, int max_rows);

#endif							/* TIDE_RECORDS_H */
