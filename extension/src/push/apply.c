/*-------------------------------------------------------------------------
 *
 * apply.c
 *	  Carrying out changes of one table, set by set.
 *
 * Each change is judged (judge.c), and those that stand are written.  The write
 * tests that a row is still the version that was judged; if it is not, it is
 * judged again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/rls.h"

#include "log/records.h"
#include "push/batch.h"
#include "push/change.h"
#include "push/judge.h"
#include "push/known.h"
#include "push/merge.h"
#include "push/rights.h"
#include "read/rows.h"
#include "util/errors.h"
#include "util/keymap.h"
#include "wire/wire.h"

/* how often a row may be changed by others before we give up */
#define MAX_ATTEMPTS 20

static const char *const REFUSED = "the row was not stored: a policy or a trigger of the table left it out";

/* ---------- writing ---------- */

/*
 * The scopes in which a tombstone of an absent row binds.  They are those of
 * the tombstone that was found, else the scope in the key, else, where nobody
 * has seen the row, the scopes of whoever deletes it.
 */
static void
settle_scopes(PushTable *table, Change *c, Tombstone *tombstone)
{
	TableScopes *scopes = &table->scopes;

	tombstone->scope = c->found.scope;
	if (c->found.tombstone)
	{
		tombstone->nbinds = c->found.tombstone->nbinds;
		tombstone->binds = c->found.tombstone->binds;
	}
	else if (tombstone->scope == NULL && !scopes->any)
	{
		tombstone->nbinds = scopes->n;
		tombstone->binds = scopes->texts;
		if (scopes->n == 1)
			tombstone->scope = scopes->texts[0];
	}
}

/*
 * Remember deletes of absent rows.  In a shared table whose policies apply to
 * the caller, nobody can say whether the policies would let the row be
 * deleted, so nothing is remembered there.
 */
static void
remember_deletes(PushTable *table, List *changes)
{
	TrackedTable *t = table->t;
	Tombstone  *tombstones;
	ListCell   *lc;
	int			n = 0;

	if (t->shared && check_enable_rls(t->relid, InvalidOid, true) == RLS_ENABLED)
		return;
	tombstones = palloc0(sizeof(Tombstone) * list_length(changes));
	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);
		Tombstone  *tombstone = &tombstones[n++];

		tombstone->key = c->typed.key_text;
		tombstone->stamp = c->outcome.stored;
		settle_scopes(table, c, tombstone);
		if (c->found.merge)
			merge_keep_image(c, tombstone);
	}
	tombstone_write(t, tombstones, n);
}

/*
 * The scope of a row that was written, palloc'd.  The caller may write in it.
 */
static char *
written_scope(Change *c, HeapTuple tuple, TupleDesc desc, int n)
{
	PushTable  *table = c->table;
	TrackedTable *t = table->t;
	char	   *scope = NULL;
	Datum		value;
	bool		isnull;

	if (t->shared)
		return NULL;
	value = SPI_getbinval(tuple, desc, n, &isnull);
	if (!isnull)
		scope = wire_scope_text(t, value);
	if (access_has_text(&table->scopes, scope))
		return scope;
	if (isnull && !c->found.exists && change_may_lack_scope(c))
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_SCOPE_MISSING),
				 errmsg("%s", change_scope_missing(c)),
				 err_generic_string(PG_DIAG_COLUMN_NAME, scope_member(t))));
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_SCOPE_NOT_ALLOWED),
			 errmsg("the row would be in a scope that is not allowed"),
			 err_generic_string(PG_DIAG_COLUMN_NAME, scope_member(t))));
	return NULL;
}

/* the key of a row that was written, in columns of the result from n on */
static char *
written_key(TrackedTable *t, HeapTuple tuple, TupleDesc desc, int n)
{
	Datum		key[INDEX_MAX_KEYS];
	bool		isnull;
	int			k;

	for (k = 0; k < t->nkeys; k++)
		key[k] = SPI_getbinval(tuple, desc, n + k, &isnull);
	return wire_key_text(t, key);
}

/*
 * Fail a change of which nothing is stored because triggers have undone all of
 * it.  A change that a merge or a resolver altered is not looked at.
 */
static void
refuse_kept(Push *push, Change *c)
{
	PushedRow  *row = keymap_get(push->write.rows, c->typed.key_text);

	if (row && row->kept && !c->found.same && c->outcome.values == NULL &&
		c->outcome.verdict == VERDICT_APPLIED)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_NOT_STORED),
				 errmsg("a trigger of the table kept the row as it was")));
}

/*
 * Fail a change whose row a trigger has changed in its place.  To judge it again
 * would do that again.
 */
static void
refuse_touched(Push *push, Change *c)
{
	PushedRow  *row = keymap_get(push->write.rows, c->typed.key_text);

	if (row && row->touched)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_NOT_STORED),
				 errmsg("a trigger of the table changed the row in another way")));
}

/* a column of the key whose value comes from others; NULL if there is none */
static TrackedColumn *
generated_key(TrackedTable *t)
{
	int			k;

	for (k = 0; k < t->nkeys; k++)
		if (tracked_column(t, t->keys[k])->generated)
			return tracked_column(t, t->keys[k]);
	return NULL;
}

/* the row that would be stored has another key than the row that was pushed */
static void
refuse_other_key(TrackedTable *t)
{
	TrackedColumn *generated = generated_key(t);

	if (generated)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_NOT_STORED),
				 errmsg("the row would have another key: \"%s\" is generated from other columns",
						generated->wire),
				 err_generic_string(PG_DIAG_COLUMN_NAME, generated->wire)));
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_NOT_STORED),
			 errmsg("a trigger of the table gave the row another key")));
}

/*
 * Keep the row as the statement returns it, for the reply.  It lives as long
 * as the result of the statement: until the push ends, or until a
 * subtransaction ends whose verdicts are forgotten with it.
 */
static void
keep_row(Push *push, Change *c, HeapTuple tuple, TupleDesc desc, int first)
{
	MemoryContext old;

	if (!c->table->returns_rows)
		return;
	old = MemoryContextSwitchTo(push->context);
	c->outcome.entity = palloc0(sizeof(PullItem));
	c->outcome.entity->table = c->table->rows;
	c->outcome.entity->key = c->typed.key_text;
	rows_set(c->outcome.entity, tuple, desc, first);
	MemoryContextSwitchTo(old);
}

static void
free_result(PushTable *table)
{
	if (!table->returns_rows)
		SPI_freetuptable(SPI_tuptable);
}

/*
 * UPDATE or DELETE the rows.  Returns the changes whose row was left alone
 * because it is no longer the version that was judged.
 */
static List *
write_rows(Push *push, PushTable *table, BatchStatement statement, List *changes)
{
	List	   *missed = NIL;
	bool		key_may_change = table->t->has_side_effects || generated_key(table->t) != NULL;
	ListCell   *lc;
	uint64		i;

	batch_run(push, table, statement, changes);
	foreach(lc, changes)
		((Change *) lfirst(lc))->outcome.written = false;
	for (i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		int			ord = DatumGetInt32(SPI_getbinval(tuple, desc, 1, &isnull));

		Change	   *c = list_nth(changes, ord);

		c->outcome.written = true;
		if (statement == BATCH_DELETE)
			continue;
		(void) written_scope(c, tuple, desc, 2);
		if (key_may_change &&
			strcmp(written_key(table->t, tuple, desc, 3), c->typed.key_text) != 0)
			refuse_other_key(table->t);
		refuse_kept(push, c);
		keep_row(push, c, tuple, desc, 3 + table->t->nkeys);
	}
	free_result(table);
	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		if (c->outcome.written)
			continue;
		refuse_touched(push, c);
		missed = lappend(missed, c);
	}
	return missed;
}

/* INSERT the rows.  Returns the changes whose key exists by now. */
static List *
insert_rows(Push *push, PushTable *table, List *changes, bool strict)
{
	TrackedTable *t = table->t;
	KeyMap	   *map = changes_by_key(changes);
	List	   *inserted = NIL;
	List	   *missed = NIL;
	ListCell   *lc;
	uint64		i;

	batch_run(push, table, strict || t->deferrable_key ? BATCH_INSERT_STRICT : BATCH_INSERT,
			  changes);
	foreach(lc, changes)
		((Change *) lfirst(lc))->outcome.written = false;
	for (i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		Change	   *c = keymap_get(map, written_key(t, tuple, desc, 2));

		if (c == NULL || c->outcome.written)
			refuse_other_key(t);
		c->outcome.scope = written_scope(c, tuple, desc, 1);
		c->outcome.written = true;
		keep_row(push, c, tuple, desc, 2 + t->nkeys);
		inserted = lappend(inserted, c);
	}
	free_result(table);
	if (inserted != NIL)
		judge_tombstones_again(push, table, inserted);
	foreach(lc, changes)
	{
		if (!((Change *) lfirst(lc))->outcome.written)
			missed = lappend(missed, lfirst(lc));
	}
	return missed;
}

static List *
write_groups(Push *push, PushTable *table, BatchStatement statement, List *changes)
{
	List	   *missed = NIL;
	ListCell   *lc;

	foreach(lc, batch_groups(table, statement, changes))
		missed = list_concat(missed, write_rows(push, table, statement, lfirst(lc)));
	return missed;
}

/*
 * Rows whose keys are generated could get each other's, and one would be taken
 * for the other.  So each goes by itself.
 */
static List *
insert_one_by_one(Push *push, PushTable *table, List *changes, bool strict)
{
	List	   *missed = NIL;
	ListCell   *lc;

	foreach(lc, changes)
		missed = list_concat(missed, insert_rows(push, table, list_make1(lfirst(lc)), strict));
	return missed;
}

static List *
insert_groups(Push *push, PushTable *table, List *changes, bool strict)
{
	List	   *missed = NIL;
	ListCell   *lc;

	if (generated_key(table->t))
		return insert_one_by_one(push, table, changes, strict);
	foreach(lc, batch_groups(table, BATCH_INSERT, changes))
		missed = list_concat(missed, insert_rows(push, table, lfirst(lc), strict));
	return missed;
}

static bool
same_clocks(const Jsonb *a, const Jsonb *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

/* is the row as the attempt before has found it? */
static bool
is_as_before(Change *c)
{
	const Found *now = &c->found;
	const Found *before = &c->found_before;

	return now->exists == before->exists &&
		(!now->exists ||
		 (stamp_compare(&now->stamp, &before->stamp) == 0 &&
		  (now->merge == NULL ||
		   same_clocks(now->merge->stored_clocks, before->merge->stored_clocks))));
}

/*
 * Fail a change whose row a policy or a trigger has left out.  What triggers have
 * done meanwhile is undone with it.
 */
static void
refuse_left_out(Change *c)
{
	if (c->table->t->has_side_effects)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_NOT_STORED),
				 errmsg("%s", REFUSED)));
	change_fail_as(c, "not_stored", REFUSED);
}

/*
 * Among changes whose row was not written, those that have to be judged again
 * because somebody else was faster.  If nobody has touched the row since the
 * attempt before, a policy or a trigger keeps it from being written.
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
			refuse_left_out(c);
		else
		{
			c->found_before = c->found;
			again = lappend(again, c);
		}
	}
	return again;
}

/* do all of these changes send every column that a new row must have? */
static bool
needs_nothing_else(TrackedTable *t, List *changes)
{
	Bitmapset  *needed = NULL;
	ListCell   *lc;
	int			i;

	for (i = 0; i < t->ncolumns; i++)
	{
		TrackedColumn *c = &t->columns[i];

		if (!c->dropped && c->not_null && !c->has_default && !c->key &&
			!c->generated && !c->identity && c->attnum != t->modified_at &&
			c->attnum != t->version)
			needed = bms_add_member(needed, c->attnum);
	}
	foreach(lc, changes)
	{
		if (!bms_is_subset(needed, ((Change *) lfirst(lc))->typed.inserted))
			return false;
	}
	return true;
}

/*
 * May these rows be inserted without a look at whether they exist?  Devices
 * mostly push new rows, and the look is a third of the work on indexes.  But
 * triggers must not fire for rows that turn out to exist, and a change that
 * sends only some columns would fail for the others.
 */
static bool
may_insert_first(PushTable *table, List *changes)
{
	TrackedTable *t = table->t;

	/*
	 * a policy for new rows must not decide about a change of a row that
	 * exists
	 */
	if (check_enable_rls(t->relid, InvalidOid, true) == RLS_ENABLED)
		return false;
	/* a transaction that keeps its snapshot could not try again */
	if (!*table->mostly_new || t->has_side_effects || t->deferrable_key || generated_key(t) ||
		IsolationUsesXactSnapshot() || t->policy != POLICY_LAST_WRITE_WINS)
		return false;
	return needs_nothing_else(t, changes);
}

/*
 * One look at the privileges of the table is faster than one for each change.
 */
static bool
may_all_insert(PushTable *table, List *changes)
{
	ListCell   *lc;

	if (rights_may_insert_all(table->t))
		return true;
	foreach(lc, changes)
	{
		if (!rights_may_insert(table->t, ((Change *) lfirst(lc))->typed.inserted, NULL))
			return false;
	}
	return true;
}

/*
 * Insert the rows that do not exist.  Returns the other changes, of which
 * nothing is known yet.  Tombstones are looked at afterwards: if one of them
 * decides about a row, all of it is undone, and the next try judges first.
 */
static List *
insert_unseen(Push *push, PushTable *table, List *changes)
{
	List	   *pending = NIL;
	ListCell   *lc;

	judge_lock_keys(table, changes);
	known_load(push, table, changes);
	if (judge_any_known(changes))
		return changes;
	if (!may_all_insert(table, changes))
		return changes;
	*table->mostly_new = false; /* until it has gone well */
	foreach(lc, changes)
		judge_as_new(push, lfirst(lc));
	pending = insert_rows(push, table, changes, false);
	*table->mostly_new = list_length(pending) * 2 < list_length(changes);
	return pending;
}

/*
 * Carry out changes of one table, no two of them to the same row, and set
 * their verdicts.  If a statement fails, this raises its error, which does not
 * say which change is to blame.
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
		*table->mostly_new = false;
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
		judge_rows(push, table, pending);
		absent = changes_with_verdict(pending, VERDICT_NONE, false);
		if (absent != NIL)
			judge_absent(push, table, absent, is_delete);

		existing = changes_with_verdict(pending, VERDICT_APPLIED, true);
		conflicts_keep_rows(push, table, existing);
		if (table->t->policy == POLICY_RESOLVER)
		{
			resolver_ask(push, table, existing);
			existing = changes_with_verdict(pending, VERDICT_APPLIED, true);
		}
		existing = list_concat(existing, changes_with_verdict(pending, VERDICT_MERGED, true));
		absent = changes_with_verdict(pending, VERDICT_APPLIED, false);
		if (existing != NIL)
			missed = write_groups(push, table, statement, existing);
		missed = list_concat(missed,
							 merge_into_tombstones(table, changes_with_verdict(pending, VERDICT_MERGED, false)));
		if (absent != NIL && is_delete)
			remember_deletes(table, absent);
		else if (absent != NIL)
		{
			missed = list_concat(missed,
								 insert_groups(push, table, absent, attempt > 0));
			*table->mostly_new = list_length(absent) * 2 > list_length(changes);
		}
		pending = to_be_judged_again(missed, attempt);
	}
}
