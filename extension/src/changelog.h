/*-------------------------------------------------------------------------
 *
 * changelog.h
 *	  pg_tide's own tables: change log, tombstones, samples.
 *
 * All access to them is here, and runs as their owner; callers hand over keys
 * and scopes already converted to text with their own rights.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_CHANGELOG_H
#define TIDE_CHANGELOG_H

#include "nodes/pg_list.h"
#include "utils/snapshot.h"
#include "cursor.h"
#include "registry.h"
#include "stamp.h"

#define MAX_KEYS_PER_ENTRY 1000

typedef struct LogEntry
{
	uint64		xid;
	int64		seq;
	Oid			relid;
	int32		reg;
	char	   *scope;			/* '' if the table is shared */
	char	   *client_id;		/* NULL: not a push's own change */
	int			nkeys;			/* 0: the table was tracked */
	char	  **keys;
} LogEntry;

typedef struct Tombstone
{
	char	   *key;
	Stamp		stamp;
	char	   *scope;
} Tombstone;

/* an SPI connection is made and finished inside each of these */

extern void changelog_append(TrackedTable *t, const char *scope,
							 const char *client_id, char **keys, int nkeys);
extern int32 changelog_next_reg(void);

/*
 * Entries after (xid, seq) in that order, at most max_entries, as the active
 * snapshot sees them: of the given transactions and of all from xmax on.
 * scopes NULL: every scope.  Entries of shared tables are always among
 * them.
 */
extern List *changelog_read(const TideSnapshot *seen, const ScopeSet *scopes,
							uint64 after_xid, int64 after_seq,
							int max_entries);

/* keep the greater stamp of an existing tombstone and this one */
extern void tombstone_write(TrackedTable *t, Tombstone *tombstones, int n);

/* tombstones of these keys; latest: whatever the transaction's snapshot is */
extern List *tombstone_read(TrackedTable *t, char **keys, int nkeys,
							Snapshot snapshot);

/* the newest sample not after a time, as the active snapshot sees it */
extern bool sample_before(TimestampTz time, TideSnapshot *result, TimestampTz *at);

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
extern void sample_now(void);

#endif							/* TIDE_CHANGELOG_H */
