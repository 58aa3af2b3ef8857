/*-------------------------------------------------------------------------
 *
 * load.h
 *	  Making out what a table is to pg_tide.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_LOAD_H
#define TIDE_LOAD_H

#include "utils/relcache.h"
#include "table/tracked.h"

extern TrackedTable *registry_load(Relation rel, Oid stamp_function,
								   MemoryContext parent);
extern TrackedTable *registry_load_partition(Relation rel, Relation root,
											 Oid stamp_function, MemoryContext parent);
extern bool registry_is_clone(Oid trigger);

#endif							/* TIDE_LOAD_H */
