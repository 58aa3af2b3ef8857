/*
 * refusal.c
 *	  What the server says of a request that it did not do.
 */
#include "engine/refusal.h"
#include "util/sqlite.h"

bool
refusal_read(Failure *failure, int result, const Buffer *body, const char *otherwise)
{
	Json		json;
	const JsonNode *error;
	char	   *code = NULL;
	char	   *message = NULL;
	char	   *hint = NULL;

	if (body->data && json_parse(&json, body->data, body->length))
	{
		error = json_member(&json, json.nodes, "error");
		code = json_text(&json, json_member(&json, error, "code"));
		message = json_text(&json, json_member(&json, error, "message"));
		hint = json_text(&json, json_member(&json, error, "hint"));
	}
	if (body->data)
		json_free(&json);
	failure_set(failure, result, code ? code : "status", "%s", message ? message : otherwise);
	if (hint)
		failure_hint(failure, "%s", hint);
	sqlite3_free(code);
	sqlite3_free(message);
	sqlite3_free(hint);
	return false;
}

bool
refusal_is_from_elsewhere(const Buffer *body, const char *name)
{
	Json		json;
	bool		ours;

	if (body->data == NULL)
		return true;
	ours = json_parse(&json, body->data, body->length) &&
		json.nodes->kind == JSON_OBJECT &&
		(name == NULL || json_member(&json, json.nodes, name) != NULL);
	/* not known */
	ours = ours || json.no_memory;
	json_free(&json);
	return !ours;
}
