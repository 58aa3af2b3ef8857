/*-------------------------------------------------------------------------
 *
 * change.c
 *	  A pushed change: from its JSON to typed values.
 *
 * A fault of a single change fails that change: change_convert() raises an
 * error, which its caller catches in a subtransaction and keeps with
 * change_fail().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "storage/lockdefs.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "push/change.h"
#include "read/rows.h"
#include "table/registry.h"
#include "table/scope_path.h"
#include "util/errors.h"
#include "util/json.h"
#include "util/settings.h"
#include "wire/time.h"
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
		{ERRCODE_TIDE_SCOPE_MISSING, "scope_missing"},
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

/*
 * Can a change be to blame for this error?  The list is closed: what a
 * repetition would mend (a conflict with others, a lock, resources, a shutdown)
 * and what is wrong with the database is said of the push as a whole, for the
 * client must keep its changes then.
 */
bool
change_is_to_blame(Push *push, const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
		case ERRCODE_PLPGSQL_ERROR:
			return true;
		case ERRCODE_PROGRAM_LIMIT_EXCEEDED:	/* too large for an index, too
												 * deep */
			return true;
		case ERRCODE_FEATURE_NOT_SUPPORTED:
		case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION:
			/* a value that names what is not there: of type regclass, say */
			return push->is_converting ||
				error->sqlerrcode == ERRCODE_INSUFFICIENT_PRIVILEGE;
	}
	return error->sqlerrcode == ERRCODE_TIDE_AGAIN || failure_word(error->sqlerrcode) != NULL;
}

/* a new row without a scope, which NOT NULL refused, and which of several is its? */
static bool
lacks_scope(Change *c, const ErrorData *error)
{
	PushTable  *table = c->table;

	return error->sqlerrcode == ERRCODE_NOT_NULL_VIOLATION && error->column_name &&
		table && change_may_lack_scope(c) &&
		strcmp(error->column_name, tracked_column(table->t, table->t->scope)->name) == 0;
}

const char *
change_scope_missing(Change *c)
{
	TrackedTable *t = c->table->t;

	return psprintf("a new row of \"%s\" needs \"%s\": its user may write in several scopes",
					t->entity_type, tracked_column(t, t->scope)->wire);
}

/* does it name no scope, where the caller has several to choose from? */
bool
change_may_lack_scope(Change *c)
{
	TrackedTable *t = c->table->t;
	TableScopes *scopes = &c->table->scopes;

	return c->typed.done && !c->typed.is_delete && !scopes->any && scopes->n > 1 &&
		t->path == NULL && !tracked_column(t, t->scope)->key &&
		!bms_is_member(t->scope, c->typed.columns);
}

/*
 * What was sent can be in a message, or be the name of a column that there is
 * not.  All of it would come back, from each change that has it.
 */
#define SHOWN_MAX 400

static const char *
clipped(const char *text)
{
	int			len = text ? strlen(text) : 0;

	if (len <= SHOWN_MAX)
		return text;
	return psprintf("%.*s...", pg_mbcliplen(text, len, SHOWN_MAX), text);
}

/* keep an error with the change; the error's strings must live as long */
void
change_fail(Change *c, ErrorData *error)
{
	const char *word = failure_word(error->sqlerrcode);

	if (lacks_scope(c, error))
	{
		change_fail_as(c, "scope_missing", change_scope_missing(c));
		c->outcome.failure.column = tracked_column(c->table->t, c->table->t->scope)->wire;
		return;
	}
	c->outcome.failure = (Failure)
	{
		0
	};
	c->outcome.verdict = VERDICT_FAILED;
	c->outcome.failure.code = word ? word : pstrdup(unpack_sql_state(error->sqlerrcode));
	c->outcome.failure.message = error->message ? clipped(error->message) : "unknown error";
	c->outcome.failure.constraint = error->constraint_name;
	c->outcome.failure.column = clipped(error->column_name);
	if (word == NULL && error->column_name && c->table)
	{
		/* clients know columns by their names on the wire */
		TrackedColumn *column = tracked_column_by_name(c->table->t, error->column_name);

		if (column && column_is_synced(column))
			c->outcome.failure.column = column->wire;
	}
}

void
change_fail_as(Change *c, const char *code, const char *message)
{
	c->outcome = (Outcome)
	{
		VERDICT_FAILED
	};
	c->outcome.failure.code = code;
	c->outcome.failure.message = clipped(message);
}

/* for the reason that an earlier change of the same row failed */
void
change_fail_with(Change *c, Change *earlier)
{
	static const char *const prefix = "an earlier change of this row failed: ";
	const char *message = earlier->outcome.failure.message;

	c->outcome = (Outcome)
	{
		VERDICT_FAILED
	};
	c->outcome.failure = earlier->outcome.failure;
	if (strncmp(message, prefix, strlen(prefix)) != 0)
		c->outcome.failure.message = clipped(psprintf("%s%s", prefix, message));
}

/* ---------- conversion ---------- */

/* between tables there is room for others to be put */
#define ORDER_STEP 100

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
	access_require_schema(&push->access, t);
	table = palloc0(sizeof(PushTable));
	table->t = t;
	access_table_scopes(&push->access, t, &table->scopes);
	table->rows = rows_table(t, &table->scopes);
	if (push->nchanges > 1)
		table->order = registry_position(push->access.schema, relid) * ORDER_STEP;
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

static bool
is_zero(JsonbValue *v)
{
	return v->type == jbvNumeric &&
		DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(v->val.numeric),
										 DirectFunctionCall1(int4_numeric, Int32GetDatum(0))));
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
	if (c->sent.data == NULL)
		return;
	it = JsonbIteratorInit(c->sent.data);
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
				{
				/* 0 is how some clients say that it is not deleted */
				if (!is_zero(&v))
					marks->deleted = copy_value(&v);
			}
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

/*
 * The value of a column, in the current context.  What it takes to get there is
 * freed at once: a push has many values, and a short one can take much.
 */
static Datum
read_value(Push *push, TrackedTable *t, TrackedColumn *column, JsonbValue *v,
		   bool *isnull)
{
	Form_pg_attribute attribute = TupleDescAttr(t->tupdesc, column->attnum - 1);
	MemoryContext old;
	Datum		value;

	push->converting = column->wire;
	MemoryContextReset(push->scratch);
	old = MemoryContextSwitchTo(push->scratch);
	value = wire_read_value(t, column, v, isnull);
	MemoryContextSwitchTo(old);
	if (*isnull)
		return (Datum) 0;
	return datumCopy(value, attribute->attbyval, attribute->attlen);
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

	if (c->sent.key && json_is_object(c->sent.key))
		v = json_member(c->sent.key->val.binary.data, column->wire);
	else if (c->sent.key && t->nkeys == 1)
		v = c->sent.key;
	if (c->sent.data)
	{
		in_data = json_member(c->sent.data, column->wire);
		if (in_data == NULL && push->sql_names)
			in_data = json_member(c->sent.data, column->name);
	}
	if (v == NULL)
		v = in_data;
	if (v == NULL)
		missing_key(t, column->wire);
	value = read_value(push, t, column, v, &isnull);
	if (isnull)
		missing_key(t, column->wire);
	if (in_data && in_data != v)
	{
		Datum		other = read_value(push, t, column, in_data, &isnull);

		if (isnull || strcmp(OutputFunctionCall(&column->output, value),
							 OutputFunctionCall(&column->output, other)) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_MALFORMED_CHANGE),
					 errmsg("\"entityId\" and the key in \"data\" differ"),
					 err_generic_string(PG_DIAG_COLUMN_NAME, column->wire)));
	}
	return value;
}

static void
read_key(Push *push, Change *c)
{
	TrackedTable *t = c->table->t;
	int			k;

	c->typed.key = palloc(sizeof(Datum) * t->nkeys);
	for (k = 0; k < t->nkeys; k++)
		c->typed.key[k] = read_key_column(push, c, tracked_column(t, t->keys[k]));
	c->typed.key_text = wire_key_text(t, c->typed.key);
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

			values[i] = read_value(push, t, column, &v, &nulls[i]);
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
	if (role == ROLE_COLUMN && bms_is_member(column->attnum, c->typed.columns) &&
		!column->always_identity)
		c->typed.changed = bms_add_member(c->typed.changed, column->attnum);
}

/* a column that is always the sequence's may come back, as a generated one may */
static Bitmapset *
without_identity(Change *c)
{
	TrackedTable *t = c->table->t;
	Bitmapset  *result = bms_copy(c->typed.columns);
	int			i;

	for (i = 0; i < t->ncolumns; i++)
		if (t->columns[i].always_identity)
			result = bms_del_member(result, i + 1);
	return result;
}

/*
 * Which of the sent columns an update writes: all, or those that the client
 * says it changed, as an array or (WatermelonDB) with commas between.  Naming
 * none says nothing, as WatermelonDB does of new rows.
 */
static void
read_changed(Push *push, Change *c)
{
	JsonbValue *v = c->sent.changed;
	bool		named = false;

	c->typed.changed = NULL;
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
		c->typed.changed = without_identity(c);
}

/*
 * The scope as it will be: what is sent must be allowed; a new row for which
 * none is sent gets the caller's, if the caller has just one.
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
	if (!column->key && !bms_is_member(t->scope, c->typed.columns))
	{
		if (scopes->n != 1 || column->generated)
			return;				/* judged by the row that comes of it */
		c->typed.values[t->scope - 1] = scopes->values[0];
		c->typed.nulls[t->scope - 1] = false;
		c->typed.inserted = bms_add_member(bms_copy(c->typed.columns), t->scope);
		return;
	}
	value = c->typed.values[t->scope - 1];
	isnull = c->typed.nulls[t->scope - 1];
	for (k = 0; column->key && k < t->nkeys; k++)
		if (t->keys[k] == t->scope)
		{
			value = c->typed.key[k];
			isnull = false;
		}
	if (isnull || !access_has_text(scopes, wire_scope_text(t, value)))
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_SCOPE_NOT_ALLOWED),
				 errmsg("the row would be in a scope that is not allowed"),
				 err_generic_string(PG_DIAG_COLUMN_NAME, column->wire)));
}

/*
 * The precision that a base was given in, in microseconds: milliseconds, which
 * name one version, for who keeps no more of a time; or all of it.
 */
static int64
given_unit(JsonbValue *v)
{
	char	   *text = v->type == jbvString ? json_string(v) :
	DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(v->val.numeric)));
	bool		is_number = v->type == jbvNumeric ||
		(time_is_number(text, strlen(text), 1) && strlen(text) != 4);
	const char *fraction = strchr(text, '.');
	int			digits = fraction ? strspn(fraction + 1, "0123456789") : 0;

	return digits > (is_number ? 0 : 3) ? 1 : 1000;
}

static void
read_base(Change *c)
{
	Incoming   *in = &c->typed.incoming;
	JsonbValue *v = c->sent.base;

	if (v == NULL)
		return;
	in->has_base = true;
	in->base_is_null = (v->type == jbvNull);
	if (in->base_is_null)
		return;
	in->base = stamp_round(c->table->t, wire_read_time(v, "base"));
	in->base_unit = given_unit(v);
}

/*
 * A number that would be a time of today in seconds.  Numbers are milliseconds:
 * this one is a day in January 1970.
 */
static bool
is_in_seconds(JsonbValue *v)
{
	return v && v->type == jbvNumeric &&
		DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
										   NumericGetDatum(v->val.numeric))) > 1e9 &&
		DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
										   NumericGetDatum(v->val.numeric))) < 1e10;
}

static void
read_stamp(Push *push, Change *c, RowMarks *marks)
{
	TrackedTable *t = c->table->t;
	JsonbValue *v = c->sent.stamp ? c->sent.stamp :
	marks->stamp ? marks->stamp : c->sent.created;
	const char *client = c->sent.client_id;

	c->typed.incoming.stands = push->restoring;
	if (push->restoring)
		client = push->client_id;
	else if (v || c->sent.has_given_stamp)
	{
		TimestampTz time = c->sent.has_given_stamp ? c->sent.given_stamp :
		wire_read_time(v, "lastModifiedAt");

		c->typed.incoming.has_stamp = true;
		c->typed.incoming.stamp.has_time = true;
		c->typed.incoming.stamp.time = stamp_round(t, time);
		c->typed.incoming.is_ahead = stamp_is_ahead(c->typed.incoming.stamp.time);
		c->typed.in_seconds = is_in_seconds(v);
	}
	read_base(c);
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
	c->typed.incoming.stamp.client_id = client;

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

	if (c->sent.key && (t->nkeys == 1 || !json_is_object(c->sent.key)))
		return;
	source = c->sent.key ? c->sent.key->val.binary.data : c->sent.data;
	if (source == NULL)
		return;
	initStringInfo(&buf);
	for (k = 0; k < t->nkeys; k++)
	{
		const char *name = tracked_column(t, t->keys[k])->wire;
		JsonbValue *v = json_member(source, name);

		if (v == NULL || json_has_long_number(v))
			continue;
		if (t->nkeys == 1)
		{
			c->sent.entity_id = json_id(v);
			return;
		}
		appendStringInfoChar(&buf, buf.len ? ',' : '{');
		escape_json(&buf, name);
		appendStringInfo(&buf, ":%s", json_text(v));
	}
	if (buf.len > 0)
	{
		appendStringInfoChar(&buf, '}');
		c->sent.entity_id = buf.data;
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
		bool		failed = (c->outcome.verdict == VERDICT_FAILED);
		TrackedTable *t;

		/* of those that cannot be read some can be named */
		if (c->table || c->sent.entity_type == NULL || (failed && c->sent.data == NULL))
			continue;
		if (last_type && strcmp(c->sent.entity_type, last_type) == 0)
		{
			c->table = last;
			name_change(c);
			continue;
		}
		t = registry_find(push->access.schema, c->sent.entity_type, true);
		if (t != NULL && !registry_problem(t))
		{
			c->table = last = push_table(push, t->relid);
			last_type = c->sent.entity_type;
			name_change(c);
		}
		else if (failed)
			continue;
		else if (t == NULL)
			change_fail_as(c, "unknown_entity_type",
						   psprintf("unknown entity type \"%s\"", c->sent.entity_type));
		else
			change_fail_as(c, "not_supported",
						   psprintf("entity type \"%s\" cannot be pushed until its table is tracked again",
									t->entity_type));
	}
}

/*
 * In a cycle of foreign keys, no order has all parents first.  Those that a
 * scope is found by count more: a row whose scope is not found is refused at
 * once, while a foreign key in a cycle must be one that is checked later, or
 * NULL at first.
 */
void
push_order_tables(Push *push)
{
	int			n = list_length(push->tables);
	bool		moved = true;
	ListCell   *lc,
			   *lp;

	while (moved && n-- > 0)
	{
		moved = false;
		foreach(lc, push->tables)
		{
			PushTable  *table = lfirst(lc);

			if (table->t->path == NULL)
				continue;
			foreach(lp, push->tables)
			{
				PushTable  *parent = lfirst(lp);

				if (parent->t->relid != table->t->path->steps[0].relid ||
					parent == table || parent->order < table->order)
					continue;
				parent->order = table->order - 1;
				moved = true;
			}
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

	c->typed.columns = c->typed.changed = c->typed.inserted = NULL;
	c->typed.values = palloc0(sizeof(Datum) * t->ncolumns);
	c->typed.nulls = palloc(sizeof(bool) * t->ncolumns);
	memset(c->typed.nulls, true, sizeof(bool) * t->ncolumns);

	push->converting = NULL;
	read_marks(push, c, &marks);
	read_key(push, c);
	push->converting = NULL;
	read_stamp(push, c, &marks);
	c->typed.has_place = true;
	c->typed.is_delete = c->sent.delete_action || marks.deleted != NULL;
	if (marks.deleted)
	{
		c->typed.has_deleted_at = true;
		c->typed.deleted_at = wire_read_time(marks.deleted, "deletedAt");
	}
	if (!c->typed.is_delete)
	{
		if (c->sent.data)
			c->typed.columns = change_read_columns(push, t, c->sent.data, c->typed.values, c->typed.nulls);
		push->converting = NULL;
		read_changed(push, c);
		c->typed.inserted = c->typed.columns;
		settle_scope(c);
	}
	c->typed.done = true;
}
