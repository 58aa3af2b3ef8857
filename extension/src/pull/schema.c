/*-------------------------------------------------------------------------
 *
 * schema.c
 *	  tide.schema, tide.protocol: what a client can ask for.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/rel.h"

#include "read/access.h"
#include "table/registry.h"
#include "util/settings.h"

PG_FUNCTION_INFO_V1(tide_schema);
PG_FUNCTION_INFO_V1(tide_protocol);

static void
append_columns(StringInfo buf, TrackedTable *t)
{
	bool		first = true;
	int			i;

	appendStringInfoString(buf, "\"columns\":[");
	for (i = 0; i < t->ncolumns; i++)
	{
		TrackedColumn *c = &t->columns[i];

		if (!column_is_synced(c))
			continue;
		if (!first)
			appendStringInfoChar(buf, ',');
		first = false;
		appendStringInfoString(buf, "{\"name\":");
		escape_json(buf, c->wire);
		appendStringInfoString(buf, ",\"type\":");
		escape_json(buf, format_type_extended(c->type, c->typmod, FORMAT_TYPE_TYPEMOD_GIVEN));
		appendStringInfo(buf, ",\"nullable\":%s,\"writable\":%s}",
						 c->not_null ? "false" : "true",
						 c->generated || c->attnum == t->version ||
						 column_is_maintained(t, c) ? "false" : "true");
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
	append_parents(buf, t, all);
	appendStringInfoChar(buf, ',');
	append_columns(buf, t);
	appendStringInfoChar(buf, '}');
}

Datum
tide_schema(PG_FUNCTION_ARGS)
{
	List	   *all = registry_all();
	StringInfoData buf;
	ListCell   *lc;
	bool		first = true;

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
	PG_RETURN_TEXT_P(cstring_to_text_with_len(buf.data, buf.len));
}

Datum
tide_protocol(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT32(TIDE_PROTOCOL);
}
