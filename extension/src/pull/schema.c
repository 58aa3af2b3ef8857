/*-------------------------------------------------------------------------
 *
 * schema.c
 *	  tide.schema, tide.protocol: what a client can ask for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_constraint.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "read/access.h"
#include "table/registry.h"
#include "util/compat.h"
#include "util/settings.h"

PG_FUNCTION_INFO_V1(tide_schema);
PG_FUNCTION_INFO_V1(tide_protocol);

static const char *
json_bool(bool value)
{
	return value ? "true" : "false";
}

/* does a new row get a value for the column if it does not name it? */
static bool
has_default(TrackedColumn *c)
{
	return (c->has_default && !c->generated) || get_typdefault(c->type) != NULL;
}

static void
append_columns(StringInfo buf, TrackedTable *t)
{
	bool		first = true;
	int			i;

	appendStringInfoString(buf, "\"columns\":[");
	for (i = 0; i < t->ncolumns; i++)
	{
		TrackedColumn *c = &t->columns[i];
		int32		typmod = c->typmod;
		Oid			type;

		if (!column_is_synced(c))
			continue;
		/* a client knows no domain of the app's, but what it is of */
		type = getBaseTypeAndTypmod(c->type, &typmod);
		if (!first)
			appendStringInfoChar(buf, ',');
		first = false;
		appendStringInfoString(buf, "{\"name\":");
		escape_json(buf, c->wire);
		appendStringInfoString(buf, ",\"type\":");
		escape_json(buf, format_type_extended(type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN));
		appendStringInfo(buf, ",\"nullable\":%s,\"writable\":%s,\"default\":%s,\"identity\":%s",
						 json_bool(!c->not_null),
						 json_bool(!(c->generated || c->attnum == t->version ||
									 column_is_maintained(t, c))),
						 json_bool(has_default(c)), json_bool(c->identity));
		/* is a time of this column in UTC, and sent with Z? */
		if (c->kind == WIRE_TIMESTAMP || c->kind == WIRE_TIMESTAMPTZ)
			appendStringInfo(buf, ",\"utc\":%s",
							 json_bool(t->utc || c->kind == WIRE_TIMESTAMPTZ));
		/* its name does not say that its values are objects */
		if (c->kind == WIRE_COMPOSITE)
			appendStringInfoString(buf, ",\"composite\":true");
		appendStringInfoChar(buf, '}');
	}
	appendStringInfoChar(buf, ']');
}

static void
append_wire_name(StringInfo buf, TrackedTable *t, const char *member, AttrNumber attnum)
{
	appendStringInfo(buf, ",\"%s\":", member);
	if (AttributeNumberIsValid(attnum))
		escape_json(buf, tracked_column(t, attnum)->wire);
	else
		appendStringInfoString(buf, "null");
}

/* entity types that a foreign key of this one refers to */
static void
append_parents(StringInfo buf, TrackedTable *t, List *all)
{
	Relation	rel = table_open(t->relid, AccessShareLock);
	List	   *seen = NIL;
	ListCell   *lf,
			   *lc;

	appendStringInfoString(buf, ",\"parents\":[");
	foreach(lf, copyObject(RelationGetFKeyList(rel)))
	{
		ForeignKeyCacheInfo *fk = lfirst(lf);

		if (list_member_oid(seen, fk->confrelid))
			continue;
		foreach(lc, all)
		{
			TrackedTable *parent = lfirst(lc);

			if (parent->relid != fk->confrelid)
				continue;
			if (seen != NIL)
				appendStringInfoChar(buf, ',');
			escape_json(buf, parent->entity_type);
			seen = lappend_oid(seen, parent->relid);
		}
	}
	appendStringInfoChar(buf, ']');
	table_close(rel, NoLock);
}

/* a table that the caller's schema shows; NULL: it shows none */
static TrackedTable *
find_shown(Oid relid, List *all)
{
	ListCell   *lc;

	foreach(lc, all)
	{
		TrackedTable *t = lfirst(lc);

		if (t->relid == relid)
			return registry_problem(t) || !access_may_select(relid) ? NULL : t;
	}
	return NULL;
}

/* "member":["name",...] */
static void
append_wire_names(StringInfo buf, const char *member, TrackedTable *t,
				  const AttrNumber *columns, int n)
{
	int			i;

	appendStringInfo(buf, "\"%s\":[", member);
	for (i = 0; i < n; i++)
	{
		if (i > 0)
			appendStringInfoChar(buf, ',');
		escape_json(buf, tracked_column(t, columns[i])->wire);
	}
	appendStringInfoChar(buf, ']');
}

static const char *
delete_action(char action)
{
	switch (action)
	{
		case FKCONSTR_ACTION_CASCADE:
			return "cascade";
		case FKCONSTR_ACTION_SETNULL:
			return "set null";
		case FKCONSTR_ACTION_SETDEFAULT:
			return "set default";
		case FKCONSTR_ACTION_RESTRICT:
			return "restrict";
		default:
			return "no action";
	}
}

/* The columns that SET NULL or SET DEFAULT sets, if those are not all. */
static void
append_delete_columns(StringInfo buf, TrackedTable *t, HeapTuple tuple)
{
#if PG_VERSION_NUM >= 150000
	bool		isnull;
	Datum		value = SysCacheGetAttr(CONSTROID, tuple,
										Anum_pg_constraint_confdelsetcols, &isnull);
	ArrayType  *array;

	if (isnull)
		return;
	array = DatumGetArrayTypeP(value);
	if (ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) == 0)
		return;
	appendStringInfoChar(buf, ',');
	append_wire_names(buf, "onDeleteColumns", t, (AttrNumber *) ARR_DATA_PTR(array),
					  ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)));
#endif
}

static bool
all_are_synced(TrackedTable *t, const AttrNumber *columns, int n)
{
	int			i;

	for (i = 0; i < n; i++)
		if (!column_is_synced(tracked_column(t, columns[i])))
			return false;
	return true;
}

/*
 * Write a foreign key, if the client can see both of its ends; false if it
 * cannot.
 */
static bool
append_reference(StringInfo buf, TrackedTable *t, List *all, HeapTuple tuple, bool first)
{
	Form_pg_constraint con = (Form_pg_constraint) GETSTRUCT(tuple);
	TrackedTable *parent;
	AttrNumber	from[INDEX_MAX_KEYS];
	AttrNumber	to[INDEX_MAX_KEYS];
	int			n;

	/*
	 * A foreign key to a partitioned table has one more to each partition,
	 * which is no entity type.
	 */
	if (con->contype != CONSTRAINT_FOREIGN || !TideForeignKeyIsPlain(con) ||
		(parent = find_shown(con->confrelid, all)) == NULL)
		return false;
	TideDeconstructForeignKey(tuple, &n, from, to, NULL);
	if (!all_are_synced(t, from, n) || !all_are_synced(parent, to, n))
		return false;
	appendStringInfoString(buf, first ? "{" : ",{");
	append_wire_names(buf, "columns", t, from, n);
	appendStringInfoString(buf, ",\"entityType\":");
	escape_json(buf, parent->entity_type);
	appendStringInfoChar(buf, ',');
	append_wire_names(buf, "refColumns", parent, to, n);
	appendStringInfo(buf, ",\"onDelete\":\"%s\"", delete_action(con->confdeltype));
	append_delete_columns(buf, t, tuple);
	appendStringInfoChar(buf, '}');
	return true;
}

/* foreign keys to other entity types, in the order of their names */
static void
append_references(StringInfo buf, TrackedTable *t, List *all)
{
	Relation	rel = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		first = true;

	appendStringInfoString(buf, ",\"references\":[");
	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(t->relid));
	scan = systable_beginscan(rel, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		first = !append_reference(buf, t, all, tuple, first) && first;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	appendStringInfoChar(buf, ']');
}

/* clients see that there is a resolver, but not its name */
static const char *
conflict_name(TrackedTable *t)
{
	return t->policy == POLICY_RESOLVER ? "resolver" : policy_name(t->policy);
}

static void
append_type(StringInfo buf, TrackedTable *t, List *all)
{
	int			k;

	escape_json(buf, t->entity_type);
	appendStringInfoString(buf, ":{\"key\":[");
	for (k = 0; k < t->nkeys; k++)
	{
		if (k > 0)
			appendStringInfoChar(buf, ',');
		escape_json(buf, tracked_column(t, t->keys[k])->wire);
	}
	appendStringInfoString(buf, "]");
	append_wire_name(buf, t, "scope", t->scope);
	appendStringInfo(buf, ",\"shared\":%s", t->shared ? "true" : "false");
	append_wire_name(buf, t, "modifiedAt", t->modified_at);
	append_wire_name(buf, t, "clientId", t->client_id);
	append_wire_name(buf, t, "version", t->version);
	append_wire_name(buf, t, "deletedAt", t->deleted_at);
	appendStringInfo(buf, ",\"conflict\":\"%s\"", conflict_name(t));
	append_parents(buf, t, all);
	append_references(buf, t, all);
	appendStringInfoChar(buf, ',');
	append_columns(buf, t);
	appendStringInfoChar(buf, '}');
}

Datum
tide_schema(PG_FUNCTION_ARGS)
{
	Oid			view = access_schema();
	List	   *all = registry_all(view);
	StringInfoData buf;
	ListCell   *lc;
	bool		first = true;
	int			level = NewGUCNestLevel();

	/* a client knows a type by its name, not by its name in quotes */
	if (quote_all_identifiers)
		setting_for_now("quote_all_identifiers", "off");
	initStringInfo(&buf);
	appendStringInfo(&buf, "{\"protocol\":%d,\"entityTypes\":{", TIDE_PROTOCOL);
	foreach(lc, all)
	{
		TrackedTable *t = lfirst(lc);

		if (registry_problem(t) || !access_may_select(t->relid))
			continue;
		if (!first)
			appendStringInfoChar(&buf, ',');
		first = false;
		append_type(&buf, t, all);
	}
	appendStringInfoString(&buf, "}}");
	AtEOXact_GUC(true, level);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(buf.data, buf.len));
}

Datum
tide_protocol(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(TIDE_PROTOCOL);
}
