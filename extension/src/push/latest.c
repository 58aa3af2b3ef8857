/*-------------------------------------------------------------------------
 *
 * latest.c
 *	  Where the row is that this transaction pushes again and again.
 *
 * A transaction may call tide.upsert() of one row thousands of times.  Nobody can
 * take away the versions that it has left behind, and a look-up by key goes
 * through all of them: each call would take longer than the one before.  So the
 * last version is found by its place.
 *
 * Each call also writes in a subtransaction of its own.  A row with a BEFORE
 * trigger is locked before it is updated, and the new version inherits the lock.
 * Locked by one subtransaction after the other, it would have all of them in its
 * MultiXact, of ever more members.  So the lock is taken once, outside.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "push/latest.h"
#include "util/compat.h"

/* single changes that a transaction pushes before this is worth anything */
#define FEW_CALLS 8

/* longer keys are looked up */
#define LONGEST_KEY 200

static struct
{
	LocalTransactionId transaction; /* all of this is about */
	int			calls;
	Oid			relid;			/* invalid: nothing is known */
	char		key[LONGEST_KEY];
	ItemPointerData tid;
}			latest;

static void
begin_transaction(void)
{
	if (latest.transaction == TideLocalTransactionId())
		return;
	latest.transaction = TideLocalTransactionId();
	latest.calls = 0;
	latest.relid = InvalidOid;
}

bool
latest_may(const Change *c)
{
	TrackedTable *t = c->table->t;

	begin_transaction();
	return latest.calls > FEW_CALLS && !t->partitioned &&
		strlen(c->typed.key_text) < LONGEST_KEY &&
		pg_class_aclcheck(t->relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
}

bool
latest_find(const Change *c, ItemPointer tid)
{
	if (!latest_may(c) || latest.relid != c->table->t->relid ||
		strcmp(latest.key, c->typed.key_text) != 0)
		return false;
	*tid = latest.tid;
	return true;
}

void
latest_note(const Change *c, ItemPointer tid)
{
	latest.relid = c->table->t->relid;
	strlcpy(latest.key, c->typed.key_text, LONGEST_KEY);
	latest.tid = *tid;
}

void
latest_forget(void)
{
	latest.relid = InvalidOid;
}

/*
 * The version may be gone with a savepoint, and another row be in its place: then
 * it is not one that we wrote and see.
 */
static void
lock_own_version(Relation rel, ItemPointer tid)
{
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TM_FailureData failure;
	bool		isnull;

	if (!table_tuple_fetch_row_version(rel, tid, snapshot, slot) ||
		!TransactionIdIsCurrentTransactionId(DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull))) ||
		table_tuple_lock(rel, tid, snapshot, slot, GetCurrentCommandId(true),
						 LockTupleNoKeyExclusive, LockWaitSkip, 0, &failure) != TM_Ok)
		latest_forget();
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
}

void
latest_begin(Push *push)
{
	Change	   *c = &push->changes[0];
	ItemPointerData tid;
	Relation	rel;

	if (push->nchanges != 1 || c->table == NULL || !c->typed.done)
		return;
	begin_transaction();
	latest.calls++;
	if (!latest_find(c, &tid))
		return;
	rel = table_open(c->table->t->relid, NoLock);
	lock_own_version(rel, &tid);
	table_close(rel, NoLock);
}
