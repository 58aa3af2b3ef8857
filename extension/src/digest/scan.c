/*-------------------------------------------------------------------------
 *
 * scan.c
 *	  The key and stamp of every row of a table that the caller may sync.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "digest/scan.h"
#include "wire/wire.h"

#define BATCH 1000

static const char *
column_name(TrackedTable *t, AttrNumber attnum)
{
	return quote_identifier(tracked_column(t, attnum)->name);
}

/* the columns are those of ScannedRow, in its order */
static char *
scan_sql(PullTable *table)
{
	TrackedTable *t = table->t;
	StringInfoData sql;
	int			k;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (k = 0; k < t->nkeys; k++)
		appendStringInfo(&sql, "t.%s, ", column_name(t, t->keys[k]));
	appendStringInfo(&sql, "t.%s, ", column_name(t, t->modified_at));
	appendStringInfo(&sql, "t.%s FROM %s t", column_name(t, t->client_id), t->sql_name);
	if (!t->shared)
		appendStringInfo(&sql, " WHERE t.%s%s", column_name(t, t->scope),
						 table->scopes.any ? " IS NOT NULL" :
						 " OPERATOR(pg_catalog.=) ANY ($1)");
	return sql.data;
}

static void
read_row(TrackedTable *t, HeapTuple tuple, TupleDesc desc, ScannedRow *row)
{
	bool		isnull;
	int			k;

	for (k = 0; k < t->nkeys; k++)
		row->key[k] = heap_getattr(tuple, k + 1, desc, &isnull);
	row->stamp = heap_getattr(tuple, t->nkeys + 1, desc, &row->no_stamp);
	row->client = heap_getattr(tuple, t->nkeys + 2, desc, &row->no_client);
}

/* pass on the rows that were fetched; false: the caller wants no more */
static bool
take_batch(TrackedTable *t, TakeScannedRow take_row, void *arg)
{
	int			level = wire_begin();
	bool		more = true;
	uint64		i;

	for (i = 0; i < SPI_processed && more; i++)
	{
		ScannedRow	row;

		read_row(t, SPI_tuptable->vals[i], SPI_tuptable->tupdesc, &row);
		more = take_row(&row, arg);
	}
	wire_end(level);
	return more;
}

void
scan_rows(PullTable *table, TakeScannedRow take_row, void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext batch;
	Oid			type = InvalidOid;
	Datum		scopes = (Datum) 0;
	Portal		portal;
	bool		more = true;

	if (!table->scopes.any && table->scopes.n == 0)
		return;
	if (!table->scopes.any)
	{
		type = access_scope_array_type(table->t);
		scopes = access_scope_array(table->t, &table->scopes);
	}
	portal = SPI_cursor_open_with_args(NULL, scan_sql(table), OidIsValid(type) ? 1 : 0,
									   &type, &scopes, NULL, true, 0);
	batch = AllocSetContextCreate(caller, "pg_tide scanned rows", ALLOCSET_DEFAULT_SIZES);
	while (more)
	{
		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, BATCH);
		MemoryContextSwitchTo(batch);
		more = SPI_processed > 0 && take_batch(table->t, take_row, arg);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(batch);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(batch);
}
