/*
 * store.h
 *	  The device's database as the client sees it: entity types and their
 *	  tables.
 */
#ifndef TIDE_STORE_STORE_H
#define TIDE_STORE_STORE_H

#include "util/failure.h"
#include "wire/value.h"

/* how a table holds times */
typedef enum TimeForm
{
	TIME_ISO,					/* as on the wire */
	TIME_SECONDS,
	TIME_MILLISECONDS			/* since 1970 */
} TimeForm;

typedef struct Column
{
	char	   *wire;			/* its name in JSON */
	char	   *local;			/* its name in the device's table */
	bool		beside;			/* the app's table has none: kept beside the
								 * row */
	bool		coarse;			/* the table's value may be less exact than
								 * the wire's */
	TimeForm	form;			/* of a time */
	ValueKind	kind;
	int			scale;			/* of value_scale() */
	bool		nullable;		/* on the server */
	bool		writable;
	bool		filled;			/* the server fills it where it is not sent */
	bool		is_key;
	bool		is_stamp;		/* stamp, clientId or version: no edit */
} Column;

typedef enum DeleteAction
{
	DELETE_NO_ACTION,
	DELETE_CASCADE,
	DELETE_SET_NULL,
	DELETE_SET_DEFAULT
} DeleteAction;

/* a foreign key to a type that the device has, too */
typedef struct Reference
{
	int		   *columns;		/* of the child */
	int		   *parent_columns;
	int			ncolumns;
	int			parent;			/* index of the type */
	DeleteAction on_delete;
	uint32_t	emptied;		/* by SET NULL and SET DEFAULT: bit i is of
								 * columns[i] */
} Reference;

/* statements that are kept, a set for each type */
typedef enum StatementName
{
	STATEMENT_UPSERT,
	STATEMENT_KEEP,
	STATEMENT_FORGET,
	STATEMENT_DELETE,
	STATEMENT_READ,
	STATEMENT_READ_BASE,
	STATEMENT_READ_PARKED,
	STATEMENT_SAVE_BASE,
	STATEMENT_DROP_BASE,
	STATEMENT_DIRTY,
	STATEMENT_CLEAN,
	STATEMENT_THEIRS,
	STATEMENT_CAME,
	STATEMENT_COUNT
} StatementName;

typedef struct EntityType
{
	char	   *name;			/* on the wire */
	char	   *table;			/* on the device */
	char	   *base_table;		/* rows as the server last showed them */
	char	   *dirty_table;	/* rows edited here and not yet sent */
	char	   *parked_table;	/* edits without a place in the table */
	char	   *row_table;		/* what the table cannot hold; NULL: it holds
								 * all */
	bool		attached;		/* the table is the app's */
	bool		is_new;			/* its rows have not been compared with the
								 * server's yet */
	TimeForm	form;			/* of its status column, too */
	Column	   *columns;
	int			ncolumns;
	int		   *keys;			/* indexes of the key's columns */
	int			nkeys;
	int			scope,			/* indexes of columns, -1 for none */
				modified_at,
				client_id,
				version,
				deleted_at;
	bool		by_column;		/* the policy merges: send what was edited */
	bool		numbered;		/* the server numbers the key */
	bool		key_default;	/* the server makes the key, here as a uuid */
	char	   *is_dirty;		/* status columns of the table, or NULL */
	char	   *synced_at;
	char	  **parents;		/* names of types */
	int			nparents;
	Reference  *references;
	int			nreferences;
	bool		in_schema;		/* the server's schema has it */
	bool		available;		/* and it is served: else its edits wait */
	int64_t		dirty_count;	/* of a transaction; 0: no row is edited */
	sqlite3_stmt *statements[STATEMENT_COUNT];
} EntityType;

/* a few names, see names.h */
typedef struct Names
{
	char	  **names;
	int			count;
} Names;

typedef struct Store
{
	sqlite3    *db;
	EntityType *types;			/* parents before children */
	int			ntypes;
	bool		attached;		/* tables are the app's; none are made */
	bool		lacking;		/* the app dropped a table or column: no view
								 * may need it */
	int			schema_version; /* SQLite's, when the triggers were seen */
	char	   *place;			/* see place.h; of the request that is out */
	sqlite3_stmt *undo;			/* of the transaction, see sql_end() */
	Failure		failure;
	Names		changed;		/* tables that were, until somebody asks */
	Names		left_out;		/* types that the file goes without; see
								 * unfit.h */
	bool		look_again;		/* ... which may fit now: ask for the schema */
	char	   *at_fault;		/* the type that was read or made at last, NULL
								 * once all are */
} Store;

EntityType *store_type(Store *store, const char *name, size_t length);
int			type_column(const EntityType *type, const char *wire, size_t length);

#endif
