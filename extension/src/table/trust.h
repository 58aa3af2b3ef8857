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

/* counts changes of functions, roles and what these may do */
extern uint64 trust_changes(void);

#endif							/* TIDE_TRUST_H */
