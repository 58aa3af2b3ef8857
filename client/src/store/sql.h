/*
 * sql.h
 *	  Statements on the device's database, and transactions that leave nothing
 *	  open behind.
 */
#ifndef TIDE_STORE_SQL_H
#define TIDE_STORE_SQL_H

#include "store/store.h"

/* Keep what SQLite says as the store's failure; returns false. */
bool		sql_failed(Store *store);

/* Run statements; the format is sqlite3_mprintf()'s (%w, %Q, %q). */
bool		sql_run(Store *store, const char *format,...);
bool		sql_run_buffer(Store *store, Buffer *sql);	/* frees the buffer */

/* NULL where it failed.  sql_prepare_buffer() frees the buffer. */
sqlite3_stmt *sql_prepare(Store *store, const char *sql);
sqlite3_stmt *sql_prepare_buffer(Store *store, Buffer *sql);

/* Step a statement without rows, and reset it. */
bool		sql_execute(Store *store, sqlite3_stmt * stmt);

/*
 * One step: SQLITE_ROW, SQLITE_DONE, or -1 where it failed.  The statement is
 * reset unless it gave a row.
 */
int			sql_step(Store *store, sqlite3_stmt * stmt);

/* The first column of the first row: a number, or a text to be freed. */
bool		sql_number(Store *store, int64_t *value, const char *format,...);
bool		sql_text(Store *store, char **value, const char *format,...);

/*
 * Transactions.  begin refuses to run within one of the host's; end commits
 * where `good`, and rolls back where that, or the commit itself, fails.
 */
bool		sql_begin(Store *store);
bool		sql_end(Store *store, bool good);

/* Likewise, without foreign keys, which the connection enforces again at the end. */
bool		sql_begin_unenforced(Store *store, bool *enforced);
bool		sql_end_unenforced(Store *store, bool good, bool enforced);

bool		sql_bind_text(sqlite3_stmt * stmt, int parameter, const char *text);

#endif
