/*
 * types.h
 *	  Entity types as /sync/schema describes them, and their local names.
 */
#ifndef TIDE_STORE_TYPES_H
#define TIDE_STORE_TYPES_H

#include "store/store.h"

/* "athleteId" as athlete_id */
char	   *snake_name(const char *name);

/*
 * Make store->types from a schema's text: those among the setting
 * entity_types, all if it names none.  Names that the device cannot have are
 * refused.  What the server left out since stays in the list, unavailable.
 */
bool		types_read(Store *store, const char *schema, size_t length);

/* What goes wrong from here on is of this type; NULL: of none.  Returns false. */
bool		type_at_fault(Store *store, const char *name);

/* Finalize what is kept; the types remain. */
void		types_forget_statements(Store *store);
void		types_free(Store *store);

#endif
