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

#endif
