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

#endif							/* DISPATCH_H */
