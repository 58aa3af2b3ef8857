/*-------------------------------------------------------------------------
 *
 * change.c
 *	  Reading a push: from its JSON to typed values.
 *
 * The shape of the whole body is checked first and raises an error.  What is
 * wrong with a single change fails that change: change_convert() raises an
 * error that its caller catches, in a subtransaction, and keeps with
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

#include "compat.h"
#include "change.h"
#include "errors.h"
#include "pg_tide.h"
#include "wire.h"

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
		TrackedColumn *column = registry_column_by_name(c->table->t, error->column_name);

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

/* ---------- the shape of the body ---------- */

static JsonbValue *
member(JsonbContainer *object, const char *name)
{
	JsonbValue *v = getKeyJsonValueFromContainer(object, name, strlen(name), NULL);

	return v && v->type == jbvNull ? NULL : v;
}

static bool
is_object(JsonbValue *v)
{
	return v && v->type == jbvBinary && JsonContainerIsObject(v->val.binary.data);
}

static bool
is_array(JsonbValue *v)
{
	return v && v->type == jbvBinary && JsonContainerIsArray(v->val.binary.data) &&
		!JsonContainerIsScalar(v->val.binary.data);
}

static char *
string_of(JsonbValue *v)
{
	return pnstrdup(v->val.string.val, v->val.string.len);
}

/* any value as JSON text */
static char *
json_of(JsonbValue *v)
{
	Jsonb	   *jsonb = JsonbValueToJsonb(v);

	return JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
}

/* as json_of, but a number becomes a string: one-column ids are strings */
static char *
id_of(JsonbValue *v)
{
	char	   *json = json_of(v);

	return v->type == jbvNumeric ? psprintf("\"%s\"", json) : json;
}

static void
malformed(const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
			 errmsg("%s", message),
			 errhint("%s", hint)));
}

Change *
push_new_change(Push *push)
{
	Change	   *c;

	if (push->nchanges >= tide_max_push_changes)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_TOO_MANY_CHANGES),
				 errmsg("more than %d changes in one push", tide_max_push_changes),
				 errhint("Send them in several pushes.")));
	if (push->nchanges == 0)
		push->changes = palloc(sizeof(Change) * 16);
	else if (push->nchanges >= 16 && (push->nchanges & (push->nchanges - 1)) == 0)
		push->changes = repalloc_huge(push->changes, sizeof(Change) * push->nchanges * 2);
	c = &push->changes[push->nchanges];
	memset(c, 0, sizeof(*c));
	c->index = push->nchanges++;
	return c;
}

static void
read_map_row(Push *push, const char *entity_type, JsonbValue *row)
{
	Change	   *c = push_new_change(push);
	JsonbValue *id;

	c->entity_type = entity_type;
	c->is_map_form = true;
	if (!is_object(row))
	{
		change_fail_as(c, "malformed_change", "a row must be an object");
		return;
	}
	c->data = row->val.binary.data;
	c->base_value = member(c->data, "_base");
	c->changed_value = member(c->data, "_changed");

	/* for a type that is not known; else it is named by its key */
	if ((id = member(c->data, "id")) != NULL)
		c->entity_id = id_of(id);
}

/* {"Type": [row, ...], ...} */
static void
read_map(Push *push, JsonbContainer *map)
{
	JsonbIterator *it = JsonbIteratorInit(map);
	JsonbValue	v;
	JsonbIteratorToken token;
	char	   *entity_type = NULL;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			entity_type = string_of(&v);
		else if (token == WJB_VALUE)
		{
			JsonbIterator *rows;
			JsonbValue	row;
			JsonbIteratorToken t;

			if (!is_array(&v))
				malformed("in \"changes\", each entity type must have an array of rows",
						  "Send {\"changes\": {\"TrainingPlan\": [{...}]}}.");
			rows = JsonbIteratorInit(v.val.binary.data);
			while ((t = JsonbIteratorNext(&rows, &row, true)) != WJB_DONE)
				if (t == WJB_ELEM)
					read_map_row(push, entity_type, &row);
		}
	}
}

static const char *
read_list_item(Change *c, JsonbContainer *item)
{
	JsonbValue *v;

	if ((v = member(item, "id")) != NULL)
		c->change_id = json_of(v);
	if ((v = member(item, "entityId")) != NULL)
	{
		c->key_value = v;
		c->entity_id = id_of(v);
	}
	v = member(item, "entityType");
	if (v == NULL || v->type != jbvString)
		return "a change needs an \"entityType\", a string";
	c->entity_type = string_of(v);

	v = member(item, "action");
	if (v && v->type == jbvString &&
		v->val.string.len == 6 && strncmp(v->val.string.val, "delete", 6) == 0)
		c->delete_action = true;
	else if (v && !(v->type == jbvString && v->val.string.len == 6 &&
					(strncmp(v->val.string.val, "create", 6) == 0 ||
					 strncmp(v->val.string.val, "update", 6) == 0)))
		return "the \"action\" of a change must be create, update or delete";

	v = member(item, "data");
	if (v && !is_object(v))
		return "the \"data\" of a change must be an object";
	if (v)
		c->data = v->val.binary.data;
	else if (!c->delete_action)
		return "a create or update needs \"data\"";
	c->stamp_value = member(item, "lastModifiedAt");
	c->created_value = member(item, "createdAt");
	c->base_value = member(item, "base");
	if ((v = member(item, "clientId")) != NULL)
	{
		if (v->type != jbvString)
			return "the \"clientId\" of a change must be a string";
		c->client_id = string_of(v);
	}
	c->changed_value = member(item, "changedFields");
	return NULL;
}

/* [{"entityType": ..., "entityId": ..., "data": {...}}, ...] */
static void
read_list(Push *push, JsonbContainer *list)
{
	JsonbIterator *it = JsonbIteratorInit(list);
	JsonbValue	v;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		Change	   *c;
		const char *problem;

		if (token != WJB_ELEM)
			continue;
		c = push_new_change(push);
		problem = is_object(&v) ? read_list_item(c, v.val.binary.data) :
			"a change must be an object";
		if (problem)
		{
			change_fail_as(c, "malformed_change", problem);
		}
	}
}

/*
 * The body's members into push->changes.  Must run in push->context, and the
 * body must live as long: changes point into it.
 */
void
push_read_body(Push *push, Jsonb *body)
{
	JsonbValue *changes;
	JsonbValue *v;

	if (!JB_ROOT_IS_OBJECT(body))
		malformed("the body of a push must be an object",
				  "Send {\"changes\": ...}.");
	if ((v = member(&body->root, "batchId")) != NULL && push->batch_id == NULL)
	{
		if (v->type != jbvString || v->val.string.len == 0)
			malformed("\"batchId\" must be a string that is not empty",
					  "Leave it out, or send an id that is new for each batch.");
		push->batch_id = string_of(v);
	}
	if ((v = member(&body->root, "atomic")) != NULL)
	{
		if (v->type != jbvBool)
			malformed("\"atomic\" must be true or false", "Leave it out for false.");
		push->atomic = v->val.boolean;
	}
	if ((v = member(&body->root, "cursor")) != NULL)
	{
		if (v->type != jbvString)
			malformed("\"cursor\" must be a string", "Leave it out, or send the cursor of the last pull.");
		push->cursor = string_of(v);
	}
	if ((v = member(&body->root, "clientId")) != NULL && push->client_id == NULL)
	{
		if (v->type != jbvString)
			malformed("\"clientId\" must be a string", "Leave it out, or send the device's id.");
		push->client_id = string_of(v);
	}

	changes = member(&body->root, "changes");
	if (is_object(changes))
		read_map(push, changes->val.binary.data);
	else if (is_array(changes))
		read_list(push, changes->val.binary.data);
	else
		malformed("a push needs \"changes\", an object or an array",
				  "Send {\"changes\": {\"TrainingPlan\": [{...}]}} or {\"changes\": [{\"entityType\": ...}]}.");
}

/* ---------- conversion ---------- */

/* a table of this push; the first time it is locked as its writes will do */
PushTable *
push_table(Push *push, Oid relid)
{
	ListCell   *lc;
	PushTable  *table;
	TrackedTable *t;
	int			order = 0;

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
	foreach(lc, registry_all())
	{
		if (((TrackedTable *) lfirst(lc))->relid == relid)
			table->order = order;
		order++;
	}
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
	TrackedColumn *c = registry_column_by_wire(t, name);

	if (c == NULL && push->sql_names)
	{
		c = registry_column_by_name(t, name);
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
		if (c->attnum == t->version || c->generated)
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
			name = string_of(&v);
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

	if (c->key_value && is_object(c->key_value))
		v = member(c->key_value->val.binary.data, column->wire);
	else if (c->key_value && t->nkeys == 1)
		v = c->key_value;
	if (c->data)
	{
		in_data = member(c->data, column->wire);
		if (in_data == NULL && push->sql_names)
			in_data = member(c->data, column->name);
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

static void
read_columns(Push *push, Change *c)
{
	TrackedTable *t = c->table->t;
	JsonbIterator *it = JsonbIteratorInit(c->data);
	JsonbValue	v;
	JsonbIteratorToken token;
	TrackedColumn *column = NULL;
	MemberRole	role = ROLE_NOTHING;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			char	   *name = string_of(&v);

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
			c->values[i] = wire_read_value(t, column, &v, &c->nulls[i]);
			c->sent = bms_add_member(c->sent, column->attnum);
		}
	}
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

		for (name = strtok_r(string_of(v), ",", &save); name;
			 name = strtok_r(NULL, ",", &save))
		{
			add_changed(push, c, name);
			named = true;
		}
	}
	else if (is_array(v))
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
			add_changed(push, c, string_of(&element));
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

	if (scopes->any)
		return;
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
		client = string_of(marks->client);
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

	if (c->key_value && (t->nkeys == 1 || !is_object(c->key_value)))
		return;
	source = c->key_value ? c->key_value->val.binary.data : c->data;
	if (source == NULL)
		return;
	initStringInfo(&buf);
	for (k = 0; k < t->nkeys; k++)
	{
		const char *name = tracked_column(t, t->keys[k])->wire;
		JsonbValue *v = member(source, name);

		if (v == NULL)
			continue;
		if (t->nkeys == 1)
		{
			c->entity_id = id_of(v);
			return;
		}
		appendStringInfoChar(&buf, buf.len ? ',' : '{');
		escape_json(&buf, name);
		appendStringInfo(&buf, ":%s", json_of(v));
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
		else if (t->broken)
			change_fail_as(c, "not_supported",
						   psprintf("the settings of tracked table %s do not fit it: %s",
									t->sql_name, t->broken_why));
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
			read_columns(push, c);
		push->converting = NULL;
		read_changed(push, c);
		settle_scope(c);
	}
	c->converted = true;
}
