/*-------------------------------------------------------------------------
 *
 * interest.c
 *	  What the extension says beside a page of a pull, and what a look names,
 *	  from JSON; and whether a change matters to a pull.
 *
 * What cannot be read counts as not told: then nothing is remembered.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "live/interest.h"

/* ---------- from JSON ---------- */

/* The texts of an array.  False: it is not one, or there is no memory. */
static bool
read_texts(const cJSON *array, char ***texts, int *count)
{
	const cJSON *item;

	if (!cJSON_IsArray(array))
		return false;
	*texts = calloc((size_t) cJSON_GetArraySize(array) + 1, sizeof(char *));
	if (*texts == NULL)
		return false;
	cJSON_ArrayForEach(item, array)
	{
		char	   *text = cJSON_IsString(item) ? strdup(item->valuestring) : NULL;

		if (text == NULL)
			return false;
		(*texts)[(*count)++] = text;
	}
	return true;
}

/* Likewise the numbers of types. */
static bool
read_types(const cJSON *array, int32_t **types, int *count)
{
	const cJSON *item;

	if (!cJSON_IsArray(array))
		return false;
	*types = calloc((size_t) cJSON_GetArraySize(array) + 1, sizeof(int32_t));
	if (*types == NULL)
		return false;
	cJSON_ArrayForEach(item, array)
	{
		if (!cJSON_IsNumber(item))
			return false;
		(*types)[(*count)++] = (int32_t) item->valuedouble;
	}
	return true;
}

/* A member as JSON; NULL: it is not there, or there is no memory. */
static char *
member_text(const cJSON *object, const char *name, bool *failed)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
	char	   *text = item == NULL ? NULL : cJSON_PrintUnformatted(item);

	if (item != NULL && text == NULL)
		*failed = true;
	return text;
}

/* The part that is there if the page is complete. */
static bool
read_interest(const cJSON *object, PageAbout *about)
{
	const cJSON *server = cJSON_GetObjectItemCaseSensitive(object, "server");
	const cJSON *scopes = cJSON_GetObjectItemCaseSensitive(object, "scopes");
	const cJSON *remember = cJSON_GetObjectItemCaseSensitive(object, "remember");
	Interest   *interest = &about->interest;
	bool		failed = false;

	if (!cJSON_IsString(server) || !cJSON_IsNumber(remember))
		return false;
	about->remember = remember->valueint;
	about->by_function =
		!cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(object, "byFunction"));
	interest->server = strdup(server->valuestring);
	interest->all_scopes = scopes == NULL;
	interest->unavailable = member_text(object, "unavailable", &failed);
	return !failed && interest->server != NULL &&
		(scopes == NULL ||
		 read_texts(scopes, &interest->scopes, &interest->scope_count)) &&
		read_types(cJSON_GetObjectItemCaseSensitive(object, "types"),
				   &interest->types, &interest->type_count);
}

/* False: nothing was told. interest_about_free() frees what was read. */
bool
interest_read(const char *json, PageAbout *about)
{
	cJSON	   *object;
	const cJSON *changed;
	bool		failed = false;

	memset(about, 0, sizeof(PageAbout));
	if (json == NULL || *json == '\0')
		return false;
	object = cJSON_ParseWithOpts(json, NULL, 1);
	if (!cJSON_IsObject(object))
	{
		cJSON_Delete(object);
		return false;
	}
	changed = cJSON_GetObjectItemCaseSensitive(object, "changed");
	if (cJSON_GetArraySize(changed) > 0)
		about->changed = member_text(object, "changed", &failed);
	about->is_complete = read_interest(object, about);
	cJSON_Delete(object);
	return !failed;
}

void
interest_about_free(PageAbout *about)
{
	free(about->changed);
	about->changed = NULL;
	interest_free(&about->interest);
}

/* The names of a look, from two arrays of the same length. */
bool
interest_read_names(const char *scopes, const char *types, Look *look)
{
	cJSON	   *scope_array = cJSON_ParseWithOpts(scopes, NULL, 1);
	cJSON	   *type_array = cJSON_ParseWithOpts(types, NULL, 1);
	int			count = 0;
	bool		good;

	look->name_count = 0;
	look->scopes = NULL;
	look->types = NULL;
	good = read_texts(scope_array, &look->scopes, &look->name_count) &&
		read_types(type_array, &look->types, &count) && count == look->name_count;
	cJSON_Delete(scope_array);
	cJSON_Delete(type_array);
	if (!good)
		interest_free_names(look);
	return good;
}

void
interest_free_names(Look *look)
{
	int			i;

	for (i = 0; i < look->name_count; i++)
		free(look->scopes[i]);
	free(look->scopes);
	free(look->types);
	look->scopes = NULL;
	look->types = NULL;
	look->name_count = 0;
}

/* ---------- what a pull looks at ---------- */

void
interest_free(Interest *interest)
{
	int			i;

	for (i = 0; i < interest->scope_count; i++)
		free(interest->scopes[i]);
	free(interest->scopes);
	free(interest->types);
	free(interest->server);
	free(interest->unavailable);
	memset(interest, 0, sizeof(Interest));
}

bool
interest_has_type(const Interest *interest, int32_t type)
{
	int			low = 0;
	int			high = interest->type_count;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (interest->types[middle] < type)
			low = middle + 1;
		else
			high = middle;
	}
	return low < interest->type_count && interest->types[low] == type;
}

/* A change in a shared table, which has the empty scope, is everybody's. */
bool
interest_is_about(const Interest *interest, const char *scope, int32_t type)
{
	int			i;

	if (!interest_has_type(interest, type))
		return false;
	if (interest->all_scopes || *scope == '\0')
		return true;
	for (i = 0; i < interest->scope_count; i++)
	{
		if (strcmp(interest->scopes[i], scope) == 0)
			return true;
	}
	return false;
}

static bool
same_text(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

bool
interest_is_same(const Interest *a, const Interest *b)
{
	int			i;

	if (a->all_scopes != b->all_scopes || a->scope_count != b->scope_count ||
		a->type_count != b->type_count ||
		!same_text(a->unavailable, b->unavailable) ||
		(a->type_count > 0 &&
		 memcmp(a->types, b->types, sizeof(int32_t) * (size_t) a->type_count) != 0))
		return false;
	for (i = 0; i < a->scope_count; i++)
	{
		if (strcmp(a->scopes[i], b->scopes[i]) != 0)
			return false;
	}
	return true;
}
