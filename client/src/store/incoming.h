/*
 * incoming.h
 *	  What becomes of a row that a pull brings.
 */
#ifndef TIDE_STORE_INCOMING_H
#define TIDE_STORE_INCOMING_H

#include "store/pull.h"

/* Does the type come in full, so that what does not come is gone? */
bool		incoming_comes_anew(const Pull *pull, const EntityType *type);

/* Do we want to know which keys came? */
bool		incoming_is_counted(const Pull *pull, const EntityType *type);

/* Write it, or keep it beside an edit; within applying_begin() and _end(). */
bool		incoming_apply(Pull *pull, EntityType *type, const Json *json, const JsonNode *row,
						   bool deleted);

/*
 * Likewise a row that was kept as text.  Not fits: it is of another form than the
 * type has now, and nothing was done.
 */
bool		incoming_apply_kept(Pull *pull, EntityType *type, const char *text, size_t length,
								bool deleted, bool *fits);

#endif
