/*-------------------------------------------------------------------------
 *
 * together.c
 *	  Changes that can only be carried out together.
 *
 * A deferrable constraint is asked when all of a push is done.  So rows may
 * refer to each other, and rows may take each other's unique values.  One by
 * one such changes fail.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_constraint.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "push/deferred.h"
#include "push/together.h"
#include "push/units.h"
#include "table/registry.h"
#include "util/keymap.h"
#include "wire/wire.h"

/* ---------- rows that refer to each other ---------- */

/*
 * Among the changes of the map, the one whose key a foreign key of this
 * change's row refers to; NULL if there is none.
 */
static Change *
referred_change(Change *c, ForeignKeyCacheInfo *fk, KeyMap *map)
{
	TrackedTable *parent = registry_lookup(fk->confrelid);
	Datum		key[INDEX_MAX_KEYS];
	int			i,
				k;

	if (parent == NULL || !parent->tracked || parent->broken || parent->nkeys != fk->nkeys)
		return NULL;
	for (k = 0; k < parent->nkeys; k++)
	{
		for (i = 0; i < fk->nkeys && fk->confkey[i] != parent->keys[k]; i++)
			 /* find the column that refers to it */ ;
		if (i == fk->nkeys || !bms_is_member(fk->conkey[i], c->typed.columns) ||
			c->typed.nulls[fk->conkey[i] - 1] ||
			tracked_column(c->table->t, fk->conkey[i])->type !=
			tracked_column(parent, parent->keys[k])->type)
			return NULL;
		key[k] = c->typed.values[fk->conkey[i] - 1];
	}
	return keymap_get(map, psprintf("%u %s", parent->relid, wire_key_text(parent, key)));
}

static int
find_group(int *group, int i)
{
	while (group[i] != i)
		i = group[i];
	return i;
}

/* Sets of changes that foreign keys tie together, as a list of lists. */
static List *
tied_together(List *changes)
{
	int			n = list_length(changes);
	int		   *group = palloc(sizeof(int) * n);
	List	  **members = palloc0(sizeof(List *) * n);
	KeyMap	   *map = keymap_new(CurrentMemoryContext, n * 2);
	List	   *result = NIL;
	ListCell   *lc;
	int			i;

	for (i = 0; i < n; i++)
	{
		Change	   *c = list_nth(changes, i);

		group[i] = i;
		c->place = i;
		keymap_put(map, row_name(c), c);
	}
	for (i = 0; i < n; i++)
	{
		Change	   *c = list_nth(changes, i);
		Relation	rel = table_open(c->table->t->relid, NoLock);
		List	   *keys = copyObject(RelationGetFKeyList(rel));

		table_close(rel, NoLock);
		foreach(lc, keys)
		{
			Change	   *other = referred_change(c, lfirst(lc), map);

			if (other)
				group[find_group(group, i)] = find_group(group, other->place);
		}
	}
	for (i = 0; i < n; i++)
	{
		int			g = find_group(group, i);

		members[g] = lappend(members[g], list_nth(changes, i));
	}
	for (i = 0; i < n; i++)
	{
		if (list_length(members[i]) > 1)
			result = lappend(result, members[i]);
	}
	return result;
}

static void
apply_together(Push *push, void *arg)
{
	List	   *changes = arg;
	ListCell   *lc;

	forget_verdicts(changes);
	foreach(lc, make_units(changes))
		apply_unit(push, lfirst(lc));
	deferred_check(push);
}

/* if it fails, each change keeps the failure that it has */
static bool
try_set(Push *push, List *changes)
{
	Failure    *failures = palloc(sizeof(Failure) * list_length(changes));
	ListCell   *lc;
	int			i = 0;

	foreach(lc, changes)
		failures[i++] = ((Change *) lfirst(lc))->outcome.failure;
	if (try_work(push, apply_together, changes, true) == NULL)
		return true;
	i = 0;
	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		c->outcome = (Outcome)
		{
			VERDICT_FAILED
		};
		c->outcome.failure = failures[i++];
	}
	return false;
}

/*
 * try all of these sets at once; if that fails, in quarters down to each set
 */
static void
try_sets(Push *push, List *sets)
{
	List	   *changes = NIL;
	ListCell   *lc;
	int			n = list_length(sets);
	int			i;

	if (sets == NIL)
		return;
	foreach(lc, sets)
		changes = list_concat(changes, lfirst(lc));
	if (try_set(push, changes))
		return;
	for (i = 0; n > 1 && i < 4; i++)
		try_sets(push, list_copy_tail(list_truncate(list_copy(sets), n * (i + 1) / 4),
									  n * i / 4));
}

/* ---------- rows that take each other's values ---------- */

/* in larger sets, a change that is wrong is not looked for one by one */
#define MAX_LEFT_OUT 32

/*
 * The deferrable constraint, of those that keep values apart, that a change
 * has failed by; else InvalidOid.
 */
static Oid
deferrable_constraint(Change *c)
{
	Failure    *failure = &c->outcome.failure;
	Oid			conoid;
	HeapTuple	tuple;
	bool		deferrable;

	if (c->outcome.verdict != VERDICT_FAILED || !c->typed.done || failure->constraint == NULL ||
		(strcmp(failure->code, "23505") != 0 && strcmp(failure->code, "23P01") != 0))
		return InvalidOid;
	conoid = get_relation_constraint_oid(c->table->t->relid, failure->constraint, true);
	if (!OidIsValid(conoid))
		return InvalidOid;
	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(conoid));
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	deferrable = ((Form_pg_constraint) GETSTRUCT(tuple))->condeferrable;
	ReleaseSysCache(tuple);
	return deferrable ? conoid : InvalidOid;
}

/* all of them, or all but one, the last first */
static void
try_all_but_one(Push *push, List *changes)
{
	int			n = list_length(changes);
	int			i;

	if (n < 2 || try_set(push, changes))
		return;
	for (i = n - 1; i >= 0 && n > 2 && n <= MAX_LEFT_OUT; i--)
	{
		CHECK_FOR_INTERRUPTS();
		if (try_set(push, list_delete_nth_cell(list_copy(changes), i)))
			return;
	}
}

/*
 * Changes that have failed by the same constraint are tried together; then
 * those of rows that exist, because a new row makes no room for others.  What
 * was left out keeps its failure.
 */
static void
try_swap(Push *push, List *changes)
{
	List	   *updates = NIL;
	ListCell   *lc;

	foreach(lc, changes)
	{
		if (((Change *) lfirst(lc))->found.exists)
			updates = lappend(updates, lfirst(lc));
	}
	if (updates == NIL ||
		(list_length(updates) < list_length(changes) && try_set(push, changes)))
		return;
	try_all_but_one(push, updates);
}

static void
try_swaps(Push *push, List *failed)
{
	List	   *constraints = NIL;
	ListCell   *lc;
	ListCell   *lf;

	foreach(lc, failed)
	{
		Oid			conoid = deferrable_constraint(lfirst(lc));

		if (OidIsValid(conoid))
			constraints = list_append_unique_oid(constraints, conoid);
	}
	foreach(lc, constraints)
	{
		List	   *changes = NIL;

		foreach(lf, failed)
		{
			if (deferrable_constraint(lfirst(lf)) == lfirst_oid(lc))
				changes = lappend(changes, lfirst(lf));
		}
		try_swap(push, changes);
	}
}

void
together_try(Push *push, List *failed)
{
	try_sets(push, tied_together(failed));
	try_swaps(push, failed);
}
