/*-------------------------------------------------------------------------
 *
 * interest.h
 *	  What the extension says beside a page of a pull.
 *
 *-------------------------------------------------------------------------
 */
#ifndef INTEREST_H
#define INTEREST_H

#include "live/book.h"

/* What tide.pull_page gives as "interest". */
typedef struct PageAbout
{
	char	   *changed;		/* JSON array of the types that the page
								 * brings; NULL: none */
	bool		is_complete;	/* what a pull that goes on from it looks at
								 * is "interest", and nothing else */
	Interest	interest;
	bool		by_function;	/* a function of the database says whose
								 * scopes these are, and its answer may change */
	int			remember;		/* for how many seconds its cursor may be
								 * given again */
} PageAbout;

extern bool interest_read(const char *json, PageAbout *about);
extern void interest_about_free(PageAbout *about);
extern bool interest_read_names(const char *scopes, const char *types,
								Look *look);
extern void interest_free_names(Look *look);

/* A change of this type in this scope; a shared table has the empty scope. */
extern bool interest_is_about(const Interest *interest, const char *scope,
							  int32_t type);
extern bool interest_has_type(const Interest *interest, int32_t type);
extern bool interest_is_same(const Interest *a, const Interest *b);
extern void interest_free(Interest *interest);

#endif							/* INTEREST_H */
