/*
 * emptied.h
 *	  Children whose reference a local delete has emptied, where the server
 *	  will set it to a default.
 *
 * Which default is the server's to know: the child shows NULL until the pull
 * after the delete.  That is no edit, and the column is not sent.  A row of
 * tide_emptied says what was there, so that the child gets it back with its
 * parent.
 */
#ifndef TIDE_STORE_EMPTIED_H
#define TIDE_STORE_EMPTIED_H

#include "store/store.h"

/* Does ON DELETE SET DEFAULT of a reference empty the column? */
bool		emptied_can_be(const EntityType *type, int column);

/* The table, where a trigger names it. */
bool		emptied_make_all(Store *store);

/* Pieces of triggers: of the child's ... */
void		emptied_append_no_edit(Buffer *sql, const EntityType *type, int column);
void		emptied_append_forget(Buffer *sql, const EntityType *type, const char *row,
								  bool where_set);

/* ... and of the parent's: before a delete empties the children, and a trigger
 * for its coming back. */
void		emptied_append_note(Buffer *sql, const EntityType *child, const EntityType *parent,
								const Reference *ref, int number, const char *children);
void		emptied_append_trigger(Buffer *sql, const EntityType *child, const EntityType *parent,
								   const Reference *ref, int number);

/* Is the NULL in a column of the key's row such a one? */
bool		emptied_is(Store *store, const EntityType *type, int column, const Json *json,
					   const JsonNode *key, bool *is);

/* Forget those of rows that are the server's again. */
bool		emptied_end(Store *store);

#endif
