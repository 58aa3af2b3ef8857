/*
 * shape.c
 *	  Is what the server sends of the form that it must have?
 *
 * Asked before anything of a page is staged: a row that no table takes would come
 * up again with each later page of the pull.
 */
#include <string.h>

#include "store/shape.h"
#include "store/unfit.h"

static bool
bad_reply(Store *store, const char *what)
{
	return failure_set(&store->failure, TIDE_REFUSED, "bad_reply",
					   "the server's answer is not understood: %s", what);
}

/* A member that is left out, or null, says nothing. */
static bool
is_nothing(const JsonNode *node)
{
	return node == NULL || node->kind == JSON_NULL;
}

bool
shape_is_row(const EntityType *type, const Json *json, const JsonNode *row, bool deleted)
{
	int			k;

	if (row->kind != JSON_OBJECT)
		return deleted && type->nkeys == 1 && row->kind != JSON_NULL && row->kind != JSON_ARRAY;
	for (k = 0; k < type->nkeys; k++)
	{
		if (is_nothing(json_member(json, row, type->columns[type->keys[k]].wire)))
			return false;
	}
	return true;
}

bool
shape_check_row(Store *store, const EntityType *type, const Json *json, const JsonNode *row,
				bool deleted)
{
	return shape_is_row(type, json, row, deleted) ||
		bad_reply(store, "a row is not an object with its key in it");
}

static bool
check_rows(Store *store, const Json *json, const char *member, bool deleted)
{
	const JsonNode *types = json_member(json, json->nodes, member);
	const JsonNode *name,
			   *row;

	if (!is_nothing(types) && types->kind != JSON_OBJECT)
		return bad_reply(store, "rows are not in an object, by their types");
	for (name = json_first_name(json, types); name; name = json_next_name(json, types, name))
	{
		char	   *text = json_text(json, name);
		EntityType *type = text ? store_type(store, text, strlen(text)) : NULL;

		sqlite3_free(text);
		if (text == NULL)
			return failure_memory(&store->failure);
		if (!is_nothing(name + 1) && name[1].kind != JSON_ARRAY)
			return bad_reply(store, "the rows of a type are not in an array");
		if (unfit_is_left_out(store, json, name))
			continue;
		for (row = json_first(json, name + 1); row && type; row = json_next(json, name + 1, row))
		{
			if (!shape_check_row(store, type, json, row, deleted))
				return false;
		}
	}
	return true;
}

/* A list of names: of types, of scopes. */
static bool
check_list(Store *store, const Json *json, const JsonNode *list)
{
	const JsonNode *at;

	if (!is_nothing(list) && list->kind != JSON_ARRAY)
		return bad_reply(store, "a list of names is not an array");
	for (at = json_first(json, list); at; at = json_next(json, list, at))
	{
		if (at->kind != JSON_STRING)
			return bad_reply(store, "a name is not a text");
	}
	return true;
}

bool
shape_check_head(Store *store, const Json *json, const JsonNode *head)
{
	static const char *const lists[] = {"resetTypes", "revokedScopes", "unavailableTypes"};
	size_t		i;

	if (head->kind != JSON_OBJECT)
		return bad_reply(store, "it is not an object");
	for (i = 0; i < sizeof(lists) / sizeof(*lists); i++)
	{
		if (!check_list(store, json, json_member(json, head, lists[i])))
			return false;
	}
	return true;
}

/* What names a place in the server's history. */
static bool
check_cursor(Store *store, const Json *json)
{
	const JsonNode *cursor = json_member(json, json->nodes, "cursor");

	return is_nothing(cursor) || cursor->kind == JSON_STRING ||
		bad_reply(store, "a cursor is not a text");
}

bool
shape_check_page(Store *store, const Json *json)
{
	return shape_check_head(store, json, json->nodes) && check_cursor(store, json) &&
		check_rows(store, json, "deletedByType", true) &&
		check_rows(store, json, "changesByType", false);
}
