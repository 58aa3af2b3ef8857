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

/*
 * Columns of the type that had gone, and are there again: *back says if there are
 * any.  Neither what rows have in them nor the versions they were made upon is the
 * server's any more: they are empty, and noted as grown.
 */
bool		gone_take_back(Store *store, EntityType *type, bool *back);

#endif
