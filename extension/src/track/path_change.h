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

/* what an event trigger calls before and after a command */
extern void path_change_before(Node *parsetree);
extern void path_change_after(Node *parsetree);

#endif							/* TIDE_PATH_CHANGE_H */
