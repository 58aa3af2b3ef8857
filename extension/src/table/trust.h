/*-------------------------------------------------------------------------
 *
 * trust.h
 *	  pg_tide's own functions, and which owners may have tables synced.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_TRUST_H
#define TIDE_TRUST_H

extern void trust_init(void);

/* the trigger function by which tracked tables are known; invalid if none */
extern Oid	trust_stamp_function(void);

/* may this role have its tables synced? */
extern bool trust_owner(Oid owner);

/*
 * Is this function one whose code may run for others?  Its owner is trusted, or
 * is the owner of the table, if that is given, who is.  A function that is found
 * by its name may not be the one that was meant.
 */
extern bool trust_function(Oid function, Oid table_owner);
extern Oid	function_owner(Oid function);

/* counts changes of functions, roles and what these may do */
extern uint64 trust_changes(void);

#endif							/* TIDE_TRUST_H */
