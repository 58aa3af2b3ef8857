/*-------------------------------------------------------------------------
 *
 * rights.h
 *	  What a caller may write in a table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_RIGHTS_H
#define TIDE_RIGHTS_H

#include "push/change.h"

/* whatever the columns */
extern bool rights_may_select_all(TrackedTable *t);
extern bool rights_may_insert_all(TrackedTable *t);

/*
 * A new row with these columns; these columns of a row that is there; a delete,
 * or under soft deletes that.  The key, the stamp and what sync writes beside
 * are counted in.  *missing (if not NULL) is the column that the caller may not
 * write, NULL if it is the table.
 */
extern bool rights_may_insert(TrackedTable *t, Bitmapset *columns, TrackedColumn **missing);
extern bool rights_may_update(TrackedTable *t, Bitmapset *columns, TrackedColumn **missing);
extern bool rights_may_delete(TrackedTable *t, TrackedColumn **missing);

/*
 * Fail the change if its caller has not the right to what it asks for: a row
 * that exists is updated or deleted, one that does not is inserted.  True if it
 * failed.  Costs a look at the cached privileges.
 */
extern bool rights_refuse(Change *c, bool exists);

#endif							/* TIDE_RIGHTS_H */
