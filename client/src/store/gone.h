/*
 * gone.h
 *	  Columns that the server has no longer, and edits of them.
 */
#ifndef TIDE_STORE_GONE_H
#define TIDE_STORE_GONE_H

#include "store/store.h"

/*
 * What was edited in columns that the type has lost will not be sent: keep it in
 * tide_lost.  Before the type's tables are made.
 */
bool		gone_keep(Store *store, EntityType *type);

#endif
