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

/*
 * None of these needs an SPI connection.  InvalidSnapshot stands for a
 * snapshot that also shows what this command wrote.
 */

/* ---------- tombstones ---------- */

typedef struct Tombstone
{
	char	   *key;
	Stamp		stamp;
	char	   *scope;

	/*
	 * Under "merge": the columns of the row (see merge.c) and their stamps,
	 * in JSON.
	 */
	char	   *image;			/* NULL: never seen, or too large */
	char	   *clocks;			/* NULL: all have the tombstone's */

	/*
	 * If nobody has seen the row, and its key does not tell its scope: the
	 * scopes of whoever deleted it.  The tombstone binds only these.
	 */
	int			nbinds;			/* 0: it binds everybody */
	char	  **binds;
	bool		is_own;			/* as it was read: this transaction wrote it */
} Tombstone;

/*
 * If a key has a tombstone already, the greater stamp of both is kept.  No two
 * of these may have the same key.
 */
extern void tombstone_write(TrackedTable *t, Tombstone *tombstones, int n);

/*
 * Replace the image of a row and the stamps of its columns.  False if the
 * tombstone has another stamp by now.
 */
extern bool tombstone_set_image(TrackedTable *t, const Tombstone *tombstone);

/*
 * A palloc'd list of the tombstones of these keys, in no order.  A key can
 * have several: one that binds everybody, and others that bind some scopes.
 */
extern List *tombstone_read(TrackedTable *t, char **keys, int nkeys,
							Snapshot snapshot);

/* ---------- conflicts ---------- */

/* a version that lost */
typedef struct Conflict
{
	int64		id;
	Oid			relid;
	char	   *key;
	char	   *scope;
	char	   *subject;		/* who pushed; NULL: no user */
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

extern void conflict_write(TrackedTable *t, const Conflict *conflicts, int n,
						   const char *subject);

/* NULL: there is no conflict of this number */
extern Conflict *conflict_by_id(int64 id);

/* ---------- what was sent ---------- */

#define SENT_DIGEST_SIZE 16

/*
 * a change with a stamp that was sent, so that it is recognized if it comes
 * again
 */
typedef struct SentRecord
{
	int64		mark;			/* hash of key and stamp as sent, by which the
								 * index finds it */
	char	   *key;
	Stamp		stamp;			/* as sent */
	char	   *subject;		/* NULL: no user */
	uint8		digest[SENT_DIGEST_SIZE];	/* of key, stamp, user and content */
	char	   *image;			/* JSON of the row, if only the row is known
								 * and not what was sent */
	Stamp		stored;			/* the stamp of the row then; without a time:
								 * the change lost */
	bool		in_part;		/* some of it does not stand */
	bool		is_raised;
	TimestampTz raised_to;		/* the later time that it has instead of its
								 * own */
	TimestampTz known_as;		/* the time by which its sender knows it */
} SentRecord;

extern void sent_write(TrackedTable *t, const SentRecord *records, int n);

/* A palloc'd list of those with these marks, which are in ascending order. */
extern List *sent_read(TrackedTable *t, const int64 *marks, int n, Snapshot snapshot);

/*
 * The newest change of each of these keys that was stored with a later time
 * than it was sent with: key, client, subject and the two times.
 */
extern List *sent_read_raised(TrackedTable *t, char **keys, int nkeys, Snapshot snapshot);

/* ---------- receipts ---------- */

/* whose batch it is, with the role that pushes */
typedef struct ReceiptOwner
{
	const char *subject;		/* of the claims; NULL: none */
	Oid			schema;			/* that the claims name; invalid: none */
} ReceiptOwner;

/*
 * The reply to a batch, NULL if there is none, and the hash of its body.
 */
extern char *receipt_read(const ReceiptOwner *owner, const char *batch_id,
						  Snapshot snapshot, bytea **body_hash);
extern void receipt_write(const ReceiptOwner *owner, const char *batch_id,
						  bytea *body_hash, const char *reply);

/* ---------- the horizon ---------- */

/* what has been forgotten, and when that was done */
typedef struct Horizon
{
	uint64		xid;			/* all transactions before this one */
	TimestampTz at;				/* changes of before this time */
	TimestampTz pruned_at;
} Horizon;

/* false: nothing has been forgotten yet */
extern bool horizon_read(Snapshot snapshot, Horizon *horizon);
extern void horizon_set(const Horizon *horizon);

/*
 * Forget what the horizon allows, by up to max_statements (0: any number) for
 * each table, the first of which deletes up to max_rows.  Returns how many went.
 */
extern int64 changelog_forget(uint64 horizon, int max_rows, int max_statements);

#endif							/* TIDE_RECORDS_H */
