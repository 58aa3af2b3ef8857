/*
 * refusal.h
 *	  What the server says of a request that it did not do.
 */
#ifndef TIDE_ENGINE_REFUSAL_H
#define TIDE_ENGINE_REFUSAL_H

#include "wire/json.h"
#include "util/failure.h"

/*
 * Set the failure to what the body's "error" says; `otherwise` is the message of
 * an answer that says nothing.  Returns false, for `return`.
 */
bool		refusal_read(Failure *failure, int result, const Buffer *body,
						 const char *otherwise);

/*
 * Is this no answer of the server's?  Its own are JSON objects; with a name, with
 * that member.  False, too, where memory does not last to tell.
 */
bool		refusal_is_from_elsewhere(const Buffer *body, const char *name);

/* Code and message of a network or a proxy that has answered in the server's place. */
#define NOT_THE_SERVER "not_the_server"
#define NOT_THE_SERVER_SAYS "what answered is not the server: does the network want a log-in?"

/* Of an answer that takes more than TIDE_ANSWER_BYTES. */
#define ANSWER_TOO_LARGE "the server's answer takes more than 128 MiB"

#endif
