/*-------------------------------------------------------------------------
 *
 * dispatch.h
 *	  From a whole request to its job, and from the job's outcome to the reply.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DISPATCH_H
#define DISPATCH_H

#include "http/request.h"

/* These return false if the connection must be closed. */
extern bool dispatch_request(Request *request);
extern bool dispatch_outcome(Request *request);

/*
 * The next bytes of a stream, up to "most", and how many these are.  0: the
 * connection is suspended until there are some.
 */
#define DISPATCH_END	(-1)	/* there are no more */
#define DISPATCH_CUT	(-2)	/* the connection must be closed */

extern long dispatch_stream(Request *request, char *target, size_t most);

#endif							/* DISPATCH_H */
