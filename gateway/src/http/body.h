/*-------------------------------------------------------------------------
 *
 * body.h
 *	  The body of a request: received, unpacked, and looked at.
 *
 *-------------------------------------------------------------------------
 */
#ifndef BODY_H
#define BODY_H

#include "http/request.h"

extern bool body_append(Request *request, const char *data, size_t length);
extern bool body_check(Request *request);
extern bool body_fill_job(Request *request);
extern void body_drop(Request *request);

#endif							/* BODY_H */
