/*
 * signout.h
 *	  A file whose user logs out: with its rows, or without.
 */
#ifndef TIDE_STORE_SIGNOUT_H
#define TIDE_STORE_SIGNOUT_H

#include "store/store.h"

/* From now on the file needs a new token; `wipe`: its rows and edits go. */
bool		signout(Store *store, bool wipe, int64_t now);

#endif
