/*
 * columns.h
 *	  A column as the device has it and as the wire shows it.
 *
 * In tables that we make these are the same.  A table of the app's may lack a
 * column, or hold a coarser value: a time in whole seconds.  What the server said
 * is then kept beside the row, in tide_row_<table>, with the value that the
 * table held for it; a value that is still that one was not edited.
 */
#ifndef TIDE_STORE_COLUMNS_H
#define TIDE_STORE_COLUMNS_H

#include "store/store.h"

/* Is something of the column kept beside the row? */
bool		column_is_kept(const Column *c);

/*
 * Append what the wire would show of a column, for the row that `row` names:
 * "OLD.", "NEW.", or an alias with its dot.
 */
void		column_append_wire(Buffer *sql, const EntityType *type, int column, const char *row);

/* Append an expression of the wire's as the table holds it, and back. */
void		column_append_held(Buffer *sql, const Column *c, const char *expression);
void		column_append_shown(Buffer *sql, const Column *c, const char *expression);

/* Bind a value of the wire's as the table holds it. */
bool		column_bind(sqlite3_stmt * stmt, int parameter, const Column *c, const Json *json,
						const JsonNode *node);

/* Bind a time of ours, ISO 8601, as the table's status column holds times. */
bool		column_bind_time(sqlite3_stmt * stmt, int parameter, TimeForm form, const char *time);

/*
 * Is a row's scope this one?  The server names scopes by texts; a column that an app
 * has declared without a type keeps a number, which no text equals.
 */
void		column_append_in_scope(Buffer *sql, const EntityType *type, const char *row,
								   bool of_table, const char *scope);

#endif
