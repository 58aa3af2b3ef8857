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

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "push/change.h"
#include "table/registry.h"
#include "util/errors.h"
#include "util/json.h"
#include "util/settings.h"
#include "wire/time.h"
#include "wire/wire.h"

/* names that a row may carry and that mean nothing here */
static bool
is_ignored(const char *name)
{
	const char *next = tide_ignored_fields;
	size_t		length = strlen(name);

	if (name[0] == '_')
		return true;
	while (*(next += strspn(next, ", ")) != '\0')
	{
		size_t		n = strcspn(next, ", ");

		if (n == length && memcmp(next, name, n) == 0)
			return true;
		next += n;
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

/* a member of a row in JSON */
typedef struct Member
{
	const char *name;
	MemberRole	role;
	TrackedColumn *column;		/* NULL: none has that name */
	JsonbValue	value;
} Member;

/* The members of a row, palloc'd; returns how many there are. */
static int
read_members(Push *push, TrackedTable *t, JsonbContainer *data, Member **members)
{
	JsonbIterator *it;
	JsonbValue	v;
	JsonbIteratorToken token;
	int			n = 0;

	*members = palloc(sizeof(Member) * (data ? JsonContainerSize(data) + 1 : 1));
	if (data == NULL)
		return 0;
	it = JsonbIteratorInit(data);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		Member	   *member = &(*members)[n];

		if (token == WJB_KEY)
		{
			member->name = json_string(&v);
			member->role = member_role(push, t, member->name, &member->column);
		}
		else if (token == WJB_VALUE)
		{
			member->value = v;
			n++;
		}
	}
	return n;
}

/* what a row says of itself besides its columns */
typedef struct RowMarks
{
	JsonbValue *stamp;			/* lastModifiedAt, or the stamp column */
	JsonbValue *client;
	JsonbValue *deleted;
} RowMarks;

static bool
is_zero(JsonbValue *v)
{
	return v->type == jbvNumeric &&
		DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(v->val.numeric),
										 DirectFunctionCall1(int4_numeric, Int32GetDatum(0))));
}

/* They point into the members. */
static void
read_marks(Member *members, int n, RowMarks *marks)
{
	int			i;

	memset(marks, 0, sizeof(*marks));
	for (i = 0; i < n; i++)
	{
		JsonbValue *value = &members[i].value;

		if (value->type == jbvNull)
			continue;

		/*
		 * lastModifiedAt, which every client may use, goes before the
		 * column's name
		 */
		if (members[i].role == ROLE_STAMP &&
			(marks->stamp == NULL || strcmp(members[i].name, "lastModifiedAt") == 0))
			marks->stamp = value;
		else if (members[i].role == ROLE_CLIENT)
			marks->client = value;
		else if (members[i].role == ROLE_DELETED && !is_zero(value))
			/* 0 is how some clients say that it is not deleted */
			marks->deleted = value;
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
 * The value of a column, in the current context.  The memory that reading it
 * takes is freed at once: a push has many values, and even a short one can
 * take much.
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

/* the value as the type would hold it without a limit of scale or precision */
static Datum
read_whole(TrackedTable *t, const TrackedColumn *column, JsonbValue *v)
{
	TrackedColumn whole = *column;
	Oid			function;
	bool		isnull;

	whole.type = whole.base_type;
	whole.typmod = -1;
	getTypeInputInfo(whole.type, &function, &whole.ioparam);
	fmgr_info(function, &whole.input);
	return wire_read_value(t, &whole, v, &isnull);
}

/*
 * Is the value cut off or rounded to that of the column?  Then two rows of the
 * client's would become one.  A date may be sent with a time of day.
 */
static bool
is_cut(Push *push, TrackedTable *t, TrackedColumn *column, JsonbValue *v, Datum value)
{
	int32		typmod = column->typmod;
	MemoryContext old;
	Datum		whole;
	bool		result;

	switch (getBaseTypeAndTypmod(column->type, &typmod))
	{
		case NAMEOID:
			return v->type == jbvString && v->val.string.len >= NAMEDATALEN;
		case NUMERICOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case TIMEOID:
		case TIMETZOID:
			if (typmod >= 0)
				break;
			/* FALLTHROUGH */
		default:
			return false;
	}
	old = MemoryContextSwitchTo(push->scratch); /* which the next value resets */
	whole = read_whole(t, column, v);
	if (column->base_type == NUMERICOID)
		result = !DatumGetBool(DirectFunctionCall2(numeric_eq, whole, value));
	else
		result = strcmp(OutputFunctionCall(&column->output, whole),
						OutputFunctionCall(&column->output, value)) != 0;
	MemoryContextSwitchTo(old);
	return result;
}

/*
 * One column of the key: from entityId if that has it, else from the data.  A
 * row may be older than the constraints of its key's domain, and can be changed
 * and deleted all the same.  New rows are checked when they are known to be
 * new, see judge.c.
 */
static Datum
read_key_column(Push *push, Change *c, TrackedColumn *own)
{
	TrackedTable *t = c->table->t;
	TrackedColumn *column = own->base;
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
	if (is_cut(push, t, column, v, value))
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_MALFORMED_CHANGE),
				 errmsg("the key \"%s\" would be cut to \"%s\", which may be another row's",
						column->wire, OutputFunctionCall(&column->output, value)),
				 err_generic_string(PG_DIAG_COLUMN_NAME, column->wire)));
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

static Bitmapset *
read_columns(Push *push, TrackedTable *t, Member *members, int n, Datum *values, bool *nulls)
{
	Bitmapset  *result = NULL;
	int			m;

	for (m = 0; m < n; m++)
	{
		Member	   *member = &members[m];

		if (member->role == ROLE_UNKNOWN)
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_UNKNOWN_COLUMN),
					 errmsg("entity type \"%s\" has no column \"%s\"",
							t->entity_type, member->name),
					 err_generic_string(PG_DIAG_COLUMN_NAME, member->name)));
		if (member->role == ROLE_COLUMN && !member->column->key)
		{
			int			i = member->column->attnum - 1;

			values[i] = read_value(push, t, member->column, &member->value, &nulls[i]);
			result = bms_add_member(result, member->column->attnum);
		}
	}
	return result;
}

/*
 * Read the columns of a row in JSON that sync may write, without its key.
 * Values and nulls are by attnum - 1.  Raises an error for a name that is no
 * column's.  Must run between wire_begin() and wire_end().
 */
Bitmapset *
change_read_columns(Push *push, TrackedTable *t, JsonbContainer *data,
					Datum *values, bool *nulls)
{
	Member	   *members;
	int			n = read_members(push, t, data, &members);
	Bitmapset  *result = read_columns(push, t, members, n, values, nulls);

	pfree(members);
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

/*
 * An identity column that is GENERATED ALWAYS may be sent back, as a generated
 * column may.  It is not written.
 */
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
 * says it has changed.  Clients say so by an array or, as WatermelonDB does,
 * by a text with commas.  No names at all means all columns, because
 * WatermelonDB sends new rows like that.
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
 * Settle the scope that the row will have.  A scope that is sent must be
 * allowed.  A new row without one gets the caller's, if the caller has just
 * one.
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
		return;					/* or the row's foreign keys will tell the
								 * scope */
	column = tracked_column(t, t->scope);
	if (!column->key && !bms_is_member(t->scope, c->typed.columns))
	{
		if (scopes->n != 1 || column->generated)
			return;				/* the row is judged once it is written */
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
 * The precision of a base, in microseconds.  A time in whole milliseconds
 * names one version for clients that keep no more of a time; any other time is
 * exact.
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
 * Is this a time of today in seconds?  Numbers are milliseconds, so it would
 * be taken for a day in January 1970.
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

	/*
	 * a client id that is too long for its column fails here, not in the
	 * statement of all changes
	 */
	if (client)
		(void) stamp_client_datum(t, client);
}

/*
 * A version that lost is kept under the names that its columns had.  It is put
 * back without those that are gone, or renamed, or that are no longer synced.
 */
static void
leave_out_gone(Push *push, Member *members, int n)
{
	int			i;

	for (i = 0; i < n; i++)
	{
		if (members[i].role != ROLE_UNKNOWN)
			continue;
		members[i].role = ROLE_NOTHING;
		push->gone = lappend(push->gone, unconstify(char *, members[i].name));
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
	Member	   *members;
	RowMarks	marks;
	int			n;

	c->typed.columns = c->typed.changed = c->typed.inserted = NULL;
	c->typed.values = palloc0(sizeof(Datum) * t->ncolumns);
	c->typed.nulls = palloc(sizeof(bool) * t->ncolumns);
	memset(c->typed.nulls, true, sizeof(bool) * t->ncolumns);

	push->converting = NULL;
	n = read_members(push, t, c->sent.data, &members);
	if (push->restoring)
		leave_out_gone(push, members, n);
	read_marks(members, n, &marks);
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
		c->typed.columns = read_columns(push, t, members, n, c->typed.values, c->typed.nulls);
		push->converting = NULL;
		read_changed(push, c);
		c->typed.inserted = c->typed.columns;
		settle_scope(c);
	}
	pfree(members);
	c->typed.done = true;
}
