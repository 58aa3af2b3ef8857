/*
 * views.h
 *	  The views that any tool may look at.
 */
#ifndef TIDE_STORE_VIEWS_H
#define TIDE_STORE_VIEWS_H

#include "store/store.h"

/* tide_status, tide_pending, tide_lost and the like, over the types there are. */
bool		views_make(Store *store);
bool		views_drop(Store *store);

/*
 * Temporary triggers of the connection that syncs are like the app's others, but
 * no view can see them: what tide_status is to say of them is noted.
 */
bool		views_note_temp_triggers(Store *store);

/* Are they there, as this version makes them? */
bool		views_are_there(Store *store, bool *there);

#endif
