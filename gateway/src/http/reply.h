/*-------------------------------------------------------------------------
 *
 * reply.h
 *	  The reply to a request, and what is written down about it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef REPLY_H
#define REPLY_H

#include "http/request.h"

#define REPLY_LEAST_PACKED	1024	/* shorter ones are not worth gzip */

/* These return false if the connection must be closed instead. */
extern bool reply_send(Request *request, int status, const char *body,
					   size_t length);
extern bool reply_text(Request *request, int status, const char *text);
extern bool reply_failure(Request *request);
extern bool reply_stream(Request *request);

extern void reply_record(const Request *request);

#endif							/* REPLY_H */
