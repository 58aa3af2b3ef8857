/*
 * keys.h
 *	  Keys and columns of a type as pieces of SQL.
 *
 * The type's table, its bases and its parked rows have the key in columns of its
 * own names.  All else that is kept by key has it in key1, key2, ...: no column of
 * the app's can be in the way there.
 */
#ifndef TIDE_STORE_KEYS_H
#define TIDE_STORE_KEYS_H

#include "store/store.h"

typedef enum KeyStyle
{
	KEY_NAMED,					/* "id" */
	KEY_NUMBERED				/* key1 */
} KeyStyle;

/* How a table of the type's has the key. */
KeyStyle	key_style(const EntityType *type, const char *table);

/* A list, each with `row` before it: "", "t.", "NEW.". */
void		key_append(Buffer *sql, const EntityType *type, const char *row, KeyStyle style);
void		columns_append(Buffer *sql, const EntityType *type, const char *row);

/* The names of the type's columns, and of the app's status, as literals. */
void		columns_append_names(Buffer *sql, const EntityType *type);

/* key1 TEXT, key2 INTEGER */
void		key_append_declared(Buffer *sql, const EntityType *type);

/* id = ?1 AND ..., as row_bind_key() binds it from `first` on */
void		key_append_match(Buffer *sql, const EntityType *type, KeyStyle style, int first);

/* Two rows have the same key. */
void		key_append_same(Buffer *sql, const EntityType *type, const char *row,
							KeyStyle style, const char *other, KeyStyle other_style);

/* EXISTS (SELECT 1 FROM table AS alias WHERE its key is that of the row) */
void		key_append_exists(Buffer *sql, const EntityType *type, const char *table,
							  const char *alias, const char *row, KeyStyle style);

#endif
