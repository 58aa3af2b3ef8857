/*
 * triggers.h
 *	  The triggers that note what any program writes into the tables.
 */
#ifndef TIDE_STORE_TRIGGERS_H
#define TIDE_STORE_TRIGGERS_H

#include "store/store.h"

bool		triggers_drop(Store *store, const EntityType *type);

/* Drop and make a type's triggers. */
bool		triggers_make(Store *store, EntityType *type);

/* Are all of a type's triggers there, as we would make them? */
bool		triggers_are_there(Store *store, EntityType *type, bool *there);

#endif
