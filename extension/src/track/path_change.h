/*-------------------------------------------------------------------------
 *
 * path_change.h
 *	  Scopes whose path leads elsewhere after ALTER TABLE.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_PATH_CHANGE_H
#define TIDE_PATH_CHANGE_H

#include "nodes/nodes.h"
#include "nodes/pg_list.h"

/* what an event trigger calls before and after a command on these tables */
extern void path_change_before(Node *parsetree);
extern void path_change_after(Node *parsetree, List *tables);

/* a table has a trigger of a path that tide.track has not made */
extern void path_change_restored(Oid relid);

#endif							/* TIDE_PATH_CHANGE_H */
