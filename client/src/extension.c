/*
 * extension.c
 *	  tide.so: the library as an extension that any SQLite loads.
 *
 *		SELECT tide_sync();			with the token file that the file remembers
 *		SELECT tide_sync(token);
 *
 * Both do one sync on the connection that asks, and give what `tide sync
 * --json` prints.
 */
#include <string.h>

#include "util/sqlite.h"
SQLITE_EXTENSION_INIT1

#include "loop/handle.h"
#include "loop/summary.h"
#include "store/settings.h"
#include "util/file.h"

/* The token of the file that was remembered when the database was cloned. */
static int
use_remembered_token(tide *t)
{
	Failure    *failure = &t->engine.store.failure;
	Buffer		text = {0};
	char	   *path;
	char	   *token;
	int			code;

	if (!setting_get(&t->engine.store, "token_file", &path))
		return TIDE_LOCAL;
	if (path == NULL)
	{
		failure_set(failure, TIDE_SIGNED_OUT, "signed_out", "there is no token");
		return TIDE_SIGNED_OUT;
	}
	if (!file_read(path, &text, failure) || text.data == NULL)
		code = TIDE_SIGNED_OUT;
	else
	{
		token = text.data + strspn(text.data, " \t\r\n");
		token[strcspn(token, " \t\r\n")] = '\0';
		code = tide_set_token(t, token);
	}
	buffer_free(&text);
	sqlite3_free(path);
	return code;
}

static void
give_outcome(sqlite3_context * context, tide *t, int code)
{
	Failure		failure = t->engine.store.failure;
	tide_summary summary = {0};
	Buffer		out = {0};

	if (tide_is_set_up(t))
		(void) tide_summarize(t, &summary);
	summary_append_json(&out, code, &summary, &failure);
	if (out.failed)
		sqlite3_result_error_nomem(context);
	else
		sqlite3_result_text(context, out.data, (int) out.length, SQLITE_TRANSIENT);
	buffer_free(&out);
}

/*
 * A handle for each call: statements that were kept between calls would keep
 * the host from closing its connection.
 */
static void
sync_function(sqlite3_context * context, int argc, sqlite3_value * *argv)
{
	sqlite3    *db = sqlite3_context_db_handle(context);
	const char *token = argc > 0 ? (const char *) sqlite3_value_text(argv[0]) : NULL;
	tide	   *t;
	int			code;

	if (!sqlite3_get_autocommit(db))
	{
		sqlite3_result_error(context, "tide_sync() cannot be called in a transaction", -1);
		return;
	}
	/* it could not commit what it does, before that statement is done */
	if (sqlite3_txn_state(db, NULL) == SQLITE_TXN_WRITE)
	{
		sqlite3_result_error(context, "tide_sync() cannot be called in a statement that writes", -1);
		return;
	}
	code = tide_attach(db, &t);
	if (t == NULL)
	{
		sqlite3_result_error_nomem(context);
		return;
	}
	if (code == TIDE_OK)
		code = token ? tide_set_token(t, token) : use_remembered_token(t);
	if (code == TIDE_OK)
		code = tide_run(t);
	give_outcome(context, t, code);
	tide_close(t);
}

TIDE_API int sqlite3_tide_init(sqlite3 * db, char **message,
							   const sqlite3_api_routines * api);

int
sqlite3_tide_init(sqlite3 * db, char **message, const sqlite3_api_routines * api)
{
	int			flags = SQLITE_UTF8 | SQLITE_DIRECTONLY;
	int			rc;

	(void) message;
	SQLITE_EXTENSION_INIT2(api);
	rc = sqlite3_create_function(db, "tide_sync", 0, flags, NULL, sync_function, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_create_function(db, "tide_sync", 1, flags, NULL, sync_function, NULL, NULL);
	return rc;
}
