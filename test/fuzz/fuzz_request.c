/*-------------------------------------------------------------------------
 *
 * fuzz_request.c
 *	  What the gateway reads of a request beside its head: parameters, the body
 *	  of a pull, media types, X-Forwarded-For, base64url.
 *
 * Lists pass to PostgreSQL as array literals: they must mean the same there.
 *
 *-------------------------------------------------------------------------
 */
#include <netinet/in.h>

#include "api/sync.h"
#include "fuzz.h"
#include "http/media.h"
#include "util/address.h"
#include "util/log.h"

static Settings settings;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char		problem[256];

	(void) argc;
	(void) argv;
	log_set_level(LOG_ALWAYS);
	settings.max_pull_rows = 500;
	settings.max_push_changes = 5000;
	settings.max_time_rows = 50000;
	settings.max_body_depth = 64;
	require(list_split(&settings.scope_params, "scope,athleteId,userId"));
	require(networks_parse(&settings.trusted_proxies, "127.0.0.1, 10.0.0.0/8, ::1/128",
						   problem, sizeof(problem)));
	return 0;
}

/* The literal of a text[], read as PostgreSQL reads it, must be this list. */
static void
require_same(const char *literal, const StringList *list)
{
	int			i;

	if (list->count == 0)
	{
		require(literal == NULL);
		return;
	}
	require(literal != NULL && *literal++ == '{');
	for (i = 0; i < list->count; i++)
	{
		const char *c = list->items[i];

		require(i == 0 || *literal++ == ',');
		require(*literal++ == '"');
		for (; *literal != '"'; literal++)
		{
			if (*literal == '\\')
				literal++;
			require(*literal != '\0' && *literal == *c++);
		}
		literal++;
		require(*c == '\0');
	}
	require(strcmp(literal, "}") == 0);
}

static void
fill_job(const SyncFields *fields, JobKind kind)
{
	Job			job = {.kind = kind};
	Failure		failure = {0};

	if (sync_fill_job(&job, fields, &settings, &failure))
	{
		require_same(job.scopes, &fields->scopes);
		require_same(job.entity_types, &fields->entity_types);
		require(kind != JOB_PULL || (job.max_rows >= 1 && job.max_rows <= 500));
	}
	else
		require(failure.status == 400 && failure.message[0] != '\0');
	sync_free_job(&job);
}

/* name=value&name=value, decoded already */
static void
test_query(char *query)
{
	SyncFields	fields = {0};
	char	   *rest = query;
	char	   *one;

	while ((one = strsep(&rest, "&")) != NULL)
	{
		char	   *value = strchr(one, '=');

		if (value != NULL)
			*value++ = '\0';
		if (text_is_utf8(one, strlen(one)))
			sync_take_parameter(&fields, &settings, one, value ? value : "");
	}
	fill_job(&fields, JOB_PULL);
	fill_job(&fields, JOB_SCHEMA);
	sync_free_fields(&fields);
}

static void
test_body(const char *body, size_t length)
{
	SyncFields	fields = {0};
	Failure		failure = {0};

	if (!sync_check_body(JOB_PULL, body, length, &settings, &failure) ||
		!sync_take_body(&fields, &settings, body, length, &failure))
		require(failure.status == 400 && failure.message[0] != '\0' &&
				text_is_utf8(failure.message, strlen(failure.message)));
	else
		fill_job(&fields, JOB_PULL);
	sync_free_fields(&fields);
}

static void
test_headers(const char *value)
{
	Address		peer = {.bytes[15] = 1};	/* ::1, which is trusted */
	Address		client;
	char		text[256];

	(void) media_refusal(value, NULL);
	(void) media_refusal("application/json", value);
	(void) media_wants_stream(value);
	client = address_of_client(peer, value, &settings.trusted_proxies);
	address_write(&client, text);
}

static void
test_base64url(const char *text)
{
	size_t		length;
	unsigned char *bytes = base64url_decode(text, strlen(text), &length);
	char	   *again;

	if (bytes == NULL)
		return;
	again = base64url_encode(bytes, length);
	require(again != NULL && strcmp(again, text) == 0);
	free(again);
	free(bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text;

	if (size == 0)
		return 0;
	text = copy_input(data + 1, size - 1);
	switch (*data)
	{
		case 'q':
			test_query(text);
			break;
		case 'b':
			test_body(text, size - 1);
			break;
		case 'h':
			test_headers(text);
			break;
		default:
			test_base64url(text);
			break;
	}
	free(text);
	return 0;
}
