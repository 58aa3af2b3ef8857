/*-------------------------------------------------------------------------
 *
 * renamed.h
 *	  Columns of tracked tables that get another name.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_RENAMED_H
#define TIDE_RENAMED_H

#include "nodes/nodes.h"

/* what an event trigger calls after a command */
extern void renamed_after(Node *parsetree);

#endif							/* TIDE_RENAMED_H */
