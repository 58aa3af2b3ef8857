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

/* parts.c: the three parts, as far as the page goes; true: complete up to now */
extern bool pull_read_parts(Pull *pull);

/* pull_time.c: everything since a time, in one page */
extern void pull_since_time(Pull *pull, TimestampTz time);

/* pull_tables.c: from the tables themselves */
extern bool pull_read_tables(Pull *pull, const ScopeSet *covered_scopes,
							 const TypeSet *covered_types);

/* pull_log.c: from the change log */
extern bool pull_read_log(Pull *pull, const ScopeSet *scopes, const TypeSet *types);

#endif							/* TIDE_PARTS_H */
