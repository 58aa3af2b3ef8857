/*-------------------------------------------------------------------------
 *
 * capture/trigger.h
 *	  What the trigger functions have in common.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_TRIGGER_H
#define TIDE_TRIGGER_H

#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "fmgr.h"

/* beside TRIGGER_TYPE_...: for each row or for each statement */
#define TRIGGER_ANY_LEVEL (1 << 14)

/*
 * Raises the error "what" unless the function is called as a trigger of the
 * kind that TRIGGER_TYPE_ROW and TRIGGER_TYPE_BEFORE in "kinds" describe, for
 * one of the events in it.  A statement trigger has transition tables for
 * INSERT, UPDATE and DELETE, and runs before TRUNCATE.  Likewise an error while
 * tracked tables cannot be told from others.
 */
extern void trigger_check(FunctionCallInfo fcinfo, const char *what, int kinds);

/* rows of a statement before and after it; NULL where the event has none */
typedef struct TransitionRows
{
	Tuplestorestate *old_store;
	Tuplestorestate *new_store;
	int			old_pointer;
	int			new_pointer;
	TupleTableSlot *old;
	TupleTableSlot *new;
	int			natts;			/* how far rows are deformed; 0: all */
} TransitionRows;

/*
 * Reads from the beginning, whoever else reads the transition tables.  The
 * description has the values that rows from before ADD COLUMN ...  DEFAULT
 * lack.
 */
extern void transition_open(TransitionRows *rows, TriggerData *trigdata,
							TupleDesc desc, int natts);
extern bool transition_next(TransitionRows *rows);
extern void transition_close(TransitionRows *rows);

#endif							/* TIDE_TRIGGER_H */
