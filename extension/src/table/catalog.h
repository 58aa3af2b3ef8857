/*-------------------------------------------------------------------------
 *
 * catalog.h
 *	  What the system catalogs say of a relation.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_CATALOG_H
#define TIDE_CATALOG_H

#include "access/attnum.h"
#include "access/htup.h"
#include "access/transam.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* a trigger, copied from the catalog */
typedef struct TriggerFacts
{
	Oid			oid;
	Oid			relid;
	Oid			parent;			/* it is a clone of; invalid if none */
	Oid			function;
	char	   *name;
	int16		type;			/* TRIGGER_TYPE_... */
	char		enabled;
	bool		internal;
	TransactionId xmin;			/* who wrote it */
	int			nargs;
	char	  **args;
} TriggerFacts;

/*
 * None of these functions locks the relation.  What they return is valid while
 * the caller holds a lock that keeps it so, or until an invalidation comes.
 */
extern HeapTuple catalog_class(Oid relid);	/* copied; NULL: there is none */
extern List *catalog_triggers(Oid relid);	/* TriggerFacts, by name */
extern TriggerFacts *catalog_trigger(Oid trigger);	/* NULL: there is none */
extern List *catalog_parents(Oid relid);	/* other tables that foreign keys
											 * refer to */
extern List *catalog_children(Oid relid);	/* other tables whose foreign keys
											 * refer to this one */
extern List *catalog_of_type(Oid type); /* tables made by CREATE TABLE ... OF */
extern bool catalog_is_inherited(Form_pg_class form);

/*
 * Is a row of the catalogs, by its writer, one that the snapshot shows?  Of a
 * table whose row it does not show, such as one that was rewritten since, it may
 * see no rows either.
 */
extern bool catalog_is_seen(TransactionId writer, Snapshot snapshot);

/*
 * What depends on an object, as objects of one class: by pg_depend, which has an
 * index by what is depended upon.  pg_trigger has none by function, and pg_class
 * none by schema.
 */
extern List *catalog_dependents(Oid refclass, Oid object, Oid class);

/* the relation's qualified and quoted name */
extern char *relation_sql(Relation rel);
extern char *catalog_sql_name(Oid relid);	/* NULL: there is none */

/* a column by name; NULL */
extern Form_pg_attribute relation_column(Relation rel, const char *name);

/* is there an index of all rows that begins with this column? */
extern bool relation_has_index_on(Relation rel, const AttrNumber *columns, int n);


/* the table and all below it, in no order, as a snapshot shows them */
extern List *partitions_seen(Oid relid, Snapshot snapshot);

/* "OPERATOR(schema.=)", so that it does not depend on search_path */
extern char *operator_text(Oid oper);

#endif							/* TIDE_CATALOG_H */
