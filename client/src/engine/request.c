/*
 * request.c
 *	  The requests of a sync, as text.
 */
#include <ctype.h>
#include <string.h>

#include "engine/request.h"
#include "engine/steps.h"
#include "store/names.h"
#include "store/place.h"
#include "store/settings.h"
#include "store/sql.h"

#define PULL_LIMIT 500
#define MOST_ACKS "32"

/* how long the server may hold a pull back, and what is then in it */
#define NEWS_WAIT "25"
#define NEWS_LIMIT 1
#define JSON_TYPE "application/json"
#define LINES_TYPE "application/x-ndjson, application/json;q=0.5"

/*
 * Begin a request: where to, and the headers that all have.  The place comes
 * before all else that is read, so that it is not that of a later file.
 */
static bool
begin(Engine *e, const char *path, const char *accept)
{
	char	   *server;

	buffer_reset(&e->url);
	buffer_reset(&e->headers);
	buffer_reset(&e->body);
	if (!engine_check_owner(e) || !place_note(&e->store) ||
		!setting_get(&e->store, "server", &server))
		return false;
	buffer_text(&e->url, server ? server : "");
	buffer_text(&e->url, path);
	sqlite3_free(server);
	buffer_text(&e->headers, "Accept: ");
	buffer_text(&e->headers, accept);
	buffer_text(&e->headers, "\r\nAuthorization: Bearer ");
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

	if (!begin(e, "/api/v1/sync/schema", JSON_TYPE))
		return false;
	if (!setting_get(&e->store, "schema_etag", &etag))
		return false;
	if (etag && e->store.ntypes > 0 && !e->schema_again && !e->store.look_again)
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

/* An app's tables are of some types; what else the server has is not asked for. */
static bool
append_types(Engine *e)
{
	int			i;

	if (!e->store.attached)
		return append_list(e, "entity_types", "entityTypes");
	append_member(&e->body, "entityTypes");
	for (i = 0; i < e->store.ntypes; i++)
	{
		const char *name = e->store.types[i].name;

		buffer_char(&e->body, i > 0 ? ',' : '[');
		json_string(&e->body, name, strlen(name));
	}
	buffer_char(&e->body, ']');
	return true;
}

/* The pushes whose replies are stored: their rows need not come again. */
static bool
append_acks(Engine *e)
{
	char	   *acks;

	if (!sql_text(&e->store, &acks, "SELECT group_concat(ack) FROM (SELECT ack FROM tide_acks"
				  " ORDER BY id LIMIT " MOST_ACKS ")"))
		return false;
	if (acks)
		append_text_member(&e->body, "ack", acks);
	sqlite3_free(acks);
	return true;
}

/*
 * Types to come in full again; one that the server has no longer is an error to
 * it.
 */
static bool
append_refresh(Engine *e)
{
	Names		names,
				there = {0};
	bool		good = names_load(&e->store, &names, "refresh");
	int			i;

	for (i = 0; good && i < e->store.ntypes; i++)
	{
		const EntityType *type = &e->store.types[i];

		if (type->in_schema && names_has(&names, type->name))
			good = names_add(&e->store, &there, type->name);
	}
	if (good && there.count > 0)
	{
		append_member(&e->body, "refresh");
		names_append_json(&there, &e->body);
	}
	names_free(&names);
	names_free(&there);
	return good;
}

bool
request_pull(Engine *e)
{
	char	   *since = NULL;
	char	   *client_id = NULL;
	bool		good;

	/* all of a first sync in one answer, where the server has streams */
	e->streams = setting_is(&e->store, "first_sync", "running");
	if (e->store.failure.result != TIDE_OK ||
		!begin(e, "/api/v1/sync/pull", e->streams ? LINES_TYPE : JSON_TYPE))
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
	good = good && append_types(e) && append_list(e, "scopes", "scope") && append_acks(e);
	if (good && since)
		good = append_refresh(e);
	buffer_char(&e->body, '}');
	/* what a file with rows does not get now is no longer there */
	e->from_start = since == NULL && !e->streams;
	sqlite3_free(since);
	sqlite3_free(client_id);
	return good && e->store.failure.result == TIDE_OK && finish(e);
}

bool
request_push(Engine *e)
{
	if (!begin(e, "/api/v1/sync/push", JSON_TYPE))
		return false;
	buffer_text(&e->headers, "Content-Type: application/json\r\n");
	buffer_text(&e->body, e->batch.body);
	return finish(e);
}

static void
append_escaped(Buffer *url, const char *text)
{
	for (; *text; text++)
	{
		if (isalnum((unsigned char) *text) || strchr("-_.~", *text))
			buffer_char(url, *text);
		else
			buffer_format(url, "%%%02X", (unsigned char) *text);
	}
}

/* A setting that is an array, as a parameter: A,B. */
static bool
append_list_parameter(Engine *e, const char *setting, const char *name)
{
	Names		list;
	int			i;

	if (!names_load(&e->store, &list, setting))
		return false;
	for (i = 0; i < list.count; i++)
	{
		buffer_text(&e->url, i > 0 ? "%2C" : "&");
		if (i == 0)
		{
			buffer_text(&e->url, name);
			buffer_char(&e->url, '=');
		}
		append_escaped(&e->url, list.names[i]);
	}
	names_free(&list);
	return true;
}

/* The types of the file, where it does not hold all that the user may see. */
static bool
append_types_parameter(Engine *e)
{
	int			i;

	if (!e->store.attached)
		return append_list_parameter(e, "entity_types", "entityTypes");
	for (i = 0; i < e->store.ntypes; i++)
	{
		buffer_text(&e->url, i > 0 ? "%2C" : "&entityTypes=");
		append_escaped(&e->url, e->store.types[i].name);
	}
	return true;
}

static bool
request_events(Engine *e, char **since)
{
	if (!begin(e, "/api/v1/sync/events?since=", "text/event-stream") ||
		!setting_get(&e->store, "cursor", since))
		return false;
	append_escaped(&e->url, *since ? *since : "");
	return append_types_parameter(e) && append_list_parameter(e, "scopes", "scope") && finish(e);
}

static bool
request_held_pull(Engine *e, char **since)
{
	char	   *client_id;
	bool		good;

	if (!begin(e, "/api/v1/sync/pull", JSON_TYPE) ||
		!setting_get(&e->store, "cursor", since) ||
		!setting_get(&e->store, "client_id", &client_id))
		return false;
	buffer_text(&e->headers, "Content-Type: application/json\r\n");
	buffer_char(&e->body, '{');
	append_member(&e->body, "limit");
	buffer_format(&e->body, "%d", NEWS_LIMIT);
	append_member(&e->body, "wait");
	buffer_text(&e->body, NEWS_WAIT);
	if (*since)
		append_text_member(&e->body, "since", *since);
	if (client_id)
		append_text_member(&e->body, "clientId", client_id);
	sqlite3_free(client_id);
	good = append_types(e) && append_list(e, "scopes", "scope");
	buffer_char(&e->body, '}');
	return good && finish(e);
}

bool
request_news(Engine *e, bool *ready)
{
	char	   *since = NULL;
	bool		good;

	good = e->no_events ? request_held_pull(e, &since) : request_events(e, &since);
	*ready = good && since != NULL;
	sqlite3_free(since);
	return good;
}

/*
 * Comparing
 */

bool
request_digest(Engine *e)
{
	char	   *since;
	int			i,
				n = 0;

	if (!begin(e, "/api/v1/sync/digest?since=", JSON_TYPE) ||
		!setting_get(&e->store, "cursor", &since))
		return false;
	append_escaped(&e->url, since ? since : "");
	sqlite3_free(since);
	buffer_text(&e->url, "&entityTypes=");
	for (i = 0; i < e->store.ntypes; i++)
	{
		if (!e->store.types[i].available)
			continue;
		buffer_text(&e->url, n++ > 0 ? "%2C" : "");
		append_escaped(&e->url, e->store.types[i].name);
	}
	return append_list_parameter(e, "scopes", "scope") && finish(e);
}

bool
request_keys(Engine *e, const char *type, const bool *buckets, int n)
{
	bool		first = true;
	int			i;

	if (!begin(e, "/api/v1/sync/keys?entityTypes=", JSON_TYPE))
		return false;
	append_escaped(&e->url, type);
	buffer_text(&e->url, "&bucket=");
	for (i = 0; i < n; i++)
	{
		if (!buckets[i])
			continue;
		buffer_format(&e->url, "%s%d", first ? "" : "%2C", i);
		first = false;
	}
	return append_list_parameter(e, "scopes", "scope") && finish(e);
}

bool
request_rows(Engine *e, const char *keys)
{
	if (!begin(e, "/api/v1/sync/rows", JSON_TYPE))
		return false;
	buffer_text(&e->headers, "Content-Type: application/json\r\n");
	buffer_text(&e->body, "{\"keys\":");
	buffer_text(&e->body, keys);
	if (!append_list(e, "scopes", "scope"))
		return false;
	buffer_char(&e->body, '}');
	return finish(e);
}

bool
request_page(Engine *e, const char *since)
{
	if (!begin(e, "/api/v1/sync/pull", JSON_TYPE))
		return false;
	buffer_text(&e->headers, "Content-Type: application/json\r\n");
	buffer_char(&e->body, '{');
	append_member(&e->body, "limit");
	buffer_format(&e->body, "%d", PULL_LIMIT);
	if (since)
		append_text_member(&e->body, "since", since);
	if (!append_types(e) || !append_list(e, "scopes", "scope"))
		return false;
	buffer_char(&e->body, '}');
	return finish(e);
}
