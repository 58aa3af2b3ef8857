/*-------------------------------------------------------------------------
 *
 * foreign_code.h
 *	  May a write to a table run code that is not PostgreSQL's or pg_tide's?
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_FOREIGN_CODE_H
#define TIDE_FOREIGN_CODE_H

#include "table/tracked.h"

/*
 * What an upsert of a row of this table may run, or a delete of one; a clause
 * for a message.  NULL: nothing but PostgreSQL and pg_tide.  The caller holds a
 * lock on the table that writes take.
 */
extern const char *foreign_code(TrackedTable *t, bool deletes);

#endif							/* TIDE_FOREIGN_CODE_H */
