/*-------------------------------------------------------------------------
 *
 * failure.h
 *	  Why a request failed, and the one table that maps SQLSTATEs to replies.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FAILURE_H
#define FAILURE_H

#include <stdbool.h>

#include "util/buffer.h"

typedef struct Failure
{
	int			status;			/* HTTP status; 0: nothing failed */
	const char *code;			/* a word, static storage */
	char		message[512];	/* valid UTF-8 */
	char		hint[512];		/* empty: none */
	int			retry_after;	/* seconds; 0: no such header */
} Failure;

/* Where in a request's transaction the server raised the error. */
typedef enum FailedStep
{
	STEP_PREPARE,				/* parsing our own statements */
	STEP_BEGIN,
	STEP_SETTINGS,				/* claims and limits */
	STEP_ROLE,
	STEP_CALL,					/* the function of pg_tide */
	STEP_COMMIT
} FailedStep;

extern bool failure_set(Failure *failure, int status, const char *code,
						const char *message, const char *hint);
extern bool failure_try_again(Failure *failure, const char *message);
extern void failure_from_sqlstate(Failure *failure, FailedStep step,
								  bool is_push, bool in_our_text,
								  const char *sqlstate, const char *message,
								  const char *hint);
extern bool failure_is_setup(const char *sqlstate);
extern void failure_hide(Failure *failure, const char *sqlstate);
extern bool failure_is_retryable_conflict(const char *sqlstate);
extern void failure_write(const Failure *failure, Buffer *body);

#endif							/* FAILURE_H */
