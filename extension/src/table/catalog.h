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
#include "catalog/pg_attribute.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/* the relation's qualified and quoted name */
extern char *relation_sql(Relation rel);

/* a column by name; NULL */
extern Form_pg_attribute relation_column(Relation rel, const char *name);

/* is there an index of all rows that begins with this column? */
extern bool relation_has_index_on(Relation rel, AttrNumber attnum);

/* does it inherit from a table, or another, not its partition, from it? */
extern bool relation_is_inherited(Relation rel);

/* the table and all below it, in no order, as a snapshot shows them */
extern List *partitions_seen(Oid relid, Snapshot snapshot);

/* "OPERATOR(schema.=)": what search_path finds must not matter */
extern char *operator_text(Oid oper);

#endif							/* TIDE_CATALOG_H */
