/*-------------------------------------------------------------------------
 *
 * change.c
 *	  A pushed change: from its JSON to typed values.
 *
 * What is wrong with a single change fails that change: change_convert()
 * raises an error that its caller catches, in a subtransaction, and keeps with
 * change_fail().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "storage/lockdefs.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "push/change.h"
#include "read/rows.h"
#include "table/registry.h"
#include "util/compat.h"
#include "util/errors.h"
#include "util/json.h"
#include "util/settings.h"
#include "wire/wire.h"

/* ---------- failures ---------- */

/* the word for an error of ours, NULL: it is not one */
static const char *
failure_word(int sqlerrcode)
{
	static const struct
	{
		int			code;
		const char *word;
	}			words[] = {
		{ERRCODE_TIDE_UNKNOWN_ENTITY_TYPE, "unknown_entity_type"},
		{ERRCODE_TIDE_AMBIGUOUS_TYPE, "ambiguous_entity_type"},
		{ERRCODE_TIDE_SCOPE_NOT_ALLOWED, "scope_not_allowed"},
		{ERRCODE_TIDE_UNKNOWN_COLUMN, "unknown_column"},
		{ERRCODE_TIDE_MISSING_KEY, "missing_key"},
		{ERRCODE_TIDE_BAD_TIME, "bad_time"},
		{ERRCODE_TIDE_MALFORMED_CHANGE, "malformed_change"},
		{ERRCODE_TIDE_NOT_STORED, "not_stored"},
		{ERRCODE_TIDE_RESYNC_REQUIRED, "resync_required"},
		{ERRCODE_FEATURE_NOT_SUPPORTED, "not_supported"}
	};
	int			i;

	for (i = 0; i < lengthof(words); i++)
		if (words[i].code == sqlerrcode)
			return words[i].word;
	return NULL;
}

/* keep an error with the change; the error's strings must live as long */
void
change_fail(Change *c, ErrorData *error)
{
	const char *word = failure_word(error->sqlerrcode);

	c->verdict = VERDICT_FAILED;
	c->failure.code = word ? word : pstrdup(unpack_sql_state(error->sqlerrcode));
	c->failure.message = error->message ? error->message : "unknown error";
	c->failure.constraint = error->constraint_name;
	c->failure.column = error->column_name;
	if (word == NULL && error->column_name && c->table)
	{
		/* clients know columns by their names on the wire */
		TrackedColumn *column = tracked_column_by_name(c->table->t, error->column_name);

		if (column && column_is_synced(column))
			c->failure.column = column->wire;
	}
}

void
change_fail_as(Change *c, const char *code, const char *message)
{
	memset(&c->failure, 0, sizeof(c->failure));
	c->verdict = VERDICT_FAILED;
	c->failure.code = code;
	c->failure.message = message;
}

/* ---------- conversion ---------- */

/* a table of this push; the first time it is locked as its writes will do */
PushTable *
push_table(Push *push, Oid relid)
{
	ListCell   *lc;
	PushTable  *table;
	TrackedTable *t;

	foreach(lc, push->tables)
	{
		table = lfirst(lc);
		if (table->t->relid == relid)
			return table;
	}
	t = registry_lock(relid, RowExclusiveLock);
	table = palloc0(sizeof(PushTable));
	table->t = t;
	access_table_scopes(&push->access, t, &table->scopes);
	table->rows = rows_table(t, &table->scopes);
	table->order = registry_position(relid);
	push->tables = lappend(push->tables, table);
	return table;
}

/* names that a row may carry and that mean nothing here */
static bool
is_ignored(const char *name)
{
	static char *cached = NULL;
	static List *names = NIL;
	ListCell   *lc;

	if (name[0] == '_')
		return true;
	if (cached == NULL || strcmp(cached, tide_ignored_fields) != 0)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
		char	   *copy = pstrdup(tide_ignored_fields);
		char	   *token;
		char	   *save = NULL;

		list_free_deep(names);
		names = NIL;
		if (cached)
			pfree(cached);
		cached = pstrdup(tide_ignored_fields);
		for (token = strtok_r(copy, ", ", &save); token; token = strtok_r(NULL, ", ", &save))
			names = lappend(names, pstrdup(token));
		pfree(copy);
		MemoryContextSwitchTo(old);
	}
	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

static TrackedColumn *
find_column(Push *push, TrackedTable *t, const char *name)
{
	TrackedColumn *c = tracked_column_by_wire(t, name);

	if (c == NULL && push->sql_names)
	{
		c = tracked_column_by_name(t, name);
		if (c && !column_is_synced(c))
			c = NULL;
	}
	return c;
}

/* what a member of a row stands for */
typedef enum MemberRole
{
	ROLE_NOTHING,
	ROLE_STAMP,
	ROLE_CLIENT,
	ROLE_DELETED,
	ROLE_COLUMN,
	ROLE_UNKNOWN
} MemberRole;

static MemberRole
member_role(Push *push, TrackedTable *t, const char *name, TrackedColumn **column)
{
	TrackedColumn *c = find_column(push, t, name);

	*column = c;
	if (c)
	{
		if (c->attnum == t->modified_at)
			return ROLE_STAMP;
		if (c->attnum == t->client_id)
			return ROLE_CLIENT;
		if (c->attnum == t->deleted_at)
			return ROLE_DELETED;
		if (c->attnum == t->version || c->generated || column_is_maintained(t, c))
			return ROLE_NOTHING;
		return ROLE_COLUMN;
	}
	if (strcmp(name, "lastModifiedAt") == 0)
		return ROLE_STAMP;
	if (strcmp(name, "clientId") == 0)
		return ROLE_CLIENT;
	if (strcmp(name, "deletedAt") == 0)
		return ROLE_DELETED;
	return is_ignored(name) ? ROLE_NOTHING : ROLE_UNKNOWN;
}

/* what the row says of itself, before its columns are read */
typedef struct RowMarks
{
	JsonbValue *stamp;			/* lastModifiedAt, or the stamp column */
	JsonbValue *client;
	JsonbValue *deleted;
} RowMarks;

static JsonbValue *
copy_value(JsonbValue *v)
{
	JsonbValue *copy = palloc(sizeof(JsonbValue));

	*copy = *v;
	return copy;
}

static void
read_marks(Push *push, Change *c, RowMarks *marks)
{
	TrackedTable *t = c->table->t;
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;
	MemberRole	role = ROLE_NOTHING;
	char	   *name = NULL;
	TrackedColumn *column;

	memset(marks, 0, sizeof(*marks));
	if (c->data == NULL)
		return;
	it = JsonbIteratorInit(c->data);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			name = json_string(&v);
			role = member_role(push, t, name, &column);
		}
		else if (token == WJB_VALUE && v.type != jbvNull)
		{
			/* the name that every client may use goes before the column's */
			if (role == ROLE_STAMP &&
				(marks->stamp == NULL || strcmp(name, "lastModifiedAt") == 0))
				marks->stamp = copy_value(&v);
			else if (role == ROLE_CLIENT)
				marks->client = copy_value(&v);
			else if (role == ROLE_DELETED)
				marks->deleted = copy_value(&v);
		}
	}
}

static void
missing_key(TrackedTable *t, const char *column)
{
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_MISSING_KEY),
			 errmsg("a change of \"%s\" needs its key \"%s\"", t->entity_type, column),
			 err_generic_string(PG_DIAG_COLUMN_NAME, column)));
}

/* one column of the key: from entityId, else from the data */
static Datum
read_key_column(Push *push, Change *c, TrackedColumn *column)
{
	TrackedTable *t = c->table->t;
	JsonbValue *v = NULL;
	JsonbValue *in_data = NULL;
	Datum		value;
	bool		isnull;

	if (c->key_value && json_is_object(c->key_value))
		v = json_member(c->key_value->val.binary.data, column->wire);
	else if (c->key_value && t->nkeys == 1)
		v = c->key_value;
	if (c->data)
	{
		in_data = json_member(c->data, column->wire);
		if (in_data == NULL && push->sql_names)
			in_data = json_member(c->data, column->name);
	}
	if (v == NULL)
		v = in_data;
	if (v == NULL)
		missing_key(t, column->wire);
	push->converting = column->wire;
	value = wire_read_value(t, column, v, &isnull);
	if (isnull)
		missing_key(t, column->wire);
	if (in_data && in_data != v)
	{
		Datum		other = wire_read_value(t, column, in_data, &isnull);

		if (isnull || strcmp(OutputFunctionCall(&column->output, value),
							 OutputFunctionCall(&column->output, other)) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_MALFORMED_CHANGE),
					 errmsg("\"entityId\" and the key in \"data\" are not the same"),
					 err_generic_string(PG_DIAG_COLUMN_NAME, column->wire)));
	}
	return value;
}

static void
read_key(Push *push, Change *c)
{
	TrackedTable *t = c->table->t;
	int			k;

	c->key = palloc(sizeof(Datum) * t->nkeys);
	for (k = 0; k < t->nkeys; k++)
		c->key[k] = read_key_column(push, c, tracked_column(t, t->keys[k]));
	c->key_text = wire_key_text(t, c->key);
}

/*
 * The columns of a row in JSON that sync may write and that are not its key;
 * values and nulls by attnum - 1.  An error for a name that is no column's.
 * Between wire_begin() and wire_end().
 */
Bitmapset *
change_read_columns(Push *push, TrackedTable *t, JsonbContainer *data,
					Datum *values, bool *nulls)
{
	JsonbIterator *it = JsonbIteratorInit(data);
	JsonbValue	v;
	JsonbIteratorToken token;
	TrackedColumn *column = NULL;
	MemberRole	role = ROLE_NOTHING;
	Bitmapset  *result = NULL;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			char	   *name = json_string(&v);

			role = member_role(push, t, name, &column);
			if (role == ROLE_UNKNOWN)
				ereport(ERROR,
						(errcode(ERRCODE_TIDE_UNKNOWN_COLUMN),
						 errmsg("entity type \"%s\" has no column \"%s\"",
								t->entity_type, name),
						 err_generic_string(PG_DIAG_COLUMN_NAME, name)));
		}
		else if (token == WJB_VALUE && role == ROLE_COLUMN && !column->key)
		{
			int			i = column->attnum - 1;

			push->converting = column->wire;
			values[i] = wire_read_value(t, column, &v, &nulls[i]);
			result = bms_add_member(result, column->attnum);
		}
	}
	return result;
}

static void
add_changed(Push *push, Change *c, const char *name)
{
	TrackedColumn *column;
	MemberRole	role = member_role(push, c->table->t, name, &column);

	if (role == ROLE_UNKNOWN)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_UNKNOWN_COLUMN),
				 errmsg("entity type \"%s\" has no column \"%s\"",
						c->table->t->entity_type, name),
				 err_generic_string(PG_DIAG_COLUMN_NAME, name)));
	if (role == ROLE_COLUMN && bms_is_member(column->attnum, c->sent))
		c->changed = bms_add_member(c->changed, column->attnum);
}

/*
 * Which of the sent columns an update writes: all, or those that the client
 * says it changed, as an array or (WatermelonDB) with commas between.  Naming
 * none says nothing, as WatermelonDB does of new rows.
 */
static void
read_changed(Push *push, Change *c)
{
	JsonbValue *v = c->changed_value;
	bool		named = false;

	c->changed = NULL;
	if (v && v->type == jbvString)
	{
		char	   *save = NULL;
		char	   *name;

		for (name = strtok_r(json_string(v), ",", &save); name;
			 name = strtok_r(NULL, ",", &save))
		{
			add_changed(push, c, name);
			named = true;
		}
	}
	else if (json_is_array(v))
	{
		JsonbIterator *it = JsonbIteratorInit(v->val.binary.data);
		JsonbValue	element;
		JsonbIteratorToken token;

		while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
		{
			if (token != WJB_ELEM)
				continue;
			if (element.type != jbvString)
				ereport(ERROR,
						(errcode(ERRCODE_TIDE_MALFORMED_CHANGE),
						 errmsg("\"changedFields\" must name columns")));
			add_changed(push, c, json_string(&element));
			named = true;
		}
	}
	else if (v)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_MALFORMED_CHANGE),
				 errmsg("\"changedFields\" must be an array of names")));
	if (!named)
		c->changed = bms_copy(c->sent);
}

/*
 * The scope as it will be: what is sent must be allowed; not sent, it is the
 * caller's, if the caller has just one.
 */
static void
settle_scope(Change *c)
{
	TrackedTable *t = c->table->t;
	TableScopes *scopes = &c->table->scopes;
	TrackedColumn *column;
	Datum		value;
	bool		isnull;
	int			k;

	if (scopes->any || t->path)
		return;					/* or found by the row's foreign keys */
	column = tracked_column(t, t->scope);
	if (!column->key && !bms_is_member(t->scope, c->sent))
	{
		if (scopes->n != 1 || column->generated)
			return;				/* judged by the row that comes of it */
		c->values[t->scope - 1] = scopes->values[0];
		c->nulls[t->scope - 1] = false;
		c->sent = bms_add_member(c->sent, t->scope);
		c->changed = bms_add_member(c->changed, t->scope);
		return;
	}
	value = c->values[t->scope - 1];
	isnull = c->nulls[t->scope - 1];
	for (k = 0; column->key && k < t->nkeys; k++)
		if (t->keys[k] == t->scope)
		{
			value = c->key[k];
			isnull = false;
		}
	if (isnull || !access_has_text(scopes, wire_scope_text(t, value)))
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_SCOPE_NOT_ALLOWED),
				 errmsg("the row would be in a scope that is not allowed"),
				 err_generic_string(PG_DIAG_COLUMN_NAME, column->wire)));
}

static void
read_stamp(Push *push, Change *c, RowMarks *marks)
{
	TrackedTable *t = c->table->t;
	JsonbValue *v = c->stamp_value ? c->stamp_value :
	marks->stamp ? marks->stamp : c->created_value;
	const char *client = c->client_id;

	c->incoming.stands = push->restoring;
	if (push->restoring)
		client = push->client_id;
	else if (v || c->has_given_stamp)
	{
		TimestampTz time = c->has_given_stamp ? c->given_stamp :
		wire_read_time(v, "lastModifiedAt");

		c->incoming.has_stamp = true;
		c->incoming.stamp.has_time = true;
		c->incoming.stamp.time = stamp_round(t, time);
		c->incoming.is_ahead = stamp_is_ahead(c->incoming.stamp.time);
	}
	if (c->base_value)
	{
		c->incoming.has_base = true;
		c->incoming.base = stamp_round(t, wire_read_time(c->base_value, "base"));
	}
	if (client == NULL && marks->client && !push->restoring)
	{
		if (marks->client->type != jbvString)
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_MALFORMED_CHANGE),
					 errmsg("the \"clientId\" of a change must be a string")));
		client = json_string(marks->client);
	}
	if (client == NULL || client[0] == '\0')
		client = push->client_id;
	c->incoming.stamp.client_id = client;

	/* too long for its column fails here, not in the statement of all */
	if (client)
		(void) stamp_client_datum(t, client);
}

/*
 * What the client calls the row, as it sent it: entityId, else the key in the
 * data, so that also a change that cannot be read is named.
 */
static void
name_change(Change *c)
{
	TrackedTable *t = c->table->t;
	JsonbContainer *source;
	StringInfoData buf;
	int			k;

	if (c->key_value && (t->nkeys == 1 || !json_is_object(c->key_value)))
		return;
	source = c->key_value ? c->key_value->val.binary.data : c->data;
	if (source == NULL)
		return;
	initStringInfo(&buf);
	for (k = 0; k < t->nkeys; k++)
	{
		const char *name = tracked_column(t, t->keys[k])->wire;
		JsonbValue *v = json_member(source, name);

		if (v == NULL)
			continue;
		if (t->nkeys == 1)
		{
			c->entity_id = json_id(v);
			return;
		}
		appendStringInfoChar(&buf, buf.len ? ',' : '{');
		escape_json(&buf, name);
		appendStringInfo(&buf, ":%s", json_text(v));
	}
	if (buf.len > 0)
	{
		appendStringInfoChar(&buf, '}');
		c->entity_id = buf.data;
	}
}

/*
 * Find each change's table and lock it, before any subtransaction that could
 * give the locks back.
 */
void
push_find_tables(Push *push)
{
	const char *last_type = NULL;
	PushTable  *last = NULL;
	int			i;

	for (i = 0; i < push->nchanges; i++)
	{
		Change	   *c = &push->changes[i];
		TrackedTable *t;

		if (c->verdict == VERDICT_FAILED || c->table)
			continue;
		if (last_type && strcmp(c->entity_type, last_type) == 0)
		{
			c->table = last;
			name_change(c);
			continue;
		}
		t = registry_find(c->entity_type, true);
		if (t == NULL)
			change_fail_as(c, "unknown_entity_type",
						   psprintf("unknown entity type \"%s\"", c->entity_type));
		else if (registry_problem(t))
			change_fail_as(c, "not_supported",
						   psprintf("entity type \"%s\" cannot be pushed until its table is tracked again",
									t->entity_type));
		else
		{
			c->table = last = push_table(push, t->relid);
			last_type = c->entity_type;
			name_change(c);
		}
	}
}

/*
 * Convert key, stamp and values, with the caller's rights.
 * Raises an error if something is wrong with the change.  Must run in
 * push->context and between wire_begin() and wire_end().
 */
void
change_convert(Push *push, Change *c)
{
	TrackedTable *t = c->table->t;
	RowMarks	marks;

	c->sent = c->changed = NULL;
	c->values = palloc0(sizeof(Datum) * t->ncolumns);
	c->nulls = palloc(sizeof(bool) * t->ncolumns);
	memset(c->nulls, true, sizeof(bool) * t->ncolumns);

	push->converting = NULL;
	read_marks(push, c, &marks);
	read_key(push, c);
	push->converting = NULL;
	read_stamp(push, c, &marks);
	c->is_delete = c->delete_action || marks.deleted != NULL;
	if (marks.deleted)
	{
		c->has_deleted_at = true;
		c->deleted_at = wire_read_time(marks.deleted, "deletedAt");
	}
	if (!c->is_delete)
	{
		if (c->data)
			c->sent = change_read_columns(push, t, c->data, c->values, c->nulls);
		push->converting = NULL;
		read_changed(push, c);
		settle_scope(c);
	}
	c->converted = true;
}
