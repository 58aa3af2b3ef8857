/*-------------------------------------------------------------------------
 *
 * sync.c
 *	  What a request below /sync asks for.
 *
 * Turns parameters into a job's arguments.  What only the database can judge
 * (cursors, times, scopes, entity types) is passed on as text.  This file knows
 * neither HTTP nor libpq.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "api/sync.h"
#include "database/group.h"
#include "util/clock.h"
#include "util/json.h"

#define DEFAULT_LIMIT		100
#define STREAM_MOST_ROWS	990 /* of a page: a cursor at least every 1,000
								 * lines */
#define LONGEST_WAIT		60	/* seconds */
#define MOST_ACKS			32
#define MOST_ITEMS			10000	/* of other lists; it is what pg_tide
									 * takes of entity types */
#define MOST_KEPT			(MOST_ITEMS + 1)	/* of those that are too many */
#define DATE_LENGTH			10	/* the length of a date as 2026-01-31 */
#define LARGEST_EXACT		9007199254740992.0	/* 2^53 */

static bool
malformed(Failure *failure, const char *message, const char *hint)
{
	return failure_set(failure, 400, "malformed_request", message, hint);
}

static void
set_text(SyncFields *fields, char **field, const char *value)
{
	free(*field);
	*field = strdup(value);
	if (*field == NULL)
		fields->failed = true;
}

/* The field with this name that takes one value; NULL: there is none. */
static char **
single_field(SyncFields *fields, const char *name)
{
	if (strcmp(name, "since") == 0)
		return &fields->since;
	if (strcmp(name, "limit") == 0)
		return &fields->limit;
	if (strcmp(name, "clientId") == 0)
		return &fields->client_id;
	if (strcmp(name, "wait") == 0)
		return &fields->wait;
	if (strcmp(name, "times") == 0)
		return &fields->times;
	return NULL;
}

/* The field with this name that takes a list; NULL: there is none. */
static StringList *
list_field(SyncFields *fields, const char *name)
{
	if (strcmp(name, "ack") == 0)
		return &fields->acks;
	if (strcmp(name, "bucket") == 0)
		return &fields->buckets;
	if (strcmp(name, "entityTypes") == 0)
		return &fields->entity_types;
	if (strcmp(name, "refresh") == 0)
		return &fields->refresh;
	return NULL;
}

/*
 * A "+" of a time zone that was not escaped in the query arrives as a space
 * before the last digits.  A space between a date and a time of day is meant
 * as it is.
 */
static void
restore_plus(char *since)
{
	char	   *space = strrchr(since, ' ');

	if (space != NULL && space - since > DATE_LENGTH &&
		space[1] != '\0' && space[strspn(space + 1, "0123456789:") + 1] == '\0')
		*space = '+';
}

/*
 * One parameter of the query.  Unknown ones are ignored, and an empty one
 * counts as absent.  A scope is taken as it is: its value may hold commas, and
 * an empty scope must not turn into "all scopes".
 */
void
sync_take_parameter(SyncFields *fields, const Settings *settings,
					const char *name, const char *value)
{
	char	  **field = single_field(fields, name);
	StringList *list = list_field(fields, name);

	if (field != NULL)
	{
		if (*value != '\0' && *field != NULL)
			fields->repeated = true;
		else if (*value != '\0')
			set_text(fields, field, value);
		if (field == &fields->since && *field != NULL)
			restore_plus(*field);
	}
	else if (list != NULL)
	{
		if (!list_split_some(list, value, MOST_KEPT))
			fields->failed = true;
	}
	else if (list_contains(&settings->scope_params, name) &&
			 fields->scopes.count < MOST_KEPT)
	{
		if (!list_append(&fields->scopes, value, strlen(value)))
			fields->failed = true;
	}
}

/*
 * A string or a number of the body as text.  False: it is neither, or a number
 * that a double may not hold exactly.  "text" has room for 32 bytes.
 */
static bool
scalar_text(const cJSON *item, char *text, const char **value)
{
	if (cJSON_IsString(item))
	{
		*value = item->valuestring;
		return true;
	}
	if (!cJSON_IsNumber(item) ||
		item->valuedouble > LARGEST_EXACT || item->valuedouble < -LARGEST_EXACT)
		return false;
	if (item->valuedouble == (double) (int64_t) item->valuedouble)
		snprintf(text, 32, "%lld", (long long) item->valuedouble);
	else
		snprintf(text, 32, "%.17g", item->valuedouble);
	*value = text;
	return true;
}

/* A list field of the body: one scalar, or an array of them. */
static bool
take_list(SyncFields *fields, StringList *list, const cJSON *item, bool split)
{
	const cJSON *element;
	const char *value;
	char		number[32];

	if (!cJSON_IsArray(item))
	{
		if (!scalar_text(item, number, &value))
			return false;
		if (!(split ? list_split_some(list, value, MOST_KEPT) :
			  list_append(list, value, strlen(value))))
			fields->failed = true;
		return true;
	}
	cJSON_ArrayForEach(element, item)
	{
		if (!scalar_text(element, number, &value))
			return false;
		if (list->count < MOST_KEPT && !list_append(list, value, strlen(value)))
			fields->failed = true;
	}
	return true;
}

/* One member of the body; false: it has the wrong type. */
static bool
take_member(SyncFields *fields, const Settings *settings, const cJSON *item)
{
	char	  **field = single_field(fields, item->string);
	StringList *list = list_field(fields, item->string);
	const char *value;
	char		number[32];

	if (cJSON_IsNull(item))
		return true;
	if (field != NULL)
	{
		if (!scalar_text(item, number, &value))
			return false;
		if (*value != '\0')
			set_text(fields, field, value);
		return true;
	}
	if (list != NULL)
		return take_list(fields, list, item, true);
	if (list_contains(&settings->scope_params, item->string))
		return take_list(fields, &fields->scopes, item, false);
	return true;
}

/*
 * Is this body one JSON value that PostgreSQL will read as we do?  If not, it is
 * refused here and costs no connection to the database.  An empty body is
 * accepted.
 */
bool
sync_check_body(JobKind kind, const char *body, size_t length,
				const Settings *settings, Failure *failure)
{
	JsonProblem problem;
	JsonVerdict verdict;
	char		message[256];

	if (length == 0)
		return true;
	verdict = (kind == JOB_PUSH ? json_check_push : json_check)
		(body, length, settings->max_body_depth, &problem);
	switch (verdict)
	{
		case JSON_GOOD:
			return true;
		case JSON_NO_MEMORY:
			return failure_try_again(failure, "the server is short of memory");
		case JSON_REFUSED:
			break;
	}
	/* people count from 1 */
	snprintf(message, sizeof(message),
			 "the body cannot be read as JSON: %s, at byte %zu",
			 problem.what, problem.offset + 1);
	return malformed(failure, message, NULL);
}

/*
 * The fields of a pull sent by POST; a field of the body replaces that of the
 * query.  The body is NUL-terminated and sync_check_body has accepted it, so it
 * has no name twice, and no NUL that would end a string early for cJSON.
 */
bool
sync_take_body(SyncFields *fields, const Settings *settings,
			   const char *body, size_t length, Failure *failure)
{
	cJSON	   *object;
	const cJSON *item;
	bool		good = true;
	char		message[128];

	if (length == 0)
		return true;
	object = cJSON_ParseWithOpts(body, NULL, 1);
	if (!cJSON_IsObject(object))
	{
		cJSON_Delete(object);
		return malformed(failure, "the body is not a JSON object", NULL);
	}
	cJSON_ArrayForEach(item, object)
	{
		if (!take_member(fields, settings, item))
		{
			snprintf(message, sizeof(message),
					 "the field \"%.60s\" has the wrong type", item->string);
			good = malformed(failure, message, NULL);
			break;
		}
	}
	cJSON_Delete(object);
	return good;
}

/* "limit": at least 1, lowered to max-pull-rows. */
static bool
fill_limit(Job *job, const SyncFields *fields, const Settings *settings,
		   Failure *failure)
{
	int64_t		limit = job->as_lines ? STREAM_MOST_ROWS : DEFAULT_LIMIT;

	if (fields->limit != NULL &&
		(!text_parse_integer(fields->limit, &limit) || limit < 1))
		return malformed(failure, "limit is not a whole number above 0", NULL);
	if (limit > settings->max_pull_rows)
		limit = settings->max_pull_rows;
	if (job->as_lines && limit > STREAM_MOST_ROWS)
		limit = STREAM_MOST_ROWS;
	job->max_rows = (int) limit;
	return true;
}

/* "wait": seconds, with a fraction or without. */
static bool
fill_wait(Job *job, const SyncFields *fields, Failure *failure)
{
	char	   *end;
	double		seconds;

	job->wait_until = 0;
	if (fields->wait == NULL)
		return true;
	seconds = strtod(fields->wait, &end);
	if (strspn(fields->wait, "0123456789.") != strlen(fields->wait) ||
		end == fields->wait || *end != '\0')
		return malformed(failure, "wait is not a number of seconds", NULL);
	if (seconds > LONGEST_WAIT)
		seconds = LONGEST_WAIT;
	if (seconds > 0)
		job->wait_until = clock_now() + (int64_t) (seconds * CLOCK_SECOND);
	return true;
}

static bool
fill_times(Job *job, const SyncFields *fields, Failure *failure)
{
	job->times = "iso";
	if (fields->times == NULL || strcmp(fields->times, "iso") == 0)
		return true;
	if (strcmp(fields->times, "ms") != 0)
		return malformed(failure, "times is neither iso nor ms", NULL);
	job->times = "ms";
	return true;
}

/* Copy a field, if it was given. */
static bool
copy_field(char **target, const char *source)
{
	if (source == NULL)
		return true;
	*target = strdup(source);
	return *target != NULL;
}

static bool
copy_list(char **target, const StringList *source)
{
	if (source->count == 0)
		return true;
	*target = list_array_literal(source);
	return *target != NULL;
}

static bool
has_long_list(const SyncFields *fields)
{
	return fields->entity_types.count > MOST_ITEMS ||
		fields->refresh.count > MOST_ITEMS ||
		fields->buckets.count > MOST_ITEMS ||
		fields->scopes.count > MOST_ITEMS;
}

/*
 * The arguments of a job from the fields of its request.  False: "failure"
 * says what is wrong with them.  sync_free_job frees what was filled.
 */
bool
sync_fill_job(Job *job, const SyncFields *fields, const Settings *settings,
			  Failure *failure)
{
	job->max_push_changes = settings->max_push_changes;
	job->push_group = settings->push_group;
	if (job->kind == JOB_PUSH && job->push_group > 1)
		job->types = group_types(job->body);
	job->max_time_rows = settings->max_time_rows;
	job->lock_timeout = settings->lock_timeout;

	if (fields->repeated)
		return malformed(failure, "a parameter that takes one value is given twice",
						 NULL);
	if (!fill_times(job, fields, failure))
		return false;
	if (job->kind == JOB_PULL &&
		(!fill_limit(job, fields, settings, failure) ||
		 !fill_wait(job, fields, failure)))
		return false;
	if (job->kind == JOB_ROWS)
		job->max_rows = settings->max_pull_rows;

	job->max_bytes = settings->max_pull_bytes;
	if (fields->acks.count > MOST_ACKS)
		return malformed(failure, "there are more than 32 acks",
						 "Send those of the pushes since the last pull that came "
						 "to its end; leaving some out only repeats rows.");
	if (has_long_list(fields))
		return malformed(failure, "a list has more than 10000 items",
						 "Leave scopes or entity types out to ask for all of them.");
	if (fields->failed ||
		!copy_list(&job->acks, &fields->acks) ||
		!copy_list(&job->buckets, &fields->buckets) ||
		!copy_field(&job->client_id, fields->client_id) ||
		!copy_field(&job->since, fields->since) ||
		!copy_list(&job->scopes, &fields->scopes) ||
		!copy_list(&job->entity_types, &fields->entity_types) ||
		!copy_list(&job->refresh, &fields->refresh))
		return failure_try_again(failure, "the server is short of memory");
	return true;
}

void
sync_free_fields(SyncFields *fields)
{
	free(fields->since);
	free(fields->limit);
	free(fields->client_id);
	free(fields->wait);
	free(fields->times);
	list_free(&fields->entity_types);
	list_free(&fields->refresh);
	list_free(&fields->acks);
	list_free(&fields->buckets);
	list_free(&fields->scopes);
	memset(fields, 0, sizeof(SyncFields));
}

void
sync_free_job(Job *job)
{
	free(job->since);
	free(job->scopes);
	free(job->entity_types);
	free(job->refresh);
	free(job->client_id);
	free(job->acks);
	free(job->buckets);
	job->acks = job->buckets = NULL;
	job->since = job->scopes = job->entity_types = NULL;
	job->refresh = job->client_id = NULL;
}
