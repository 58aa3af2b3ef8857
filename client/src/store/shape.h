/*
 * shape.h
 *	  Is what the server sends of the form that it must have?
 */
#ifndef TIDE_STORE_SHAPE_H
#define TIDE_STORE_SHAPE_H

#include "store/store.h"

/*
 * A page of a pull as a whole: an object, with rows as objects by type, and what
 * is said beside them.  Rows of types that are not known here are not looked at.
 * False with a failure, bad_reply, if it is not.
 */
bool		shape_check_page(Store *store, const Json *json);

/* What is said beside rows, or before them in a stream. */
bool		shape_check_head(Store *store, const Json *json, const JsonNode *head);

/* One row, or what is left of one that was deleted. */
bool		shape_check_row(Store *store, const EntityType *type, const Json *json,
							const JsonNode *row, bool deleted);

/*
 * The same without a failure: an object with all of the key in it, or, of one that
 * was deleted, the bare value of a key of one column.
 */
bool		shape_is_row(const EntityType *type, const Json *json, const JsonNode *row,
						 bool deleted);

#endif
