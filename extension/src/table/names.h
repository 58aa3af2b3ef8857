/*-------------------------------------------------------------------------
 *
 * names.h
 *	  The list of tracked tables: their names, and which claim to a name
 *	  counts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_NAMES_H
#define TIDE_NAMES_H

#include "nodes/pg_list.h"

/* what is known of a tracked table without having loaded it */
typedef struct TrackedName
{
	Oid			relid;
	Oid			owner;
	int			reg;
	char	   *entity_type;
	bool		parents_known;
	List	   *parents;		/* tables that its foreign keys refer to */
	bool		trusted;		/* its owner is; false until names_all() */
	struct TrackedName *rival;	/* another trusted table with the same
								 * registration or entity type; NULL if none */
} TrackedName;

extern void names_init(void);

/* the trigger function by which tracked tables are known; invalid if none */
extern Oid	names_stamp_function(void);

/*
 * All tracked tables, as TrackedName, palloc'd; parents first, if the caller
 * wants that.  They are valid until the next call of a function of this file.
 */
extern List *names_all(bool ordered);
extern TrackedName *names_by_relid(Oid relid);	/* NULL */

/* may this role have its tables synced? */
extern bool names_is_trusted(Oid owner);

/* counts invalidations of tables, schemas and what is known by them */
extern uint64 names_invalidations(void);

/* called for each of them; InvalidOid is all tables */
typedef void (*NamesCallback) (Oid relid);
extern void names_on_invalidation(NamesCallback callback);

#endif							/* TIDE_NAMES_H */
