/*-------------------------------------------------------------------------
 *
 * units.h
 *	  Carrying out a push in order, and each unit apart once something fails.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_UNITS_H
#define TIDE_UNITS_H

#include "push/change.h"

/* changes of one table in one round, upserts or deletes */
typedef struct Unit
{
	PushTable  *table;
	bool		is_delete;
	int			round;
	bool		is_blamed;		/* an error was found to be about every change
								 * of it */
	bool		checks;			/* look at deferred constraints after each
								 * part */
	List	   *changes;
} Unit;

typedef void (*Work) (Push *push, void *arg);

/* In a subtransaction.  NULL, or the error; see units.c. */
extern ErrorData *try_work(Push *push, Work work, void *arg, bool keep);

extern char *row_name(Change *c);
extern void assign_rounds(Push *push);
extern List *make_units(List *changes);
extern void apply_unit(Push *push, void *unit);
extern void forget_verdicts(List *changes);
extern void work_in_units(Push *push, List *changes, ErrorData *error);

#endif							/* TIDE_UNITS_H */
