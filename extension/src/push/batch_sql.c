/*-------------------------------------------------------------------------
 *
 * batch_sql.c
 *	  The text of a push's statements.
 *
 * They join a batch of changes (batch.c) with its table.  Their names come from
 * the catalogs, and they run with the caller's rights.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "push/batch_sql.h"
#include "read/rows.h"

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

/* see latest.c */
static void
append_place(StringInfo sql, const BatchShape *shape)
{
	if (shape->by_tid)
		appendStringInfoString(sql, " AND t.ctid OPERATOR(pg_catalog.=) b.tid");
}

/*
 * The row is still the version that was judged, and in a scope that the caller
 * may write.  The write itself tests this, so nobody can change the row in
 * between.
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
append_key_columns(StringInfo sql, TrackedTable *t)
{
	int			k;

	for (k = 0; k < t->nkeys; k++)
		appendStringInfo(sql, ", t.%s", column(t, t->keys[k]));
}

static const char *
column_or_null(TrackedTable *t, AttrNumber attnum)
{
	return AttributeNumberIsValid(attnum) ? psprintf("t.%s", column(t, attnum)) :
		"NULL::pg_catalog.text";
}

static void
append_probe(StringInfo sql, TrackedTable *t, const BatchShape *shape)
{
	int			att = -1;

	appendStringInfo(sql, "SELECT b.ord, t.%s, t.%s, %s, %s, %s",
					 column(t, t->modified_at), column(t, t->client_id),
					 scope_result(t), column_or_null(t, t->deleted_at),
					 column_or_null(t, t->policy == POLICY_MERGE ? t->clocks : InvalidAttrNumber));
	while ((att = bms_next_member(shape->columns, att)) >= 0)
		appendStringInfo(sql, ", t.%s", column(t, att));
	if (shape->single)
		appendStringInfo(sql, " FROM %s t WHERE ", t->sql_name);
	else
		appendStringInfo(sql, " FROM " BATCH_NAME " b JOIN %s t ON ", t->sql_name);
	append_key_join(sql, t);
	append_place(sql, shape);
}

static void
append_update(StringInfo sql, PushTable *table, const BatchShape *shape)
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
	while ((att = bms_next_member(shape->columns, att)) >= 0)
	{
		if (shape->flags)
			appendStringInfo(sql, ", %1$s = CASE WHEN b.h%2$d THEN b.c%2$d ELSE t.%1$s END",
							 column(t, att), att);
		else
			appendStringInfo(sql, ", %s = b.c%d", column(t, att), att);
	}
	appendStringInfo(sql, "%s WHERE ", shape->single ? "" : " FROM " BATCH_NAME " b");
	append_key_join(sql, t);
	append_place(sql, shape);
	append_guards(sql, table);
	appendStringInfo(sql, " RETURNING b.ord, %s", scope_result(t));
	append_key_columns(sql, t);
	if (table->returns_rows)
		appendStringInfo(sql, ", %s", rows_columns(t));
	if (shape->tells_tid)
		appendStringInfoString(sql, ", t.ctid");
}

static void
append_delete(StringInfo sql, PushTable *table, const BatchShape *shape)
{
	TrackedTable *t = table->t;

	appendStringInfo(sql, "DELETE FROM %s AS t%s WHERE ", t->sql_name,
					 shape->single ? "" : " USING " BATCH_NAME " b");
	append_key_join(sql, t);
	append_guards(sql, table);
	appendStringInfo(sql, " RETURNING b.ord, %s", scope_result(t));
}

static void
append_insert(StringInfo sql, PushTable *table, const BatchShape *shape, bool strict)
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
		/* apply.c looks whether it becomes what was sent */
		if (tracked_column(t, t->keys[k])->generated)
			continue;
		appendStringInfo(sql, ", %s", column(t, t->keys[k]));
		appendStringInfo(&sources, ", b.k%d", k);
	}
	while ((att = bms_next_member(shape->columns, att)) >= 0)
	{
		appendStringInfo(sql, ", %s", column(t, att));
		appendStringInfo(&sources, ", b.c%d", att);
	}
	/* identity keys are written as sent */
	appendStringInfo(sql, ") OVERRIDING SYSTEM VALUE SELECT b.new_time, b.new_client%s%s",
					 sources.data,
					 shape->single ? "" : " FROM " BATCH_NAME " b ORDER BY b.ord");
	if (!strict)
	{
		appendStringInfoString(sql, " ON CONFLICT (");
		for (k = 0; k < t->nkeys; k++)
			appendStringInfo(sql, "%s%s", k ? ", " : "", column(t, t->keys[k]));
		appendStringInfoString(sql, ") DO NOTHING");
	}
	appendStringInfo(sql, " RETURNING %s", scope_result(t));
	append_key_columns(sql, t);
	if (table->returns_rows)
		appendStringInfo(sql, ", %s", rows_columns(t));
}

char *
batch_sql(PushTable *table, BatchStatement statement, const BatchShape *shape)
{
	StringInfoData sql;

	initStringInfo(&sql);
	switch (statement)
	{
		case BATCH_PROBE:
			append_probe(&sql, table->t, shape);
			break;
		case BATCH_UPDATE:
		case BATCH_SOFT_DELETE:
			append_update(&sql, table, shape);
			break;
		case BATCH_INSERT:
		case BATCH_INSERT_STRICT:
			append_insert(&sql, table, shape, statement == BATCH_INSERT_STRICT);
			break;
		case BATCH_DELETE:
			append_delete(&sql, table, shape);
			break;
		case BATCH_SENT:
			break;
	}
	return sql.data;
}
