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

#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"

#include "cursor/cursor.h"
#include "pull/parts.h"
#include "read/rows.h"
#include "table/catalog.h"
#include "table/plans.h"
#include "util/keymap.h"
#include "util/plan.h"
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

static bool
has_scope_index(TrackedTable *t)
{
	Relation	rel = table_open(t->relid, NoLock);
	bool		result = relation_has_index_on(rel, &t->scope, 1);

	table_close(rel, NoLock);
	return result;
}

/*
 * A plan that is made once, where an index serves: a first sync runs it for each
 * table, scope and page.  Where none does, or the table is partitioned,
 * PostgreSQL chooses anew each time.
 */
static SPIPlanPtr
prepare(TrackedTable *t, const char *sql, int nargs, Oid *types, AttrNumber column)
{
	SPIPlanPtr	plan;

	if (!t->partitioned && (t->shared || has_scope_index(t)))
		return plans_prepare_by_column(sql, nargs, types, column);
	plan = SPI_prepare_cursor(sql, nargs, types, CURSOR_OPT_CUSTOM_PLAN);
	if (plan == NULL)
		elog(ERROR, "could not prepare, %s: %s", SPI_result_code_string(SPI_result), sql);
	return plan;
}

/* does an input function say that a text is none of its type's? */
static bool
is_about_text(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return category == ERRCODE_DATA_EXCEPTION ||
		category == ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION;
}

/*
 * The values of the key that the cursor is behind.  Its text comes from the
 * client, so one that the types do not take is a fault of the cursor, and a
 * client that read "invalid_value" would look for it in its changes.
 */
static void
key_of_cursor(TrackedTable *t, const char *key, Datum *values)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		wire_key_values(t, key, values);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (!is_about_text(error))
			PG_RE_THROW();
		FlushErrorState();
		cursor_malformed();
	}
	PG_END_TRY();
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
		key_of_cursor(t, after, &args[nargs]);
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
		plan = prepare(t, sql.data, nargs, types,
					   scope >= 0 ? t->scope : t->keys[0]);
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

/* a scope, and which it is of TableScopes */
typedef struct ScopeInOrder
{
	const char *text;
	int			number;
} ScopeInOrder;

static int
compare_scopes(const void *a, const void *b)
{
	return strcmp(((const ScopeInOrder *) a)->text, ((const ScopeInOrder *) b)->text);
}

static ScopeInOrder *
in_order(const TableScopes *scopes)
{
	ScopeInOrder *order = palloc(sizeof(ScopeInOrder) * Max(scopes->n, 1));
	int			i;

	for (i = 0; i < scopes->n; i++)
	{
		order[i].text = scopes->texts[i];
		order[i].number = i;
	}
	qsort(order, scopes->n, sizeof(ScopeInOrder), compare_scopes);
	return order;
}

/*
 * Which of these scopes have rows in the table that the caller may read?  One
 * statement for all of them.
 */
static bool *
scopes_with_rows(PullTable *table, const TableScopes *scopes, const ScopeInOrder *order, int n)
{
	TrackedTable *t = table->t;
	TableScopes some = {.n = n, .values = palloc(sizeof(Datum) * n)};
	bool	   *result = palloc0(sizeof(bool) * n);
	Oid			type = access_scope_array_type(t);
	SPIPlanPtr	plan = plans_find(t, "scopes with rows");
	Datum		array;
	uint64		i;

	for (i = 0; i < n; i++)
		some.values[i] = scopes->values[order[i].number];
	array = access_scope_array(t, &some);
	if (plan == NULL)
	{
		plan = prepare(t, psprintf("SELECT s.n FROM pg_catalog.unnest($1) WITH ORDINALITY s(v, n)"
								   " WHERE EXISTS (SELECT FROM %s t WHERE t.%s OPERATOR(pg_catalog.=) s.v)",
								   t->sql_name, quote_identifier(tracked_column(t, t->scope)->name)),
					   1, &type, InvalidAttrNumber);
		plans_keep(t, "scopes with rows", plan);
	}
	execute(plan, &array);
	for (i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		int64		nth = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i],
													  SPI_tuptable->tupdesc, 1, &isnull));

		result[nth - 1] = true;
	}
	SPI_freetuptable(SPI_tuptable);
	return result;
}

/* so few scopes are read without asking whether they have rows */
#define FEW_SCOPES 4

/* as many are asked about at first, and at most, at a time */
#define FIRST_SCOPES 16
#define MOST_SCOPES 1024

/*
 * The rest of a table, scope by scope in the order of their texts.  Most of very
 * many scopes have no rows in most tables.
 */
static bool
read_table(Pull *pull, PullTable *table)
{
	Place	   *state = pull->place;
	TableScopes scopes = scopes_to_read(pull, table);
	ScopeInOrder *order;
	int			window = FIRST_SCOPES;
	int			first = 0;
	int			n;

	if (scopes.any)
		return read_scope(pull, table, &scopes, -1);

	order = in_order(&scopes);
	/* read on an earlier page */
	while (state->scope && first < scopes.n && strcmp(order[first].text, state->scope) < 0)
		first++;
	for (; first < scopes.n; first += n)
	{
		bool	   *there = NULL;
		int			i;

		n = Min(window, scopes.n - first);
		if (n > FEW_SCOPES)
			there = scopes_with_rows(table, &scopes, &order[first], n);
		for (i = first; i < first + n; i++)
		{
			if (there && !there[i - first])
				continue;
			if (state->scope == NULL || strcmp(order[i].text, state->scope) != 0)
				state->key = NULL;
			state->scope = unconstify(char *, order[i].text);
			if (!read_scope(pull, table, &scopes, order[i].number))
				return false;
		}
		window = Min(window * 4, MOST_SCOPES);
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
