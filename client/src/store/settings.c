/*
 * settings.c
 *	  What a file remembers beside rows.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/settings.h"
#include "store/sql.h"

bool
setting_get(Store *store, const char *name, char **value)
{
	return sql_text(store, value, "SELECT value FROM tide_settings WHERE name = %Q", name);
}

bool
setting_is(Store *store, const char *name, const char *value)
{
	char	   *now;
	bool		same;

	if (!setting_get(store, name, &now))
		return false;
	same = now != NULL && strcmp(now, value) == 0;
	sqlite3_free(now);
	return same;
}

int64_t
setting_number(Store *store, const char *name)
{
	char	   *text;
	int64_t		value;

	if (!setting_get(store, name, &text) || text == NULL)
		return 0;
	value = strtoll(text, NULL, 10);
	sqlite3_free(text);
	return value;
}

bool
setting_set(Store *store, const char *name, const char *value)
{
	if (value == NULL)
		return sql_run(store, "DELETE FROM tide_settings WHERE name = %Q", name);
	return sql_run(store, "INSERT INTO tide_settings (name, value) VALUES (%Q, %Q)"
				   " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
				   name, value);
}

bool
setting_set_number(Store *store, const char *name, int64_t value)
{
	char		text[24];

	snprintf(text, sizeof(text), "%lld", (long long) value);
	return setting_set(store, name, text);
}
