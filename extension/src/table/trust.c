/*-------------------------------------------------------------------------
 *
 * trust.c
 *	  pg_tide's own functions, and which owners may have tables synced.
 *
 * Callbacks only note that something changed.  What was found out while
 * something changed is not kept.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "table/trust.h"
#include "util/compat.h"
#include "util/settings.h"

typedef struct Trust
{
	Oid			owner;
	bool		trusted;
} Trust;

static Trust *trusts = NULL;
static int	ntrusts = 0;
static int	trusts_size = 0;

static Oid	stamp_function = InvalidOid;
static Oid	trusted_function = InvalidOid;
static uint64 rights_changes = 0;

static void
schema_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	stamp_function = trusted_function = InvalidOid;
}

/* functions and what roles may do */
static void
rights_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	if (cacheid == PROCOID)
		schema_changed(arg, cacheid, hashvalue);
	rights_changes++;
	ntrusts = 0;
}

void
trust_init(void)
{
	CacheRegisterSyscacheCallback(NAMESPACEOID, schema_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, rights_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, rights_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, rights_changed, (Datum) 0);
}

uint64
trust_changes(void)
{
	return rights_changes;
}

static Oid
own_function(Oid *known, const char *name)
{
	Oid			found = *known;

	if (!OidIsValid(found))
	{
		found = LookupFuncName(list_make2(makeString(TIDE_SCHEMA), makeString(pstrdup(name))),
							   0, NULL, true);
		*known = found;
	}
	return found;
}

Oid
trust_stamp_function(void)
{
	return own_function(&stamp_function, "stamp");
}

bool
trust_owner(Oid owner)
{
	Oid			function;
	bool		trusted;
	uint64		before = rights_changes;
	int			i;

	for (i = 0; i < ntrusts; i++)
	{
		if (trusts[i].owner == owner)
			return trusts[i].trusted;
	}
	function = own_function(&trusted_function, "trusted");
	trusted = OidIsValid(function) && tide_role_may_execute(owner, function);
	if (before != rights_changes)
		return trusted;			/* not to be kept */
	if (ntrusts == trusts_size)
	{
		int			size = Max(16, trusts_size * 2);

		trusts = trusts == NULL ? MemoryContextAlloc(TopMemoryContext, sizeof(Trust) * size) :
			repalloc(trusts, sizeof(Trust) * size);
		trusts_size = size;
	}
	trusts[ntrusts].owner = owner;
	trusts[ntrusts].trusted = trusted;
	ntrusts++;
	return trusted;
}

Oid
function_owner(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}

bool
trust_function(Oid function, Oid table_owner)
{
	Oid			owner = function_owner(function);

	return OidIsValid(owner) && (owner == table_owner || trust_owner(owner));
}
