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
 * Each call writes in a subtransaction, so each version has a MultiXact, of who
 * locked it for its BEFORE trigger and who updated it, which every visit reads.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/acl.h"

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
 * The version may be gone with a savepoint, and another row be in its place: so
 * statements name the key, too.
 */
void
latest_begin(Push *push)
{
	begin_transaction();
	if (push->nchanges == 1)
		latest.calls++;
}
