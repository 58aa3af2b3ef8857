/*-------------------------------------------------------------------------
 *
 * owner.c
 *	  Statements on pg_tide's own tables, run as their owner.
 *
 * Callers have no rights on these tables, so every statement here runs as
 * their owner.  Therefore no statement may use a type, cast or operator that a
 * user made: parameters have built-in types, and every name is qualified.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "util/owner.h"
#include "util/plan.h"
#include "util/settings.h"

Oid
owner_relation(const char *name)
{
	Oid			relid = get_relname_relid(name, get_namespace_oid(TIDE_SCHEMA, false));

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation tide.%s does not exist", name),
				 errhint("CREATE EXTENSION pg_tide in this database.")));
	return relid;
}

void
user_become(Oid user, int flags, SavedUser *saved)
{
	if (!OidIsValid(user))
		elog(ERROR, "no role is set to continue as");
	GetUserIdAndSecContext(&saved->user, &saved->context);
	SetUserIdAndSecContext(user, saved->context | SECURITY_LOCAL_USERID_CHANGE | flags);
}

void
user_restore(const SavedUser *saved)
{
	SetUserIdAndSecContext(saved->user, saved->context);
}

Oid
owner_of_table(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

/*
 * Run one of our own statements as the owner of our tables, with a saved
 * plan.  Reads use the given snapshot; InvalidSnapshot lets them see what this
 * command wrote, as a volatile function does.  After an error, the abort of
 * the (sub)transaction restores the user.
 */
void
owner_run(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types,
		  Datum *values, const char *nulls, Snapshot snapshot, bool write)
{
	SavedUser	saved;
	int			code;

	user_become(owner_of_table(owner_relation("log")), 0, &saved);
	if (*plan == NULL)
	{
		SPIPlanPtr	fresh = plans_prepare(sql, nargs, types);

		if (SPI_keepplan(fresh) != 0)
			elog(ERROR, "could not keep the plan of: %s", sql);
		*plan = fresh;
	}
	code = SPI_execute_snapshot(*plan, values, nulls, snapshot,
								InvalidSnapshot, !write && snapshot != InvalidSnapshot,
								true, 0);
	user_restore(&saved);
	if (code < 0)
		elog(ERROR, "could not run, %s: %s", SPI_result_code_string(code), sql);
}

uint64
owner_select(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types,
			 Datum *values, const char *nulls, Snapshot snapshot,
			 TakeRow take_row, void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext spi;
	uint64		n;
	uint64		i;

	SPI_connect();
	owner_run(plan, sql, nargs, types, values, nulls, snapshot,
			  snapshot == InvalidSnapshot);
	n = SPI_processed;
	spi = MemoryContextSwitchTo(caller);
	for (i = 0; i < n && take_row; i++)
		take_row(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, arg);
	MemoryContextSwitchTo(spi);
	SPI_finish();
	return n;
}

uint64
owner_execute(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types,
			  Datum *values, const char *nulls)
{
	return owner_select(plan, sql, nargs, types, values, nulls, InvalidSnapshot,
						NULL, NULL);
}

Datum
owner_text_array(char **strings, int n)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(n, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(n, 1));
	int			lower_bound = 1;
	int			i;

	for (i = 0; i < n; i++)
	{
		nulls[i] = (strings[i] == NULL);
		elements[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(strings[i]);
	}
	if (n == 0)
		return PointerGetDatum(construct_empty_array(TEXTOID));
	return PointerGetDatum(construct_md_array(elements, nulls, 1, &n, &lower_bound,
											  TEXTOID, -1, false, TYPALIGN_INT));
}

char	  **
owner_strings(Datum array, int *n)
{
	Datum	   *elements;
	char	  **strings;
	int			i;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, n);
	strings = palloc(sizeof(char *) * Max(*n, 1));
	for (i = 0; i < *n; i++)
		strings[i] = TextDatumGetCString(elements[i]);
	return strings;
}

char *
owner_column_text(HeapTuple tuple, TupleDesc desc, int n)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, n, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}
