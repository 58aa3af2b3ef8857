/*
 * rows.h
 *	  One row at a time: into the device's table, out of it, and its key.
 */
#ifndef TIDE_STORE_ROWS_H
#define TIDE_STORE_ROWS_H

#include "store/statements.h"

/*
 * Bind a key from parameter `first` on.  The node is the row or key as an
 * object, or the bare value of a key of one column.
 */
bool		row_bind_key(Store *store, const EntityType *type, sqlite3_stmt * stmt,
						 int first, const Json *json, const JsonNode *row);

/* Find the row's columns; false if it has members that the type has not. */
bool		row_members(const EntityType *type, const Json *json, const JsonNode *row,
						const JsonNode **members);

typedef enum RowResult
{
	ROW_ERROR,					/* the store's failure says why */
	ROW_UNCHANGED,
	ROW_CHANGED,
	ROW_REFUSED					/* by a constraint or trigger of the app's */
} RowResult;

/*
 * Write a server's row, or the removal of one.  Where it is refused, *message
 * (to be freed) says by what.
 */
RowResult	row_store(Store *store, EntityType *type, const Json *json,
					  const JsonNode *row, const char *synced_at, char **message);
RowResult	row_remove(Store *store, EntityType *type, const Json *json,
					   const JsonNode *row, char **message);

/* What is kept beside rows that are neither there nor edited. */
bool		row_forget_orphans(Store *store, EntityType *type);

/* The base becomes this row. */
bool		row_save_base(Store *store, EntityType *type, const Json *json,
						  const JsonNode *key, const JsonNode *row);

/*
 * Keep a row of the server's beside the edit of a key: NULL where it is no other than
 * the base's, or deleted.
 */
bool		row_keep_theirs(Store *store, EntityType *type, const Json *json,
							const JsonNode *key, const JsonNode *row, bool deleted);

/* Is a row of the server's the version that is the base?  Their stamps say. */
bool		row_is_base(Store *store, EntityType *type, const Json *json,
						const JsonNode *row, bool *is);

/* Run DROP_BASE, CLEAN or CAME for a key. */
bool		row_run(Store *store, EntityType *type, StatementName name,
					const Json *json, const JsonNode *row);

/* what is noted of a row that is dirty */
typedef struct Dirty
{
	bool		found;
	bool		is_delete;
	bool		edited;			/* since it was frozen */
	int64_t		batch;			/* 0: it is not on its way */
	int64_t		tries;
	int64_t		edited_at;
} Dirty;

bool		row_dirty(Store *store, EntityType *type, const Json *json,
					  const JsonNode *row, Dirty *dirty);

/*
 * Read a key's row by READ, READ_BASE, READ_PARKED or DIRTY.  *stmt stands on it, and
 * is to be reset; NULL: there is none.
 */
bool		row_read(Store *store, EntityType *type, StatementName name, const Json *json,
					 const JsonNode *row, sqlite3_stmt * *stmt);

/* The same as JSON, to be freed; NULL: there is none. */
bool		row_read_json(Store *store, EntityType *type, StatementName name, const Json *json,
						  const JsonNode *row, char **text);

/* Append a statement's current row, the type's columns, as a JSON object. */
bool		row_append_json(const EntityType *type, sqlite3_stmt * stmt, Buffer *out);

/* The bare text of a key, of several columns the JSON object. */
char	   *row_key_text(const EntityType *type, const Json *json, const JsonNode *row);

/* The key, as JSON to be parsed, from a text as row_key_text() gives it. */
bool		row_key_json(const EntityType *type, const char *text, Buffer *out);

/* The key of a statement's current row, which has it in its first columns. */
bool		row_append_key(const EntityType *type, sqlite3_stmt * stmt, Buffer *out);

#endif
