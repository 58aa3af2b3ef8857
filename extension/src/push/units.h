/*-------------------------------------------------------------------------
 *
 * units.h
 *	  Carrying out a push in order, and in isolation once something fails.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_UNITS_H
#define TIDE_UNITS_H

#include "push/change.h"

/* changes of one table with the same columns, in one round */
typedef struct Unit
{
	PushTable  *table;
	bool		is_delete;
	Bitmapset  *sent;
	Bitmapset  *changed;
	int			round;
	int			guesses;		/* how often it was parted by one */
	List	   *changes;
} Unit;

typedef void (*Work) (Push *push, void *arg);

/* in a subtransaction; NULL, or the error.  See units.c. */
extern ErrorData *try_work(Push *push, Work work, void *arg, bool keep);

/* an error if something is violated that is pending on the push's tables */
extern void check_deferred(Push *push);

extern void assign_rounds(List *changes);
extern List *make_units(List *changes);
extern void apply_unit(Push *push, void *unit);
extern void forget_verdicts(List *changes);
extern void work_in_units(Push *push, List *changes, ErrorData *error);

#endif							/* TIDE_UNITS_H */
