/*-------------------------------------------------------------------------
 *
 * changelog.h
 *	  The change log, and samples of which transactions were visible when.
 *
 * All access to both is here, and runs as their owner.  Callers pass keys and
 * scopes as text, which they have converted with their own rights.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_CHANGELOG_H
#define TIDE_CHANGELOG_H

#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/snapshot.h"
#include "cursor/cursor.h"
#include "table/registry.h"
#include "version/stamp.h"

#define MAX_KEYS_PER_ENTRY 1000

/* of an entry that comes from a push */
typedef struct LogOrigin
{
	int32		push;			/* the push that stored exactly this and shows
								 * it in its reply, by its number in its
								 * transaction, from 1 */
	const char *subject;		/* NULL: no user */
	const char *client_id;		/* NULL: not known */
} LogOrigin;

typedef struct LogEntry
{
	uint64		xid;
	int64		seq;
	Oid			relid;
	int32		reg;
	char	   *scope;			/* '' if the table is shared */
	LogOrigin  *origin;			/* NULL: not a push's own */
	char	   *for_subject;	/* the only one who is to see it; both NULL:
								 * everybody */
	char	   *for_client;
	bool		is_registration;	/* the table was tracked or untracked;
									 * there are no keys */
	int			nkeys;
	char	  **keys;
	ArrayType  *packed;			/* the keys of an entry that was read */
} LogEntry;

/*
 * None of these needs an SPI connection.  What follows in the transaction sees
 * the entries.
 */

extern void changelog_append(TrackedTable *t, const char *scope,
							 const LogOrigin *origin, char **keys, int nkeys);

/* keys that are sent to this client of this user alone */
extern void changelog_append_for(TrackedTable *t, const char *scope, const char *subject,
								 const char *client_id, char **keys, int nkeys);
extern void changelog_append_registration(Oid relid, int32 reg);
extern void changelog_append_many(TrackedTable *t, const LogEntry *entries, int n);
extern int32 changelog_next_reg(void);

/* a number for another push of this transaction */
extern int32 changelog_next_push(void);

/*
 * The newest sample that was taken before the clock showed this time, among
 * those that the active snapshot shows.
 */
extern bool sample_before(TimestampTz time, TideSnapshot *result, TimestampTz *at);

/* the oldest transaction that was running at a sample of that age; 0: there is none */
extern uint64 samples_xmin_before(int64 age);

extern void sample_now(void);

#endif							/* TIDE_CHANGELOG_H */
