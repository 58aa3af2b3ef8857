/*-------------------------------------------------------------------------
 *
 * resolver.h
 *	  The function of the user's that resolves conflicts of a table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_RESOLVER_H
#define TIDE_RESOLVER_H

typedef struct Resolver
{
	Oid			function;		/* invalid: there is none */
	const char *problem;		/* why it cannot be one; NULL: it can */
	const char *hint;
	int			sqlstate;
} Resolver;

/*
 * The function that is to resolve conflicts of a table with this owner.  The name
 * has a schema, and may be quoted.
 */
extern Resolver resolver_find(const char *name, Oid table_owner);

#endif							/* TIDE_RESOLVER_H */
