/*-------------------------------------------------------------------------
 *
 * json.h
 *	  Is this text JSON that all readers take the same way?
 *
 *-------------------------------------------------------------------------
 */
#ifndef JSON_H
#define JSON_H

#include <stddef.h>

/* As deep as cJSON reads, and far below what PostgreSQL's stack bears. */
#define JSON_MAX_DEPTH	1000

typedef enum JsonVerdict
{
	JSON_GOOD,
	JSON_REFUSED,				/* the problem says why */
	JSON_NO_MEMORY
} JsonVerdict;

typedef struct JsonProblem
{
	const char *what;			/* a clause, static storage */
	size_t		offset;			/* of the byte it is about, at most the length */
} JsonProblem;

extern JsonVerdict json_check(const char *text, size_t length, int max_depth,
							  JsonProblem *problem);

/*
 * The same of a push.  What PostgreSQL cannot store is let through inside of
 * the body's members: that is the fault of one change, which fails alone.
 */
extern JsonVerdict json_check_push(const char *text, size_t length,
								   int max_depth, JsonProblem *problem);

#endif							/* JSON_H */
