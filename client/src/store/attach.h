/*
 * attach.h
 *	  Tables of an app's own: which is of which entity type, and whether it fits.
 */
#ifndef TIDE_STORE_ATTACH_H
#define TIDE_STORE_ATTACH_H

#include "store/store.h"

/*
 * Find the type's table, and for each of its columns the table's: as the map
 * says, else by name.  The type's table is NULL where there is none.
 */
bool		attach_find(Store *store, EntityType *type, const Json *map);

/* Whether what was found can be synced; the failure says what cannot. */
bool		attach_check(Store *store, const EntityType *type);

#endif
