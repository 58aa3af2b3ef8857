/*-------------------------------------------------------------------------
 *
 * partitions.h
 *	  The partitions of tracked tables, and the triggers that they need.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_PARTITIONS_H
#define TIDE_PARTITIONS_H

#include "nodes/pg_list.h"
#include "utils/snapshot.h"

/*
 * Create the TRUNCATE trigger, which PostgreSQL does not clone, on each
 * partition of this table that must have one, or on this table if it is a
 * partition.  Needs an SPI connection.
 */
extern void partitions_create_triggers(Oid relid, bool always);
extern void partitions_drop_triggers(Oid relid);

extern void partitions_init(void);

#endif							/* TIDE_PARTITIONS_H */
