/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  Changes as a relation that SQL can join, and the statements of a push.
 *
 * A batch is an ephemeral relation "tide_batch" with typed columns: position
 * (ord), key (k0...), the stamp to store (new_time, new_client), the stamp
 * that was found (old_time, old_client), the time of a soft delete (del), under
 * "merge" the stamps of columns (new_clocks, old_clocks), and the columns to
 * write (c<attnum>).  Statements are planned once for a table and a
 * set of columns, run with the caller's rights, and take their names from the
 * catalogs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/queryenvironment.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "batch.h"
#include "capture.h"
#include "merge.h"
#include "plans.h"
#include "pull.h"

#define BATCH_NAME "tide_batch"

/* ---------- the relation ---------- */

/* the type of the time columns is that of the table's stamp column */
static TupleDesc
batch_desc(TrackedTable *t, Bitmapset *sent)
{
	Oid			time = tracked_column(t, t->modified_at)->type;
	bool		merges = (t->policy == POLICY_MERGE);
	TupleDesc	desc = CreateTemplateTupleDesc(1 + t->nkeys + 5 + (merges ? 2 : 0) +
											   bms_num_members(sent));
	int			n = 0;
	int			k;
	int			att = -1;

	TupleDescInitEntry(desc, ++n, "ord", INT4OID, -1, 0);
	for (k = 0; k < t->nkeys; k++)
	{
		TrackedColumn *c = tracked_column(t, t->keys[k]);

		TupleDescInitEntry(desc, ++n, psprintf("k%d", k), c->type, c->typmod, 0);
		TupleDescInitEntryCollation(desc, n, c->collation);
	}
	TupleDescInitEntry(desc, ++n, "new_time", time, -1, 0);
	TupleDescInitEntry(desc, ++n, "new_client", TEXTOID, -1, 0);
	TupleDescInitEntryCollation(desc, n, DEFAULT_COLLATION_OID);
	TupleDescInitEntry(desc, ++n, "old_time", time, -1, 0);
	TupleDescInitEntry(desc, ++n, "old_client", TEXTOID, -1, 0);
	TupleDescInitEntryCollation(desc, n, DEFAULT_COLLATION_OID);
	TupleDescInitEntry(desc, ++n, "del",
					   t->deleted_at ? tracked_column(t, t->deleted_at)->type : time, -1, 0);
	if (merges)
	{
		TupleDescInitEntry(desc, ++n, "new_clocks", JSONBOID, -1, 0);
		TupleDescInitEntry(desc, ++n, "old_clocks", JSONBOID, -1, 0);
	}
	while ((att = bms_next_member(sent, att)) >= 0)
	{
		TrackedColumn *c = tracked_column(t, att);

		TupleDescInitEntry(desc, ++n, psprintf("c%d", att), c->type, c->typmod, 0);
		TupleDescInitEntryCollation(desc, n, c->collation);
	}
	return desc;
}

static void
put_text(Datum *values, bool *nulls, int n, const char *string)
{
	nulls[n] = (string == NULL);
	values[n] = string ? CStringGetTextDatum(string) : (Datum) 0;
}

static void
put_time(Datum *values, bool *nulls, int n, bool has_time, TimestampTz time)
{
	nulls[n] = !has_time;
	values[n] = TimestampTzGetDatum(time);
}

/* what a change makes of deleted_at: that of a delete, or that which stands */
static void
put_deleted_at(Datum *values, bool *nulls, int n, Change *c)
{
	if (!c->typed.is_delete && c->outcome.verdict == VERDICT_MERGED && c->found.merge && c->found.merge->is_deleted)
	{
		values[n] = c->found.merge->deleted_at;
		return;
	}
	put_time(values, nulls, n, c->typed.is_delete,
			 c->typed.has_deleted_at ? c->typed.deleted_at : c->outcome.stored.time);
}

static void
put_clocks(Datum *values, bool *nulls, int n, Merge *m)
{
	nulls[n] = (m == NULL || m->new_clocks == NULL);
	if (!nulls[n])
		values[n] = JsonbPGetDatum(json_parse(m->new_clocks));
	nulls[n + 1] = (m == NULL || m->stored_clocks == NULL);
	if (!nulls[n + 1])
		values[n + 1] = JsonbPGetDatum(m->stored_clocks);
}

static Tuplestorestate *
batch_rows(TrackedTable *t, TupleDesc desc, Bitmapset *columns, List *changes)
{
	Tuplestorestate *store = tuplestore_begin_heap(false, false, work_mem);
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	ListCell   *lc;
	int			ord = 0;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);
		int			n = 0;
		int			k;
		int			att = -1;

		memset(nulls, false, sizeof(bool) * desc->natts);
		values[n++] = Int32GetDatum(ord++);
		for (k = 0; k < t->nkeys; k++)
			values[n++] = c->typed.key[k];
		put_time(values, nulls, n++, c->outcome.stored.has_time, c->outcome.stored.time);
		put_text(values, nulls, n++, c->outcome.stored.client_id);
		put_time(values, nulls, n++, c->found.stamp.has_time, c->found.stamp.time);
		put_text(values, nulls, n++, c->found.stamp.client_id);
		put_deleted_at(values, nulls, n++, c);
		if (t->policy == POLICY_MERGE)
		{
			put_clocks(values, nulls, n, c->found.merge);
			n += 2;
		}
		while ((att = bms_next_member(columns, att)) >= 0)
		{
			values[n] = (c->outcome.values ? c->outcome.values : c->typed.values)[att - 1];
			nulls[n++] = (c->outcome.nulls ? c->outcome.nulls : c->typed.nulls)[att - 1];
		}
		tuplestore_putvalues(store, desc, values, nulls);
	}
	return store;
}

/* ---------- the statements ---------- */

static const char *
column(TrackedTable *t, AttrNumber attnum)
{
	return quote_identifier(tracked_column(t, attnum)->name);
}

static void
append_key_join(StringInfo sql, TrackedTable *t)
{
	int			k;

	for (k = 0; k < t->nkeys; k++)
		appendStringInfo(sql, "%st.%s %s b.k%d", k ? " AND " : "",
						 column(t, t->keys[k]), t->key_equal[k], k);
}

/*
 * The row is still the version that was judged, and in a scope that the caller
 * may write: tested by the write itself, so that nobody gets in between.
 */
static void
append_guards(StringInfo sql, PushTable *table)
{
	TrackedTable *t = table->t;

	appendStringInfo(sql,
					 " AND (t.%1$s OPERATOR(pg_catalog.=) b.old_time"
					 " OR (t.%1$s IS NULL AND b.old_time IS NULL))"
					 " AND (t.%2$s OPERATOR(pg_catalog.=) b.old_client"
					 " OR (t.%2$s IS NULL AND b.old_client IS NULL))",
					 column(t, t->modified_at), column(t, t->client_id));
	/* an older change that was merged leaves the row's stamp as it is */
	if (t->policy == POLICY_MERGE)
		appendStringInfo(sql,
						 " AND (t.%1$s OPERATOR(pg_catalog.=) b.old_clocks"
						 " OR (t.%1$s IS NULL AND b.old_clocks IS NULL))",
						 column(t, t->clocks));
	if (!table->scopes.any)
		appendStringInfo(sql, " AND t.%s OPERATOR(pg_catalog.=) ANY ($1)",
						 column(t, t->scope));
}

static const char *
scope_result(TrackedTable *t)
{
	return t->shared ? "NULL::pg_catalog.text" : psprintf("t.%s", column(t, t->scope));
}

static void
append_probe(StringInfo sql, TrackedTable *t, Bitmapset *sent)
{
	int			att = -1;

	appendStringInfo(sql, "SELECT b.ord, t.%s, t.%s, %s, ", column(t, t->modified_at),
					 column(t, t->client_id), scope_result(t));
	if (t->deleted_at)
		appendStringInfo(sql, "t.%s", column(t, t->deleted_at));
	else
		appendStringInfoString(sql, "NULL::pg_catalog.text");
	while ((att = bms_next_member(sent, att)) >= 0)
		appendStringInfo(sql, ", t.%s", column(t, att));
	if (t->policy == POLICY_MERGE)
		appendStringInfo(sql, ", t.%s", column(t, t->clocks));
	appendStringInfo(sql, " FROM " BATCH_NAME " b JOIN %s t ON ", t->sql_name);
	append_key_join(sql, t);
}

static void
append_update(StringInfo sql, PushTable *table, Bitmapset *sent, bool soft_delete)
{
	TrackedTable *t = table->t;
	int			att = -1;

	appendStringInfo(sql, "UPDATE %s AS t SET %s = b.new_time, %s = b.new_client",
					 t->sql_name, column(t, t->modified_at), column(t, t->client_id));
	if (t->policy == POLICY_MERGE)
		appendStringInfo(sql, ", %s = b.new_clocks", column(t, t->clocks));

	/* a newer upsert brings a soft-deleted row back: b.del is NULL */
	if (t->deleted_at)
		appendStringInfo(sql, ", %s = b.del", column(t, t->deleted_at));
	if (!soft_delete)
	{
		while ((att = bms_next_member(sent, att)) >= 0)
			appendStringInfo(sql, ", %s = b.c%d", column(t, att), att);
	}
	appendStringInfoString(sql, " FROM " BATCH_NAME " b WHERE ");
	append_key_join(sql, t);
	append_guards(sql, table);
	appendStringInfo(sql, " RETURNING b.ord, %s", scope_result(t));
	if (table->returns_rows)
		appendStringInfo(sql, ", %s", pull_columns(t));
}

static void
append_delete(StringInfo sql, PushTable *table)
{
	TrackedTable *t = table->t;

	appendStringInfo(sql, "DELETE FROM %s AS t USING " BATCH_NAME " b WHERE ", t->sql_name);
	append_key_join(sql, t);
	append_guards(sql, table);
	appendStringInfo(sql, " RETURNING b.ord, %s", scope_result(t));
}

static void
append_insert(StringInfo sql, PushTable *table, Bitmapset *sent, bool strict)
{
	TrackedTable *t = table->t;
	StringInfoData sources;
	int			att = -1;
	int			k;

	initStringInfo(&sources);
	appendStringInfo(sql, "INSERT INTO %s AS t (%s, %s", t->sql_name,
					 column(t, t->modified_at), column(t, t->client_id));
	if (t->policy == POLICY_MERGE)
	{
		appendStringInfo(sql, ", %s", column(t, t->clocks));
		appendStringInfoString(&sources, ", b.new_clocks");
	}
	for (k = 0; k < t->nkeys; k++)
	{
		appendStringInfo(sql, ", %s", column(t, t->keys[k]));
		appendStringInfo(&sources, ", b.k%d", k);
	}
	while ((att = bms_next_member(sent, att)) >= 0)
	{
		appendStringInfo(sql, ", %s", column(t, att));
		appendStringInfo(&sources, ", b.c%d", att);
	}
	/* identity keys are written as sent */
	appendStringInfo(sql, ") OVERRIDING SYSTEM VALUE SELECT b.new_time, b.new_client%s"
					 " FROM " BATCH_NAME " b ORDER BY b.ord", sources.data);
	if (!strict)
	{
		appendStringInfoString(sql, " ON CONFLICT (");
		for (k = 0; k < t->nkeys; k++)
			appendStringInfo(sql, "%s%s", k ? ", " : "", column(t, t->keys[k]));
		appendStringInfoString(sql, ") DO NOTHING");
	}
	appendStringInfo(sql, " RETURNING %s", scope_result(t));
	for (k = 0; k < t->nkeys; k++)
		appendStringInfo(sql, ", t.%s", column(t, t->keys[k]));
	if (table->returns_rows)
		appendStringInfo(sql, ", %s", pull_columns(t));
}

static char *
statement_sql(PushTable *table, BatchStatement statement, Bitmapset *sent)
{
	StringInfoData sql;

	initStringInfo(&sql);
	switch (statement)
	{
		case BATCH_PROBE:
			append_probe(&sql, table->t, sent);
			break;
		case BATCH_UPDATE:
			append_update(&sql, table, sent, false);
			break;
		case BATCH_SOFT_DELETE:
			append_update(&sql, table, sent, true);
			break;
		case BATCH_INSERT:
			append_insert(&sql, table, sent, false);
			break;
		case BATCH_INSERT_STRICT:
			append_insert(&sql, table, sent, true);
			break;
		case BATCH_DELETE:
			append_delete(&sql, table);
			break;
	}
	return sql.data;
}

/* by statement, whether scopes are tested, and the sent columns */
static char *
statement_name(PushTable *table, BatchStatement statement, Bitmapset *sent)
{
	StringInfoData name;
	int			att = -1;

	initStringInfo(&name);
	appendStringInfo(&name, "batch %d %d %d", statement, table->scopes.any,
					 table->returns_rows);
	while ((att = bms_next_member(sent, att)) >= 0)
		appendStringInfo(&name, " %d", att);
	return name.data;
}

/* only writes test the scope in SQL; a probe has to see what is in the way */
static bool
takes_scopes(PushTable *table, BatchStatement statement)
{
	return !table->scopes.any &&
		(statement == BATCH_UPDATE || statement == BATCH_DELETE ||
		 statement == BATCH_SOFT_DELETE);
}

static SPIPlanPtr
statement_plan(PushTable *table, BatchStatement statement, Bitmapset *sent)
{
	char	   *name = statement_name(table, statement, sent);
	SPIPlanPtr	plan = plans_find(table->t, name);
	Oid			type;

	if (plan)
		return plan;
	type = takes_scopes(table, statement) ? access_scope_array_type(table->t) : InvalidOid;
	return plans_of_table(table->t, name, statement_sql(table, statement, sent),
						  OidIsValid(type) ? 1 : 0, &type);
}

/*
 * An insert writes all that was sent, an update what was changed of it, unless
 * a merge or a resolver made something else of the change.
 */
static Bitmapset *
statement_columns(BatchStatement statement, Change *c)
{
	if (c->outcome.columns && statement != BATCH_PROBE && !c->typed.is_delete)
		return c->outcome.columns;
	switch (statement)
	{
		case BATCH_INSERT:
		case BATCH_INSERT_STRICT:
			return c->typed.columns;
		case BATCH_PROBE:
		case BATCH_UPDATE:
			return c->typed.changed;
		case BATCH_DELETE:
		case BATCH_SOFT_DELETE:
			break;
	}
	return NULL;
}

/* what the triggers of the statement have to know */
static void
announce(Push *push, PushTable *table, Bitmapset *columns, List *changes)
{
	PushWrite  *write = &push->write;
	PushedRow  *rows = MemoryContextAlloc(push->context,
										  sizeof(PushedRow) * list_length(changes));
	ListCell   *lc;

	write->relid = table->t->relid;
	write->depth = trigger_depth();
	write->columns = columns;
	write->rows = keymap_new(CurrentMemoryContext, list_length(changes) * 2);
	if (push->keeps_rows && push->rows == NULL)
		push->rows = keymap_new(push->context, push->nchanges * 2);
	write->stored = push->rows;
	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);
		PushedRow  *row = rows++;

		row->stamp = c->outcome.stored;
		row->is_news = (c->outcome.verdict == VERDICT_MERGED);
		keymap_put(write->rows, c->typed.key_text, row);
		if (write->stored)
		{
			MemoryContext old = MemoryContextSwitchTo(push->context);

			keymap_put(write->stored,
					   pushed_row_name(table->t->relid, c->typed.key_text), row);
			MemoryContextSwitchTo(old);
		}
	}
}

/* an INSERT takes the rows in their order, and checks each before the next */
static Change *
stopped_at(BatchStatement statement, List *changes, const PushWrite *write)
{
	if ((statement == BATCH_INSERT || statement == BATCH_INSERT_STRICT) &&
		write->reached > 0 && write->reached < list_length(changes))
		return list_nth(changes, write->reached - 1);
	return NULL;
}

/*
 * Plan the statement, if that is due, and run it; a push within this one, of a
 * trigger, comes back to what ours announced.
 *
 * latest: read what is committed by now, whatever snapshot the transaction
 * keeps; for a probe only.
 */
static void
run_plan(Push *push, PushTable *table, BatchStatement statement, List *changes,
		 Bitmapset *columns, bool latest)
{
	PushWrite  *outer = push_write;
	Datum		scopes = takes_scopes(table, statement) ?
	access_scope_array(table->t, &table->scopes) : (Datum) 0;
	volatile bool done = false;

	push->stopped_at = NULL;
	memset(&push->write, 0, sizeof(push->write));
	PG_TRY();
	{
		SPIPlanPtr	plan = statement_plan(table, statement, columns);
		int			code;

		plans_settle(plan);
		if (statement != BATCH_PROBE)
		{
			announce(push, table, columns, changes);
			push_write = &push->write;
		}
		if (latest)
			code = SPI_execute_snapshot(plan, &scopes, NULL, GetLatestSnapshot(),
										InvalidSnapshot, true, false, 0);
		else
			code = SPI_execute_plan(plan, &scopes, NULL, false, 0);
		if (code < 0)
			elog(ERROR, "could not run a statement of a push, %s",
				 SPI_result_code_string(code));
		done = true;
	}
	PG_FINALLY();
	{
		push_write = outer;
		if (!done)
			push->stopped_at = stopped_at(statement, changes, &push->write);
	}
	PG_END_TRY();
}

static void
run_statement(Push *push, PushTable *table, BatchStatement statement, List *changes,
			  bool latest)
{
	Change	   *first = linitial(changes);
	Bitmapset  *available = first->outcome.columns ? first->outcome.columns :
	first->typed.columns;
	TupleDesc	desc = batch_desc(table->t, available);
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));

	enr->md.name = BATCH_NAME;
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = list_length(changes);
	enr->reldata = batch_rows(table->t, desc, available, changes);
	/* one of a statement that failed: its subtransaction is gone, it is not */
	(void) SPI_unregister_relation(BATCH_NAME);
	if (SPI_register_relation(enr) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the batch");
	run_plan(push, table, statement, changes, statement_columns(statement, first), latest);
	(void) SPI_unregister_relation(BATCH_NAME);
	tuplestore_end(enr->reldata);
}

void
batch_run(Push *push, PushTable *table, BatchStatement statement, List *changes)
{
	run_statement(push, table, statement, changes, false);
}

void
batch_probe_latest(Push *push, PushTable *table, List *changes)
{
	run_statement(push, table, BATCH_PROBE, changes, true);
}
