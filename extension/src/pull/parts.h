/*-------------------------------------------------------------------------
 *
 * parts.h
 *	  The parts of a page, in their order.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_PARTS_H
#define TIDE_PARTS_H

#include "pull/page.h"

/* parts.c: all places, as far as the page goes; true: complete up to now */
extern bool pull_read_parts(Pull *pull);

/* parts.c: end the page after the nth item, not 0; the others come on the next */
extern void pull_end_after(Pull *pull, int n);

/* time.c: everything since a time, in one page */
extern void pull_since_time(Pull *pull, TimestampTz time);

/* time.c: likewise in as many pages as it takes, of which this is the first */
extern void pull_begin_at_time(Pull *pull, TimestampTz time);

/* tables.c: the place that is being read, from the tables themselves */
extern bool pull_read_tables(Pull *pull);

/* log.c: likewise, from the change log */
extern bool pull_read_log(Pull *pull);

#endif							/* TIDE_PARTS_H */
