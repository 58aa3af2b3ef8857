/*
 * names.c
 *	  A few names, kept as a JSON array in a setting.
 */
#include <string.h>

#include "store/names.h"
#include "store/settings.h"

bool
names_has(const Names *names, const char *name)
{
	int			i;

	for (i = 0; i < names->count; i++)
	{
		if (strcmp(names->names[i], name) == 0)
			return true;
	}
	return false;
}

bool
names_add(Store *store, Names *names, const char *name)
{
	char	  **more;

	if (names_has(names, name))
		return true;
	more = sqlite3_realloc64(names->names, sizeof(char *) * (size_t) (names->count + 1));
	if (more == NULL)
		return failure_memory(&store->failure);
	names->names = more;
	names->names[names->count] = text_copy(name);
	if (names->names[names->count] == NULL)
		return failure_memory(&store->failure);
	names->count++;
	return true;
}

bool
names_add_array(Store *store, Names *names, const Json *json, const JsonNode *array)
{
	const JsonNode *at;
	bool		good = true;

	for (at = json_first(json, array); at && good; at = json_next(json, array, at))
	{
		char	   *name = json_text(json, at);

		good = name != NULL ? names_add(store, names, name) : failure_memory(&store->failure);
		sqlite3_free(name);
	}
	return good;
}

bool
names_load(Store *store, Names *names, const char *setting)
{
	char	   *text;
	Json		json;
	bool		good;

	memset(names, 0, sizeof(*names));
	if (!setting_get(store, setting, &text))
		return false;
	if (text == NULL)
		return true;
	if (json_parse(&json, text, strlen(text)))
		good = names_add_array(store, names, &json, json.nodes);
	else
		good = failure_set(&store->failure, TIDE_LOCAL, "bad_settings",
						   "the setting \"%s\" of the file is not JSON", setting);
	json_free(&json);
	sqlite3_free(text);
	return good;
}

void
names_append_json(const Names *names, Buffer *out)
{
	int			i;

	buffer_char(out, '[');
	for (i = 0; i < names->count; i++)
	{
		buffer_text(out, i > 0 ? "," : "");
		json_string(out, names->names[i], strlen(names->names[i]));
	}
	buffer_char(out, ']');
}

bool
names_save(Store *store, const Names *names, const char *setting)
{
	Buffer		text = {0};
	bool		good;

	if (names->count == 0)
		return setting_set(store, setting, NULL);
	names_append_json(names, &text);
	good = text.failed ? failure_memory(&store->failure) :
		setting_set(store, setting, text.data);
	buffer_free(&text);
	return good;
}

void
names_remove(Names *names, const char *name)
{
	int			i;

	for (i = 0; i < names->count && strcmp(names->names[i], name) != 0; i++)
		;
	if (i == names->count)
		return;
	sqlite3_free(names->names[i]);
	names->names[i] = names->names[--names->count];
}

static char *
column_name(const EntityType *type, const Column *c)
{
	return sqlite3_mprintf("%s\n%s", type->name, c->wire);
}

bool
names_has_column(const Names *names, const EntityType *type, const Column *c)
{
	char	   *name = names->count > 0 ? column_name(type, c) : NULL;
	bool		has = name && names_has(names, name);

	sqlite3_free(name);
	return has;
}

bool
names_add_column(Store *store, Names *names, const EntityType *type, const Column *c)
{
	char	   *name = column_name(type, c);
	bool		good = name ? names_add(store, names, name) : failure_memory(&store->failure);

	sqlite3_free(name);
	return good;
}

bool
names_note_column(Store *store, const EntityType *type, const Column *c, const char *setting)
{
	Names		names;
	bool		good = names_load(store, &names, setting) &&
		names_add_column(store, &names, type, c) && names_save(store, &names, setting);

	names_free(&names);
	return good;
}

void
names_free(Names *names)
{
	int			i;

	for (i = 0; i < names->count; i++)
		sqlite3_free(names->names[i]);
	sqlite3_free(names->names);
	memset(names, 0, sizeof(*names));
}
