/*-------------------------------------------------------------------------
 *
 * connection.c
 *	  One connection to PostgreSQL: opened, found fit, asked, cancelled, closed.
 *
 * What a job sends on it is call.c's business, and what comes back run.c's.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database/link.h"
#include "util/clock.h"

#define CONNECT_TIMEOUT		"5"
#define PROTOCOL_MAJOR		"1"

#define REGISTER_TIMEOUT	(5 * CLOCK_SECOND)

static void
drop_notice(void *argument, const PGresult *result)
{
	/* notices are about the users' tables and do not belong in the log */
	(void) argument;
	(void) result;
}

/* The first line of a libpq message. */
static void
copy_first_line(char *target, size_t size, const char *message)
{
	snprintf(target, size, "%.*s", (int) strcspn(message, "\n"), message);
}

bool
connection_check_conninfo(const char *conninfo, char *problem,
						  size_t problem_size)
{
	char	   *message = NULL;
	PQconninfoOption *options = PQconninfoParse(conninfo, &message);

	if (options == NULL)
	{
		/* libpq's message may quote the string, password and all */
		snprintf(problem, problem_size,
				 "database-url is neither a conninfo string nor a URI");
		PQfreemem(message);
		return false;
	}
	PQconninfoFree(options);
	return true;
}

Connection *
connection_create(const char *conninfo, const char *application)
{
	Connection *connection = calloc(1, sizeof(Connection));

	if (connection == NULL)
		return NULL;
	connection->application = application;
	connection->conninfo = strdup(conninfo);
	if (connection->conninfo == NULL)
	{
		free(connection);
		return NULL;
	}
	pthread_mutex_init(&connection->cancel_lock, NULL);
	return connection;
}

void
connection_close(Connection *connection)
{
	pthread_mutex_lock(&connection->cancel_lock);
	PQfreeCancel(connection->cancel);
	connection->cancel = NULL;
	pthread_mutex_unlock(&connection->cancel_lock);
	PQfinish(connection->link);
	connection->link = NULL;
}

void
connection_free(Connection *connection)
{
	connection_close(connection);
	pthread_mutex_destroy(&connection->cancel_lock);
	free(connection->conninfo);
	free(connection);
}

/*
 * Is the link still open, as far as can be told without a round trip?  A
 * server that was shut down has closed it.  Then the idle socket is readable:
 * first a last message arrives, and then the end.
 */
bool
connection_is_alive(Connection *connection)
{
	PGconn	   *link = connection->link;
	struct pollfd socket;
	int			tries;

	if (link == NULL || PQstatus(link) != CONNECTION_OK)
		return false;
	socket.fd = PQsocket(link);
	socket.events = POLLIN;
	for (tries = 0; tries < 100; tries++)
	{
		socket.revents = 0;
		if (poll(&socket, 1, 0) == 0)
			return true;
		if (PQconsumeInput(link) == 0 || PQstatus(link) != CONNECTION_OK)
			return false;
	}
	return false;
}

/* Ask the server to cancel the running job, if there is one. */
void
connection_cancel(Connection *connection)
{
	char		problem[256];

	pthread_mutex_lock(&connection->cancel_lock);
	if (connection->running && connection->cancel != NULL)
		PQcancel(connection->cancel, problem, sizeof(problem));
	pthread_mutex_unlock(&connection->cancel_lock);
}

/* Likewise, but only if it still runs this job. */
void
connection_cancel_run(Connection *connection, uint64_t number)
{
	char		problem[256];

	pthread_mutex_lock(&connection->cancel_lock);
	if (connection->running && connection->number == number &&
		connection->cancel != NULL)
		PQcancel(connection->cancel, problem, sizeof(problem));
	pthread_mutex_unlock(&connection->cancel_lock);
}

void
connection_set_running(Connection *connection, bool running, uint64_t number)
{
	pthread_mutex_lock(&connection->cancel_lock);
	connection->running = running;
	connection->number = number;
	pthread_mutex_unlock(&connection->cancel_lock);
}

/* ---------- results ---------- */

/*
 * Send what is left and wait until a result can be read without blocking.
 * False: the connection is lost, or "limit" has come.
 */
static bool
wait_for_result(Connection *connection, int64_t limit)
{
	PGconn	   *link = connection->link;

	for (;;)
	{
		struct pollfd socket;
		int64_t		left = limit - clock_now();
		int			unsent = PQflush(link);

		if (unsent < 0)
			return false;
		if (unsent == 0)
		{
			connection->sent = true;
			if (!PQisBusy(link))
				return true;
		}
		if (left <= 0)
			return false;

		socket.fd = PQsocket(link);
		socket.events = (short) (POLLIN | (unsent ? POLLOUT : 0));
		socket.revents = 0;
		if (poll(&socket, 1, (int) (left / CLOCK_MILLISECOND) + 1) < 0 &&
			errno != EINTR)
			return false;
		if ((socket.revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
			PQconsumeInput(link) == 0)
			return false;
	}
}

/*
 * The result of the next step, without the NULL that libpq returns after each.
 * NULL: the connection is lost, or the server is too slow.
 */
PGresult *
connection_next_result(Connection *connection, int64_t limit)
{
	PGresult   *result;

	if (!wait_for_result(connection, limit))
		return NULL;
	result = PQgetResult(connection->link);
	if (result == NULL || PQresultStatus(result) == PGRES_PIPELINE_SYNC)
		return result;
	if (!wait_for_result(connection, limit))
	{
		PQclear(result);
		return NULL;
	}
	PQclear(PQgetResult(connection->link));
	return result;
}

/* ---------- a link that is fit ---------- */

/*
 * Run one statement with one parameter outside any transaction.  Not OPEN_DONE:
 * "detail" has the server's message.
 */
static OpenResult
ask_about(Connection *connection, const char *sql, const char *const *parameter,
		  int64_t limit, PGresult **answer, char *detail, size_t detail_size)
{
	PGresult   *result;
	const char *sqlstate;

	*answer = NULL;
	connection->step_count = 0;
	connection->sent = false;
	if (PQsendQueryParams(connection->link, sql, parameter == NULL ? 0 : 1, NULL,
						  parameter, NULL, NULL, 0) != 1 ||
		PQpipelineSync(connection->link) != 1 ||
		(result = connection_next_result(connection, limit)) == NULL)
	{
		snprintf(detail, detail_size, "the connection was lost at once");
		return OPEN_AWAY;
	}
	PQclear(connection_next_result(connection, limit));
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
	{
		*answer = result;
		return OPEN_DONE;
	}
	sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	copy_first_line(detail, detail_size, PQresultErrorMessage(result));
	PQclear(result);
	/* the server is shutting down or starting, which passes */
	if (sqlstate == NULL || PQstatus(connection->link) != CONNECTION_OK ||
		strncmp(detail, "FATAL", 5) == 0)
		return OPEN_AWAY;
	return OPEN_UNFIT;
}

/* Likewise, without a parameter. */
OpenResult
connection_ask_for(Connection *connection, const char *sql, int64_t limit,
	PGresult **answer, char *detail, size_t detail_size)
{
	return ask_about(connection, sql, NULL, limit, answer, detail, detail_size);
}

/*
 * Run one statement outside any transaction, and copy the columns of its only
 * row, to be freed; NULL for SQL's NULL.  Not OPEN_DONE: "detail" has the
 * reason.
 */
OpenResult
connection_ask(Connection *connection, const char *sql, const char *parameter,
			   int64_t limit, char **values, int count, char *detail,
			   size_t detail_size)
{
	PGresult   *answer;
	OpenResult	result = ask_about(connection, sql, &parameter, limit, &answer,
								   detail, detail_size);
	int			i;

	memset(values, 0, sizeof(char *) * (size_t) count);
	for (i = 0; result == OPEN_DONE && i < count && i < PQnfields(answer); i++)
	{
		if (!PQgetisnull(answer, 0, i))
			values[i] = strdup(PQgetvalue(answer, 0, i));
	}
	PQclear(answer);
	return result;
}

/*
 * Is this a server that can take changes, and speaks its pg_tide our protocol?
 * "detail" has versions, or the reason.
 */
OpenResult
connection_check(Connection *connection, int64_t timeout, char *detail,
				 size_t detail_size)
{
	int64_t		limit = clock_now() + timeout;
	PGresult   *server;
	PGresult   *protocol;
	OpenResult	result;

	result = connection_ask_for(connection,
				 "SELECT pg_catalog.pg_is_in_recovery(),"
				 " pg_catalog.current_setting('server_version'),"
				 " (SELECT e.extversion FROM pg_catalog.pg_extension AS e"
				 " WHERE e.extname OPERATOR(pg_catalog.=) 'pg_tide')",
				 limit, &server, detail, detail_size);
	if (result != OPEN_DONE)
		return result;
	if (PQgetvalue(server, 0, 0)[0] == 't')
	{
		snprintf(detail, detail_size, "the server is in recovery");
		PQclear(server);
		return OPEN_STANDBY;
	}
	result = connection_ask_for(connection, "SELECT tide.protocol()", limit, &protocol,
				 detail, detail_size);
	if (result == OPEN_DONE &&
		strcmp(PQgetvalue(protocol, 0, 0), PROTOCOL_MAJOR) != 0)
	{
		snprintf(detail, detail_size, "pg_tide %s speaks version %s of the "
				 "protocol, this gateway %s", PQgetvalue(server, 0, 2),
				 PQgetvalue(protocol, 0, 0), PROTOCOL_MAJOR);
		result = OPEN_UNFIT;
	}
	else if (result == OPEN_DONE)
		snprintf(detail, detail_size,
				 "PostgreSQL %s, pg_tide %s, protocol " PROTOCOL_MAJOR,
				 PQgetvalue(server, 0, 1), PQgetvalue(server, 0, 2));
	PQclear(server);
	PQclear(protocol);
	return result;
}

/*
 * Have the database register the start of its server, if that has not been
 * done yet.  That is a write, which pulls cannot do because they are
 * read-only.  So it is done before the first pull, in a transaction of its
 * own.
 */
OpenResult
connection_register(Connection *connection, char *detail, size_t detail_size)
{
	PGresult   *answer;
	OpenResult	result = connection_ask_for(connection, "SELECT tide.register()",
							 clock_now() + REGISTER_TIMEOUT, &answer,
							 detail, detail_size);

	PQclear(answer);
	return result;
}

/*
 * Connect.  NULL: "detail" has the reason, and "refused" tells whether a
 * server is there.
 */
static PGconn *
open_link(const Connection *connection, bool *refused, char *detail,
		  size_t detail_size)
{
	/*
	 * the entries before dbname are defaults, which the conninfo may override
	 */
	const char *keywords[] = {
		"connect_timeout", "fallback_application_name", "keepalives_idle",
		"tcp_user_timeout", "dbname", "client_encoding",
		connection->application == NULL ? NULL : "application_name", NULL
	};
	const char *values[] = {
		CONNECT_TIMEOUT, "tide-gateway", "60", "10000",
		connection->conninfo, "UTF8", connection->application, NULL
	};
	PGconn	   *link = PQconnectdbParams(keywords, values, 1);

	if (PQstatus(link) == CONNECTION_OK && PQsetnonblocking(link, 1) == 0 &&
		PQenterPipelineMode(link) == 1)
	{
		PQsetNoticeReceiver(link, drop_notice, NULL);
		return link;
	}
	copy_first_line(detail, detail_size, PQerrorMessage(link));
	/*
	 * a server answers a ping of anybody, so the ping tells whether there is
	 * one
	 */
	*refused = PQpingParams(keywords, values, 1) == PQPING_OK;
	PQfinish(link);
	return NULL;
}

/*
 * Open the connection, or open it again, and look whether the server is fit.
 * "detail" has the versions, or the reason.
 */
OpenResult
connection_open(Connection *connection, char *detail, size_t detail_size)
{
	bool		refused = false;
	OpenResult	result;
	PGconn	   *link;
	char		problem[256];

	connection_close(connection);
	link = open_link(connection, &refused, detail, detail_size);
	if (link == NULL)
		return refused ? OPEN_REFUSED : OPEN_AWAY;

	connection->link = link;
	connection->opened_at = clock_now();
	connection->unregistered = false;
	connection->needs_begin = false;
	memset(connection->prepared, 0, sizeof(connection->prepared));
	pthread_mutex_lock(&connection->cancel_lock);
	connection->cancel = PQgetCancel(link);
	pthread_mutex_unlock(&connection->cancel_lock);

	result = connection_check(connection, REGISTER_TIMEOUT, detail, detail_size);
	if (result == OPEN_DONE)
	{
		result = connection_register(connection, problem, sizeof(problem));
		if (result != OPEN_DONE)
			snprintf(detail, detail_size, "%s", problem);
	}
	if (result != OPEN_DONE)
		connection_close(connection);
	return result;
}

/* Microseconds since the link was opened. */
int64_t
connection_age(const Connection *connection)
{
	return clock_now() - connection->opened_at;
}
