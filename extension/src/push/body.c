/*-------------------------------------------------------------------------
 *
 * body.c
 *	  The body of a push: its shape, and what each change says of itself.
 *
 * What is wrong with the body as a whole raises an error; a member of
 * "changes" that is no change fails as one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "push/change.h"
#include "util/compat.h"
#include "util/errors.h"
#include "util/json.h"
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

	c->sent.entity_type = entity_type;
	c->sent.is_map_form = true;
	if (!json_is_object(row))
	{
		change_fail_as(c, "malformed_change", "a row must be an object");
		return;
	}
	c->sent.data = row->val.binary.data;
	c->sent.base = json_member(c->sent.data, "_base");
	c->sent.changed = json_member(c->sent.data, "_changed");

	/* for a type that is not known; else it is named by its key */
	if ((id = json_member(c->sent.data, "id")) != NULL)
		c->sent.entity_id = json_id(id);
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

	if ((v = json_member(item, "id")) != NULL)
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
	c->sent.base = json_member(item, "base");
	if ((v = json_member(item, "clientId")) != NULL)
	{
		if (v->type != jbvString)
			return "the \"clientId\" of a change must be a string";
		c->sent.client_id = json_string(v);
	}
	c->sent.changed = json_member(item, "changedFields");
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
		problem = json_is_object(&v) ? read_list_item(c, v.val.binary.data) :
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
	if ((v = json_member(&body->root, "batchId")) != NULL && push->batch_id == NULL)
	{
		if (v->type != jbvString || v->val.string.len == 0)
			malformed("\"batchId\" must be a string that is not empty",
					  "Leave it out, or send an id that is new for each batch.");
		push->batch_id = json_string(v);
	}
	if ((v = json_member(&body->root, "atomic")) != NULL)
	{
		if (v->type != jbvBool)
			malformed("\"atomic\" must be true or false", "Leave it out for false.");
		push->atomic = v->val.boolean;
	}
	if ((v = json_member(&body->root, "cursor")) != NULL)
	{
		if (v->type != jbvString)
			malformed("\"cursor\" must be a string", "Leave it out, or send the cursor of the last pull.");
		push->cursor = json_string(v);
	}
	if ((v = json_member(&body->root, "clientId")) != NULL && push->client_id == NULL)
	{
		if (v->type != jbvString)
			malformed("\"clientId\" must be a string", "Leave it out, or send the device's id.");
		push->client_id = json_string(v);
	}

	changes = json_member(&body->root, "changes");
	if (json_is_object(changes))
		read_map(push, changes->val.binary.data);
	else if (json_is_array(changes))
		read_list(push, changes->val.binary.data);
	else
		malformed("a push needs \"changes\", an object or an array",
				  "Send {\"changes\": {\"TrainingPlan\": [{...}]}} or {\"changes\": [{\"entityType\": ...}]}.");
}
