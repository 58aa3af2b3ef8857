/*-------------------------------------------------------------------------
 *
 * registry.h
 *	  What pg_tide knows of each tracked table.
 *
 * The configuration of a tracked table is the argument list of its stamp
 * trigger.  It is dumped with the table (also by --schema-only), is dropped
 * with it, and is read only once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_REGISTRY_H
#define TIDE_REGISTRY_H

#include "nodes/pg_list.h"
#include "table/tracked.h"

extern void registry_init(void);
extern TrackedTable *registry_lookup(Oid relid);
extern TrackedTable *registry_require(Oid relid);
extern TrackedTable *registry_lock(Oid relid, int lockmode);
extern TrackedTable *registry_lookup_rows(Oid relid, TrackedTable **layout);
extern TrackedTable *registry_partition(Oid relid, TrackedTable *root);

/*
 * Of a view, see names.h: InvalidOid is the whole database, whoever may see it;
 * else what access_resolve() says
 */
extern TrackedTable *registry_find(Oid view, const char *entity_type, bool missing_ok);
extern List *registry_all(Oid view);
extern int	registry_position(Oid view, Oid relid);
extern bool registry_sees(Oid view, const TrackedTable *t);

extern List *registry_partitioned(void);

/* those whose scope follows foreign keys: all, or those that might visit a table */
extern List *registry_with_paths(void);
extern List *registry_below(Oid relid);

/* why a tracked table cannot be synced; NULL if it can */
extern const char *registry_problem(TrackedTable *t);

#endif							/* TIDE_REGISTRY_H */
