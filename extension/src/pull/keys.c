/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  tide.keys: which rows there are, for a client that cannot tell which of
 *	  its own are gone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "pull/pull.h"
#include "util/errors.h"
#include "util/settings.h"
#include "wire/wire.h"

PG_FUNCTION_INFO_V1(tide_keys);

static char *
keys_sql(PullTable *table, int limit)
{
	TrackedTable *t = table->t;
	StringInfoData sql;
	int			k;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	for (k = 0; k < t->nkeys; k++)
		appendStringInfo(&sql, "%st.%s", k ? ", " : "",
						 quote_identifier(tracked_column(t, t->keys[k])->name));
	appendStringInfo(&sql, " FROM %s t", t->sql_name);
	if (!t->shared)
	{
		appendStringInfo(&sql, " WHERE t.%s",
						 quote_identifier(tracked_column(t, t->scope)->name));
		appendStringInfoString(&sql, table->scopes.any ? " IS NOT NULL" :
							   " OPERATOR(pg_catalog.=) ANY ($1)");
	}
	appendStringInfo(&sql, " LIMIT %d", limit);
	return sql.data;
}

/* a key as a push's reply names it: a string, or an object */
static void
append_key(StringInfo buf, TrackedTable *t, HeapTuple tuple, TupleDesc desc)
{
	Datum		key[INDEX_MAX_KEYS];
	bool		isnull;
	int			k;

	for (k = 0; k < t->nkeys; k++)
		key[k] = heap_getattr(tuple, k + 1, desc, &isnull);
	if (t->nkeys == 1)
		escape_json(buf, wire_key_text(t, key));
	else
	{
		appendStringInfoChar(buf, '{');
		wire_append_key_members(buf, t, key);
		appendStringInfoChar(buf, '}');
	}
}

/* "Type":[...]; returns how many there are, at most limit */
static int
append_keys(StringInfo buf, PullTable *table, int limit)
{
	Oid			type = InvalidOid;
	Datum		scopes = (Datum) 0;
	uint64		i;
	int			level;

	escape_json(buf, table->t->entity_type);
	appendStringInfoString(buf, ":[");
	if (!table->scopes.any)
	{
		type = access_scope_array_type(table->t);
		scopes = access_scope_array(table->t, &table->scopes);
	}
	if (SPI_execute_with_args(keys_sql(table, limit), OidIsValid(type) ? 1 : 0, &type,
							  &scopes, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the keys of %s", table->t->sql_name);
	level = wire_begin();
	for (i = 0; i < SPI_processed; i++)
	{
		if (i > 0)
			appendStringInfoChar(buf, ',');
		append_key(buf, table->t, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
	}
	wire_end(level);
	SPI_freetuptable(SPI_tuptable);
	appendStringInfoChar(buf, ']');
	return (int) SPI_processed;
}

/*
 * Whole, not paged, so bounded as a pull since a time is.  Types without rows
 * are there with an empty list: the client may drop all of theirs.
 */
Datum
tide_keys(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	Pull		pull = {0};
	StringInfoData buf;
	ListCell   *lc;
	int			left = tide_max_time_rows;
	text	   *result;

	pull_open(&pull, PG_ARGISNULL(0) ? NULL : PG_GETARG_ARRAYTYPE_P(0),
			  PG_ARGISNULL(1) ? NULL : PG_GETARG_ARRAYTYPE_P(1), NULL);
	initStringInfo(&buf);
	appendStringInfoString(&buf, "{\"keysByType\":{");
	foreach(lc, pull.tables)
	{
		if (lc != list_head(pull.tables))
			appendStringInfoChar(&buf, ',');
		left -= append_keys(&buf, lfirst(lc), left + 1);
		if (left < 0)
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_USE_CURSOR),
					 errmsg("there are more than %d keys", tide_max_time_rows),
					 errhint("Ask for fewer entity types, or pull without \"since\".")));
	}
	appendStringInfoChar(&buf, '}');
	pull_append_names(&buf, "unavailableTypes", pull.unavailable);
	appendStringInfoChar(&buf, '}');
	MemoryContextSwitchTo(caller);
	result = cstring_to_text_with_len(buf.data, buf.len);
	pull_finish(&pull);
	PG_RETURN_TEXT_P(result);
}
