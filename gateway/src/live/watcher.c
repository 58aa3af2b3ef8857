/*-------------------------------------------------------------------------
 *
 * watcher.c
 *	  The watcher's connection, and one look.
 *
 * A look is one statement, tide.watch, with the mark that the last one gave.
 * It leaves nothing in the session but the statement, and does without that
 * behind a pooler in transaction mode, which may hand each to another.
 *
 *-------------------------------------------------------------------------
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database/connection.h"
#include "database/database.h"
#include "live/interest.h"
#include "live/watcher.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/text.h"

/* if a look takes longer, whoever waits asks the database itself */
#define LOOK_TIMEOUT	(2 * CLOCK_SECOND)

#define FIRST_RETRY		(CLOCK_SECOND / 2)
#define LAST_RETRY		(30 * CLOCK_SECOND)

#define LOOK_SQL \
	"SELECT (c.w).mark, (c.w).server, (c.w).at, (c.w).known," \
	" pg_catalog.to_json((c.w).scopes), pg_catalog.to_json((c.w).types)" \
	" FROM (SELECT tide.watch($1::text) AS w) AS c"

enum
{
	COLUMN_MARK, COLUMN_SERVER, COLUMN_AT, COLUMN_KNOWN, COLUMN_SCOPES,
	COLUMN_TYPES, COLUMNS
};

static Connection *connection;
static bool is_open = false;
static char *mark = NULL;		/* of the last look; NULL: there was none */
static int64_t retry_after = FIRST_RETRY;
static bool said = false;		/* the log has a line that looks do not work */
static atomic_bool reconnect = false;

bool
watcher_create(const char *conninfo)
{
	connection = connection_create(conninfo, false, "tide-gateway-watch");
	return connection != NULL;
}

/* End the connection.  The mark means nothing on another one. */
static void
close_watcher(void)
{
	connection_close(connection);
	is_open = false;
	free(mark);
	mark = NULL;
}

/*
 * Log it once until looks work again: it must be seen, but not once a second.
 */
static void
say_failed(const char *detail)
{
	if (!said)
		log_event(LOG_WARNING, "watch-failed", "message", detail, "hint",
				  "Waiting pulls ask the database every second. Is EXECUTE on "
				  "tide.watch(text) granted to the gateway's role?", NULL);
	said = true;
}

static void
back_off(const char *detail, int64_t *retry_at)
{
	say_failed(detail);
	*retry_at = clock_now() + retry_after;
	retry_after = retry_after * 2 < LAST_RETRY ? retry_after * 2 : LAST_RETRY;
}

/* Connect if necessary.  False: not before "retry_at". */
bool
watcher_connect(int64_t *retry_at)
{
	char		detail[256];
	Failure		failure;

	if (reconnect)
	{
		reconnect = false;
		close_watcher();
	}
	if (is_open)
		return true;

	/*
	 * If few sessions are allowed, the first is for requests, and the second for
	 * the thread that looks at the server.
	 */
	if (database_connected() == 0 || !database_is_ready(&failure))
	{
		*retry_at = clock_now() + FIRST_RETRY;
		return false;
	}
	if (connection_open(connection, detail, sizeof(detail)) == OPEN_DONE)
	{
		is_open = true;
		return true;
	}
	back_off(detail, retry_at);
	return false;
}

/* The row of a look.  False: it is not one. */
static bool
read_look(char **values, Look *look)
{
	int			i;

	for (i = 0; i < COLUMNS; i++)
	{
		if (values[i] == NULL)
			return false;
	}
	if (!text_parse_integer(values[COLUMN_AT], &look->at) ||
		!interest_read_names(values[COLUMN_SCOPES], values[COLUMN_TYPES], look))
		return false;
	look->known = strcmp(values[COLUMN_KNOWN], "t") == 0;
	look->server = values[COLUMN_SERVER];
	values[COLUMN_SERVER] = NULL;
	free(mark);
	mark = values[COLUMN_MARK];
	values[COLUMN_MARK] = NULL;
	return true;
}

/*
 * Make one look, after watcher_connect().  False: the connection is closed,
 * and what was seen on it counts no longer; try again at "retry_at".
 * watcher_free_look() frees what was read.
 */
bool
watcher_look(Look *look, int64_t *retry_at)
{
	char	   *values[COLUMNS];
	char		detail[256] = "the answer cannot be read";
	OpenResult	result;
	bool		good;
	int			i;

	memset(look, 0, sizeof(Look));
	result = connection_ask(connection, "tide_1_watch", LOOK_SQL, mark, clock_now() + LOOK_TIMEOUT,
							values, COLUMNS, detail, sizeof(detail));
	good = result == OPEN_DONE && read_look(values, look);
	for (i = 0; i < COLUMNS; i++)
		free(values[i]);
	if (good)
	{
		retry_after = FIRST_RETRY;
		said = false;
		return true;
	}
	back_off(detail, retry_at);
	close_watcher();
	return false;
}

void
watcher_free_look(Look *look)
{
	free((char *) look->server);
	interest_free_names(look);
}

/* From any thread: the next look is on a new connection. */
void
watcher_reconnect(void)
{
	reconnect = true;
}

void
watcher_close(void)
{
	close_watcher();
	connection_free(connection);
}
