/*
 * settings.h
 *	  What a file remembers beside rows: whose it is, how far it has come.
 */
#ifndef TIDE_STORE_SETTINGS_H
#define TIDE_STORE_SETTINGS_H

#include "store/store.h"

/* A setting's text, NULL if it has none; sqlite3_free() frees it. */
bool		setting_get(Store *store, const char *name, char **value);
bool		setting_is(Store *store, const char *name, const char *value);
bool		setting_set(Store *store, const char *name, const char *value);
bool		setting_set_number(Store *store, const char *name, int64_t value);
int64_t		setting_number(Store *store, const char *name);

#endif
