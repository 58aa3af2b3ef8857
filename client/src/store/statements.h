/*
 * statements.h
 *	  The statements that read and write one row of a type.
 */
#ifndef TIDE_STORE_STATEMENTS_H
#define TIDE_STORE_STATEMENTS_H

#include "store/store.h"

/* A kept statement of the type, reset; NULL where it could not be prepared. */
sqlite3_stmt *row_statement(Store *store, EntityType *type, StatementName name);

/* Is it a column of the table's own, and among those that are there? */
bool		row_is_written(const EntityType *type, int column, const JsonNode **members);

/*
 * An upsert of the columns that are there (NULL: all).  Never REPLACE, which
 * gives the row another rowid; and no write at all where nothing differs.
 */
void		row_append_upsert(Buffer *sql, const EntityType *type, const JsonNode **members);

#endif
