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

/* rights that do not depend on the columns */
extern bool rights_may_select_all(TrackedTable *t);
extern bool rights_may_insert_all(TrackedTable *t);

/*
 * May the caller insert a row with these columns, update these columns of a
 * row, delete a row (under soft deletes, update it)?  The key, the stamp and
 * what sync writes besides are counted in. *missing (unless NULL) is set to
 * the column that the caller may not write, or NULL if that is the table.
 */
extern bool rights_may_insert(TrackedTable *t, Bitmapset *columns, TrackedColumn **missing);
extern bool rights_may_update(TrackedTable *t, Bitmapset *columns, TrackedColumn **missing);
extern bool rights_may_delete(TrackedTable *t, TrackedColumn **missing);

/*
 * Fail the change if its caller may not do what it asks for: update or delete
 * the row if it exists, insert it otherwise.  True if it failed.  This costs a
 * look at cached privileges.
 */
extern bool rights_refuse(Change *c, bool exists);

#endif							/* TIDE_RIGHTS_H */
