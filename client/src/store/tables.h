/*
 * tables.h
 *	  Tables and views on the device: those of the entity types, and tide_*.
 */
#ifndef TIDE_STORE_TABLES_H
#define TIDE_STORE_TABLES_H

#include "store/store.h"

/* The tables of a new file that are of no entity type. */
bool		tables_make_bookkeeping(Store *store);
bool		tables_drop_bookkeeping(Store *store);

bool		tables_have_column(Store *store, const char *table, const char *column,
							   bool *there);

/* Does the database have these? */
bool		tables_are_there(Store *store, bool *there);

/*
 * A type's tables: made, or given the columns that they lack, or made anew where
 * those that they have are others on the server by now.  *grown says whether the
 * type's table was there, and lacks values of the server's.
 */
bool		tables_make_type(Store *store, EntityType *type, bool *grown);

#endif
