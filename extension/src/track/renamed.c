/*-------------------------------------------------------------------------
 *
 * renamed.c
 *	  Columns of tracked tables that get another name.
 *
 * Settings name columns.  A table whose column of that name is gone does not fit
 * them; but another column may get the name.  Then the table would fit again, and
 * an excluded column would be sent, or rows be in scopes that nobody was told of.
 * So the settings take down which of their columns have been renamed, or, of the
 * key and the scope, dropped or given other values.  That is part of them until
 * the table is tracked again, or the column has its name back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "table/catalog.h"
#include "table/registry.h"
#include "table/setting.h"
#include "table/trust.h"
#include "track/renamed.h"

/* the arguments as pg_trigger has them, each with a NUL behind it */
static bytea *
arguments_value(List *arguments)
{
	StringInfoData buf;
	ListCell   *lc;
	bytea	   *result;

	initStringInfo(&buf);
	foreach(lc, arguments)
		appendBinaryStringInfo(&buf, lfirst(lc), strlen(lfirst(lc)) + 1);
	result = palloc(VARHDRSZ + buf.len);
	SET_VARSIZE(result, VARHDRSZ + buf.len);
	memcpy(VARDATA(result), buf.data, buf.len);
	return result;
}

/*
 * Give a trigger other arguments.  There is no ALTER TRIGGER that does so; made
 * anew, it would lose whether it is enabled, and its clones.
 */
static void
set_arguments(Oid trigger, List *arguments)
{
	Relation	rel = table_open(TriggerRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(trigger));
	scan = systable_beginscan(rel, TriggerOidIndexId, true, NULL, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		int			columns[] = {Anum_pg_trigger_tgnargs, Anum_pg_trigger_tgargs};
		Datum		values[] = {Int16GetDatum((int16) list_length(arguments)),
		PointerGetDatum(arguments_value(arguments))};
		bool		nulls[] = {false, false};

		tuple = heap_modify_tuple_by_cols(tuple, RelationGetDescr(rel), lengthof(columns),
										  columns, values, nulls);
		CatalogTupleUpdate(rel, &tuple->t_self, tuple);
	}
	systable_endscan(scan);
	table_close(rel, RowExclusiveLock);
	CommandCounterIncrement();
}

static void
store_settings(Oid relid, const TableSettings *settings)
{
	ListCell   *lc;

	foreach(lc, catalog_triggers(relid))
	{
		TriggerFacts *trigger = lfirst(lc);

		if (trigger->function != trust_stamp_function() || OidIsValid(trigger->parent))
			continue;
		set_arguments(trigger->oid, settings_list(settings));
		CacheInvalidateRelcacheByRelid(relid);
		return;
	}
}

/*
 * Is the expression the column itself, but for a type without a length and a
 * collation? A cast to a length cuts values off, and one by way of another type
 * can change them.
 */
static bool
is_same_value(Node *expression, const char *column)
{
	List	   *fields;

	if (IsA(expression, CollateClause))
		expression = ((CollateClause *) expression)->arg;
	if (IsA(expression, TypeCast) && ((TypeCast *) expression)->typeName->typmods == NIL)
		expression = ((TypeCast *) expression)->arg;
	if (!IsA(expression, ColumnRef))
		return false;
	fields = ((ColumnRef *) expression)->fields;
	return IsA(llast(fields), String) && strcmp(strVal(llast(fields)), column) == 0;
}

/* are the values of the column others now? */
static bool
gives_other_values(const AlterTableCmd *cmd)
{
	Node	   *expression;

	switch (cmd->subtype)
	{
#if PG_VERSION_NUM >= 170000
		case AT_SetExpression:
			return true;
#endif
		case AT_AlterColumnType:
			expression = ((ColumnDef *) cmd->def)->raw_default;
			return expression && !is_same_value(expression, cmd->name);
		default:
			return false;
	}
}

/*
 * Take down that a column is another one now, if it is one of the key or the scope,
 * whatever its name is meanwhile; false: none.  A scope that follows foreign keys is
 * ours, and is looked at by itself.
 */
static bool
becomes_other(TableSettings *settings, const char *column)
{
	const char *name = settings_name_of(settings, column);

	return name &&
		(name_in_list(settings->keys, name) ||
		 (settings->scope && strcmp(settings->scope, name) == 0)) &&
		settings_rename(settings, column, "");
}

static bool
alter_columns(TableSettings *settings, const AlterTableStmt *stmt)
{
	bool		changed = false;
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst(lc);

		if (gives_other_values(cmd))
			changed |= becomes_other(settings, cmd->name);
	}
	return changed;
}

static bool
take_down(TableSettings *settings, Node *parsetree)
{
	RenameStmt *stmt = (RenameStmt *) parsetree;

	if (IsA(parsetree, AlterTableStmt))
		return alter_columns(settings, (AlterTableStmt *) parsetree);
	return settings_rename(settings, stmt->subname, stmt->newname);
}

/*
 * ALTER VIEW, ALTER MATERIALIZED VIEW, ALTER FOREIGN TABLE and ALTER TYPE rename
 * the columns of ordinary tables, too.
 */
bool
renames_column(Node *parsetree)
{
	RenameStmt *stmt = (RenameStmt *) parsetree;

	return IsA(parsetree, RenameStmt) &&
		(stmt->renameType == OBJECT_COLUMN || stmt->renameType == OBJECT_ATTRIBUTE);
}

/*
 * The tables whose columns it may make others.  Those of a type have its
 * attributes as columns, and the command names the type alone.
 */
List *
tables_of_command(Node *parsetree)
{
	RangeVar   *relation = NULL;
	Oid			relid;

	if (renames_column(parsetree))
		relation = ((RenameStmt *) parsetree)->relation;
	else if (IsA(parsetree, AlterTableStmt))
		relation = ((AlterTableStmt *) parsetree)->relation;
	relid = relation ? RangeVarGetRelid(relation, NoLock, true) : InvalidOid;
	if (!OidIsValid(relid))
		return NIL;
	return get_rel_relkind(relid) == RELKIND_COMPOSITE_TYPE ?
		catalog_of_type(get_rel_type_id(relid)) : list_make1_oid(relid);
}

static void
renamed_in_table(Oid relid, Node *parsetree)
{
	TrackedTable *t = registry_lookup(relid);
	TableSettings settings;

	if (t == NULL || !t->tracked)
		return;
	settings = t->settings;
	if (take_down(&settings, parsetree))
		store_settings(relid, &settings);
}

void
renamed_after(Node *parsetree)
{
	ListCell   *lc;

	foreach(lc, tables_of_command(parsetree))
		renamed_in_table(lfirst_oid(lc), parsetree);
}

static void
dropped_in_table(Oid relid, const char *column)
{
	TrackedTable *t = registry_lookup(relid);
	TableSettings settings;

	if (t == NULL || !t->tracked)
		return;
	settings = t->settings;
	if (becomes_other(&settings, column))
		store_settings(relid, &settings);
}

/*
 * A column goes with whatever it depends on: its type, the schema of that, a function
 * that it is generated by.
 */
void
renamed_dropped(void)
{
	uint64		i;

	SPI_connect();
	if (SPI_execute("SELECT objid, address_names[3] FROM pg_catalog.pg_event_trigger_dropped_objects()"
					" WHERE object_type OPERATOR(pg_catalog.=) 'table column'", true, 0) < 0)
		elog(ERROR, "could not read which columns were dropped");
	for (i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		bool		isnull;
		Oid			relid = DatumGetObjectId(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull));

		dropped_in_table(relid, SPI_getvalue(tuple, SPI_tuptable->tupdesc, 2));
	}
	SPI_finish();
}
