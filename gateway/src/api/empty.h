/*-------------------------------------------------------------------------
 *
 * empty.h
 *	  The reply to a pull that brings nothing, without the database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef EMPTY_H
#define EMPTY_H

#include "database/job.h"
#include "util/buffer.h"

extern void empty_write(const Job *job, int64_t at, const char *unavailable,
						Buffer *reply);
extern void empty_write_lines(const Job *job, int64_t at,
							  const char *unavailable, Buffer *reply);

#endif							/* EMPTY_H */
