/*
 * failure.h
 *	  What went wrong: the first failure of a call, with its words.
 */
#ifndef TIDE_UTIL_FAILURE_H
#define TIDE_UTIL_FAILURE_H

#include <stdbool.h>

#include "tide.h"

typedef struct Failure
{
	int			result;			/* TIDE_OK while nothing failed */
	char		code[64];		/* the server's code, or a word of ours */
	char		message[512];
	char		hint[512];
} Failure;

/* Keep the first failure; returns false, for `return failure_set(...)`. */
bool		failure_set(Failure *failure, int result, const char *code,
						const char *format,...)
__attribute__ ((format(printf, 4, 5)));
bool		failure_hint(Failure *failure, const char *format,...)
__attribute__ ((format(printf, 2, 3)));

/* Memory ran out: that goes before any other failure. */
bool		failure_memory(Failure *failure);
void		failure_clear(Failure *failure);

#endif
