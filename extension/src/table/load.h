/*-------------------------------------------------------------------------
 *
 * load.h
 *	  Loading what pg_tide knows of a table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_LOAD_H
#define TIDE_LOAD_H

#include "utils/palloc.h"
#include "table/tracked.h"

extern TrackedTable *registry_load(Oid relid, Oid stamp_function,
								   MemoryContext parent);
extern TrackedTable *registry_load_partition(Oid relid, Oid root, Oid stamp_function,
											 MemoryContext parent);

#endif							/* TIDE_LOAD_H */
