/*
 * summary.h
 *	  The outcome of a sync as JSON.
 */
#ifndef TIDE_LOOP_SUMMARY_H
#define TIDE_LOOP_SUMMARY_H

#include "tide.h"
#include "util/buffer.h"
#include "util/failure.h"

/* {result, pulled, pushed, failed, lost, parked, pending, phase, error} */
void		summary_append_json(Buffer *out, int code, const tide_summary *summary,
								const Failure *failure);

#endif
