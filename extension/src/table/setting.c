/*-------------------------------------------------------------------------
 *
 * setting.c
 *	  The settings of a tracked table, as the arguments of its stamp trigger
 *	  hold them.
 *
 * Each argument is "name=value".  One table below lists the settings.  Reading
 * and writing both use it, so that they cannot differ.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "table/setting.h"

typedef enum SettingKind
{
	SETTING_NUMBER,
	SETTING_TEXT,
	SETTING_LIST,				/* an argument for each member */
	SETTING_FLAG				/* a word for each value that is not the
								 * default */
} SettingKind;

typedef struct Setting
{
	const char *name;
	SettingKind kind;
	size_t		offset;			/* in TableSettings */
	const char *word;			/* of a flag */
	bool		word_means;		/* and the value that it stands for */
	const char *option;			/* argument of tide.track; NULL: tide.track
								 * finds it itself */
} Setting;

#define FIELD(name) offsetof(TableSettings, name)

/* in the order in which they are written */
static const Setting settings[] = {
	{"reg", SETTING_NUMBER, FIELD(reg)},
	{"entity_type", SETTING_TEXT, FIELD(entity_type), .option = "entity_type"},
	{"key", SETTING_LIST, FIELD(keys)},
	{"scope", SETTING_TEXT, FIELD(scope), .option = "scope"},
	{"scope_path", SETTING_TEXT, FIELD(scope_path)},
	{"form", SETTING_LIST, FIELD(forms)},
	{"shared", SETTING_FLAG, FIELD(shared), "true", true, "shared"},
	{"conflict", SETTING_TEXT, FIELD(conflict), .option = "conflict"},
	{"modified_at", SETTING_TEXT, FIELD(modified_at), .option = "modified_at"},
	{"client_id", SETTING_TEXT, FIELD(client_id), .option = "client_id"},
	{"version", SETTING_TEXT, FIELD(version), .option = "version"},
	{"deleted_at", SETTING_TEXT, FIELD(deleted_at), .option = "deleted_at"},
	{"naming", SETTING_FLAG, FIELD(camel), "camel", true, "naming"},
	{"utc", SETTING_FLAG, FIELD(utc), "false", false, "utc"},
	{"replicated", SETTING_FLAG, FIELD(replicated), "true", true, "replicated"},
	{"exclude", SETTING_LIST, FIELD(exclude), .option = "exclude"},
	{"added", SETTING_LIST, FIELD(added)},
	{"moved", SETTING_LIST, FIELD(moved)},
	{"unlogged", SETTING_FLAG, FIELD(unlogged), "true", true},
};

static const char *const policy_names[] = {
	[POLICY_LAST_WRITE_WINS] = "last_write_wins",
	[POLICY_CLIENT_WINS] = "client_wins",
	[POLICY_SERVER_WINS] = "server_wins",
	[POLICY_MERGE] = "merge",
};

#define field_of(s, setting, type) \
	(*(type *) ((char *) (s) + (setting)->offset))

static void
read_value(TableSettings *s, const Setting *setting, const char *value)
{
	switch (setting->kind)
	{
		case SETTING_NUMBER:
			field_of(s, setting, int) = atoi(value);
			break;
		case SETTING_TEXT:
			field_of(s, setting, char *) = pstrdup(value);
			break;
		case SETTING_LIST:
			field_of(s, setting, List *) = lappend(field_of(s, setting, List *),
												   pstrdup(value));
			break;
		case SETTING_FLAG:
			if (strcmp(value, setting->word) == 0)
				field_of(s, setting, bool) = setting->word_means;
			break;
	}
}

void
settings_read(TableSettings *s, int nargs, char **args)
{
	int			i,
				k;

	memset(s, 0, sizeof(*s));
	for (k = 0; k < lengthof(settings); k++)
		if (settings[k].kind == SETTING_FLAG)
			field_of(s, &settings[k], bool) = !settings[k].word_means;
	for (i = 0; i < nargs; i++)
	{
		const char *equals = strchr(args[i], '=');

		for (k = 0; equals && k < lengthof(settings); k++)
			if (strlen(settings[k].name) == equals - args[i] &&
				strncmp(settings[k].name, args[i], equals - args[i]) == 0)
				read_value(s, &settings[k], equals + 1);
	}
}

static List *
add_argument(List *list, const Setting *setting, const char *value)
{
	return lappend(list, psprintf("%s=%s", setting->name, value));
}

List *
settings_list(const TableSettings *s)
{
	List	   *list = NIL;
	ListCell   *lc;
	int			k;

	for (k = 0; k < lengthof(settings); k++)
	{
		const Setting *setting = &settings[k];

		switch (setting->kind)
		{
			case SETTING_NUMBER:
				list = add_argument(list, setting, psprintf("%d", field_of(s, setting, const int)));
				break;
			case SETTING_TEXT:
				if (field_of(s, setting, char *const))
					list = add_argument(list, setting, field_of(s, setting, char *const));
				break;
			case SETTING_LIST:
				foreach(lc, field_of(s, setting, List *const))
					list = add_argument(list, setting, lfirst(lc));
				break;
			case SETTING_FLAG:
				if (field_of(s, setting, const bool) == setting->word_means)
					list = add_argument(list, setting, setting->word);
				break;
		}
	}
	return list;
}

char *
settings_arguments(const TableSettings *s)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	foreach(lc, settings_list(s))
		appendStringInfo(&buf, "%s%s", buf.len ? ", " : "", quote_literal_cstr(lfirst(lc)));
	return buf.data;
}

/* ---------- columns that have another name by now ---------- */

/* of a column, the name that the settings have and its name now: "5:ownerholder" */
static char *
moved_entry(const char *name, const char *now)
{
	return psprintf("%d:%s%s", (int) strlen(name), name, now);
}

static bool
read_moved(const char *entry, char **name, char **now)
{
	char	   *end;
	long		length = strtol(entry, &end, 10);

	if (*end++ != ':' || length < 0 || length > strlen(end))
		return false;
	*name = pnstrdup(end, length);
	*now = pstrdup(end + length);
	return true;
}

/* is it the name of a column that some setting means? */
static bool
is_meant(const TableSettings *s, const char *name)
{
	const char *const roles[] = {s->scope, s->modified_at, s->client_id, s->version,
	s->deleted_at};
	int			i;

	for (i = 0; i < lengthof(roles); i++)
	{
		if (roles[i] && strcmp(roles[i], name) == 0)
			return true;
	}
	return name_in_list(s->keys, name) || name_in_list(s->exclude, name);
}

const char *
settings_name_of(const TableSettings *s, const char *now)
{
	ListCell   *lc;

	foreach(lc, s->moved)
	{
		char	   *name;
		char	   *is;

		if (read_moved(lfirst(lc), &name, &is) && strcmp(is, now) == 0)
			return name;
	}
	return now;
}

bool
settings_rename(TableSettings *s, const char *old, const char *now)
{
	List	   *result = NIL;
	bool		changed = false;
	bool		known = false;
	ListCell   *lc;

	foreach(lc, s->moved)
	{
		char	   *name;
		char	   *was;

		if (!read_moved(lfirst(lc), &name, &was))
			continue;
		known |= strcmp(name, old) == 0;
		if (strcmp(was, old) != 0)
			result = lappend(result, lfirst(lc));
		else
		{
			changed = true;
			/* it may have its old name again */
			if (strcmp(name, now) != 0)
				result = lappend(result, moved_entry(name, now));
		}
	}
	if (!known && is_meant(s, old))
	{
		result = lappend(result, moved_entry(old, now));
		changed = true;
	}
	s->moved = result;
	return changed;
}

List *
settings_moved(const TableSettings *s)
{
	List	   *result = NIL;
	ListCell   *lc;

	foreach(lc, s->moved)
	{
		char	   *name;
		char	   *now;

		if (read_moved(lfirst(lc), &name, &now))
			result = lappend(result, name);
	}
	return result;
}

/* ---------- tide.track ---------- */

/* names as the value of a name[] argument */
static char *
list_literal(List *names)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfoString(&buf, "ARRAY[");
	foreach(lc, names)
		appendStringInfo(&buf, "%s%s", lc == list_head(names) ? "" : ", ",
						 quote_literal_cstr(lfirst(lc)));
	appendStringInfoString(&buf, "]::name[]");
	return buf.data;
}

static void
append_option(StringInfo buf, const TableSettings *s, const Setting *setting)
{
	const char *value = NULL;

	/* a scope that follows foreign keys is named by them, see below */
	if (setting->option == NULL ||
		(setting->offset == FIELD(scope) && s->scope_path))
		return;
	if (setting->kind == SETTING_TEXT && field_of(s, setting, char *const))
		value = quote_literal_cstr(field_of(s, setting, char *const));
	else if (setting->kind == SETTING_LIST && field_of(s, setting, List *const) != NIL)
		value = list_literal(field_of(s, setting, List *const));
	else if (setting->kind == SETTING_FLAG &&
			 field_of(s, setting, const bool) == setting->word_means)
		value = strcmp(setting->word, "camel") == 0 ? "'camel'" : setting->word;
	if (value)
		appendStringInfo(buf, ", %s => %s", setting->option, value);
}

char *
settings_call(const TableSettings *s, const char *table)
{
	StringInfoData buf;
	int			k;

	initStringInfo(&buf);
	appendStringInfo(&buf, "SELECT tide.track(%s", quote_literal_cstr(table));
	for (k = 0; k < lengthof(settings); k++)
		append_option(&buf, s, &settings[k]);
	if (s->scope_path)
		appendStringInfo(&buf, ", scope => %s, scope_column => %s",
						 quote_literal_cstr(s->scope_path), quote_literal_cstr(s->scope));
	appendStringInfoString(&buf, ");");
	return buf.data;
}

bool
policy_by_name(const char *name, ConflictPolicy *policy)
{
	int			i;

	for (i = 0; i < lengthof(policy_names); i++)
	{
		if (strcmp(policy_names[i], name) == 0)
		{
			*policy = (ConflictPolicy) i;
			return true;
		}
	}
	*policy = POLICY_RESOLVER;
	return strchr(name, '.') != NULL;
}

const char *
policy_name(ConflictPolicy policy)
{
	Assert(policy < lengthof(policy_names));
	return policy_names[policy];
}

bool
name_in_list(List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

List *
add_name(List *names, const char *name)
{
	return name_in_list(names, name) ? names : lappend(names, pstrdup(name));
}
