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
	char	   *changed;		/* JSON array of the types that the page brings;
								 * NULL: none */
	bool		is_complete;	/* a pull that goes on from it looks at "interest"
								 * alone */
	Interest	interest;
	bool		by_function;	/* whose scopes these are, a function of the
								 * database says, which may say another thing */
	int			remember;		/* seconds that its cursor may be given again */
} PageAbout;

extern bool interest_read(const char *json, PageAbout *about);
extern void interest_about_free(PageAbout *about);
extern bool interest_read_names(const char *scopes, const char *types,
								Look *look);
extern void interest_free_names(Look *look);

#endif							/* INTEREST_H */
