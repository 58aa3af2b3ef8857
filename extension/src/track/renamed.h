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
#include "nodes/pg_list.h"

#include "table/setting.h"

/* is it the command that renames a column of a table? */
extern bool renames_column(Node *parsetree);

/* after a command of this tag, the tables whose columns it may have made others: OIDs */
extern List *tables_of_command(Node *parsetree, const char *tag);

/* what event triggers call after a command, and after one that has dropped something */
extern void renamed_after(Node *parsetree, List *tables);
extern void renamed_dropped(void);

/* after a command of this tag, what of a system catalog it has made or altered: OIDs */
extern List *objects_of_command(Oid class, const char *tag);

/* give a tracked table other settings, in place */
extern void store_settings(Oid relid, const TableSettings *settings);

#endif							/* TIDE_RENAMED_H */
