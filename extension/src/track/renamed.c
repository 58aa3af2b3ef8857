/*-------------------------------------------------------------------------
 *
 * renamed.c
 *	  Columns of tracked tables that get another name.
 *
 * Settings name columns.  A table whose column of that name is gone does not fit
 * them; but another column may get the name.  Then the table would fit again, and
 * an excluded column would be sent, or rows be in scopes that nobody was told of.
 * So the settings take down which of their columns have been renamed, or, of the
 * key and the scope, dropped or given other values, and that the table was unlogged.
 * That is part of them until the table is tracked again, or the column has its name
 * back.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "table/catalog.h"
#include "table/form.h"
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

void
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

/* may a value that goes by way of a type come out of it as another one? */
static bool
is_by_way_of(const TypeName *way, Oid type)
{
	Oid			by = LookupTypeNameOid(NULL, way, true);

	if (way->typmods != NIL)
		return true;			/* a length cuts values off */
	return by != type &&
		!((by == TEXTOID || by == VARCHAROID) && (type == TEXTOID || type == VARCHAROID));
}

/* is the expression the column itself, but for its type, which is this now, and a collation? */
static bool
is_same_value(Node *expression, const char *column, Oid type)
{
	List	   *fields;

	if (IsA(expression, CollateClause))
		expression = ((CollateClause *) expression)->arg;
	if (IsA(expression, TypeCast) && !is_by_way_of(((TypeCast *) expression)->typeName, type))
		expression = ((TypeCast *) expression)->arg;
	if (!IsA(expression, ColumnRef))
		return false;
	fields = ((ColumnRef *) expression)->fields;
	return IsA(llast(fields), String) && strcmp(strVal(llast(fields)), column) == 0;
}

/*
 * Which of the key and the scope is the column, whatever its name is meanwhile?  It
 * has the place in settings->forms.  -1: none.  A scope that follows foreign keys is
 * ours, and is looked at by itself.
 */
static int
place_of(const TableSettings *settings, const char *column)
{
	const char *name = settings_name_of(settings, column);
	ListCell   *lc;

	foreach(lc, settings->keys)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return foreach_current_index(lc);
	}
	return settings->scope && strcmp(settings->scope, name) == 0 ?
		list_length(settings->keys) : -1;
}

/*
 * Are the values of the column of this place others, now that ALTER COLUMN ...  TYPE
 * has been done?  Those of a type with another text form may have been cut off, and
 * would not be what they were if the column got its old type back.
 */
static bool
gets_other_values(const TableSettings *settings, int place, Oid relid, const AlterTableCmd *cmd)
{
	Node	   *expression = ((ColumnDef *) cmd->def)->raw_default;
	HeapTuple	tuple = SearchSysCacheAttName(relid, cmd->name);
	Form_pg_attribute att;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	att = (Form_pg_attribute) GETSTRUCT(tuple);
	result = (expression && !is_same_value(expression, cmd->name, att->atttypid)) ||
		(place < list_length(settings->forms) &&
		 !type_form_fits(list_nth(settings->forms, place), att->atttypid, att->atttypmod));
	ReleaseSysCache(tuple);
	return result;
}

/* are the values of a column of the key or the scope others now? */
static bool
gives_other_values(const TableSettings *settings, Oid relid, const AlterTableCmd *cmd)
{
	int			place;

	switch (cmd->subtype)
	{
#if PG_VERSION_NUM >= 170000
		case AT_SetExpression:
			return place_of(settings, cmd->name) >= 0;
#endif
		case AT_AlterColumnType:
			place = place_of(settings, cmd->name);
			return place >= 0 && gets_other_values(settings, place, relid, cmd);
		default:
			return false;
	}
}

/* an unlogged table is empty after a crash, and nobody has deleted a row */
static bool
note_unlogged(TableSettings *settings)
{
	bool		known = settings->unlogged;

	settings->unlogged = true;
	return !known;
}

/*
 * take down which columns of the key and the scope are others now, and that rows may
 * be lost; false: nothing
 */
static bool
alter_columns(TableSettings *settings, Oid relid, const AlterTableStmt *stmt)
{
	bool		changed = false;
	ListCell   *lc;

	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst(lc);

		if (cmd->subtype == AT_SetUnLogged)
			changed |= note_unlogged(settings);
		else if (gives_other_values(settings, relid, cmd))
			changed |= settings_rename(settings, cmd->name, "");
	}
	return changed;
}

static bool
take_down(TableSettings *settings, Oid relid, Node *parsetree)
{
	RenameStmt *stmt = (RenameStmt *) parsetree;

	if (IsA(parsetree, AlterTableStmt))
		return alter_columns(settings, relid, (AlterTableStmt *) parsetree);
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
 * What a command has done.  The plan is kept, because many commands are small, and
 * come one after the other.
 */
static void
ask(SPIPlanPtr *plan, const char *sql, const char *of)
{
	Oid			type = TEXTOID;
	Datum		value = CStringGetTextDatum(of);

	if (*plan == NULL)
	{
		SPIPlanPtr	prepared = SPI_prepare(sql, 1, &type);

		if (prepared == NULL || SPI_keepplan(prepared) != 0)
			elog(ERROR, "could not prepare: %s", sql);
		*plan = prepared;
	}
	if (SPI_execute_plan(*plan, &value, NULL, true, 0) < 0)
		elog(ERROR, "could not run: %s", sql);
}

/* objects of a class that the command has made or altered, once each: OIDs */
List *
objects_of_command(Oid class, const char *tag)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext caller = CurrentMemoryContext;
	List	   *result = NIL;
	uint64		i;

	SPI_connect();
	ask(&plan, "SELECT classid, objid FROM pg_catalog.pg_event_trigger_ddl_commands()"
		" WHERE command_tag OPERATOR(pg_catalog.=) $1", tag);
	for (i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;
		MemoryContext old;

		if (DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &isnull)) != class)
			continue;
		old = MemoryContextSwitchTo(caller);
		result = list_append_unique_oid(result, DatumGetObjectId(SPI_getbinval(tuple, desc, 2, &isnull)));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return result;
}

/*
 * The tables whose columns it may have made others.  Those of a type have its
 * attributes as columns, and the command names the type alone.  Its parse tree has
 * only a name, which may be that of another table by now, such as a temporary one of
 * an event trigger.
 */
List *
tables_of_command(Node *parsetree, const char *tag)
{
	List	   *result = NIL;
	ListCell   *lc;

	if (!renames_column(parsetree) && !IsA(parsetree, AlterTableStmt))
		return NIL;
	foreach(lc, objects_of_command(RelationRelationId, tag))
	{
		Oid			relid = lfirst_oid(lc);

		if (get_rel_relkind(relid) == RELKIND_COMPOSITE_TYPE)
			result = list_concat_unique_oid(result, catalog_of_type(get_rel_type_id(relid)));
		else
			result = list_append_unique_oid(result, relid);
	}
	return result;
}

/*
 * A partition has its columns from the tracked table, but may be unlogged by itself.
 */
static void
renamed_in_table(Oid relid, Node *parsetree)
{
	TrackedTable *layout;
	TrackedTable *t = registry_lookup_rows(relid, &layout);
	TableSettings settings;

	if (t == NULL)
		return;
	settings = t->settings;
	if (take_down(&settings, relid, parsetree))
		store_settings(t->relid, &settings);
}

void
renamed_after(Node *parsetree, List *tables)
{
	ListCell   *lc;

	foreach(lc, tables)
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
	if (place_of(&settings, column) >= 0 && settings_rename(&settings, column, ""))
		store_settings(relid, &settings);
}

/*
 * A column goes with whatever it depends on: its type, the schema of that, a function
 * that it is generated by.
 */
void
renamed_dropped(void)
{
	static SPIPlanPtr plan = NULL;
	uint64		i;

	SPI_connect();
	ask(&plan, "SELECT objid, address_names[3] FROM pg_catalog.pg_event_trigger_dropped_objects()"
		" WHERE object_type OPERATOR(pg_catalog.=) $1", "table column");
	for (i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		bool		isnull;
		Oid			relid = DatumGetObjectId(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &isnull));

		dropped_in_table(relid, SPI_getvalue(tuple, SPI_tuptable->tupdesc, 2));
	}
	SPI_finish();
}
