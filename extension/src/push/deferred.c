/*-------------------------------------------------------------------------
 *
 * deferred.c
 *	  Deferred constraints, checked before a verdict is given.
 *
 * What a push writes, and what the user's triggers write because of it, may
 * violate a constraint that is checked at COMMIT only, when it is too late to
 * fail a change.  So the checks are made to fire in a subtransaction that is
 * rolled back.  This restores the modes of the constraints, whatever they were,
 * and leaves the checks to be made again at COMMIT.
 *
 * PostgreSQL fires the checks of all constraints, or of those with a given
 * name.  Normally nothing is pending before the push, so all of them may fire,
 * and an error comes from the push.  If the caller's own transaction has
 * violations pending, the constraints are named, and those are left out that
 * the caller's tables have, too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_constraint.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "push/deferred.h"
#include "push/units.h"

/*
 * tables that have a deferrable constraint, or that such a constraint refers
 * to
 */
static List *deferrable_tables = NIL;
static uint64 tables_known_at = 0;	/* changes when they were read */
static uint64 constraint_changes = 0;	/* of constraints; 0: nobody counts
										 * yet */

static void
constraints_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	constraint_changes++;
}

typedef void (*TakeConstraint) (Form_pg_constraint con, void *arg);

static void
each_deferrable(TakeConstraint take, void *arg)
{
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint con = (Form_pg_constraint) GETSTRUCT(tuple);

		if (con->condeferrable)
			take(con, arg);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

static void
take_tables(Form_pg_constraint con, void *arg)
{
	List	  **tables = arg;

	*tables = list_append_unique_oid(*tables, con->conrelid);
	if (OidIsValid(con->confrelid))
		*tables = list_append_unique_oid(*tables, con->confrelid);
}

static List *
tables_with_deferrable(void)
{
	List	   *tables = NIL;
	List	   *copy;
	uint64		before;
	MemoryContext old;

	if (constraint_changes == 0)
	{
		CacheRegisterSyscacheCallback(CONSTROID, constraints_changed, (Datum) 0);
		constraint_changes = 1;
	}
	if (tables_known_at == constraint_changes)
		return deferrable_tables;

	/* what changes while they are read makes us read them again */
	before = constraint_changes;
	each_deferrable(take_tables, &tables);
	old = MemoryContextSwitchTo(TopMemoryContext);
	copy = list_copy(tables);
	MemoryContextSwitchTo(old);
	list_free(deferrable_tables);
	deferrable_tables = copy;
	tables_known_at = before;
	return deferrable_tables;
}

/* ---------- firing ---------- */

/* arg: a list of RangeVars, or NULL for all constraints */
static void
fire(Push *push, void *arg)
{
	ConstraintsSetStmt *stmt = makeNode(ConstraintsSetStmt);

	stmt->constraints = arg;
	stmt->deferred = false;
	CommandCounterIncrement();
	AfterTriggerSetState(stmt);
}

static ErrorData *
try_fire(Push *push, List *constraints)
{
	return try_work(push, fire, constraints, false);
}

/* the names of the constraints whose checks are pending on some tables */
typedef struct Names
{
	List	   *tables;			/* Oids */
	List	   *names;			/* RangeVars */
} Names;

static void
take_names(Form_pg_constraint con, void *arg)
{
	Names	   *names = arg;

	if (list_member_oid(names->tables, con->conrelid) ||
		list_member_oid(names->tables, con->confrelid))
		names->names = lappend(names->names,
							   makeRangeVar(get_namespace_name(con->connamespace),
											pstrdup(NameStr(con->conname)), -1));
}

static List *
names_of_constraints(List *tables)
{
	Names		names = {tables};

	each_deferrable(take_names, &names);
	return names.names;
}

static List *
without_names(List *names, List *others)
{
	List	   *result = NIL;
	ListCell   *lc,
			   *lo;

	foreach(lc, names)
	{
		RangeVar   *name = lfirst(lc);

		foreach(lo, others)
		{
			RangeVar   *other = lfirst(lo);

			if (strcmp(name->relname, other->relname) == 0 &&
				strcmp(name->schemaname, other->schemaname) == 0)
				break;
		}
		if (lo == NULL)
			result = lappend(result, name);
	}
	return result;
}

/* tables that have checks pending */
static List *
pending_tables(void)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, tables_with_deferrable())
	{
		if (AfterTriggerPendingOnRel(lfirst_oid(lc)))
			result = lappend_oid(result, lfirst_oid(lc));
	}
	return result;
}

static void
fire_names(Push *push, List *names)
{
	ErrorData  *error;

	if (names == NIL)
		return;
	error = try_fire(push, names);
	if (error)
		ReThrowError(error);
}

void
deferred_fire(void)
{
	if (tables_with_deferrable() != NIL)
		fire(NULL, NIL);
}

void
deferred_begin(Push *push)
{
	List	   *own = NIL;
	ListCell   *lc;

	push->has_deferrable = (tables_with_deferrable() != NIL);
	if (!push->has_deferrable || try_fire(push, NIL) == NULL)
		return;
	push->pending_before = pending_tables();
	foreach(lc, push->tables)
	{
		Oid			relid = ((PushTable *) lfirst(lc))->t->relid;

		if (list_member_oid(push->pending_before, relid))
			own = lappend_oid(own, relid);
	}
	if (own != NIL)
		fire_names(push, without_names(names_of_constraints(own),
									   names_of_constraints(list_difference_oid(push->pending_before, own))));
}

void
deferred_check(Push *push)
{
	if (!push->has_deferrable)
		return;
	if (push->pending_before == NIL)
	{
		ErrorData  *error = try_fire(push, NIL);

		if (error)
			ReThrowError(error);
		return;
	}
	fire_names(push, without_names(names_of_constraints(list_difference_oid(pending_tables(),
																			push->pending_before)),
								   names_of_constraints(push->pending_before)));
}
