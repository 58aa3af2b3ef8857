/*
 * place.h
 *	  Where a file stands: all that a request is made from, and an answer is
 *	  taken upon.
 *
 * A file may be restored from a backup, or written over by other means, while a
 * request is out.  The answer would fit the file that asked, not the one that is
 * there now: a page would move its cursor past rows that it never got.  So each
 * transaction that takes an answer first compares the place, and what does not
 * belong to the file is thrown away.
 */
#ifndef TIDE_STORE_PLACE_H
#define TIDE_STORE_PLACE_H

#include "store/store.h"

/* The code of the failure of an answer, or of types, of another file. */
#define PLACE_REPLACED "file_replaced"

/* Remember the place: before anything is read for a request. */
bool		place_note(Store *store);

/* Is the file still there, with the tables that the types describe? */
bool		place_is_same(Store *store, bool *same);

/* The same as a failure, within the transaction that takes the answer. */
bool		place_check(Store *store);

#endif
