/*-------------------------------------------------------------------------
 *
 * tables.c
 *	  The part of a page that comes from the tracked tables.
 *
 * Rows are read with the caller's rights: grants, column privileges and row
 * security apply.  Names come from the catalogs and are quoted.  Keys and scopes
 * are parameters of the columns' own types, so that indexes can be used.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"

#include "pull/parts.h"
#include "read/rows.h"
#include "table/plans.h"
#include "util/keymap.h"
#include "wire/wire.h"

static void
execute(SPIPlanPtr plan, Datum *values)
{
	int			code = SPI_execute_plan(plan, values, NULL, true, 0);

	if (code != SPI_OK_SELECT)
		elog(ERROR, "unexpected result %s", SPI_result_code_string(code));
}

/*
 * the condition "after this key", whose columns are parameters from $first on
 */
static void
append_key_above(StringInfo sql, TrackedTable *t, int first)
{
	bool		same = true;
	int			k,
				j;

	for (k = 1; k < t->nkeys; k++)
		if (strcmp(t->key_greater[k], t->key_greater[0]) != 0)
			same = false;
	appendStringInfoString(sql, " AND (");
	if (same)
	{
		/* an index scan can begin at a row comparison */
		appendStringInfoString(sql, "ROW(");
		for (k = 0; k < t->nkeys; k++)
			appendStringInfo(sql, "%st.%s", k ? ", " : "",
							 quote_identifier(tracked_column(t, t->keys[k])->name));
		appendStringInfo(sql, ") %s ROW(", t->key_greater[0]);
		for (k = 0; k < t->nkeys; k++)
			appendStringInfo(sql, "%s$%d", k ? ", " : "", first + k);
		appendStringInfoString(sql, ")");
	}
	else
		for (k = 0; k < t->nkeys; k++)
		{
			appendStringInfoString(sql, k ? " OR (" : "(");
			for (j = 0; j <= k; j++)
				appendStringInfo(sql, "%st.%s %s $%d", j ? " AND " : "",
								 quote_identifier(tracked_column(t, t->keys[j])->name),
								 j < k ? t->key_equal[j] : t->key_greater[j],
								 first + j);
			appendStringInfoString(sql, ")");
		}
	appendStringInfoString(sql, ")");
}

/*
 * SELECT up to limit rows of a scope (scope < 0: of any scope) after a key
 * (NULL: from the start).
 */
static void
select_in_order(PullTable *table, const TableScopes *scopes, int scope,
				const char *after, int limit)
{
	TrackedTable *t = table->t;
	Oid			types[INDEX_MAX_KEYS + 2];
	Datum		args[INDEX_MAX_KEYS + 2];
	int			nargs = 0;
	char	   *name = psprintf("in order%s%s", scope < 0 ? "" : " of scope",
								after ? " after" : "");
	SPIPlanPtr	plan;
	int			k;

	types[nargs] = INT8OID;
	args[nargs++] = Int64GetDatum(limit);
	if (scope >= 0)
	{
		types[nargs] = tracked_column(t, t->scope)->base_type;
		args[nargs++] = scopes->values[scope];
	}
	if (after)
	{
		for (k = 0; k < t->nkeys; k++)
			types[nargs + k] = tracked_column(t, t->keys[k])->base_type;
		wire_key_values(t, after, &args[nargs]);
		nargs += t->nkeys;
	}

	plan = plans_find(t, name);
	if (plan == NULL)
	{
		StringInfoData sql;

		initStringInfo(&sql);
		appendStringInfo(&sql, "SELECT %s FROM %s t WHERE true", rows_columns(t), t->sql_name);
		if (scope >= 0)
			appendStringInfo(&sql, " AND t.%s OPERATOR(pg_catalog.=) $2",
							 quote_identifier(tracked_column(t, t->scope)->name));
		else if (!t->shared)
			appendStringInfo(&sql, " AND t.%s IS NOT NULL",
							 quote_identifier(tracked_column(t, t->scope)->name));
		if (after)
			append_key_above(&sql, t, scope >= 0 ? 3 : 2);
		appendStringInfoString(&sql, " ORDER BY ");
		for (k = 0; k < t->nkeys; k++)
			appendStringInfo(&sql, "%st.%s USING %s", k ? ", " : "",
							 quote_identifier(tracked_column(t, t->keys[k])->name),
							 t->key_less[k]);
		appendStringInfoString(&sql, " LIMIT $1");

		/* a generic plan would think that LIMIT $1 is a tenth of the table */
		plan = SPI_prepare_cursor(sql.data, nargs, types, CURSOR_OPT_CUSTOM_PLAN);
		if (plan == NULL)
			elog(ERROR, "could not prepare, %s: %s",
				 SPI_result_code_string(SPI_result), sql.data);
		plans_keep(t, name, plan);
	}
	execute(plan, args);
}

/* read the rest of one scope of a table; false: the page is full */
static bool
read_scope(Pull *pull, PullTable *table, const TableScopes *scopes, int scope)
{
	Place	   *state = pull->place;

	for (;;)
	{
		int			limit = Min(pull->limit - pull->nitems, 10000) + 1;
		uint64		n;
		uint64		i;
		SPITupleTable *rows;

		CHECK_FOR_INTERRUPTS();
		select_in_order(table, scopes, scope, state->key, limit);
		n = SPI_processed;
		rows = SPI_tuptable;
		for (i = 0; i < n; i++)
		{
			char	   *key = rows_tuple_key(table->t, rows->vals[i], rows->tupdesc);
			PullItem   *item = NULL;

			if (keymap_get(table->seen, key) == NULL)
			{
				if (pull_is_full(pull))
					return false;
				item = pull_add(pull, table, key);
				rows_set(item, rows->vals[i], rows->tupdesc, 1);
				pull->tuple_bytes += rows->vals[i]->t_len;
			}
			state->key = MemoryContextStrdup(pull->context, key);
			if (item)
				pull_item_done(pull, item);
		}
		if (n < limit)
			return true;
	}
}

static int
compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* the scopes of the place, as values of the table */
static TableScopes
scopes_to_read(Pull *pull, PullTable *table)
{
	const ScopeSet *scopes = &pull->place->scopes;
	TableScopes result = {0};
	int			i;

	if (table->t->shared || scopes->all)
		result.any = true;
	else if (table->scopes.any)
	{
		Access		some = {0};

		some.scopes = *scopes;
		access_table_scopes(&some, table->t, &result);
	}
	else
	{
		result.values = palloc(sizeof(Datum) * Max(table->scopes.n, 1));
		result.texts = palloc(sizeof(char *) * Max(table->scopes.n, 1));
		for (i = 0; i < table->scopes.n; i++)
			if (scopes_contain(scopes, table->scopes.texts[i]))
			{
				result.values[result.n] = table->scopes.values[i];
				result.texts[result.n++] = table->scopes.texts[i];
			}
	}
	return result;
}

/* the rest of a table, scope by scope in the order of their texts */
static bool
read_table(Pull *pull, PullTable *table)
{
	Place	   *state = pull->place;
	TableScopes scopes = scopes_to_read(pull, table);
	char	  **order;
	int			i,
				s;

	if (scopes.any)
		return read_scope(pull, table, &scopes, -1);

	order = palloc(sizeof(char *) * Max(scopes.n, 1));
	memcpy(order, scopes.texts, sizeof(char *) * scopes.n);
	qsort(order, scopes.n, sizeof(char *), compare_texts);
	for (i = 0; i < scopes.n; i++)
	{
		if (state->scope && strcmp(order[i], state->scope) < 0)
			continue;			/* read on an earlier page */
		if (state->scope == NULL || strcmp(order[i], state->scope) != 0)
			state->key = NULL;
		state->scope = order[i];
		for (s = 0; strcmp(scopes.texts[s], order[i]) != 0; s++)
			 /* find its value */ ;
		if (!read_scope(pull, table, &scopes, s))
			return false;
	}
	return true;
}

/*
 * Go on reading tables.  The done_types of the place are complete; its reg,
 * scope and key are the position in the table that is being read.  False: the
 * page is full.
 */
bool
pull_read_tables(Pull *pull)
{
	Place	   *state = pull->place;
	List	   *order = NIL;
	ListCell   *lc;

	/* the table in which the last page ended comes first */
	foreach(lc, pull->tables)
	{
		PullTable  *table = lfirst(lc);

		if (table->t->reg == state->reg)
			order = lcons(table, order);
		else if (types_contain(&state->types, table->t->reg))
			order = lappend(order, table);
	}
	foreach(lc, order)
	{
		PullTable  *table = lfirst(lc);
		int32		reg = table->t->reg;
		TypeSet		one = types_of(reg);

		if (types_contain(&state->done_types, reg) || !types_contain(&state->types, reg))
			continue;
		if (state->reg != reg)
		{
			state->reg = reg;
			state->scope = NULL;
			state->key = NULL;
		}
		if (!read_table(pull, table))
			return false;
		state->done_types = types_union(&state->done_types, &one);
	}
	return true;
}
