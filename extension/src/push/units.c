/*-------------------------------------------------------------------------
 *
 * units.c
 *	  In which order the changes of a push are carried out, and how one that
 *	  fails is kept from harming the others.
 *
 * A unit is what one set of statements carries out: changes of one table that
 * send the same columns.  Once something fails, each unit gets a
 * subtransaction of its own, and one that fails is parted, where its statement
 * stopped or in quarters, until the change that is to blame stands alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_constraint.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"

#include "push/batch.h"
#include "push/units.h"
#include "table/registry.h"
#include "util/compat.h"
#include "util/errors.h"
#include "util/keymap.h"
#include "wire/wire.h"

/* ---------- subtransactions ---------- */

/*
 * Run something in a subtransaction: NULL if it went well, else the error,
 * copied to push->context, and everything it did undone (without keep it is
 * undone in any case).  What a repetition of
 * the whole push would mend (serialization, deadlock, resources, shutdown) is
 * raised again: it is no change's fault.
 */
ErrorData *
try_work(Push *push, Work work, void *arg, bool keep)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		work(push, arg);
		if (keep)
			ReleaseCurrentSubTransaction();
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

	if (error)
	{
		int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

		if (category == ERRCODE_TRANSACTION_ROLLBACK ||
			category == ERRCODE_INSUFFICIENT_RESOURCES ||
			category == ERRCODE_OPERATOR_INTERVENTION ||
			category == ERRCODE_SYSTEM_ERROR)
			ReThrowError(error);
	}
	return error;
}

/* ---------- deferred constraints ---------- */

/*
 * Deferrable constraints of a table, and those by which others refer to it:
 * ", schema.name" for each.
 */
static void
append_deferrable_constraints(StringInfo names, Oid relid)
{
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint con = (Form_pg_constraint) GETSTRUCT(tuple);

		if (con->condeferrable && (con->conrelid == relid || con->confrelid == relid))
			appendStringInfo(names, "%s%s", names->len ? ", " : "",
							 quote_qualified_identifier(get_namespace_name(con->connamespace),
														NameStr(con->conname)));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static void
set_constraints_immediate(Push *push, void *names)
{
	(void) SPI_execute(psprintf("SET CONSTRAINTS %s IMMEDIATE", (char *) names), false, 0);
}

/*
 * Check what is pending on the tables of the push.  SET CONSTRAINTS is undone
 * with a subtransaction, which restores the modes, whatever they were, and
 * puts the checks back to be made again at COMMIT.
 */
void
check_deferred(Push *push)
{
	StringInfoData names;
	ErrorData  *error;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, push->tables)
	{
		Oid			relid = ((PushTable *) lfirst(lc))->t->relid;

		if (AfterTriggerPendingOnRel(relid))
			append_deferrable_constraints(&names, relid);
	}
	if (names.len == 0)
		return;
	error = try_work(push, set_constraints_immediate, names.data, false);
	if (error)
		ReThrowError(error);
}

/* ---------- units ---------- */

void
apply_unit(Push *push, void *arg)
{
	Unit	   *unit = arg;

	apply_group(push, unit->table, unit->changes, unit->is_delete);
}

static void
apply_unit_and_check(Push *push, void *arg)
{
	apply_unit(push, arg);
	check_deferred(push);
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
	return strcmp(((Change *) lfirst(a))->key_text, ((Change *) lfirst(b))->key_text);
}

/*
 * Parents before children, then deletes the other way round; rounds for rows
 * that are changed more than once.  Within a unit by key, so that two pushes
 * lock rows in the same order.
 */
List *
make_units(List *changes)
{
	List	   *units = NIL;
	ListCell   *lc,
			   *lu;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);
		Unit	   *unit = NULL;

		foreach(lu, units)
		{
			Unit	   *u = lfirst(lu);

			if (u->table == c->table && u->is_delete == c->is_delete &&
				u->round == c->round && bms_equal(u->sent, c->sent) &&
				bms_equal(u->changed, c->changed))
			{
				unit = u;
				break;
			}
		}
		if (unit == NULL)
		{
			unit = palloc0(sizeof(Unit));
			unit->table = c->table;
			unit->is_delete = c->is_delete;
			unit->sent = c->sent;
			unit->changed = c->changed;
			unit->round = c->round;
			units = lappend(units, unit);
		}
		unit->changes = lappend(unit->changes, c);
	}
	list_sort(units, compare_units);
	foreach(lu, units)
		list_sort(((Unit *) lfirst(lu))->changes, compare_changes_by_key);
	return units;
}

static int
compare_by_stamp(const ListCell *a, const ListCell *b)
{
	const Change *x = lfirst(a);
	const Change *y = lfirst(b);

	/* without a stamp it is stamped on arrival: after all that have one */
	if (x->incoming.has_stamp != y->incoming.has_stamp)
		return x->incoming.has_stamp ? -1 : 1;
	if (x->incoming.has_stamp)
	{
		int			order = stamp_compare(&x->incoming.stamp, &y->incoming.stamp);

		if (order != 0)
			return order;
	}
	return x->index - y->index;
}

/* several changes to one row are folded in the order of their stamps */
void
assign_rounds(List *changes)
{
	KeyMap	   *rounds = keymap_new(CurrentMemoryContext, list_length(changes) * 2);
	List	   *sorted = list_copy(changes);
	ListCell   *lc;

	list_sort(sorted, compare_by_stamp);
	foreach(lc, sorted)
	{
		Change	   *c = lfirst(lc);
		char	   *name = psprintf("%u %s", c->table->t->relid, c->key_text);
		intptr_t	before = (intptr_t) keymap_get(rounds, name);

		c->round = (int) before;
		keymap_put(rounds, name, (void *) (before + 1));
	}
}

void
forget_verdicts(List *changes)
{
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		c->verdict = VERDICT_NONE;
		c->note = NULL;
		c->entity = NULL;
	}
}

/* ---------- parting a unit that failed ---------- */

/* a unit that goes by guesses each time would be tried once a bad change */
#define MAX_GUESSES 3

/*
 * The place of the change at which a unit stopped, -1: not known, or so near to
 * its start that it is better quartered.  Else, where many changes are bad,
 * each would have all the rest tried once more.
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

/*
 * Does the detail of a foreign key's error speak of this change's values?
 * PostgreSQL checks foreign keys after the statement, and names the row by
 * "(column, ...)=(value, ...)" in whatever language.  A guess, no more.
 */
static bool
detail_names(const char *detail, ForeignKeyCacheInfo *fk, Change *c)
{
	TrackedTable *t = c->table->t;
	StringInfoData names,
				values;
	int			i;

	initStringInfo(&names);
	initStringInfo(&values);
	for (i = 0; i < fk->nkeys; i++)
	{
		TrackedColumn *column = tracked_column(t, fk->conkey[i]);

		if (!bms_is_member(column->attnum, c->sent) || c->nulls[column->attnum - 1])
			return false;
		appendStringInfo(&names, "%s%s", i ? ", " : "", column->name);
		appendStringInfo(&values, "%s%s", i ? ", " : "",
						 OutputFunctionCall(&column->output, c->values[column->attnum - 1]));
	}
	return strstr(detail, psprintf("(%s)=(%s)", names.data, values.data)) != NULL;
}

/* the changes that a foreign key's error is about, as far as that can be told */
static List *
suspects_of(Unit *unit, ErrorData *error)
{
	List	   *suspects = NIL;
	Relation	rel;
	ListCell   *lc,
			   *lk;

	if (error->sqlerrcode != ERRCODE_FOREIGN_KEY_VIOLATION || unit->is_delete ||
		error->detail == NULL || error->constraint_name == NULL)
		return NIL;
	rel = table_open(unit->table->t->relid, NoLock);
	foreach(lk, copyObject(RelationGetFKeyList(rel)))
	{
		ForeignKeyCacheInfo *fk = lfirst(lk);
		char	   *name = get_constraint_name(fk->conoid);

		if (name == NULL || strcmp(name, error->constraint_name) != 0)
			continue;
		foreach(lc, unit->changes)
		{
			if (detail_names(error->detail, fk, lfirst(lc)))
				suspects = lappend(suspects, lfirst(lc));
		}
		break;
	}
	table_close(rel, NoLock);
	return suspects;
}

static void isolate(Push *push, Unit *unit);

static void
isolate_some(Push *push, Unit *unit, List *changes, int guesses)
{
	Unit		part = *unit;

	if (changes == NIL)
		return;
	part.changes = changes;
	part.guesses = guesses;
	isolate(push, &part);
}

static void
isolate_range(Push *push, Unit *unit, int from, int to)
{
	List	   *changes = list_truncate(list_copy(unit->changes), to);

	isolate_some(push, unit, list_copy_tail(changes, from), 0);
}

/*
 * The parts of a unit that failed: before and after the change at which it
 * stopped; those that a foreign key's error is about, and the rest; else
 * quarters, which take as many steps as halves to come down to one change, and
 * try fewer rows again.
 */
static void
isolate_parts(Push *push, Unit *unit, ErrorData *error)
{
	int			n = list_length(unit->changes);
	int			stop = place_of_stop(unit, batch_stopped_at());
	List	   *suspects = NIL;
	int			i;

	if (stop >= 0)
	{
		isolate_range(push, unit, 0, stop);
		isolate_range(push, unit, stop, stop + 1);
		isolate_range(push, unit, stop + 1, n);
		return;
	}
	if (unit->guesses < MAX_GUESSES)
		suspects = suspects_of(unit, error);
	if (suspects != NIL && list_length(suspects) < n)
	{
		isolate_some(push, unit, list_difference_ptr(unit->changes, suspects),
					 unit->guesses + 1);
		isolate_some(push, unit, suspects, MAX_GUESSES);
		return;
	}
	for (i = 0; i < 4; i++)
		isolate_range(push, unit, n * i / 4, n * (i + 1) / 4);
}

/* a unit by itself; if it fails, its parts */
static void
isolate(Push *push, Unit *unit)
{
	ErrorData  *error;
	int			tries = 0;

	do
	{
		forget_verdicts(unit->changes);
		error = try_work(push, apply_unit_and_check, unit, true);
	} while (error && error->sqlerrcode == ERRCODE_TIDE_AGAIN && ++tries < 10);
	if (error == NULL)
		return;
	if (list_length(unit->changes) == 1)
		change_fail(linitial(unit->changes), error);
	else
		isolate_parts(push, unit, error);
}

static List *
failed_in_sql(List *changes)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		/* 23...: a constraint, which another change may have satisfied since */
		if (c->verdict == VERDICT_FAILED && strncmp(c->failure.code, "23", 2) == 0)
			result = lappend(result, c);
	}
	return result;
}

/* ---------- rows that refer to each other ---------- */

/*
 * The change, among those of the map, that a foreign key of this change's row
 * refers to by the other's key; NULL if there is none.
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
		if (i == fk->nkeys || !bms_is_member(fk->conkey[i], c->sent) ||
			c->nulls[fk->conkey[i] - 1] ||
			tracked_column(c->table->t, fk->conkey[i])->type !=
			tracked_column(parent, parent->keys[k])->type)
			return NULL;
		key[k] = c->values[fk->conkey[i] - 1];
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

/* sets of changes that foreign keys tie together: a list of lists */
static List *
tied_together(List *changes)
{
	int			n = list_length(changes);
	int		   *group = palloc(sizeof(int) * n);
	KeyMap	   *map = keymap_new(CurrentMemoryContext, n * 2);
	List	   *result = NIL;
	ListCell   *lc;
	int			i,
				j;

	for (i = 0; i < n; i++)
	{
		Change	   *c = list_nth(changes, i);

		group[i] = i;
		c->place = i;
		keymap_put(map, psprintf("%u %s", c->table->t->relid, c->key_text), c);
	}
	for (i = 0; i < n; i++)
	{
		Change	   *c = list_nth(changes, i);
		Relation	rel = table_open(c->table->t->relid, NoLock);

		foreach(lc, copyObject(RelationGetFKeyList(rel)))
		{
			Change	   *other = referred_change(c, lfirst(lc), map);

			if (other)
				group[find_group(group, i)] = find_group(group, other->place);
		}
		table_close(rel, NoLock);
	}
	for (i = 0; i < n; i++)
	{
		List	   *members = NIL;

		if (group[i] != i)
			continue;
		for (j = 0; j < n; j++)
			if (find_group(group, j) == i)
				members = lappend(members, list_nth(changes, j));
		result = lappend(result, members);
	}
	return result;
}

static void
apply_together(Push *push, void *arg)
{
	ListCell   *lc;

	foreach(lc, make_units(arg))
		apply_unit(push, lfirst(lc));
	check_deferred(push);
}

/*
 * Rows whose deferred constraints hold only for all of them (each refers to
 * another) fail one by one; try each such set as one.
 */
static void
try_tied(Push *push, List *failed)
{
	ListCell   *lg,
			   *lc;

	foreach(lg, tied_together(failed))
	{
		List	   *members = lfirst(lg);
		Failure    *failures;
		int			n = 0;

		if (list_length(members) < 2)
			continue;
		failures = palloc(sizeof(Failure) * list_length(members));
		foreach(lc, members)
			failures[n++] = ((Change *) lfirst(lc))->failure;
		forget_verdicts(members);
		if (try_work(push, apply_together, members, true) == NULL)
			continue;
		n = 0;
		foreach(lc, members)
		{
			((Change *) lfirst(lc))->verdict = VERDICT_FAILED;
			((Change *) lfirst(lc))->failure = failures[n++];
		}
	}
}

/*
 * Unit by unit, after all of them at once failed with this error; if there is
 * but one, it is known to fail.  What failed is tried again after the rest, as
 * long as that helps any: children that came before their parents, in whatever
 * depth.
 */
void
work_in_units(Push *push, List *changes, ErrorData *error)
{
	List	   *units = make_units(changes);
	List	   *failed;
	ListCell   *lc;
	int			before;

	if (list_length(units) == 1 && list_length(changes) > 1 &&
		error->sqlerrcode != ERRCODE_TIDE_AGAIN)
		isolate_parts(push, linitial(units), error);
	else
	{
		foreach(lc, units)
			isolate(push, lfirst(lc));
	}
	failed = failed_in_sql(changes);
	do
	{
		before = list_length(failed);
		foreach(lc, make_units(failed))
			isolate(push, lfirst(lc));
		failed = failed_in_sql(failed);
	} while (failed != NIL && list_length(failed) < before);
	try_tied(push, failed);
}
