/*-------------------------------------------------------------------------
 *
 * owner.h
 *	  Statements on pg_tide's own tables, run as their owner.
 *
 * For log/ and cursor/generation.c only.  Keys and scopes that are passed to
 * such a statement must be text already, converted with the rights of the caller
 * or of the table's owner.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_OWNER_H
#define TIDE_OWNER_H

#include "executor/spi.h"
#include "utils/snapshot.h"

/*
 * Continue as another user until user_restore().  After an error, the abort of
 * the (sub)transaction restores the user.  "flags" are added to the security
 * context: SECURITY_NOFORCE_RLS, SECURITY_RESTRICTED_OPERATION.
 */
typedef struct SavedUser
{
	Oid			user;
	int			context;
} SavedUser;

extern void user_become(Oid user, int flags, SavedUser *saved);
extern void user_restore(const SavedUser *saved);

/* InvalidOid if there is no such table */
extern Oid	owner_of_table(Oid relid);

/* a relation of schema tide; an error if there is none */
extern Oid	owner_relation(const char *name);

/* receives one row of a result, in the memory context of the caller */
typedef void (*TakeRow) (HeapTuple tuple, TupleDesc desc, void *arg);

/*
 * Run a statement in an SPI connection of its own.  Returns how many rows it
 * found or wrote.  InvalidSnapshot lets it see what this command wrote.
 */
extern uint64 owner_select(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types,
						   Datum *values, const char *nulls, Snapshot snapshot,
						   TakeRow take_row, void *arg);
extern uint64 owner_execute(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types,
							Datum *values, const char *nulls);

/* in the caller's SPI connection; see owner.c */
extern void owner_run(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types,
					  Datum *values, const char *nulls, Snapshot snapshot,
					  bool write);

/* text[] of strings, NULL among them */
extern Datum owner_text_array(char **strings, int n);

/* the strings of a text[], palloc'd; none of them may be NULL */
extern char **owner_strings(Datum array, int *n);

/* a text column of a result, palloc'd; NULL */
extern char *owner_column_text(HeapTuple tuple, TupleDesc desc, int n);

#endif							/* TIDE_OWNER_H */
