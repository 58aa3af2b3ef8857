/*
 * names.h
 *	  A few names, kept as a JSON array in a setting: types to be read anew,
 *	  scopes that were revoked.
 */
#ifndef TIDE_STORE_NAMES_H
#define TIDE_STORE_NAMES_H

#include "store/store.h"

bool		names_has(const Names *names, const char *name);
bool		names_add(Store *store, Names *names, const char *name);

/* Add the strings of an array. */
bool		names_add_array(Store *store, Names *names, const Json *json,
							const JsonNode *array);
bool		names_load(Store *store, Names *names, const char *setting);
bool		names_save(Store *store, const Names *names, const char *setting);
void		names_append_json(const Names *names, Buffer *out);
void		names_remove(Names *names, const char *name);
void		names_free(Names *names);

/* A column of a type, as one name. */
bool		names_has_column(const Names *names, const EntityType *type, const Column *c);
bool		names_add_column(Store *store, Names *names, const EntityType *type,
							 const Column *c);

/* Add it to the list that a setting has. */
bool		names_note_column(Store *store, const EntityType *type, const Column *c,
							  const char *setting);

#endif
