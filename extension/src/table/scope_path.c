/*-------------------------------------------------------------------------
 *
 * scope_path.c
 *	  Resolving a scope path: which foreign keys it follows, through which
 *	  tables, to which column.
 *
 * A path is resolved whenever the settings of its table are loaded.  So nothing
 * is locked, and nothing but the catalogs is read.  Whoever changes a table of
 * the path invalidates these settings, see relation_changed() in registry.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "table/catalog.h"
#include "table/scope_path.h"
#include "util/compat.h"

static char **
column_names(Oid relid, const AttrNumber *columns, int n)
{
	char	  **names = palloc(sizeof(char *) * n);
	int			i;

	for (i = 0; i < n; i++)
		names[i] = pstrdup(quote_identifier(get_attname(relid, columns[i], false)));
	return names;
}

/* the step along a foreign key, except for where the path continues */
static void
load_step(PathStep *step, HeapTuple tuple)
{
	Form_pg_constraint con = (Form_pg_constraint) GETSTRUCT(tuple);
	AttrNumber	from[INDEX_MAX_KEYS];
	AttrNumber	to[INDEX_MAX_KEYS];
	Oid			equal[INDEX_MAX_KEYS];
	int			n;
	int			i;

	TideDeconstructForeignKey(tuple, &n, from, to, equal);
	memset(step, 0, sizeof(*step));
	step->relid = con->confrelid;
	step->sql_name =
		quote_qualified_identifier(get_namespace_name(get_rel_namespace(con->confrelid)),
								   get_rel_name(con->confrelid));
	step->on_delete = con->confdeltype;
	step->ncolumns = n;
	step->from = palloc(sizeof(AttrNumber) * n);
	step->to = palloc(sizeof(AttrNumber) * n);
	step->from_types = palloc(sizeof(Oid) * n);
	step->to_types = palloc(sizeof(Oid) * n);
	step->equal = palloc(sizeof(char *) * n);
	for (i = 0; i < n; i++)
	{
		step->from[i] = from[i];
		step->to[i] = to[i];
		step->from_types[i] = get_atttype(con->conrelid, from[i]);
		step->to_types[i] = getBaseType(get_atttype(con->confrelid, to[i]));
		step->equal[i] = operator_text(equal[i]);
	}
	step->from_names = column_names(con->conrelid, from, n);
	step->to_names = column_names(con->confrelid, to, n);
}

/* is the column one of a foreign key's?  *ncolumns: how many those are */
static bool
refers_by(HeapTuple tuple, AttrNumber column, int *ncolumns)
{
	AttrNumber	from[INDEX_MAX_KEYS];
	AttrNumber	to[INDEX_MAX_KEYS];
	int			i;

	TideDeconstructForeignKey(tuple, ncolumns, from, to, NULL);
	for (i = 0; i < *ncolumns; i++)
	{
		if (from[i] == column)
			return true;
	}
	return false;
}

/*
 * The foreign key that a column belongs to: the one that consists of this
 * column alone, else the only one.  False, with the reason, if there is none
 * or more than one.
 */
static bool
find_foreign_key(Oid relid, AttrNumber column, const char *name, PathStep *step, char **why)
{
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			found[2] = {0, 0};	/* of several columns, of one */

	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(rel, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		int			ncolumns;
		int			alone;

		if (((Form_pg_constraint) GETSTRUCT(tuple))->contype != CONSTRAINT_FOREIGN ||
			!TideForeignKeyIsPlain((Form_pg_constraint) GETSTRUCT(tuple)) ||
			!refers_by(tuple, column, &ncolumns))
			continue;
		alone = (ncolumns == 1);
		if (found[alone]++ == 0 && (alone || found[1] == 0))
			load_step(step, tuple);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	if (found[1] == 1 || (found[1] == 0 && found[0] == 1))
		return true;
	*why = psprintf(found[0] + found[1] == 0 ? "no foreign key of table \"%s\" has the column \"%s\"" :
					"several foreign keys of table \"%s\" have the column \"%s\"",
					get_rel_name(relid), name);
	return false;
}

/* The reason why the path may not go through this table; NULL if it may. */
static bool
may_visit(Oid relid, const ScopePath *path, int nsteps, char **why)
{
	Oid			visited = path->steps[nsteps].relid;
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(visited));
	HeapTuple	child = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	bool		again = (visited == relid);
	int			i;

	if (!HeapTupleIsValid(tuple) || !HeapTupleIsValid(child))
		elog(ERROR, "cache lookup failed for relation %u", visited);
	form = (Form_pg_class) GETSTRUCT(tuple);
	for (i = 0; i < nsteps; i++)
		again |= (path->steps[i].relid == visited);
	if (again)
		*why = psprintf("it passes through table \"%s\" twice", NameStr(form->relname));
	else if (form->relkind != RELKIND_RELATION || form->relispartition ||
			 form->relpersistence != RELPERSISTENCE_PERMANENT)
		*why = psprintf("table \"%s\" is partitioned, a partition, or unlogged",
						NameStr(form->relname));

	/*
	 * Its rows are read with the rights of its owner, whoever writes a child.
	 * So a table may only follow a path that its own owner could follow.
	 */
	else if (!has_privs_of_role(((Form_pg_class) GETSTRUCT(child))->relowner, form->relowner))
		*why = psprintf("the owner of \"%s\" does not own table \"%s\"",
						NameStr(((Form_pg_class) GETSTRUCT(child))->relname),
						NameStr(form->relname));
	ReleaseSysCache(tuple);
	ReleaseSysCache(child);
	return *why == NULL;
}

static bool
load_steps(Oid relid, char **names, int n, ScopePath *path, char **why)
{
	Oid			table = relid;
	int			i;

	for (i = 0; i < n; i++)
	{
		AttrNumber	column = get_attnum(table, names[i]);

		if (column <= 0)
		{
			*why = psprintf("table \"%s\" has no column \"%s\"", get_rel_name(table), names[i]);
			return false;
		}
		if (i == 0)
			path->first = column;
		if (i == n - 1)
		{
			PathStep   *last = &path->steps[n - 2];

			last->nreads = 1;
			last->reads = palloc(sizeof(AttrNumber));
			last->reads[0] = column;
			last->read_names = column_names(table, &column, 1);
			path->column = pstrdup(names[i]);
			get_atttypetypmodcoll(table, column, &path->type, &path->typmod,
								  &path->collation);
			return true;
		}
		if (!find_foreign_key(table, column, names[i], &path->steps[i], why))
			return false;
		path->nsteps = i + 1;
		if (!may_visit(relid, path, i, why))
			return false;
		if (i > 0)
		{
			path->steps[i - 1].nreads = path->steps[i].ncolumns;
			path->steps[i - 1].reads = path->steps[i].from;
			path->steps[i - 1].read_names = path->steps[i].from_names;
		}
		table = path->steps[i].relid;
	}
	return false;
}

ScopePath *
scope_path_resolve(Oid relid, const char *text, char **why)
{
	ScopePath  *path = palloc0(sizeof(ScopePath));
	char	   *copy = pstrdup(text);
	char	  **names = palloc(sizeof(char *) * (strlen(text) + 1));
	int			n = 0;
	char	   *name = copy;

	*why = NULL;
	for (;;)
	{
		char	   *dot = strchr(name, '.');

		if (dot)
			*dot = '\0';
		names[n++] = name;
		if (dot == NULL)
			break;
		name = dot + 1;
	}
	if (n < 2)
	{
		*why = pstrdup("it has no foreign key");
		return NULL;
	}
	path->steps = palloc0(sizeof(PathStep) * (n - 1));
	return load_steps(relid, names, n, path, why) ? path : NULL;
}

bool
scope_path_visits(const ScopePath *path, Oid relid)
{
	int			i;

	for (i = 0; i < path->nsteps; i++)
	{
		if (path->steps[i].relid == relid)
			return true;
	}
	return false;
}

bool
scope_path_is_guarded(Relation rel, AttrNumber column)
{
	Bitmapset  *keys = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_KEY);

	return bms_is_member(column - FirstLowInvalidHeapAttributeNumber, keys);
}

char *
scope_path_expression(const ScopePath *path)
{
	StringInfoData sql;
	const PathStep *last = &path->steps[path->nsteps - 1];
	int			i,
				k;

	initStringInfo(&sql);
	appendStringInfo(&sql, "(SELECT p%d.%s FROM ", path->nsteps, last->read_names[0]);
	for (i = 0; i < path->nsteps; i++)
		appendStringInfo(&sql, "%sONLY %s p%d", i ? ", " : "", path->steps[i].sql_name, i + 1);
	appendStringInfoString(&sql, " WHERE ");
	for (i = 0; i < path->nsteps; i++)
	{
		const PathStep *step = &path->steps[i];

		for (k = 0; k < step->ncolumns; k++)
		{
			appendStringInfo(&sql, "%sp%d.%s %s ", i + k ? " AND " : "", i + 1,
							 step->to_names[k], step->equal[k]);
			if (i == 0)
				appendStringInfo(&sql, "c.%s", step->from_names[k]);
			else
				appendStringInfo(&sql, "p%d.%s", i, step->from_names[k]);
		}
	}
	appendStringInfoString(&sql, ")");
	return sql.data;
}
