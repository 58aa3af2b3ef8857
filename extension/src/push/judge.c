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
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
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
	int			n = PROBE_FIRST;
	int			att = -1;

	if (c->is_delete || deleted)
		return c->is_delete && deleted;
	while ((att = bms_next_member(c->changed, att)) >= 0)
	{
		Datum		value = SPI_getbinval(tuple, desc, n++, &isnull);

		if (isnull != c->nulls[att - 1])
			return false;
		if (!isnull && !same_datum(tracked_column(t, att), TupleDescAttr(t->tupdesc, att - 1),
								   value, c->values[att - 1]))
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

	c->incoming.is_delete = c->is_delete;
	c->incoming.columns = c->changed;
	current.exists = exists;
	current.stamp = c->row_stamp;
	current.same = same;
	current.now = stamp_server_time(t, NULL);
	current.server_time = stamp_server_time(t, exists ? &c->row_stamp : NULL);
	if (exists && c->row_stamp.has_time)
		current.just_above = stamp_just_above(t, c->row_stamp.time);
	current.is_row = c->row_exists && !deleted;
	current.clocks = c->merge ? c->merge->clocks : NULL;
	decision = decide(t->policy, &c->incoming, &current);
	c->verdict = decision.verdict;
	c->overrules = decision.overrules;
	c->asks = decision.asks;
	c->stored = decision.stored;
	c->note = decision.note;
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
	c->failure.column = scope_member(c->table->t);
}

List *
changes_with_verdict(List *changes, Verdict verdict, bool row_exists)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		if (c->verdict == verdict && c->row_exists == row_exists)
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

	memset(&c->row_stamp, 0, sizeof(c->row_stamp));
	c->row_exists = true;
	c->row_scope = NULL;
	value = SPI_getbinval(tuple, desc, PROBE_MODIFIED_AT, &isnull);
	c->row_stamp.has_time = !isnull;
	if (!isnull)
		c->row_stamp.time = DatumGetTimestampTz(value);
	value = SPI_getbinval(tuple, desc, PROBE_CLIENT_ID, &isnull);
	if (!isnull)
		c->row_stamp.client_id = TextDatumGetCString(value);
	if (!t->shared)
	{
		value = SPI_getbinval(tuple, desc, PROBE_SCOPE, &isnull);
		if (!isnull)
			c->row_scope = wire_scope_text(t, value);
	}
	MemoryContextSwitchTo(old);

	if (!access_has_text(&c->table->scopes, c->row_scope))
	{
		fail_forbidden(c);
		return;
	}
	if (t->policy == POLICY_MERGE)
		merge_read_row(push, c, tuple, desc);
	c->row_is_deleted = is_deleted(t, tuple, desc);
	c->row_is_same = is_same(c, tuple, desc, c->row_is_deleted);
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

		c->row_exists = false;
		c->verdict = VERDICT_NONE;
		c->entity = NULL;
		c->asks = false;
		c->merge = NULL;
		c->writes = NULL;
		c->new_values = NULL;
		c->new_nulls = NULL;
		memset(&c->row_stamp, 0, sizeof(c->row_stamp));
	}
	batch_run(table, BATCH_PROBE, changes);
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

		judge_change(push, c, true, c->row_is_same, c->row_is_deleted);
	}
}

/* ---------- rows that are not there ---------- */

static void
lock_one(Oid relid, uint32 hash, LOCKMODE mode)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, relid, hash, KEY_LOCK_CLASS);
	(void) LockAcquire(&tag, mode, false, false);
}

static int
compare_hashes(const void *a, const void *b)
{
	uint32		x = *(const uint32 *) a;
	uint32		y = *(const uint32 *) b;

	return (x > y) - (x < y);
}

/*
 * Until the end of the transaction, no other push creates or deletes these
 * keys.  The lock table is of a fixed size, so a push of many changes, in
 * however small sets it is carried out once one of them fails, takes one lock
 * for all keys of the table, which small ones share.
 */
void
judge_lock_keys(PushTable *table, List *changes)
{
	TrackedTable *t = table->t;
	int			n = list_length(changes);
	uint32	   *hashes;
	ListCell   *lc;
	int			i = 0;

	if (table->nchanges > MAX_KEY_LOCKS)
	{
		lock_one(t->relid, 0, ExclusiveLock);
		return;
	}
	lock_one(t->relid, 0, RowExclusiveLock);
	hashes = palloc(sizeof(uint32) * n);
	foreach(lc, changes)
	{
		const char *key = ((Change *) lfirst(lc))->key_text;

		/* 0 is the table's */
		hashes[i++] = hash_bytes((const unsigned char *) key, strlen(key)) | 1;
	}
	qsort(hashes, n, sizeof(uint32), compare_hashes);
	for (i = 0; i < n; i++)
		lock_one(t->relid, hashes[i], ExclusiveLock);
	pfree(hashes);
}

static char **
keys_of(List *changes)
{
	char	  **keys = palloc(sizeof(char *) * Max(list_length(changes), 1));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, changes)
		keys[n++] = ((Change *) lfirst(lc))->key_text;
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

		keymap_put(map, c->key_text, c);
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
		if (((Change *) lfirst(lc))->incoming.is_known)
			return true;
	}
	return false;
}

void
judge_as_new(Push *push, Change *c)
{
	c->row_exists = false;
	c->entity = NULL;
	memset(&c->row_stamp, 0, sizeof(c->row_stamp));
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

		c->row_stamp = tombstone->stamp;
		c->row_scope = tombstone->scope;
		if (is_forbidden(table, tombstone))
		{
			fail_forbidden(c);
			continue;
		}
		if (table->t->policy == POLICY_MERGE)
			merge_read_tombstone(push, c, tombstone);
		judge_change(push, c, true, c->is_delete, false);
	}
	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		if (c->verdict != VERDICT_NONE)
			continue;
		if (!c->is_delete && push->has_horizon && c->incoming.has_stamp &&
			c->incoming.stamp.time < push->horizon)
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

		if (stamp_compare(&tombstone->stamp, &c->stored) >= 0 ||
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
		batch_probe_latest(table, absent);
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
