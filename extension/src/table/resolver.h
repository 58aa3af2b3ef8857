/*-------------------------------------------------------------------------
 *
 * resolver.h
 *	  The function of the user's that resolves conflicts of a table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_RESOLVER_H
#define TIDE_RESOLVER_H

/*
 * Why a function cannot resolve conflicts of a table with this owner, with a
 * hint; NULL if it can.  The name has a schema, and may be quoted.
 */
extern const char *resolver_problem(const char *name, Oid table_owner, const char **hint,
									Oid *function);

#endif							/* TIDE_RESOLVER_H */
