/*-------------------------------------------------------------------------
 *
 * latest.h
 *	  Where the row is that this transaction pushes again and again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_LATEST_H
#define TIDE_LATEST_H

#include "push/change.h"
#include "storage/itemptr.h"

/*
 * May statements of this change name where the row is?  Not before a transaction
 * has pushed single changes for a while, and only if the caller may read it.
 */
extern bool latest_may(const Change *c);

/* where the last push of this transaction has left this row; false: not known */
extern bool latest_find(const Change *c, ItemPointer tid);
extern void latest_note(const Change *c, ItemPointer tid);
extern void latest_forget(void);

/* a push begins: those of a single change are counted */
extern void latest_begin(Push *push);

#endif							/* TIDE_LATEST_H */
