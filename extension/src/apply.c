/*-------------------------------------------------------------------------
 *
 * apply.c
 *	  Carrying out changes of one table, set by set.
 *
 * Read the rows, decide each change, write those that stand.  The write tests
 * that a row is still the version that was judged; if not, it is judged again.
 * Rows that are absent are first locked by key and looked up among the
 * tombstones, so that a create and a delete that cross cannot both go by what
 * neither has committed.
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

#include "compat.h"
#include "batch.h"
#include "capture.h"
#include "change.h"
#include "changelog.h"
#include "records.h"
#include "errors.h"
#include "merge.h"
#include "pull.h"
#include "scope_path.h"
#include "wire.h"

/* a push that creates or deletes more absent rows locks the table's keys */
#define MAX_KEY_LOCKS 256

/* how often a row may change under us before we call it contention */
#define MAX_ATTEMPTS 20

/* advisory locks of our own: users have 1 and 2 here */
#define KEY_LOCK_CLASS 7

static const char *const FORBIDDEN = "the row is in a scope that is not allowed";
static const char *const REFUSED = "the row was not stored: a policy or a trigger of the table left it out";

/* ---------- what is there ---------- */

static bool
same_datum(TrackedColumn *column, Form_pg_attribute att, Datum a, Datum b)
{
	if (datum_image_eq(a, b, att->attbyval, att->attlen))
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
judge(Push *push, Change *c, bool exists, bool same, bool deleted)
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
static const char *
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

static List *
select_changes(List *changes, Verdict verdict, bool row_exists)
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
static void
probe(Push *push, PushTable *table, List *changes)
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

	existing = select_changes(changes, VERDICT_NONE, true);
	conflicts_load_known(push, table, existing);
	foreach(lc, existing)
	{
		Change	   *c = lfirst(lc);

		judge(push, c, true, c->row_is_same, c->row_is_deleted);
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
static void
lock_keys(PushTable *table, List *changes)
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

static KeyMap *
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

static bool
any_known(List *changes)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		if (((Change *) lfirst(lc))->incoming.is_known)
			return true;
	}
	return false;
}

/* judge changes to absent rows by their tombstones */
static void
judge_absent(Push *push, PushTable *table, List *changes)
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
		judge(push, c, true, c->is_delete, false);
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
			judge(push, c, false, false, false);
		}
	}
}

/*
 * After rows were inserted: a delete that committed meanwhile, of plain SQL
 * that takes no lock of ours, may be newer.  Then all of the set is undone
 * and done again; a transaction that keeps its snapshot has to be.
 */
static void
check_tombstones_again(Push *push, PushTable *table, List *inserted)
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

/* remember deletes of rows that were never seen */
static void
remember_deletes(PushTable *table, List *changes)
{
	Tombstone  *tombstones = palloc0(sizeof(Tombstone) * list_length(changes));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);
		Tombstone  *tombstone = &tombstones[n++];

		tombstone->key = c->key_text;
		tombstone->stamp = c->stored;
		tombstone->scope = c->row_scope;
		if (tombstone->scope == NULL && !table->scopes.any && table->scopes.n == 1)
			tombstone->scope = table->scopes.texts[0];
		if (c->merge)
			merge_keep_image(c, tombstone);
	}
	tombstone_write(table->t, tombstones, n);
}

/* ---------- writing ---------- */

/* the scope of a row that was written is one that the caller may write */
static void
check_written_scope(PushTable *table, HeapTuple tuple, TupleDesc desc, int n)
{
	TrackedTable *t = table->t;
	Datum		value;
	bool		isnull;

	if (table->scopes.any)
		return;
	value = SPI_getbinval(tuple, desc, n, &isnull);
	if (isnull ||
		!access_has_text(&table->scopes,
						 wire_scope_text(t, value)))
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_SCOPE_NOT_ALLOWED),
				 errmsg("the row would be in a scope that is not allowed"),
				 err_generic_string(PG_DIAG_COLUMN_NAME,
									scope_member(t))));
}

/*
 * The row as the statement returns it, for the reply.  It lives as long as the
 * statement's result, which goes with the push, or with a subtransaction whose
 * verdicts are forgotten.
 */
static void
keep_row(Push *push, Change *c, HeapTuple tuple, TupleDesc desc, int first)
{
	MemoryContext old;

	if (!c->table->returns_rows)
		return;
	old = MemoryContextSwitchTo(push->context);
	c->entity = palloc0(sizeof(PullItem));
	c->entity->table = palloc0(sizeof(PullTable));
	c->entity->table->t = c->table->t;
	c->entity->key = c->key_text;
	pull_set_row(c->entity, tuple, desc, first);
	MemoryContextSwitchTo(old);
}

static void
free_result(PushTable *table)
{
	if (!table->returns_rows)
		SPI_freetuptable(SPI_tuptable);
}

/*
 * UPDATE or DELETE the rows; returns the changes whose row was not touched
 * because it is no longer the version that was judged.
 */
static List *
write_rows(Push *push, PushTable *table, BatchStatement statement, List *changes)
{
	List	   *missed = NIL;
	ListCell   *lc;
	uint64		i;

	batch_run(table, statement, changes);
	foreach(lc, changes)
		((Change *) lfirst(lc))->written = false;
	for (i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		int			ord = DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull));

		((Change *) list_nth(changes, ord))->written = true;
		if (statement != BATCH_DELETE)
		{
			check_written_scope(table, tuple, desc, 2);
			keep_row(push, list_nth(changes, ord), tuple, desc, 3);
		}
	}
	free_result(table);
	foreach(lc, changes)
	{
		if (!((Change *) lfirst(lc))->written)
			missed = lappend(missed, lfirst(lc));
	}
	return missed;
}

/* likewise for INSERT: those whose key has come into being */
static List *
insert_rows(Push *push, PushTable *table, List *changes, bool strict)
{
	TrackedTable *t = table->t;
	KeyMap	   *map = changes_by_key(changes);
	List	   *inserted = NIL;
	List	   *missed = NIL;
	ListCell   *lc;
	uint64		i;

	batch_run(table, strict || t->deferrable_key ? BATCH_INSERT_STRICT : BATCH_INSERT,
			  changes);
	foreach(lc, changes)
		((Change *) lfirst(lc))->written = false;
	for (i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		Datum		key[INDEX_MAX_KEYS];
		bool		isnull;
		Change	   *c;
		int			k;

		check_written_scope(table, tuple, desc, 1);
		for (k = 0; k < t->nkeys; k++)
			key[k] = SPI_getbinval(tuple, desc, 2 + k, &isnull);
		c = keymap_get(map, wire_key_text(t, key));
		if (c)
		{
			c->written = true;
			keep_row(push, c, tuple, desc, 2 + t->nkeys);
			inserted = lappend(inserted, c);
		}
	}
	free_result(table);
	if (inserted != NIL)
		check_tombstones_again(push, table, inserted);
	foreach(lc, changes)
	{
		if (!((Change *) lfirst(lc))->written)
			missed = lappend(missed, lfirst(lc));
	}
	return missed;
}

/*
 * As changes of the same columns: what a resolver gave, or a row that comes
 * back with more than was sent, is written with others of its kind.
 */
static List *
by_columns(List *changes)
{
	List	   *groups = NIL;
	ListCell   *lc,
			   *lg;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		foreach(lg, groups)
		{
			if (bms_equal(((Change *) linitial((List *) lfirst(lg)))->writes, c->writes))
				break;
		}
		if (lg)
			lfirst(lg) = lappend(lfirst(lg), c);
		else
			groups = lappend(groups, list_make1(c));
	}
	return groups;
}

static List *
write_groups(Push *push, PushTable *table, BatchStatement statement, List *changes)
{
	List	   *missed = NIL;
	ListCell   *lc;

	foreach(lc, by_columns(changes))
		missed = list_concat(missed, write_rows(push, table, statement, lfirst(lc)));
	return missed;
}

static List *
insert_groups(Push *push, PushTable *table, List *changes, bool strict)
{
	List	   *missed = NIL;
	ListCell   *lc;

	foreach(lc, by_columns(changes))
		missed = list_concat(missed, insert_rows(push, table, lfirst(lc), strict));
	return missed;
}

/*
 * Absent rows: lock their keys, see whether they have come into being while we
 * waited, judge them by their tombstones.  What is to be inserted would find
 * out by itself, but for a replay.
 */
static void
settle_absent(Push *push, PushTable *table, List *absent, bool is_delete)
{
	bool		look_again = is_delete || table->t->policy == POLICY_MERGE;

	lock_keys(table, absent);
	conflicts_load_known(push, table, absent);
	look_again |= any_known(absent);
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
		probe(push, table, absent);
	judge_absent(push, table, select_changes(absent, VERDICT_NONE, false));
}

static bool
same_clocks(const Jsonb *a, const Jsonb *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

/* has nobody touched the row since the attempt before? */
static bool
is_as_before(Change *c)
{
	return c->row_exists == c->had_row &&
		(!c->row_exists ||
		 (stamp_compare(&c->row_stamp, &c->had_stamp) == 0 &&
		  (c->merge == NULL || same_clocks(c->merge->stored_clocks, c->had_clocks))));
}

/*
 * Among changes whose row was not written: those that have to be judged again
 * because somebody else was faster.  Where nobody has touched the row since
 * the attempt before, a policy or a trigger keeps it from being written.
 */
static List *
to_be_judged_again(List *missed, int attempt)
{
	List	   *again = NIL;
	ListCell   *lc;

	foreach(lc, missed)
	{
		Change	   *c = lfirst(lc);

		if (attempt > 0 && is_as_before(c))
			change_fail_as(c, "not_stored", REFUSED);
		else
		{
			c->had_row = c->row_exists;
			c->had_stamp = c->row_stamp;
			c->had_clocks = c->merge ? c->merge->stored_clocks : NULL;
			again = lappend(again, c);
		}
	}
	return again;
}

/*
 * Can these rows be inserted without looking first whether they are there?
 * Devices push new rows for most of the time, and then the look is a third of
 * the index work; but triggers must not fire for rows that turn out to exist,
 * and a patch of one would fail for columns that it does not send.
 */
static bool
may_insert_first(PushTable *table, List *changes)
{
	TrackedTable *t = table->t;
	Bitmapset  *sent = ((Change *) linitial(changes))->sent;
	int			i;

	/* a transaction that keeps its snapshot could not try again */
	if (!t->mostly_new || t->has_side_effects || t->deferrable_key || IsolationUsesXactSnapshot() ||
		t->policy != POLICY_LAST_WRITE_WINS)
		return false;
	for (i = 0; i < t->ncolumns; i++)
	{
		TrackedColumn *c = &t->columns[i];

		if (!c->dropped && c->not_null && !c->has_default && !c->key &&
			!c->generated && !c->identity && c->attnum != t->modified_at &&
			c->attnum != t->version && !bms_is_member(c->attnum, sent))
			return false;
	}
	return true;
}

/*
 * Insert what is not there; returns the rest, of which nothing is known yet.
 * Tombstones are looked at afterwards: one that has a say undoes it all, and
 * the next try goes by the book.
 */
static List *
insert_unseen(Push *push, PushTable *table, List *changes)
{
	List	   *pending = NIL;
	ListCell   *lc;

	lock_keys(table, changes);
	conflicts_load_known(push, table, changes);
	if (any_known(changes))
		return changes;
	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		c->row_exists = false;
		c->entity = NULL;
		memset(&c->row_stamp, 0, sizeof(c->row_stamp));
		judge(push, c, false, false, false);
	}
	table->t->mostly_new = false;	/* until it has gone well */
	pending = insert_rows(push, table, changes, false);
	table->t->mostly_new = list_length(pending) * 2 < list_length(changes);
	return pending;
}

/*
 * Carry out changes of one table that send the same columns, none of them to
 * the same row as another.  Sets their verdicts; raises an error if a
 * statement fails, and then nothing is said about which change is to blame.
 */
void
apply_group(Push *push, PushTable *table, List *changes, bool is_delete)
{
	BatchStatement statement = !is_delete ? BATCH_UPDATE :
	table->t->deleted_at ? BATCH_SOFT_DELETE : BATCH_DELETE;
	List	   *pending = changes;
	int			attempt;

	if (!is_delete && !push->has_horizon && may_insert_first(table, changes))
		pending = insert_unseen(push, table, changes);
	else
		table->t->mostly_new = false;
	for (attempt = 0; pending != NIL; attempt++)
	{
		List	   *existing,
				   *absent;
		List	   *missed = NIL;

		CHECK_FOR_INTERRUPTS();
		if (attempt == MAX_ATTEMPTS)
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("a row changed again and again while it was being pushed"),
					 errhint("Try again.")));
		probe(push, table, pending);
		absent = select_changes(pending, VERDICT_NONE, false);
		if (absent != NIL)
			settle_absent(push, table, absent, is_delete);

		existing = select_changes(pending, VERDICT_APPLIED, true);
		conflicts_keep_rows(push, table, existing);
		if (table->t->policy == POLICY_RESOLVER)
		{
			resolver_ask(push, table, existing);
			existing = select_changes(pending, VERDICT_APPLIED, true);
		}
		existing = list_concat(existing, select_changes(pending, VERDICT_MERGED, true));
		absent = select_changes(pending, VERDICT_APPLIED, false);
		if (existing != NIL)
			missed = write_groups(push, table, statement, existing);
		missed = list_concat(missed,
							 merge_into_tombstones(table, select_changes(pending, VERDICT_MERGED, false)));
		if (absent != NIL && is_delete)
			remember_deletes(table, absent);
		else if (absent != NIL)
		{
			missed = list_concat(missed,
								 insert_groups(push, table, absent, attempt > 0));
			table->t->mostly_new = list_length(absent) * 2 > list_length(changes);
		}
		pending = to_be_judged_again(missed, attempt);
	}
}
