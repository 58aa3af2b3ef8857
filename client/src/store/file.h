/*
 * file.h
 *	  A file of ours as a whole: made, opened, checked, grown.
 */
#ifndef TIDE_STORE_FILE_H
#define TIDE_STORE_FILE_H

#include "store/store.h"

/*
 * Look at a connection's database.  *ours: it has our tables; then the types
 * are read and the triggers checked.
 */
bool		file_open(Store *store, sqlite3 * db, bool *ours);

/* Finalize what is kept on the connection; it is the caller's to close. */
void		file_close(Store *store);

/* what tide_setup() is told */
typedef struct FileOptions
{
	char	   *server;
	char	   *entity_types;	/* JSON array, NULL: all */
	char	   *scopes;			/* JSON array, NULL: all */
	bool		snake;
	bool		status_columns;
	bool		number_keys;	/* rows may be inserted where the server
								 * numbers them */
	bool		attach;			/* to tables that are there */
	char	   *map;			/* JSON object, NULL: all by name */
} FileOptions;

/* Make our tables in a database that has none. */
bool		file_create(Store *store, const FileOptions *options);

/*
 * Take them out again, if no table of the server's was made yet; *undone says
 * whether.
 */
bool		file_undo(Store *store, bool *undone);

/* Make tables of the server's schema, or let those there are grow. */
bool		file_take_schema(Store *store, const char *schema, size_t length,
							 const char *etag);

/*
 * A file that was copied from elsewhere takes a client id of its own: two
 * devices of one name would make stamps that nobody can tell apart.
 */
bool		file_check_identity(Store *store, const char *path);

/*
 * Before each sync: was the schema changed by somebody else?  Then see to it
 * that all triggers are there; of tables whose triggers were missing the next
 * pull reads all rows, to find what was written meanwhile.
 */
bool		file_check(Store *store);

#endif
