/*-------------------------------------------------------------------------
 *
 * owner.h
 *	  Statements on pg_tide's own tables, as their owner.
 *
 * For changelog.c, generation.c and records.c only: keys and scopes have to be
 * text by then, converted with the rights of whom they come from.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_OWNER_H
#define TIDE_OWNER_H

#include "executor/spi.h"
#include "utils/snapshot.h"

/* a relation of schema tide; an error if there is none */
extern Oid	owner_relation(const char *name);

/* in an SPI connection of the caller's; see owner.c */
extern void owner_run(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types,
					  Datum *values, const char *nulls, Snapshot snapshot,
					  bool write);

/* text[] of strings, NULL among them */
extern Datum owner_text_array(char **strings, int n);

/* a text column of a result, palloc'd; NULL */
extern char *owner_column_text(HeapTuple tuple, TupleDesc desc, int n);

#endif							/* TIDE_OWNER_H */
