/*-------------------------------------------------------------------------
 *
 * judge.c
 *	  What is there, and which changes stand against it.
 *
 * Reads the rows of changes, and of those that are absent the tombstones, and
 * lets decide.c decide.  Rows that are absent are first locked by key, so that
 * a create and a delete that cross cannot both go by what neither has
 * committed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/snapmgr.h"

#include "capture/capture.h"
#include "log/records.h"
#include "push/batch.h"
#include "push/judge.h"
#include "push/merge.h"
#include "table/scope_path.h"
#include "util/compat.h"
#include "util/errors.h"
#include "util/keymap.h"
#include "wire/wire.h"

/* a push that creates or deletes more absent rows locks the table's keys */
#define MAX_KEY_LOCKS 256

/* and while another does, it locks so many keys before it waits */
#define MAX_CONTENDED_KEY_LOCKS 2048

/* advisory locks of our own: users have 1 and 2 here */
#define KEY_LOCK_CLASS 7

static const char *const FORBIDDEN = "the row is in a scope that is not allowed";

/* ---------- what is there ---------- */

static bool
same_datum(TrackedColumn *column, Form_pg_attribute att, Datum a, Datum b)
{
	if (tide_image_eq(a, b, att->attbyval, att->attlen))
		return true;
	/* 1.5 and 1.50 */
	return column->base_type == NUMERICOID &&
		DatumGetBool(DirectFunctionCall2(numeric_eq, a, b));
}

static bool
is_deleted(TrackedTable *t, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;

	if (!t->deleted_at)
		return false;
	SPI_getbinval(tuple, desc, PROBE_DELETED_AT, &isnull);
	return !isnull;
}

/* has the row what the change would store? */
static bool
is_same(Change *c, HeapTuple tuple, TupleDesc desc, bool deleted)
{
	TrackedTable *t = c->table->t;
	bool		isnull;
	int			att = -1;

	if (c->typed.is_delete || deleted)
		return c->typed.is_delete && deleted;
	while ((att = bms_next_member(c->typed.changed, att)) >= 0)
	{
		Datum		value = SPI_getbinval(tuple, desc, probe_column(c->table, att), &isnull);

		if (isnull != c->typed.nulls[att - 1])
			return false;
		if (!isnull && !same_datum(tracked_column(t, att), TupleDescAttr(t->tupdesc, att - 1),
								   value, c->typed.values[att - 1]))
			return false;
	}
	return true;
}

/* exists: a row, or a tombstone; deleted: softly */
static void
judge_change(Push *push, Change *c, bool exists, bool same, bool deleted)
{
	TrackedTable *t = c->table->t;
	MemoryContext old = MemoryContextSwitchTo(push->context);
	Current		current = {0};
	Decision	decision;

	c->typed.incoming.is_delete = c->typed.is_delete;
	c->typed.incoming.columns = c->typed.changed;
	current.exists = exists;
	current.stamp = c->found.stamp;
	current.same = same;
	current.now = stamp_server_time(t, NULL);
	current.server_time = stamp_server_time(t, exists ? &c->found.stamp : NULL);
	if (exists && c->found.stamp.has_time)
		current.just_above = stamp_just_above(t, c->found.stamp.time);
	current.is_row = c->found.exists && !deleted;
	current.clocks = c->found.merge ? c->found.merge->clocks : NULL;
	decision = decide(t->policy, &c->typed.incoming, &current);
	c->outcome.verdict = decision.verdict;
	c->outcome.overrules = decision.overrules;
	c->outcome.asks = decision.asks;
	c->outcome.stored = decision.stored;
	c->outcome.note = decision.note;
	if (t->policy == POLICY_MERGE)
		merge_settle(push, c, &decision);
	MemoryContextSwitchTo(old);
}

/* what of a row says whose it is, on the wire */
const char *
scope_member(TrackedTable *t)
{
	return tracked_column(t, t->path ? t->path->first : t->scope)->wire;
}

static void
fail_forbidden(Change *c)
{
	change_fail_as(c, "scope_not_allowed", FORBIDDEN);
	c->outcome.failure.column = scope_member(c->table->t);
}

List *
changes_with_verdict(List *changes, Verdict verdict, bool row_exists)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		if (c->outcome.verdict == verdict && c->found.exists == row_exists)
			result = lappend(result, c);
	}
	return result;
}

/* one row of a probe; if it may not be written, the change fails */
static void
read_row(Push *push, Change *c, HeapTuple tuple, TupleDesc desc)
{
	TrackedTable *t = c->table->t;
	MemoryContext old = MemoryContextSwitchTo(push->context);
	Datum		value;
	bool		isnull;

	c->found.exists = true;
	value = SPI_getbinval(tuple, desc, PROBE_MODIFIED_AT, &isnull);
	c->found.stamp.has_time = !isnull;
	if (!isnull)
		c->found.stamp.time = DatumGetTimestampTz(value);
	value = SPI_getbinval(tuple, desc, PROBE_CLIENT_ID, &isnull);
	if (!isnull)
		c->found.stamp.client_id = TextDatumGetCString(value);
	if (!t->shared)
	{
		value = SPI_getbinval(tuple, desc, PROBE_SCOPE, &isnull);
		if (!isnull)
			c->found.scope = wire_scope_text(t, value);
	}
	MemoryContextSwitchTo(old);

	if (!access_has_text(&c->table->scopes, c->found.scope))
	{
		fail_forbidden(c);
		return;
	}
	if (t->policy == POLICY_MERGE)
		merge_read_row(push, c, tuple, desc);
	c->found.deleted = is_deleted(t, tuple, desc);
	c->found.same = is_same(c, tuple, desc, c->found.deleted);
}

/*
 * Read the rows of these changes; those that exist are judged.  What is known
 * as seen before is read after the rows are: who overruled the version that was
 * read has committed the record of it by then.
 */
void
judge_rows(Push *push, PushTable *table, List *changes)
{
	List	   *existing;
	ListCell   *lc;
	uint64		i;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		c->found = (Found)
		{
			0
		};
		c->outcome = (Outcome)
		{
			0
		};
	}
	batch_run(push, table, BATCH_PROBE, changes);
	for (i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		int			ord = DatumGetInt32(SPI_getbinval(tuple, desc, PROBE_ORD, &isnull));

		read_row(push, list_nth(changes, ord), tuple, desc);
	}
	SPI_freetuptable(SPI_tuptable);

	existing = changes_with_verdict(changes, VERDICT_NONE, true);
	conflicts_load_known(push, table, existing);
	foreach(lc, existing)
	{
		Change	   *c = lfirst(lc);

		judge_change(push, c, true, c->found.same, c->found.deleted);
	}
}

/* ---------- rows that are not there ---------- */

/* false: it is not free, and we do not wait */
static bool
lock_one(Oid relid, uint32 hash, LOCKMODE mode, bool wait)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, relid, hash, KEY_LOCK_CLASS);
	return LockAcquire(&tag, mode, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

static int
compare_hashes(const void *a, const void *b)
{
	uint32		x = *(const uint32 *) a;
	uint32		y = *(const uint32 *) b;

	return (x > y) - (x < y);
}

/* the keys of one table that this transaction has locked so far */
typedef struct LockedKeys
{
	Oid			relid;
	LocalTransactionId transaction;
	int			n;
}			LockedKeys;

/*
 * How many are locked by now, with n more.  A subtransaction that is undone
 * gives its locks back and is counted all the same: the table's lock may be
 * taken sooner than it must.
 */
static int
count_locked_keys(Oid relid, int n)
{
	static HTAB *counts = NULL;
	LockedKeys *locked;
	bool		found;

	if (counts == NULL)
	{
		HASHCTL		ctl = {0};

		ctl.keysize = sizeof(Oid);
		ctl.entrysize = sizeof(LockedKeys);
		counts = hash_create("pg_tide locked keys", 16, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	locked = hash_search(counts, &relid, HASH_ENTER, &found);
	if (!found || locked->transaction != TideLocalTransactionId())
	{
		locked->transaction = TideLocalTransactionId();
		locked->n = 0;
	}
	if (locked->n <= MAX_CONTENDED_KEY_LOCKS)
		locked->n += n;
	return locked->n;
}

/*
 * Until the end of the transaction, no other push creates or deletes these
 * keys.  The lock table is of a fixed size, so a push of many changes, in
 * however small sets it is carried out once one of them fails, takes one lock
 * for all keys of the table, which small ones share; so does a transaction that
 * makes many small pushes.  Two of these could wait for each other, both with
 * keys of their own: each goes on key by key as long as it may.
 */
void
judge_lock_keys(PushTable *table, List *changes)
{
	TrackedTable *t = table->t;
	int			n = list_length(changes);
	int			locked;
	uint32	   *hashes;
	ListCell   *lc;
	int			i = 0;

	if (table->nchanges > MAX_KEY_LOCKS)
	{
		(void) lock_one(t->relid, 0, ExclusiveLock, true);
		return;
	}
	locked = count_locked_keys(t->relid, n);
	if (locked > MAX_KEY_LOCKS &&
		lock_one(t->relid, 0, ExclusiveLock, locked > MAX_CONTENDED_KEY_LOCKS))
		return;
	(void) lock_one(t->relid, 0, RowExclusiveLock, true);
	hashes = palloc(sizeof(uint32) * n);
	foreach(lc, changes)
	{
		const char *key = ((Change *) lfirst(lc))->typed.key_text;

		/* 0 is the table's */
		hashes[i++] = hash_bytes((const unsigned char *) key, strlen(key)) | 1;
	}
	qsort(hashes, n, sizeof(uint32), compare_hashes);
	for (i = 0; i < n; i++)
		(void) lock_one(t->relid, hashes[i], ExclusiveLock, true);
	pfree(hashes);
}

static char **
keys_of(List *changes)
{
	char	  **keys = palloc(sizeof(char *) * Max(list_length(changes), 1));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, changes)
		keys[n++] = ((Change *) lfirst(lc))->typed.key_text;
	return keys;
}

/*
 * Tombstones as committed by now, whatever snapshot the transaction keeps: an
 * older one does not show the delete that must not be undone.
 */
static List *
latest_tombstones(Push *push, TrackedTable *t, List *changes)
{
	MemoryContext old = MemoryContextSwitchTo(push->context);
	Snapshot	snapshot;
	List	   *result;

	capture_write_rows();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	result = tombstone_read(t, keys_of(changes), list_length(changes), snapshot);
	UnregisterSnapshot(snapshot);
	MemoryContextSwitchTo(old);
	return result;
}

KeyMap *
changes_by_key(List *changes)
{
	KeyMap	   *map = keymap_new(CurrentMemoryContext, list_length(changes) * 2);
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		keymap_put(map, c->typed.key_text, c);
	}
	return map;
}

/* is the deleted row one of a scope that the caller may not write? */
static bool
is_forbidden(PushTable *table, Tombstone *tombstone)
{
	return !table->t->shared && tombstone->scope &&
		!access_has_text(&table->scopes, tombstone->scope);
}

bool
judge_any_known(List *changes)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		if (((Change *) lfirst(lc))->typed.incoming.is_known)
			return true;
	}
	return false;
}

void
judge_as_new(Push *push, Change *c)
{
	c->found = (Found)
	{
		0
	};
	c->outcome = (Outcome)
	{
		0
	};
	judge_change(push, c, false, false, false);
}

/* judge changes to absent rows by their tombstones */
static void
judge_by_tombstones(Push *push, PushTable *table, List *changes)
{
	KeyMap	   *map = changes_by_key(changes);
	ListCell   *lc;

	foreach(lc, latest_tombstones(push, table->t, changes))
	{
		Tombstone  *tombstone = lfirst(lc);
		Change	   *c = keymap_get(map, tombstone->key);

		c->found.stamp = tombstone->stamp;
		c->found.scope = tombstone->scope;
		if (is_forbidden(table, tombstone))
		{
			fail_forbidden(c);
			continue;
		}
		if (table->t->policy == POLICY_MERGE)
			merge_read_tombstone(push, c, tombstone);
		judge_change(push, c, true, c->typed.is_delete, false);
	}
	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		if (c->outcome.verdict != VERDICT_NONE)
			continue;
		if (!c->typed.is_delete && push->has_horizon && c->typed.incoming.has_stamp &&
			c->typed.incoming.stamp.time < push->horizon)
			change_fail_as(c, "resync_required",
						   "the row may have been deleted before what this database remembers");
		else
		{
			if (table->t->policy == POLICY_MERGE)
				merge_read_nothing(push, c);
			judge_change(push, c, false, false, false);
		}
	}
}

/*
 * After rows were inserted: a delete that committed meanwhile, of plain SQL
 * that takes no lock of ours, may be newer.  Then all of the set is undone
 * and done again; a transaction that keeps its snapshot has to be.
 */
void
judge_tombstones_again(Push *push, PushTable *table, List *inserted)
{
	KeyMap	   *map = changes_by_key(inserted);
	ListCell   *lc;

	foreach(lc, latest_tombstones(push, table->t, inserted))
	{
		Tombstone  *tombstone = lfirst(lc);
		Change	   *c = keymap_get(map, tombstone->key);

		if (stamp_compare(&tombstone->stamp, &c->outcome.stored) >= 0 ||
			is_forbidden(table, tombstone))
			ereport(ERROR,
					(errcode(IsolationUsesXactSnapshot() ?
							 ERRCODE_T_R_SERIALIZATION_FAILURE : ERRCODE_TIDE_AGAIN),
					 errmsg("a row was deleted while it was being pushed"),
					 errhint("Try again.")));
	}
}

/*
 * Absent rows: lock their keys, see whether they have come into being while we
 * waited, judge them by their tombstones.  What is to be inserted would find
 * out by itself, but for a replay.
 */
void
judge_absent(Push *push, PushTable *table, List *absent, bool is_delete)
{
	bool		look_again = is_delete || table->t->policy == POLICY_MERGE;

	judge_lock_keys(table, absent);
	conflicts_load_known(push, table, absent);
	look_again |= judge_any_known(absent);
	if (look_again && IsolationUsesXactSnapshot())
	{
		batch_probe_latest(push, table, absent);
		if (SPI_processed > 0)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("a row to change was created after this transaction's snapshot was taken"),
					 errhint("Try the transaction again.")));
		SPI_freetuptable(SPI_tuptable);
	}
	else if (look_again)
		judge_rows(push, table, absent);
	judge_by_tombstones(push, table, changes_with_verdict(absent, VERDICT_NONE, false));
}
