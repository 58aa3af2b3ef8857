/*-------------------------------------------------------------------------
 *
 * judge.c
 *	  Judging changes: reading what is there, and deciding which changes stand
 *	  against it.
 *
 * It reads the rows of changes, and the tombstones of absent rows, and lets
 * decide.c decide.  The keys of absent rows are locked first, so that a create
 * and a delete that cross each other cannot both decide without what the other
 * has not yet committed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/snapmgr.h"

#include "capture/capture.h"
#include "log/records.h"
#include "push/batch.h"
#include "push/judge.h"
#include "push/known.h"
#include "push/merge.h"
#include "push/rights.h"
#include "table/scope_path.h"
#include "util/compat.h"
#include "util/errors.h"
#include "util/keymap.h"
#include "wire/wire.h"

/*
 * a push that creates or deletes more absent rows than this locks all keys of
 * the table at once
 */
#define MAX_KEY_LOCKS 256

/*
 * while another push has that lock, it locks this many keys one by one before
 * it waits
 */
#define MAX_CONTENDED_KEY_LOCKS 2048

/* the class of our advisory locks; those of PostgreSQL's functions are 1 and 2 */
#define KEY_LOCK_CLASS 7

static const char *const IN_SECONDS = "the stamp is a day in January 1970: a number is taken for Unix milliseconds, and this one looks like seconds";
static const char *const FORBIDDEN = "the row is in a scope that is not allowed";

/* ---------- what is there ---------- */

static bool
is_deleted(TrackedTable *t, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;

	if (!t->deleted_at)
		return false;
	SPI_getbinval(tuple, desc, PROBE_DELETED_AT, &isnull);
	return !isnull;
}

/*
 * Does the row have what the change would store?  Under "merge" this also
 * notes which columns differ.
 */
static bool
is_same(Change *c, HeapTuple tuple, TupleDesc desc, bool deleted)
{
	TrackedTable *t = c->table->t;
	bool		same = true;
	bool		isnull;
	int			att = -1;

	if (c->typed.is_delete || deleted)
		return c->typed.is_delete && deleted;
	while ((att = bms_next_member(c->typed.changed, att)) >= 0)
	{
		Datum		value = SPI_getbinval(tuple, desc, probe_column(c->table, att), &isnull);

		if (isnull == c->typed.nulls[att - 1] &&
			(isnull || same_datum(tracked_column(t, att), TupleDescAttr(t->tupdesc, att - 1),
								  value, c->typed.values[att - 1])))
			continue;
		same = false;
		if (t->policy != POLICY_MERGE)
			break;
		c->found.differs = bms_add_member(c->found.differs, att);
	}
	return same;
}

/* exists: there is a row or a tombstone; deleted: softly */
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
	current.differs = c->found.differs;
	current.unit = stamp_unit(t);
	current.limit = stamp_limit();
	current.now = stamp_server_time(t, NULL, false);
	current.server_time = stamp_server_time(t, exists && stamp_counts(&c->found.stamp, current.limit) ?
											&c->found.stamp : NULL, false);
	current.raised = c->found.raised;
	current.nraised = c->found.nraised;
	current.is_row = c->found.exists && !deleted;
	current.clocks = c->found.merge ? c->found.merge->clocks : NULL;
	decision = decide(t->policy, &c->typed.incoming, &current);
	c->outcome.verdict = decision.verdict;
	c->outcome.overrules = decision.overrules;
	c->outcome.asks = decision.asks;
	c->outcome.replaces_twin = decision.replaces_twin;
	c->outcome.stored = decision.stored;
	c->outcome.known_as = decision.known_as;
	c->outcome.note = decision.note == NULL && c->typed.in_seconds ? IN_SECONDS :
		decision.note;
	known_note_raised(push, c, &decision);
	if (t->policy == POLICY_MERGE)
		merge_settle(push, c, &decision);
	MemoryContextSwitchTo(old);
}

/* what in a row says whose it is, by its name on the wire */
const char *
scope_member(TrackedTable *t)
{
	return tracked_column(t, t->path ? t->path->first : t->scope)->wire;
}

/*
 * Take the scope of an absent row from its key, if the scope is part of the
 * key.  False if the caller may not write in that scope.
 */
static bool
settle_scope_of_key(Push *push, Change *c)
{
	TrackedTable *t = c->table->t;
	MemoryContext old;
	int			k;

	if (t->shared)
		return true;
	for (k = 0; k < t->nkeys && t->keys[k] != t->scope; k++)
		 /* is the scope part of the key? */ ;
	if (k == t->nkeys)
		return true;
	old = MemoryContextSwitchTo(push->context);
	c->found.scope = wire_scope_text(t, c->typed.key[k]);
	MemoryContextSwitchTo(old);
	return access_has_text(&c->table->scopes, c->found.scope);
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

/*
 * Take one row of a probe.  If the caller may not write it, the change fails.
 */
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
	if (rights_refuse(c, true))
		return;
	old = MemoryContextSwitchTo(push->context);
	if (t->policy == POLICY_MERGE)
		merge_read_row(push, c, tuple, desc);
	c->found.deleted = is_deleted(t, tuple, desc);
	c->found.same = is_same(c, tuple, desc, c->found.deleted);
	MemoryContextSwitchTo(old);
}

/*
 * Read the rows of these changes, and judge the changes whose row exists.
 * What was seen before is read after the rows: by then, whoever replaced the
 * version that was read has committed the record of it.
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
	known_load(push, table, existing);
	known_load_raised(push, table, existing);
	foreach(lc, existing)
	{
		Change	   *c = lfirst(lc);

		judge_change(push, c, true, c->found.same, c->found.deleted);
	}
}

/* ---------- rows that are not there ---------- */

/* false: another transaction has the lock, and this does not wait */
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
} LockedKeys;

/*
 * How many keys are locked, with n more.  A subtransaction that is undone
 * gives its locks back but is still counted, so the lock of the table may be
 * taken sooner than necessary.
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
 * Until the transaction ends, no other push creates or deletes these keys.
 * The lock table of PostgreSQL has a fixed size.  So a push of many changes
 * takes one lock for all keys of the table, which pushes of few changes share;
 * it does so even if a failure makes it carry out small sets.  A transaction
 * of many small pushes does so, too.  Two of these could wait for each other
 * while both hold keys of their own, so each goes on key by key as long as it
 * may.
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

		/* 0 is the lock of the table */
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
 * Tombstones as committed by now, even if the transaction keeps an older
 * snapshot: that does not show the delete that must not be undone.
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

/* was the deleted row in a scope in which the caller may not write? */
static bool
is_forbidden(PushTable *table, const Tombstone *tombstone)
{
	return !table->t->shared && tombstone->nbinds == 0 && tombstone->scope &&
		!access_has_text(&table->scopes, tombstone->scope);
}

/* the scope that a new row would be in; NULL: only the row itself will tell */
static char *
scope_to_be(Change *c)
{
	TrackedTable *t = c->table->t;

	if (c->scope_to_be || t->shared || t->path || !bms_is_member(t->scope, c->typed.inserted) ||
		c->typed.nulls[t->scope - 1])
		return c->scope_to_be;
	return wire_scope_text(t, c->typed.values[t->scope - 1]);
}

static bool
binds_scope(const Tombstone *tombstone, const char *scope)
{
	int			i;

	for (i = 0; scope && i < tombstone->nbinds; i++)
		if (strcmp(tombstone->binds[i], scope) == 0)
			return true;
	return false;
}

/*
 * Does the tombstone count for this change?  It does not if nobody has seen
 * the row and somebody deleted it who may not write in the scope that it is to
 * be in.  Anybody can guess a key.
 */
static bool
has_a_say(const Tombstone *tombstone, Change *c)
{
	int			i;

	if (tombstone->nbinds == 0)
		return true;
	if (!c->typed.is_delete)
		return binds_scope(tombstone, scope_to_be(c));
	for (i = 0; i < tombstone->nbinds; i++)
		if (access_has_text(&c->table->scopes, tombstone->binds[i]))
			return true;
	return false;
}

bool
judge_any_known(List *changes)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		if (((Change *) lfirst(lc))->typed.incoming.known != KNOWN_NOT)
			return true;
	}
	return false;
}

static void
name_column(void *arg)
{
	err_generic_string(PG_DIAG_COLUMN_NAME, ((TrackedColumn *) arg)->name);
}

/*
 * A new row is about to be stored, in which key and scope are values of the
 * columns' base types, see TrackedColumn.base.  Do the columns take them?
 */
static void
check_new_row(Push *push, Change *c)
{
	TrackedTable *t = c->table->t;
	TrackedColumn *column = NULL;
	ErrorContextCallback callback = {error_context_stack, name_column};
	int			k;

	push->stopped_at = c;
	error_context_stack = &callback;
	for (k = 0; k < t->nkeys; k++)
	{
		callback.arg = column = tracked_column(t, t->keys[k]);
		if (column->base != column)
			domain_check(c->typed.key[k], false, column->type, NULL, NULL);
	}
	if (!t->shared && bms_is_member(t->scope, c->typed.inserted) &&
		!bms_is_member(t->scope, c->typed.columns))
	{
		/* the caller's, which settle_scope() has given it */
		callback.arg = column = tracked_column(t, t->scope);
		if (column->base != column || column->typmod >= 0)
			(void) InputFunctionCall(&column->input, scope_to_be(c), column->ioparam,
									 column->typmod);
	}
	error_context_stack = callback.previous;
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
	check_new_row(push, c);
	judge_change(push, c, false, false, false);
}

/* find the tombstone that counts for each of these changes */
static void
find_tombstones(Push *push, PushTable *table, List *changes)
{
	KeyMap	   *map = changes_by_key(changes);
	ListCell   *lc;

	foreach(lc, latest_tombstones(push, table->t, changes))
	{
		Tombstone  *tombstone = lfirst(lc);
		Change	   *c = keymap_get(map, tombstone->key);
		Found	   *found = &c->found;

		if (is_forbidden(table, tombstone))
			fail_forbidden(c);
		else if (has_a_say(tombstone, c) &&
				 (found->tombstone == NULL ||
				  stamp_compare(&tombstone->stamp, &found->tombstone->stamp) > 0))
		{
			found->tombstone = tombstone;
			found->stamp = tombstone->stamp;
			found->scope = tombstone->nbinds > 0 && !c->typed.is_delete ? scope_to_be(c) :
				tombstone->scope;
		}
	}
}

/* may this change be carried out although the row is absent? */
static bool
may_be_made(Push *push, Change *c)
{
	TableScopes *scopes = &c->table->scopes;

	if (!settle_scope_of_key(push, c) ||
		(c->typed.is_delete && !scopes->any && scopes->n == 0))
	{
		fail_forbidden(c);
		return false;
	}
	return !rights_refuse(c, false);
}

/* judge changes to absent rows by their tombstones */
static void
judge_by_tombstones(Push *push, PushTable *table, List *absent)
{
	MemoryContext old = MemoryContextSwitchTo(push->context);
	List	   *changes = NIL;
	ListCell   *lc;

	foreach(lc, absent)
		if (may_be_made(push, lfirst(lc)))
		changes = lappend(changes, lfirst(lc));
	find_tombstones(push, table, changes);
	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		if (c->outcome.verdict != VERDICT_NONE || table->t->policy != POLICY_MERGE)
			continue;
		if (c->found.tombstone)
			merge_read_tombstone(push, c, c->found.tombstone);
		else
			merge_read_nothing(push, c);
	}
	known_load_raised(push, table, changes);
	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		if (c->outcome.verdict != VERDICT_NONE)
			continue;
		if (!c->typed.is_delete)
			check_new_row(push, c);
		if (c->found.tombstone)
			judge_change(push, c, true, c->typed.is_delete, false);
		else if (!c->typed.is_delete && push->has_horizon && c->typed.incoming.has_stamp &&
				 c->typed.incoming.stamp.time < push->horizon)
			change_fail_as(c, "resync_required",
						   "the row may have been deleted longer ago than this database remembers");
		else
			judge_change(push, c, false, false, false);
	}
	MemoryContextSwitchTo(old);
}

/* raise the error after which the set of changes is done again */
static void
deleted_meanwhile(bool seen_only_now)
{
	ereport(ERROR,
			(errcode(IsolationUsesXactSnapshot() && !seen_only_now ?
					 ERRCODE_T_R_SERIALIZATION_FAILURE : ERRCODE_TIDE_AGAIN),
			 errmsg("a row was deleted while it was being pushed"),
			 errhint("Try again.")));
}

/*
 * Has the INSERT itself deleted the row, by a trigger?  Doing it again would do
 * that again.  An older tombstone of this transaction was looked at before, in a
 * table with triggers.
 */
static bool
was_deleted_at_once(const Tombstone *tombstone, Change *c)
{
	if (!tombstone->is_own || !c->table->t->has_side_effects)
		return false;
	if (!c->outcome.overrules && !c->outcome.replaces_twin)
		c->found.stamp = tombstone->stamp;	/* for the reply */
	return true;
}

/*
 * After rows were inserted: plain SQL, which takes none of our locks, may have
 * committed a newer delete meanwhile.  Then the whole set is undone and done
 * again, by the client where the transaction keeps its snapshot.  The same
 * happens if only now it shows that the row is in a scope in which it was
 * deleted.
 */
void
judge_tombstones_again(Push *push, PushTable *table, List *inserted)
{
	KeyMap	   *map = changes_by_key(inserted);
	TimestampTz limit = stamp_limit();
	ListCell   *lc;

	foreach(lc, latest_tombstones(push, table->t, inserted))
	{
		Tombstone  *tombstone = lfirst(lc);
		Change	   *c = keymap_get(map, tombstone->key);
		bool		is_newer = stamp_counts(&tombstone->stamp, limit) &&
			stamp_compare(&tombstone->stamp, &c->outcome.stored) >= 0;

		if (tombstone->nbinds == 0)
		{
			if (is_newer ? !was_deleted_at_once(tombstone, c) :
				is_forbidden(table, tombstone))
				deleted_meanwhile(false);
		}
		else if (is_newer && binds_scope(tombstone, c->outcome.scope))
		{
			bool		is_news = (scope_to_be(c) == NULL);

			c->scope_to_be = c->outcome.scope;
			deleted_meanwhile(is_news);
		}
	}
}

/*
 * Absent rows: lock their keys, look whether the rows have been created while
 * we waited, and judge the changes by tombstones.  An INSERT would find a new
 * row by itself, but would not recognize a change that comes again.
 */
void
judge_absent(Push *push, PushTable *table, List *absent, bool is_delete)
{
	bool		look_again = is_delete || table->t->policy == POLICY_MERGE;

	judge_lock_keys(table, absent);
	known_load(push, table, absent);
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
