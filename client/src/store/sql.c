/*
 * sql.c
 *	  Statements on the device's database, and transactions.
 */
#include <stdarg.h>
#include <string.h>

#include "store/sql.h"

/* what a user can do something about has a code of its own */
static const char *
word_of(int primary)
{
	switch (primary)
	{
		case SQLITE_FULL:
			return "disk_full";
		case SQLITE_READONLY:
		case SQLITE_PERM:
			return "read_only";
		case SQLITE_CANTOPEN:
			return "cannot_open";
		case SQLITE_IOERR:
			return "io_error";
		case SQLITE_CORRUPT:
		case SQLITE_NOTADB:
			return "corrupt";
		default:
			return "local";
	}
}

static bool
hint_of(Store *store, int primary)
{
	switch (primary)
	{
		case SQLITE_FULL:
		case SQLITE_IOERR:
			return failure_hint(&store->failure, "Make room on the disk; nothing was lost.");
		case SQLITE_READONLY:
		case SQLITE_PERM:
		case SQLITE_CANTOPEN:
			return failure_hint(&store->failure, "The file and its directory must be writable.");
		case SQLITE_CORRUPT:
		case SQLITE_NOTADB:
			return failure_hint(&store->failure,
								"Restore it from a backup, or clone it anew; unsent edits"
								" are in the damaged one.");
		default:
			return false;
	}
}

bool
sql_failed(Store *store)
{
	int			rc = sqlite3_extended_errcode(store->db);
	int			primary = rc & 0xff;

	if (primary == SQLITE_NOMEM)
		return failure_memory(&store->failure);
	if (primary == SQLITE_BUSY || primary == SQLITE_LOCKED)
		return failure_set(&store->failure, TIDE_BUSY, "busy",
						   "the database is locked by another program");
	/* tide_pause() has no more time: the call is made again after it */
	if (primary == SQLITE_INTERRUPT)
		return failure_set(&store->failure, TIDE_BUSY, "interrupted", "interrupted");
	failure_set(&store->failure, TIDE_LOCAL, word_of(primary), "%s", sqlite3_errmsg(store->db));
	return hint_of(store, primary);
}

bool
sql_run(Store *store, const char *format,...)
{
	va_list		args;
	char	   *sql;
	int			rc;

	va_start(args, format);
	sql = sqlite3_vmprintf(format, args);
	va_end(args);
	if (sql == NULL)
		return failure_memory(&store->failure);
	rc = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
	sqlite3_free(sql);
	return rc == SQLITE_OK || sql_failed(store);
}

bool
sql_run_buffer(Store *store, Buffer *sql)
{
	bool		good;

	if (sql->failed)
		good = failure_memory(&store->failure);
	else
		good = sql->data == NULL ||
			sqlite3_exec(store->db, sql->data, NULL, NULL, NULL) == SQLITE_OK ||
			sql_failed(store);
	buffer_free(sql);
	return good;
}

sqlite3_stmt *
sql_prepare(Store *store, const char *sql)
{
	sqlite3_stmt *stmt = NULL;

	if (sqlite3_prepare_v2(store->db, sql, -1, &stmt, NULL) != SQLITE_OK)
		sql_failed(store);
	return stmt;
}

sqlite3_stmt *
sql_prepare_buffer(Store *store, Buffer *sql)
{
	sqlite3_stmt *stmt = NULL;

	if (sql->failed)
		failure_memory(&store->failure);
	else
		stmt = sql_prepare(store, sql->data);
	buffer_free(sql);
	return stmt;
}

int
sql_step(Store *store, sqlite3_stmt * stmt)
{
	int			rc = sqlite3_step(stmt);

	if (rc == SQLITE_ROW)
		return rc;
	if (rc != SQLITE_DONE)
	{
		sql_failed(store);
		rc = -1;
	}
	sqlite3_reset(stmt);
	return rc;
}

bool
sql_execute(Store *store, sqlite3_stmt * stmt)
{
	int			rc = sqlite3_step(stmt);

	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		sql_failed(store);
	sqlite3_reset(stmt);
	return rc == SQLITE_DONE || rc == SQLITE_ROW;
}

/* Prepare a statement that a format and its arguments make. */
static sqlite3_stmt *
prepare_format(Store *store, const char *format, va_list args)
{
	char	   *sql = sqlite3_vmprintf(format, args);
	sqlite3_stmt *stmt = NULL;

	if (sql == NULL)
		failure_memory(&store->failure);
	else
		stmt = sql_prepare(store, sql);
	sqlite3_free(sql);
	return stmt;
}

bool
sql_number(Store *store, int64_t *value, const char *format,...)
{
	sqlite3_stmt *stmt;
	va_list		args;
	int			rc;

	*value = 0;
	va_start(args, format);
	stmt = prepare_format(store, format, args);
	va_end(args);
	if (stmt == NULL)
		return false;
	rc = sql_step(store, stmt);
	if (rc == SQLITE_ROW)
		*value = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	return rc != -1;
}

bool
sql_text(Store *store, char **value, const char *format,...)
{
	sqlite3_stmt *stmt;
	const char *text;
	va_list		args;
	int			rc;

	*value = NULL;
	va_start(args, format);
	stmt = prepare_format(store, format, args);
	va_end(args);
	if (stmt == NULL)
		return false;
	rc = sql_step(store, stmt);
	if (rc == SQLITE_ROW)
	{
		text = (const char *) sqlite3_column_text(stmt, 0);
		if (text != NULL && (*value = text_copy(text)) == NULL)
		{
			failure_memory(&store->failure);
			rc = -1;
		}
	}
	sqlite3_finalize(stmt);
	return rc != -1;
}

static void
forget_undo(Store *store)
{
	sqlite3_finalize(store->undo);
	store->undo = NULL;
}

bool
sql_begin(Store *store)
{
	if (!sqlite3_get_autocommit(store->db))
		return failure_set(&store->failure, TIDE_LOCAL, "in_transaction",
						   "the connection is in a transaction");
	/* a file that is being made has no such table yet, and nothing to hide from */
	(void) sqlite3_prepare_v2(store->db, "UPDATE tide_state SET applying = 0 WHERE 0", -1,
							  &store->undo, NULL);
	if (sql_run(store, "BEGIN IMMEDIATE"))
		return true;
	forget_undo(store);
	return false;
}

/*
 * An interrupt lasts for as long as the host has a statement open, such as the one that
 * calls tide_sync(), and interrupts a ROLLBACK like all else: the transaction, in which
 * nothing is noted, would be the host's to commit.  A statement that writes ends its
 * transaction when it is interrupted; it has to be there already.
 */
bool
sql_end(Store *store, bool good)
{
	if (good)
		good = sql_run(store, "COMMIT");
	/* a COMMIT that failed for a lock or a foreign key leaves it open */
	if (!good && !sqlite3_get_autocommit(store->db))
		(void) sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
	if (store->undo && !sqlite3_get_autocommit(store->db))
		(void) sqlite3_step(store->undo);
	forget_undo(store);
	return good;
}

/*
 * Whether the connection enforces foreign keys.  A PRAGMA would be a statement, which
 * may fail, for want of memory or because tide_pause() interrupts, when the host's
 * setting is to be restored.
 */
static void
enforce(Store *store, bool on)
{
	(void) sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_FKEY, (int) on, (int *) NULL);
}

bool
sql_begin_unenforced(Store *store, bool *enforced)
{
	int			on = 0;

	(void) sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_FKEY, -1, &on);
	*enforced = on != 0;
	if (*enforced)
		enforce(store, false);
	if (sql_begin(store))
		return true;
	if (*enforced)
		enforce(store, true);
	return false;
}

bool
sql_end_unenforced(Store *store, bool good, bool enforced)
{
	good = sql_end(store, good);
	if (enforced)
		enforce(store, true);
	return good;
}

bool
sql_bind_text(sqlite3_stmt * stmt, int parameter, const char *text)
{
	if (text == NULL)
		return sqlite3_bind_null(stmt, parameter) == SQLITE_OK;
	return sqlite3_bind_text(stmt, parameter, text, -1,
							 SQLITE_TRANSIENT) == SQLITE_OK;
}
