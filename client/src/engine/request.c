/*
 * request.c
 *	  The requests of a sync, as text.
 */
#include <string.h>

#include "engine/request.h"
#include "store/names.h"
#include "store/settings.h"
#include "store/sql.h"

#define PULL_LIMIT 500
#define MOST_ACKS "32"

/* Begin a request: where to, and the headers that all have. */
static bool
begin(Engine *e, const char *path)
{
	char	   *server;

	buffer_reset(&e->url);
	buffer_reset(&e->headers);
	buffer_reset(&e->body);
	if (!setting_get(&e->store, "server", &server))
		return false;
	buffer_text(&e->url, server ? server : "");
	buffer_text(&e->url, path);
	sqlite3_free(server);
	buffer_text(&e->headers, "Accept: application/json\r\nAuthorization: Bearer ");
	buffer_text(&e->headers, e->token);
	buffer_text(&e->headers, "\r\n");
	return true;
}

static bool
finish(Engine *e)
{
	if (e->url.failed || e->headers.failed || e->body.failed)
		return failure_memory(&e->store.failure);
	return true;
}

bool
request_schema(Engine *e)
{
	char	   *etag;

	if (!begin(e, "/api/v1/sync/schema"))
		return false;
	if (!setting_get(&e->store, "schema_etag", &etag))
		return false;
	if (etag && e->store.ntypes > 0 && !e->schema_again)
	{
		buffer_text(&e->headers, "If-None-Match: ");
		buffer_text(&e->headers, etag);
		buffer_text(&e->headers, "\r\n");
	}
	sqlite3_free(etag);
	return finish(e);
}

static void
append_member(Buffer *out, const char *name)
{
	buffer_text(out, out->length > 1 ? ",\"" : "\"");
	buffer_text(out, name);
	buffer_text(out, "\":");
}

static void
append_text_member(Buffer *out, const char *name, const char *value)
{
	append_member(out, name);
	json_string(out, value, strlen(value));
}

/* A setting that is a JSON array already. */
static bool
append_list(Engine *e, const char *setting, const char *name)
{
	char	   *list;

	if (!setting_get(&e->store, setting, &list))
		return false;
	if (list)
	{
		append_member(&e->body, name);
		buffer_text(&e->body, list);
	}
	sqlite3_free(list);
	return true;
}

/* The pushes whose replies are stored: their rows need not come again. */
static bool
append_acks(Engine *e)
{
	char	   *acks;

	if (!sql_text(&e->store, "SELECT group_concat(ack) FROM (SELECT ack FROM tide_acks"
				  " ORDER BY id LIMIT " MOST_ACKS ")", &acks))
		return false;
	if (acks)
		append_text_member(&e->body, "ack", acks);
	sqlite3_free(acks);
	return true;
}

bool
request_pull(Engine *e)
{
	char	   *since = NULL;
	char	   *client_id = NULL;
	bool		good;

	if (!begin(e, "/api/v1/sync/pull"))
		return false;
	buffer_text(&e->headers, "Content-Type: application/json\r\n");
	good = setting_get(&e->store, "stage_cursor", &since) &&
		(since || setting_get(&e->store, "cursor", &since)) &&
		setting_get(&e->store, "client_id", &client_id);
	buffer_char(&e->body, '{');
	append_member(&e->body, "limit");
	buffer_format(&e->body, "%d", PULL_LIMIT);
	if (client_id)
		append_text_member(&e->body, "clientId", client_id);
	if (since)
		append_text_member(&e->body, "since", since);
	good = good && append_list(e, "entity_types", "entityTypes") &&
		append_list(e, "scopes", "scope") && append_acks(e);
	if (good && since)
		good = append_list(e, "refresh", "refresh");
	buffer_char(&e->body, '}');
	/* what a file with rows does not get now is no longer there */
	e->from_start = since == NULL && !setting_is(&e->store, "first_sync", "running");
	sqlite3_free(since);
	sqlite3_free(client_id);
	return good && e->store.failure.result == TIDE_OK && finish(e);
}

bool
request_push(Engine *e)
{
	if (!begin(e, "/api/v1/sync/push"))
		return false;
	buffer_text(&e->headers, "Content-Type: application/json\r\n");
	buffer_text(&e->body, e->batch.body);
	return finish(e);
}
