/*-------------------------------------------------------------------------
 *
 * body.c
 *	  The body of a push: its shape, and what each change says of itself.
 *
 * A fault of the body as a whole raises an error.  A member of "changes" that
 * is not a change fails alone.  In a body that comes as text (from the gateway)
 * that includes a member that is JSON but not jsonb: half of a surrogate pair,
 * a NUL, a number beyond numeric, or a character that the database's encoding
 * lacks.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/fmgrprotos.h"

#include "push/change.h"
#include "push/units.h"
#include "util/errors.h"
#include "util/json.h"
#include "util/json_scan.h"
#include "util/settings.h"

/* ---------- the body ---------- */

static void
malformed(const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
			 errmsg("%s", message),
			 errhint("%s", hint)));
}

/*
 * Add a part of the body to the digest.  A batch that comes again is
 * recognized by the digest of all parts.
 */
static void
add_to_digest(Push *push, const char *name, const void *data, size_t len)
{
	StringInfoData buf;

	if (push->batch_id == NULL)
		return;
	initStringInfo(&buf);
	appendStringInfoSpaces(&buf, VARHDRSZ);
	if (push->digest)
	{
		appendBinaryStringInfo(&buf, VARDATA(push->digest), VARSIZE(push->digest) - VARHDRSZ);
		pfree(push->digest);
	}
	/* with its terminating zero */
	appendBinaryStringInfo(&buf, name, strlen(name) + 1);
	appendBinaryStringInfo(&buf, data, len);
	SET_VARSIZE(buf.data, buf.len);
	push->digest = DatumGetByteaP(DirectFunctionCall1(sha256_bytea,
													  PointerGetDatum(buf.data)));
	pfree(buf.data);
}

/* As jsonb, so that white space and the order of members do not matter. */
static void
add_value_to_digest(Push *push, const char *name, JsonbValue *v)
{
	Jsonb	   *jsonb;

	if (push->batch_id == NULL)
		return;
	jsonb = JsonbValueToJsonb(v);
	add_to_digest(push, name, VARDATA(jsonb), VARSIZE(jsonb) - VARHDRSZ);
	pfree(jsonb);
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

/* a row of the map form */
static const char *
read_row(Change *c, JsonbValue *row)
{
	JsonbValue *id;

	if (!json_is_object(row))
		return "a row must be an object";
	c->sent.data = row->val.binary.data;
	c->sent.base = json_member_or_null(c->sent.data, "_base");
	c->sent.changed = json_member(c->sent.data, "_changed");

	/*
	 * named so if the type is unknown; else name_change() names it by its key
	 */
	if ((id = json_member(c->sent.data, "id")) != NULL)
		c->sent.entity_id = json_id(id);
	return NULL;
}

static const char *
read_list_item(Change *c, JsonbContainer *item)
{
	JsonbValue *v;

	if ((v = json_member(item, "id")) != NULL && !json_has_long_number(v))
		c->sent.change_id = json_text(v);
	if ((v = json_member(item, "entityId")) != NULL)
	{
		c->sent.key = v;
		c->sent.entity_id = json_id(v);
	}
	v = json_member(item, "entityType");
	if (v == NULL || v->type != jbvString)
		return "a change needs an \"entityType\", a string";
	c->sent.entity_type = json_string(v);

	v = json_member(item, "action");
	if (v && v->type == jbvString &&
		v->val.string.len == 6 && strncmp(v->val.string.val, "delete", 6) == 0)
		c->sent.delete_action = true;
	else if (v && !(v->type == jbvString && v->val.string.len == 6 &&
					(strncmp(v->val.string.val, "create", 6) == 0 ||
					 strncmp(v->val.string.val, "update", 6) == 0)))
		return "the \"action\" of a change must be create, update or delete";

	v = json_member(item, "data");
	if (v && !json_is_object(v))
		return "the \"data\" of a change must be an object";
	if (v)
		c->sent.data = v->val.binary.data;
	else if (!c->sent.delete_action)
		return "a create or update needs \"data\"";
	c->sent.stamp = json_member(item, "lastModifiedAt");
	c->sent.created = json_member(item, "createdAt");
	c->sent.base = json_member_or_null(item, "base");
	if ((v = json_member(item, "clientId")) != NULL)
	{
		if (v->type != jbvString)
			return "the \"clientId\" of a change must be a string";
		c->sent.client_id = json_string(v);
	}
	c->sent.changed = json_member(item, "changedFields");
	return NULL;
}

static void
read_change(Push *push, Change *c, JsonbValue *v)
{
	const char *problem;

	add_value_to_digest(push, c->sent.is_map_form ? c->sent.entity_type : "", v);
	if (c->sent.is_map_form)
		problem = read_row(c, v);
	else if (!json_is_object(v))
		problem = "a change must be an object";
	else
		problem = read_list_item(c, v->val.binary.data);
	if (problem)
		change_fail_as(c, "malformed_change", problem);
}

static Change *
new_row(Push *push, const char *entity_type)
{
	Change	   *c = push_new_change(push);

	c->sent.entity_type = entity_type;
	c->sent.is_map_form = true;
	return c;
}

static void
not_an_array(void)
{
	malformed("in \"changes\", each entity type must have an array of rows",
			  "Send {\"changes\": {\"TrainingPlan\": [{...}]}}.");
}

static void
no_changes(void)
{
	malformed("a push needs \"changes\", an object or an array",
			  "Send {\"changes\": {\"TrainingPlan\": [{...}]}} or {\"changes\": [{\"entityType\": ...}]}.");
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
			entity_type = json_string(&v);
		else if (token == WJB_VALUE)
		{
			JsonbIterator *rows;
			JsonbValue	row;
			JsonbIteratorToken t;

			if (!json_is_array(&v))
				not_an_array();
			rows = JsonbIteratorInit(v.val.binary.data);
			while ((t = JsonbIteratorNext(&rows, &row, true)) != WJB_DONE)
				if (t == WJB_ELEM)
					read_change(push, new_row(push, entity_type), &row);
		}
	}
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
		if (token == WJB_ELEM)
			read_change(push, push_new_change(push), &v);
	}
}

/* ---------- the body's own members ---------- */

/* what the body says besides its changes; each may be NULL */
typedef struct Envelope
{
	JsonbValue *batch_id;
	JsonbValue *atomic;
	JsonbValue *cursor;
	JsonbValue *client_id;
} Envelope;

static void
read_envelope(Push *push, Envelope *envelope)
{
	JsonbValue *v;

	if ((v = envelope->batch_id) != NULL && push->batch_id == NULL)
	{
		if (v->type != jbvString || v->val.string.len == 0)
			malformed("\"batchId\" must be a string that is not empty",
					  "Leave it out, or send an id that is new for each batch.");
		push->batch_id = json_string(v);
	}
	/* also for a push without changes */
	add_to_digest(push, "push", "", 0);
	if ((v = envelope->atomic) != NULL)
	{
		if (v->type != jbvBool)
			malformed("\"atomic\" must be true or false", "Leave it out for false.");
		push->atomic = v->val.boolean;
		add_value_to_digest(push, "atomic", v);
	}
	if ((v = envelope->cursor) != NULL)
	{
		if (v->type != jbvString)
			malformed("\"cursor\" must be a string", "Leave it out, or send the cursor of the last pull.");
		push->cursor = json_string(v);
		add_value_to_digest(push, "cursor", v);
	}
	if ((v = envelope->client_id) != NULL)
	{
		if (v->type != jbvString)
			malformed("\"clientId\" must be a string", "Leave it out, or send the device's id.");
		if (push->client_id == NULL)
			push->client_id = json_string(v);
		add_value_to_digest(push, "clientId", v);
	}
}

static void
require_object(bool is_object)
{
	if (!is_object)
		malformed("the body of a push must be an object",
				  "Send {\"changes\": ...}.");
}

/*
 * Read the members of the body into push->changes.  Must run in push->context.
 * The body must live as long as the push, because changes point into it.
 */
void
push_read_body(Push *push, Jsonb *body)
{
	JsonbContainer *root = &body->root;
	JsonbValue *changes;
	Envelope	envelope;

	require_object(JB_ROOT_IS_OBJECT(body));
	envelope.batch_id = json_member(root, "batchId");
	envelope.atomic = json_member(root, "atomic");
	envelope.cursor = json_member(root, "cursor");
	envelope.client_id = json_member(root, "clientId");
	read_envelope(push, &envelope);

	changes = json_member(root, "changes");
	if (json_is_object(changes))
		read_map(push, changes->val.binary.data);
	else if (json_is_array(changes))
		read_list(push, changes->val.binary.data);
	else
		no_changes();
}

/* ---------- a body that jsonb may not hold ---------- */

/* does the database keep UTF-8 as it is? */
static bool
keeps_utf8(void)
{
	return GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII;
}

/*
 * raises an error for what jsonb, or the encoding of the database, cannot hold
 */
static JsonbValue *
value_of_span(JsonSpan span)
{
	/* that encoding takes UTF-8 as it is, but PostgreSQL's escapes do not become it */
	char	   *utf8 = GetDatabaseEncoding() == PG_SQL_ASCII ?
		json_expand_escapes(span) : pnstrdup(span.at, span.len);
	char	   *text = pg_any_to_server(utf8, strlen(utf8), PG_UTF8);
	Jsonb	   *jsonb = json_parse(text);
	JsonbValue *v = palloc(sizeof(JsonbValue));

	pfree(utf8);
	if (text != utf8)
		pfree(text);
	if (JB_ROOT_IS_SCALAR(jsonb))
	{
		if (!JsonbExtractScalar(&jsonb->root, v))
			elog(ERROR, "not a scalar");
		return v;
	}
	v->type = jbvBinary;
	v->val.binary.data = &jsonb->root;
	v->val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
	return v;
}

/* is the text in the encoding of the database, if that can hold it? */
static bool
is_in_encoding(JsonSpan span)
{
	int			encoding = GetDatabaseEncoding();
	Oid			proc;
	char	   *buffer;
	int			converted;

	if (keeps_utf8())
		return true;
	proc = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(proc))
		return false;
	buffer = palloc(span.len * MAX_CONVERSION_GROWTH + 1);
	converted = pg_do_encoding_conversion_buf(proc, PG_UTF8, encoding,
											  (unsigned char *) unconstify(char *, span.at),
											  span.len, (unsigned char *) buffer,
											  span.len * MAX_CONVERSION_GROWTH + 1, true);
	pfree(buffer);
	return converted == span.len;
}

static bool
is_readable(JsonSpan span)
{
	return json_is_readable(span.at, span.len, keeps_utf8()) && is_in_encoding(span);
}

/*
 * Of a change that cannot be read, read the members that can, so that the
 * reply names the change by its type, its key and its id.
 */
static void
name_unreadable(Change *c, JsonSpan text)
{
	StringInfoData buf;
	JsonMembers members;
	JsonSpan	name;
	JsonSpan	value;
	JsonSpan	rest;
	JsonbValue *v;

	if (json_first(text) != '{')
		return;
	initStringInfo(&buf);
	json_members(&members, text);
	while (json_next_member(&members, &name, &value))
	{
		if (!is_readable(name) || !is_readable(value))
			continue;
		appendStringInfoChar(&buf, buf.len ? ',' : '{');
		appendBinaryStringInfo(&buf, name.at, name.len);
		appendStringInfoChar(&buf, ':');
		appendBinaryStringInfo(&buf, value.at, value.len);
	}
	appendStringInfoString(&buf, buf.len ? "}" : "{}");
	rest.at = buf.data;
	rest.len = buf.len;
	v = value_of_span(rest);
	if (c->sent.is_map_form)
		(void) read_row(c, v);
	else
		(void) read_list_item(c, v->val.binary.data);
}

/*
 * Read the texts from *next on.  If an error is raised, *next is the change at
 * fault.
 */
static void
read_texts(Push *push, void *next)
{
	int		   *i = next;

	for (; *i < push->nchanges; (*i)++)
	{
		Change	   *c = &push->changes[*i];

		if (c->outcome.verdict == VERDICT_NONE)
			read_change(push, c, value_of_span(c->sent.text));
	}
}

static void
read_all_texts(Push *push)
{
	ErrorData  *error;
	int			i = 0;

	while ((error = try_work(push, read_texts, &i, true)) != NULL)
	{
		Change	   *c = &push->changes[i++];

		add_to_digest(push, "unreadable", c->sent.text.at, c->sent.text.len);
		name_unreadable(c, c->sent.text);
		/* without the detail, because jsonb's says nothing of use */
		if (error->detail)
			error->message = psprintf("%s: %s", error->message, error->detail);
		change_fail(c, error);
	}
}

/* an entity type of the map form, and its rows */
typedef struct TypeText
{
	const char *name;			/* NULL if it cannot be read */
	JsonSpan	rows;
} TypeText;

/*
 * The order of jsonb.  So the reply has the types in one order, however they
 * were sent.
 */
static int
compare_types(const void *a, const void *b)
{
	const TypeText *x = a;
	const TypeText *y = b;
	size_t		x_len = x->name ? strlen(x->name) : 0;
	size_t		y_len = y->name ? strlen(y->name) : 0;

	if (x_len != y_len)
		return x_len < y_len ? -1 : 1;
	return x_len == 0 ? 0 : memcmp(x->name, y->name, x_len);
}

static void
read_type_texts(Push *push, const TypeText *type)
{
	JsonMembers rows;
	JsonSpan	none;
	JsonSpan	row;

	json_members(&rows, type->rows);
	while (json_next_member(&rows, &none, &row))
	{
		Change	   *c = new_row(push, type->name);

		c->sent.text = row;
		if (type->name == NULL)
		{
			add_to_digest(push, "unreadable", row.at, row.len);
			name_unreadable(c, row);
			change_fail_as(c, "malformed_change", "the name of the entity type cannot be read");
		}
	}
}

static void
read_map_text(Push *push, JsonSpan changes)
{
	TypeText   *types = NULL;
	JsonMembers members;
	JsonSpan	name;
	JsonSpan	value;
	int			n = 0;
	int			i;

	json_members(&members, changes);
	while (json_next_member(&members, &name, &value))
	{
		if (json_first(value) != '[')
			not_an_array();
		types = types ? repalloc_huge(types, sizeof(TypeText) * (n + 1)) :
			palloc(sizeof(TypeText));
		types[n].rows = value;
		types[n++].name = is_readable(name) ? json_string(value_of_span(name)) : NULL;
	}
	if (n > 1)
		qsort(types, n, sizeof(TypeText), compare_types);
	for (i = 0; i < n; i++)
	{
		if (i > 0 && types[i].name && types[i - 1].name &&
			strcmp(types[i].name, types[i - 1].name) == 0)
			malformed("\"changes\" has an entity type twice",
					  "Put all rows of an entity type into one array.");
		read_type_texts(push, &types[i]);
	}
}

static void
read_list_text(Push *push, JsonSpan changes)
{
	JsonMembers members;
	JsonSpan	none;
	JsonSpan	item;

	json_members(&members, changes);
	while (json_next_member(&members, &none, &item))
		push_new_change(push)->sent.text = item;
}

/* a member of the body; NULL where it is null */
static void
take_span(JsonSpan *member, JsonSpan value)
{
	if (member->at)
		malformed("the body of a push has a member twice", "Send each member once.");
	*member = value;
}

static JsonbValue *
envelope_value(JsonSpan span)
{
	return span.at == NULL || json_is_null(span.at, span.len) ? NULL : value_of_span(span);
}

/*
 * Like push_read_body(), for JSON in UTF-8 that jsonb may not hold as a whole.
 * A change that cannot be read fails alone.
 */
void
push_read_text(Push *push, const char *body, size_t len)
{
	static const char *const names[] = {"changes", "batchId", "atomic", "cursor", "clientId"};
	JsonSpan	spans[lengthof(names)] = {{NULL, 0}};
	JsonSpan	whole = {body, len};
	JsonSpan	name;
	JsonSpan	value;
	JsonMembers members;
	Envelope	envelope;
	int			i;

	(void) pg_verify_mbstr(PG_UTF8, body, len, false);
	if (!json_is_valid(body, len))
		malformed("the body of a push is not JSON",
				  "It is one JSON value, nested at most 1000 levels.");
	require_object(json_first(whole) == '{');
	json_members(&members, whole);
	while (json_next_member(&members, &name, &value))
	{
		for (i = 0; i < lengthof(names); i++)
		{
			if (json_name_is(name, names[i]))
				take_span(&spans[i], value);
		}
	}
	envelope.batch_id = envelope_value(spans[1]);
	envelope.atomic = envelope_value(spans[2]);
	envelope.cursor = envelope_value(spans[3]);
	envelope.client_id = envelope_value(spans[4]);
	read_envelope(push, &envelope);

	if (spans[0].at && json_first(spans[0]) == '{')
		read_map_text(push, spans[0]);
	else if (spans[0].at && json_first(spans[0]) == '[')
		read_list_text(push, spans[0]);
	else
		no_changes();
	read_all_texts(push);
}
