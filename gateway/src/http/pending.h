/*-------------------------------------------------------------------------
 *
 * pending.h
 *	  Requests that wait: for the database, or for something to change.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PENDING_H
#define PENDING_H

#include "http/request.h"

/*
 * The connection rests until request->job_done is set, and is resumed then.
 * The job has its outcome, or request->made is the reply.
 */
extern void pending_ask(Request *request);
extern void pending_poll(Request *request);
extern void pending_refuse_to_wait(Failure *failure);

extern int	pending_count_with_database(void);

#endif							/* PENDING_H */
