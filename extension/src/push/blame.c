/*-------------------------------------------------------------------------
 *
 * blame.c
 *	  Finding the changes that an error is about.
 *
 * The error of a foreign key names one row, and hundreds may be like it.  So
 * one statement asks for all of them: rows that lack what they refer to or,
 * for deletes, rows that others refer to.  It runs as the owner of the table on
 * the other side, as the checks of foreign keys do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_constraint.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "table/catalog.h"
#include "util/compat.h"
#include "push/batch.h"
#include "push/batch_sql.h"
#include "push/blame.h"
#include "push/units.h"
#include "util/owner.h"

typedef struct ForeignKey
{
	Oid			from;			/* the referring table */
	Oid			to;
	int			n;
	AttrNumber	from_columns[INDEX_MAX_KEYS];
	AttrNumber	to_columns[INDEX_MAX_KEYS];
	Oid			equal[INDEX_MAX_KEYS];	/* to = from */
} ForeignKey;

/*
 * Read the constraint.  The constraint of a partition was made from another
 * one, which is read instead.
 */
static bool
read_foreign_key(Oid conoid, ForeignKey *fk)
{
	HeapTuple	tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(conoid));
	Form_pg_constraint con;
	bool		plain;

	while (HeapTupleIsValid(tuple) &&
		   OidIsValid(((Form_pg_constraint) GETSTRUCT(tuple))->conparentid))
	{
		Oid			parent = ((Form_pg_constraint) GETSTRUCT(tuple))->conparentid;

		ReleaseSysCache(tuple);
		tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(parent));
	}
	if (!HeapTupleIsValid(tuple))
		return false;
	con = (Form_pg_constraint) GETSTRUCT(tuple);
	plain = con->contype == CONSTRAINT_FOREIGN && TideForeignKeyIsPlain(con);
	fk->from = con->conrelid;
	fk->to = con->confrelid;
	if (plain)
		TideDeconstructForeignKey(tuple, &fk->n, fk->from_columns, fk->to_columns, fk->equal);
	ReleaseSysCache(tuple);
	return plain;
}

static bool
find_foreign_key(const ErrorData *error, ForeignKey *fk)
{
	Oid			relid;
	Oid			conoid;

	if (error->sqlerrcode != ERRCODE_FOREIGN_KEY_VIOLATION || error->schema_name == NULL ||
		error->table_name == NULL || error->constraint_name == NULL)
		return false;
	relid = get_relname_relid(error->table_name,
							  get_namespace_oid(error->schema_name, true));
	conoid = OidIsValid(relid) ?
		get_relation_constraint_oid(relid, error->constraint_name, true) : InvalidOid;
	return OidIsValid(conoid) && read_foreign_key(conoid, fk);
}

/* ---------- the statements ---------- */

/* the position of a column in the table's key, -1 if it is not in the key */
static int
key_position(TrackedTable *t, AttrNumber attnum)
{
	int			k;

	for (k = 0; k < t->nkeys; k++)
		if (t->keys[k] == attnum)
			return k;
	return -1;
}

static char *
batch_column(TrackedTable *t, AttrNumber attnum, const char *alias)
{
	int			k = key_position(t, attnum);

	return k >= 0 ? psprintf("%s.k%d", alias, k) : psprintf("%s.c%d", alias, attnum);
}

static const char *
attribute(Oid relid, AttrNumber attnum)
{
	return quote_identifier(get_attname(relid, attnum, false));
}

/*
 * A partitioned table is read with its partitions, any other without its
 * children.
 */
static char *
from_table(Oid relid)
{
	return psprintf("%s%s",
					get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE ? "" : "ONLY ",
					quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
											   get_rel_name(relid)));
}

/*
 * "left OPERATOR(schema.=) right", with the right side cast to the operator's
 * type
 */
static void
append_equal(StringInfo sql, Oid operator, const char *left, const char *right, Oid right_type)
{
	Oid			left_wants,
				right_wants;

	op_input_types(operator, &left_wants, &right_wants);
	appendStringInfo(sql, "%s %s %s", left, operator_text(operator), right);
	if (right_wants != right_type && !IsPolymorphicType(right_wants))
		appendStringInfo(sql, "::%s", format_type_be_qualified(right_wants));
}

/* A column of one of the changes (b and q), or of a row of a table. */
static const char *
side(TrackedTable *t, Oid relid, AttrNumber attnum, const char *alias)
{
	if (strcmp(alias, "b") == 0 || strcmp(alias, "q") == 0)
		return batch_column(t, attnum, alias);
	return psprintf("%s.%s", alias, attribute(relid, attnum));
}

/* the row or change "from" refers to "to" */
static void
append_refers(StringInfo sql, TrackedTable *t, ForeignKey *fk, const char *from,
			  const char *to)
{
	int			i;

	for (i = 0; i < fk->n; i++)
	{
		if (i > 0)
			appendStringInfoString(sql, " AND ");
		append_equal(sql, fk->equal[i], side(t, fk->to, fk->to_columns[i], to),
					 side(t, fk->from, fk->from_columns[i], from),
					 get_atttype(fk->from, fk->from_columns[i]));
	}
}

/* the rows b refer to rows that do not exist */
static void
append_refers_to_none(StringInfo sql, TrackedTable *t, ForeignKey *fk)
{
	int			i;

	appendStringInfoString(sql, " WHERE true");
	for (i = 0; i < fk->n; i++)
	{
		if (key_position(t, fk->from_columns[i]) < 0)
			appendStringInfo(sql, " AND b.h%d", fk->from_columns[i]);
		appendStringInfo(sql, " AND %s IS NOT NULL",
						 batch_column(t, fk->from_columns[i], "b"));
	}
	appendStringInfo(sql, " AND NOT EXISTS (SELECT FROM %s p WHERE ", from_table(fk->to));
	append_refers(sql, t, fk, "b", "p");
	appendStringInfoChar(sql, ')');
}

/* rows that refer to a row which neither exists nor is among the changes */
static char *
orphans_sql(PushTable *table, ForeignKey *fk)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT b.ord FROM " BATCH_NAME " b");
	append_refers_to_none(&sql, table->t, fk);
	if (fk->to == table->t->relid)
	{
		appendStringInfoString(&sql, " AND NOT EXISTS (SELECT FROM " BATCH_NAME " q WHERE ");
		append_refers(&sql, table->t, fk, "b", "q");
		appendStringInfoChar(&sql, ')');
	}
	return sql.data;
}

/* changes, each with one that refers to its row, which does not exist yet */
static char *
orphaned_by_sql(PushTable *table, ForeignKey *fk)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT q.ord, b.ord FROM " BATCH_NAME " b JOIN " BATCH_NAME " q ON ");
	append_refers(&sql, table->t, fk, "b", "q");
	append_refers_to_none(&sql, table->t, fk);
	return sql.data;
}

/* the row f is that of the change q */
static void
append_is_of_change(StringInfo sql, TrackedTable *t)
{
	int			i;

	for (i = 0; i < t->nkeys; i++)
		appendStringInfo(sql, "%sf.%s %s q.k%d", i ? " AND " : "",
						 attribute(t->relid, t->keys[i]), t->key_equal[i], i);
}

/* rows to be deleted that other rows refer to, which will not be deleted */
static char *
referred_sql(PushTable *table, ForeignKey *fk)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT b.ord FROM " BATCH_NAME " b WHERE EXISTS (SELECT FROM %s f WHERE ",
					 from_table(fk->from));
	append_refers(&sql, table->t, fk, "f", "b");
	if (fk->from == table->t->relid)
	{
		appendStringInfoString(&sql, " AND NOT EXISTS (SELECT FROM " BATCH_NAME " q WHERE ");
		append_is_of_change(&sql, table->t);
		appendStringInfoChar(&sql, ')');
	}
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

/* deletes, each with one to whose row its own refers */
static char *
kept_by_sql(PushTable *table, ForeignKey *fk)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT q.ord, b.ord FROM " BATCH_NAME " q JOIN %s f ON ",
					 from_table(fk->from));
	append_is_of_change(&sql, table->t);
	appendStringInfoString(&sql, " JOIN " BATCH_NAME " b ON ");
	append_refers(&sql, table->t, fk, "f", "b");
	return sql.data;
}

/* ---------- asking ---------- */

typedef struct Question
{
	PushTable  *table;
	List	   *changes;
	Bitmapset  *columns;
	const char *sql;			/* which changes are at fault by themselves */
	const char *after;			/* pairs: if the first fails, so does the
								 * second; NULL: there are none */
	Oid			owner;
	List	   *found;			/* positions in changes */
	List	  **followers;		/* by position, those that fail with it */
} Question;

static void
select_positions(const char *sql)
{
	if (SPI_execute(sql, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not ask which rows violate a foreign key: %s", sql);
}

static int
position(uint64 row, int column)
{
	bool		isnull;

	return DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
									   column, &isnull));
}

/* after an error, the end of the subtransaction restores the user */
static void
ask(Push *push, void *arg)
{
	Question   *question = arg;
	BatchRelation *relation = batch_open(question->table, question->changes,
										 question->columns);
	SavedUser	saved;
	uint64		i;

	user_become(question->owner, SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS, &saved);
	select_positions(question->sql);
	for (i = 0; i < SPI_processed; i++)
		question->found = lappend_int(question->found, position(i, 1));
	SPI_freetuptable(SPI_tuptable);
	if (question->after && question->found != NIL)
	{
		select_positions(question->after);
		for (i = 0; i < SPI_processed; i++)
		{
			List	  **followers = &question->followers[position(i, 1)];

			*followers = lappend_int(*followers, position(i, 2));
		}
		SPI_freetuptable(SPI_tuptable);
	}
	user_restore(&saved);
	batch_close(relation);
}

/*
 * The changes at fault, and those that are without them: rows that refer to
 * theirs, and so on.
 */
static List *
ask_all(Push *push, Question *question)
{
	int			n = list_length(question->changes);
	bool	   *known = palloc0(sizeof(bool) * n);
	List	   *result = NIL;
	int			i;

	question->followers = palloc0(sizeof(List *) * n);
	if (try_work(push, ask, question, true) != NULL)
		return NIL;
	/* the list grows as it is gone through */
	for (i = 0; i < list_length(question->found); i++)
	{
		int			place = list_nth_int(question->found, i);

		if (known[place])
			continue;
		known[place] = true;
		result = lappend(result, list_nth(question->changes, place));
		question->found = list_concat(question->found, question->followers[place]);
	}
	return result;
}

static bool
are_of_key(TrackedTable *t, const AttrNumber *columns, int n)
{
	int			i;

	for (i = 0; i < n; i++)
		if (key_position(t, columns[i]) < 0)
			return false;
	return true;
}

List *
blame_find(Push *push, PushTable *table, List *changes, bool is_delete,
		   const ErrorData *error)
{
	TrackedTable *t = table->t;
	Question	question = {table, changes};
	ForeignKey	fk;
	int			i;

	if (!find_foreign_key(error, &fk))
		return NIL;
	if (is_delete)
	{
		if (fk.to != t->relid || !are_of_key(t, fk.to_columns, fk.n))
			return NIL;
		question.sql = referred_sql(table, &fk);
		if (fk.from == t->relid)
			question.after = kept_by_sql(table, &fk);
		question.owner = owner_of_table(fk.from);
		return ask_all(push, &question);
	}
	if (fk.from != t->relid ||
		(fk.to == t->relid && !are_of_key(t, fk.to_columns, fk.n)))
		return NIL;
	for (i = 0; i < fk.n; i++)
		if (key_position(t, fk.from_columns[i]) < 0)
			question.columns = bms_add_member(question.columns, fk.from_columns[i]);
	question.sql = orphans_sql(table, &fk);
	if (fk.to == t->relid)
		question.after = orphaned_by_sql(table, &fk);
	question.owner = owner_of_table(fk.to);
	return ask_all(push, &question);
}
