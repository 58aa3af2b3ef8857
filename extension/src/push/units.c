/*-------------------------------------------------------------------------
 *
 * units.c
 *	  The order in which the changes of a push are carried out, and how a
 *	  change that fails is kept apart from the others.
 *
 * A unit is what one set of statements carries out: changes of one table that
 * send the same columns.  Once something fails, each unit gets a subtransaction
 * of its own.  A unit that fails is divided, where its statement stopped or in
 * quarters, until the change that causes the failure stands alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "push/blame.h"
#include "push/deferred.h"
#include "push/together.h"
#include "push/units.h"
#include "util/errors.h"
#include "util/keymap.h"

/* ---------- subtransactions ---------- */

static Size
memory_in_use(MemoryContext context)
{
	MemoryContextCounters counters = {0};

	context->methods->stats(context, NULL, NULL, &counters, false);
	return counters.totalspace - counters.freespace;
}

/*
 * PostgreSQL keeps the memory context of a subtransaction until the end of the
 * transaction, unless nothing was ever allocated in it.  A statement trigger
 * with transition tables allocates and frees again.  So this makes the context
 * as new; otherwise a transaction of 20,000 small pushes would keep 20,000
 * blocks of 8 kB.
 */
static void
give_back_memory(void)
{
	static Size nothing = 0;

	if (nothing == 0)
	{
		MemoryContext fresh = AllocSetContextCreate(CurrentMemoryContext, "pg_tide fresh",
													ALLOCSET_DEFAULT_SIZES);

		pfree(MemoryContextAlloc(fresh, 1));
		nothing = memory_in_use(fresh);
		MemoryContextDelete(fresh);
	}
	if (CurTransactionContext->firstchild == NULL &&
		memory_in_use(CurTransactionContext) == nothing)
		MemoryContextReset(CurTransactionContext);
}

/*
 * Run something in a subtransaction.  NULL if it went well.  Else the error,
 * copied to push->context, and everything is undone.  Without keep, everything
 * is undone in any case.  An error that no change can be to blame for is
 * raised again.
 *
 * A push of a group goes without a subtransaction, and an error ends the
 * transaction.
 */
ErrorData *
try_work(Push *push, Work work, void *arg, bool keep)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	if (push && push->is_grouped)
	{
		/* keep is false only where something failed before */
		if (!keep)
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_NOT_STORED),
					 errmsg("a change of a push in a group failed")));
		work(push, arg);
		return NULL;
	}
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		work(push, arg);
		if (keep)
		{
			give_back_memory();
			ReleaseCurrentSubTransaction();
		}
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(push->context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;

	if (error && !change_is_to_blame(push, error))
		ReThrowError(error);
	return error;
}

/* ---------- units ---------- */

/*
 * Up to this many followers of failed changes are tried, so that each is told
 * what is wrong with itself.
 */
#define MAX_FOLLOWERS_TRIED 100

static void
apply_alone(Push *push, void *arg)
{
	Change	   *c = arg;

	apply_group(push, c->table, list_make1(c), c->typed.is_delete);
}

/*
 * A change fails if an earlier change of the same row has failed.  What is
 * wrong with the change itself is told all the same, as far as it can be seen
 * without the earlier change: not what only a new row would lack.
 */
static void
fail_follower(Push *push, Change *c)
{
	Change	   *earlier = c->typed.earlier;
	ErrorData  *error;

	forget_verdicts(list_make1(c));
	if (push->nfollowers++ < MAX_FOLLOWERS_TRIED)
	{
		error = try_work(push, apply_alone, c, false);
		if (error && error->sqlerrcode != ERRCODE_TIDE_AGAIN &&
			error->sqlerrcode != ERRCODE_NOT_NULL_VIOLATION)
			change_fail(c, error);
	}
	if (c->outcome.verdict != VERDICT_FAILED)
		change_fail_with(c, earlier);
}

/*
 * The changes that may be carried out.  A change that follows a failed one of
 * the same row fails with it, or half of a row would be stored.
 */
static List *
without_followers(Push *push, List *changes)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		if (c->typed.earlier && c->typed.earlier->outcome.verdict == VERDICT_FAILED)
			fail_follower(push, c);
		else
			result = lappend(result, c);
	}
	return result;
}

void
apply_unit(Push *push, void *arg)
{
	Unit	   *unit = arg;
	List	   *changes = unit->round > 0 ? without_followers(push, unit->changes) : unit->changes;

	if (changes != NIL)
		apply_group(push, unit->table, changes, unit->is_delete);
}

static int
compare_units(const ListCell *a, const ListCell *b)
{
	const Unit *x = lfirst(a);
	const Unit *y = lfirst(b);

	if (x->round != y->round)
		return x->round - y->round;
	if (x->is_delete != y->is_delete)
		return x->is_delete ? 1 : -1;
	return x->is_delete ? y->table->order - x->table->order :
		x->table->order - y->table->order;
}

static int
compare_changes_by_key(const ListCell *a, const ListCell *b)
{
	return strcmp(((Change *) lfirst(a))->typed.key_text, ((Change *) lfirst(b))->typed.key_text);
}

/*
 * Order the changes: parents before children, then deletes in the opposite
 * order.  Rows that are changed more than once are changed in rounds.  Within
 * a unit the order is that of the keys, so that two pushes lock rows in the
 * same order.
 */
List *
make_units(List *changes)
{
	KeyMap	   *map = keymap_new(CurrentMemoryContext, 32);
	List	   *units = NIL;
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);
		char		name[64];
		Unit	   *unit;

		snprintf(name, sizeof(name), "%u %d %d", c->table->t->relid,
				 c->typed.is_delete, c->typed.round);
		unit = keymap_get(map, name);
		if (unit == NULL)
		{
			unit = palloc0(sizeof(Unit));
			unit->table = c->table;
			unit->is_delete = c->typed.is_delete;
			unit->round = c->typed.round;
			units = lappend(units, unit);
			keymap_put(map, pstrdup(name), unit);
		}
		unit->changes = lappend(unit->changes, c);
	}
	list_sort(units, compare_units);
	foreach(lc, units)
		list_sort(((Unit *) lfirst(lc))->changes, compare_changes_by_key);
	return units;
}

static int
compare_by_stamp(const ListCell *a, const ListCell *b)
{
	const Change *x = lfirst(a);
	const Change *y = lfirst(b);

	/*
	 * a change without a stamp is stamped when it arrives, so it comes after
	 * all others
	 */
	if (x->typed.incoming.has_stamp != y->typed.incoming.has_stamp)
		return x->typed.incoming.has_stamp ? -1 : 1;
	if (x->typed.incoming.has_stamp)
	{
		int			order = stamp_compare(&x->typed.incoming.stamp, &y->typed.incoming.stamp);

		if (order != 0)
			return order;
	}
	return x->index - y->index;
}

/* of the row of a change, among all tables */
char *
row_name(Change *c)
{
	return psprintf("%u %s", c->table->t->relid, c->typed.key_text);
}

/*
 * Several changes to one row are carried out in the order of their stamps.  A
 * change that could not be read has its place among them if its row is known.
 * If even its stamp is unknown, the changes that were sent after it come after
 * it.
 */
void
assign_rounds(Push *push)
{
	KeyMap	   *last = keymap_new(CurrentMemoryContext, push->nchanges * 2);
	KeyMap	   *unplaced = keymap_new(CurrentMemoryContext, 16);
	List	   *sorted = NIL;
	ListCell   *lc;
	int			i;

	for (i = 0; i < push->nchanges; i++)
	{
		Change	   *c = &push->changes[i];

		if (c->typed.key_text == NULL)
			continue;
		if (c->typed.done || c->typed.has_place)
			sorted = lappend(sorted, c);
		else if (keymap_get(unplaced, row_name(c)) == NULL)
			keymap_put(unplaced, row_name(c), c);
	}
	list_sort(sorted, compare_by_stamp);
	foreach(lc, sorted)
	{
		Change	   *c = lfirst(lc);
		char	   *name = row_name(c);
		Change	   *bad = keymap_get(unplaced, name);

		c->typed.earlier = keymap_get(last, name);
		if (c->typed.earlier)
			c->typed.round = c->typed.earlier->typed.round + 1;
		if (bad && bad->index < c->index)
		{
			c->typed.earlier = bad;
			c->typed.round = Max(c->typed.round, 1);
		}
		keymap_put(last, name, c);
	}
}

void
forget_verdicts(List *changes)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		((Change *) lfirst(lc))->outcome = (Outcome)
		{
			0
		};
	}
}

/* ---------- parting a unit that failed ---------- */

/*
 * The place of the change at which a unit stopped, or -1 if that is unknown or
 * near the start.  Near the start, quarters are better: if many changes are
 * bad, parting there would try all the rest once more for each of them.
 */
static int
place_of_stop(Unit *unit, Change *stopped_at)
{
	int			n = list_length(unit->changes);
	int			i;

	for (i = n / 8; stopped_at && i < n; i++)
	{
		if (list_nth(unit->changes, i) == stopped_at)
			return i;
	}
	return -1;
}

static void isolate(Push *push, Unit *unit);

static void
isolate_some(Push *push, Unit *unit, List *changes)
{
	Unit		part = *unit;

	if (changes == NIL)
		return;
	part.changes = changes;
	isolate(push, &part);
}

static void
isolate_range(Push *push, Unit *unit, int from, int to)
{
	List	   *changes = list_truncate(list_copy(unit->changes), to);

	isolate_some(push, unit, list_copy_tail(changes, from));
}

static void
isolate_quarters(Push *push, Unit *unit)
{
	int			n = list_length(unit->changes);
	int			i;

	for (i = 0; i < 4; i++)
		isolate_range(push, unit, n * i / 4, n * (i + 1) / 4);
}

static void
fail_all(List *changes, ErrorData *error)
{
	ListCell   *lc;

	foreach(lc, changes)
		change_fail(lfirst(lc), error);
}

/*
 * The parts of a unit that failed.  If the error is about known changes:
 * these, and the rest.  Else, if the statement stopped at a known change:
 * those before it and those after it.  Else quarters, which take as many steps
 * as halves to reach a single change, and try fewer rows again.
 */
static void
isolate_parts(Push *push, Unit *unit, ErrorData *error)
{
	int			n = list_length(unit->changes);
	int			stop = place_of_stop(unit, push->stopped_at);
	List	   *blamed = NIL;

	if (!unit->is_blamed)
		blamed = blame_find(push, unit->table, unit->changes, unit->is_delete, error);
	if (blamed != NIL)
	{
		isolate_some(push, unit, list_difference_ptr(unit->changes, blamed));
		if (unit->table->t->has_side_effects)
		{
			/* a trigger may alter a value, so the change is tried by itself */
			Unit		part = *unit;

			part.changes = blamed;
			part.is_blamed = true;
			isolate(push, &part);
		}
		else
			fail_all(blamed, error);
	}
	else if (stop >= 0)
	{
		isolate_range(push, unit, 0, stop);
		isolate_range(push, unit, stop, stop + 1);
		isolate_range(push, unit, stop + 1, n);
	}
	else
		isolate_quarters(push, unit);
}

static void
apply_part(Push *push, void *arg)
{
	Unit	   *unit = arg;

	apply_unit(push, unit);
	if (unit->checks)
		deferred_check(push);
}

/* carry out a unit by itself, and its parts if it fails */
static void
isolate(Push *push, Unit *unit)
{
	ErrorData  *error;
	int			tries = 0;

	do
	{
		CHECK_FOR_INTERRUPTS();
		forget_verdicts(unit->changes);
		error = try_work(push, apply_part, unit, true);
	} while (error && error->sqlerrcode == ERRCODE_TIDE_AGAIN && ++tries < 10);
	if (error == NULL)
		return;
	if (list_length(unit->changes) > 1)
		isolate_parts(push, unit, error);
	else if (error->sqlerrcode == ERRCODE_TIDE_AGAIN)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("a row was deleted again and again while it was being pushed"),
				 errhint("Try again.")));
	else
		change_fail(linitial(unit->changes), error);
}

/* a unit that is carried out in parts, and its error as far as it is known */
typedef struct UnitWork
{
	Unit	   *unit;
	ErrorData  *error;
} UnitWork;

static void
isolate_unit(Push *push, void *arg)
{
	UnitWork   *work = arg;
	ErrorData  *error = work->error;

	work->error = NULL;			/* the next time, the error is not known */
	if (error && list_length(work->unit->changes) > 1)
		isolate_parts(push, work->unit, error);
	else
		isolate(push, work->unit);
	deferred_check(push);
}

static List *
not_failed(List *changes)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, changes)
	{
		if (((Change *) lfirst(lc))->outcome.verdict != VERDICT_FAILED)
			result = lappend(result, lfirst(lc));
	}
	return result;
}

/*
 * Could this change be mended by another one that was carried out since?  A
 * foreign key or a scope path may find its parent now, or the row that was in
 * the way is gone.  A column that must not be NULL, or a check, depends on the
 * row alone, unless a trigger raised the error.
 */
static bool
may_be_mended(Change *c)
{
	Failure    *failure = &c->outcome.failure;

	if (strcmp(failure->code, "scope_not_allowed") == 0)
		return c->table->t->path != NULL && c->typed.done;
	if (strcmp(failure->code, "23502") == 0)
		return failure->column == NULL;
	if (strcmp(failure->code, "23514") == 0)
		return failure->constraint == NULL;
	return strncmp(failure->code, "23", 2) == 0;
}

/*
 * the changes that are worth another try, and the failed changes that follow
 * them
 */
static List *
mendable(List *changes)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);
		Change	   *first = c;

		if (c->outcome.verdict != VERDICT_FAILED)
			continue;
		while (first->typed.earlier &&
			   first->typed.earlier->outcome.verdict == VERDICT_FAILED)
			first = first->typed.earlier;
		if (first->typed.done && may_be_mended(first))
			result = lappend(result, c);
	}
	return result;
}

/*
 * Carry out a unit, in parts if necessary.  Deferred constraints are looked at
 * once for the whole unit, because each look fires everything that is pending.
 * If one is violated and the error tells by which changes, the unit is done
 * again without them; else each part is looked at.
 */
static void
settle_unit(Push *push, Unit *unit, ErrorData *error)
{
	UnitWork	work = {unit, error};

	for (;;)
	{
		List	   *rest;
		List	   *others;
		List	   *blamed = NIL;

		error = try_work(push, isolate_unit, &work, true);
		if (error == NULL)
			return;
		rest = not_failed(unit->changes);
		if (rest == NIL)
			return;
		if (unit->checks)
		{
			/* each part was in order, but not all of them together */
			fail_all(rest, error);
			return;
		}
		if (!unit->table->t->has_side_effects)
			blamed = blame_find(push, unit->table, rest, unit->is_delete, error);
		others = mendable(unit->changes);
		fail_all(blamed, error);
		/* those blamed, which are undone, may have been in the others' way */
		forget_verdicts(others);
		unit->changes = not_failed(unit->changes);
		if (unit->changes == NIL)
			return;
		if (blamed == NIL)
			unit->checks = true;
	}
}

/*
 * Carry out unit by unit, after all units at once have failed with this error
 * (NULL: they were not tried).  If there is only one unit, it is known to
 * fail.  What failed is tried again after the rest, as long as that helps any:
 * children may have come before their parents, in whatever depth.  Rows that
 * deferred constraints tie together fail one by one, so at last they are tried
 * as sets.
 */
void
work_in_units(Push *push, List *changes, ErrorData *error)
{
	List	   *units = make_units(changes);
	List	   *failed;
	ListCell   *lc;
	int			before;

	forget_verdicts(changes);
	if (list_length(units) != 1 || (error && error->sqlerrcode == ERRCODE_TIDE_AGAIN))
		error = NULL;
	foreach(lc, units)
		settle_unit(push, lfirst(lc), error);
	failed = mendable(changes);
	do
	{
		before = list_length(failed);
		foreach(lc, make_units(failed))
			settle_unit(push, lfirst(lc), NULL);
		failed = mendable(failed);
	} while (failed != NIL && list_length(failed) < before);
	together_try(push, failed);
}
