/*-------------------------------------------------------------------------
 *
 * names.h
 *	  The lists of tracked tables: their names, and which claim to a name
 *	  counts.
 *
 * A list is of a view: what a caller sees.  That is the database (InvalidOid),
 * or, where pg_tide.schema_claim is set, one schema and the shared ones.
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
	Oid			namespace;
	Oid			owner;
	int			reg;
	char	   *entity_type;
	bool		partitioned;
	bool		has_path;		/* its scope follows foreign keys */
	bool		parents_known;
	List	   *parents;		/* tables that its foreign keys refer to */
	int			found;			/* in which order it was found */

	/* by judge_claims() */
	bool		trusted;		/* its owner is */
	bool		hidden;			/* one of a shared schema: the view's own
								 * schema has its entity type or registration */
	struct TrackedName *rival;	/* another trusted table with the same
								 * registration or entity type; NULL if none */
} TrackedName;

extern void names_init(void);

/* the view that a table of this schema is seen in with its neighbours */
extern Oid	names_view_of(Oid schema);

/* has this schema tracked tables? */
extern bool names_has_schema(Oid schema);

/*
 * All tracked tables of the view, as TrackedName, palloc'd; parents first, if
 * the caller wants that.  They are valid until the next call of a function of
 * this file.
 */
extern List *names_all(Oid view, bool ordered);

/* NULL: it is not one of the view's */
extern TrackedName *names_find(Oid view, Oid relid);

/* a table of this schema with what it is a rival of; NULL */
extern TrackedName *names_by_relid(Oid relid, Oid schema);

/* for list_sort(): by registration, then by relid */
extern int	names_compare_regs(const ListCell *a, const ListCell *b);

/* counts invalidations of tables, schemas and what is known by them */
extern uint64 names_invalidations(void);

/* called for each of them; InvalidOid is all tables */
typedef void (*NamesCallback) (Oid relid);
extern void names_on_invalidation(NamesCallback callback);

/* name_order.c: the same names, parents first */
extern List *names_parents_first(List *names);

#endif							/* TIDE_NAMES_H */
