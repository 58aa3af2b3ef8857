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
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database/link.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/version.h"

#define CONNECT_TIMEOUT		"5"
#define PROTOCOL_MAJOR		"1"

/* the first version whose SQL objects have all that is called here */
#define OLDEST_PG_TIDE		"0.2.0"

#define REGISTER_TIMEOUT	(5 * CLOCK_SECOND)

/* how often a run at a replica looks whether it is cut */
#define CUT_INTERVAL		(CLOCK_SECOND / 4)

#define LEAST_STANDBY_VERSION	150000

/* of pages of the WAL, in bytes; the long one is at the start of a segment */
#define SHORT_PAGE_HEADER	24
#define LONG_PAGE_HEADER	40

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

/* "setting" has it. */
bool
connection_check_conninfo(const char *setting, const char *conninfo,
						  char *problem, size_t problem_size)
{
	char	   *message = NULL;
	PQconninfoOption *options = PQconninfoParse(conninfo, &message);

	if (options == NULL)
	{
		/* libpq's message may quote the string, password and all */
		snprintf(problem, problem_size,
				 "%s is neither a conninfo string nor a URI", setting);
		PQfreemem(message);
		return false;
	}
	PQconninfoFree(options);
	return true;
}

/* Host and port, for people; nothing else of it may be told. */
void
connection_describe(const char *conninfo, char *text, size_t size)
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
	PQconninfoOption *option;
	const char *host = NULL;
	const char *port = NULL;

	for (option = options; option != NULL && option->keyword != NULL; option++)
	{
		if (option->val == NULL || option->val[0] == '\0')
			continue;
		if (strcmp(option->keyword, "host") == 0 ||
			(host == NULL && strcmp(option->keyword, "hostaddr") == 0))
			host = option->val;
		else if (strcmp(option->keyword, "port") == 0)
			port = option->val;
	}
	snprintf(text, size, "%s%s%s", host == NULL ? "local" : host,
			 port == NULL ? "" : ":", port == NULL ? "" : port);
	PQconninfoFree(options);
}

/* "of_replica": the server is to be in recovery, else it must not be. */
Connection *
connection_create(const char *conninfo, bool of_replica, const char *application)
{
	Connection *connection = calloc(1, sizeof(Connection));

	if (connection == NULL)
		return NULL;
	connection->application = application;
	connection->of_replica = of_replica;
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

/* Ask the server to cancel this job, if it still runs. */
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

/*
 * End what runs, as if the connection were lost.  A request to cancel would hang
 * as the server does.
 */
void
connection_cut(Connection *connection)
{
	connection->cut = true;
}

void
connection_set_running(Connection *connection, bool running, uint64_t number)
{
	pthread_mutex_lock(&connection->cancel_lock);
	connection->running = running;
	connection->number = number;
	connection->cut = false;
	pthread_mutex_unlock(&connection->cancel_lock);
}

/* ---------- results ---------- */

/*
 * Send what is left and wait until a result can be read without blocking.
 * False: the connection is lost or cut, or "limit" has come.
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
		if (left <= 0 || connection->cut)
			return false;
		if (left > CUT_INTERVAL && connection->of_replica)
			left = CUT_INTERVAL;

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

/* ---------- prepared statements ---------- */

/*
 * Cleared for good when the server does not know a statement that was prepared:
 * then a pooler hands our transactions to different sessions.
 */
static atomic_bool use_prepared = true;

bool
connection_may_prepare(void)
{
	return use_prepared;
}

/* Is this of a session that is not the one that prepared, or prepares? */
bool
connection_lost_prepared(const char *sqlstate)
{
	/* it is not known there, or it is already */
	if (sqlstate == NULL ||
		(strcmp(sqlstate, "26000") != 0 && strcmp(sqlstate, "42P05") != 0))
		return false;
	if (atomic_exchange(&use_prepared, false))
		log_event(LOG_INFO, "prepared-statements-off", NULL);
	return true;
}

/* ---------- a link that is fit ---------- */

/* One statement outside any transaction, and its answer. */
typedef struct Question
{
	const char *name;			/* of the statement that is prepared, or is to
								 * be; NULL: of none */
	const char *sql;
	bool		is_prepare;
	bool		has_parameter;
	const char *parameter;
	char		sqlstate[6];	/* of an error */
} Question;

static bool
send_question(PGconn *link, const Question *question)
{
	const char *const *values = question->has_parameter ? &question->parameter : NULL;
	int			count = question->has_parameter ? 1 : 0;

	if (question->is_prepare)
		return PQsendPrepare(link, question->name, question->sql, 0, NULL) == 1;
	if (question->name != NULL)
		return PQsendQueryPrepared(link, question->name, count, values, NULL, NULL, 0) == 1;
	return PQsendQueryParams(link, question->sql, count, NULL, values, NULL, NULL, 0) == 1;
}

/*
 * Run it.  Not OPEN_DONE: "detail" has the server's message.  The answer is one
 * row, or none of a statement that is prepared.
 */
static OpenResult
ask_about(Connection *connection, Question *question, int64_t limit,
		  PGresult **answer, char *detail, size_t detail_size)
{
	PGresult   *result;
	const char *sqlstate;

	*answer = NULL;
	connection->step_count = 0;
	connection->sent = false;
	question->sqlstate[0] = '\0';
	if (!send_question(connection->link, question) ||
		PQpipelineSync(connection->link) != 1 ||
		(result = connection_next_result(connection, limit)) == NULL)
	{
		snprintf(detail, detail_size, "the connection was lost at once");
		return OPEN_AWAY;
	}
	PQclear(connection_next_result(connection, limit));
	if (question->is_prepare ? PQresultStatus(result) == PGRES_COMMAND_OK :
		PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
	{
		*answer = result;
		return OPEN_DONE;
	}
	sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	snprintf(question->sqlstate, sizeof(question->sqlstate), "%s",
			 sqlstate == NULL ? "" : sqlstate);
	copy_first_line(detail, detail_size, PQresultErrorMessage(result));
	PQclear(result);
	/* the server is shutting down or starting, which passes */
	if (sqlstate == NULL || PQstatus(connection->link) != CONNECTION_OK ||
		strncmp(detail, "FATAL", 5) == 0)
		return OPEN_AWAY;
	return OPEN_UNFIT;
}

/* Run one statement without a parameter outside any transaction. */
OpenResult
connection_ask_for(Connection *connection, const char *sql, int64_t limit,
				   PGresult **answer, char *detail, size_t detail_size)
{
	Question	question = {.sql = sql};

	return ask_about(connection, &question, limit, answer, detail, detail_size);
}

/* The statement that is asked again and again is prepared, once a session. */
static OpenResult
ask_by_name(Connection *connection, Question *question, int64_t limit,
			PGresult **answer, char *detail, size_t detail_size)
{
	Question	prepare = {.name = question->name, .sql = question->sql, .is_prepare = true};
	OpenResult	result = OPEN_DONE;

	if (!connection->asks_by_name)
	{
		result = ask_about(connection, &prepare, limit, answer, detail, detail_size);
		PQclear(*answer);
		*answer = NULL;
		connection->asks_by_name = result == OPEN_DONE;
	}
	if (result == OPEN_DONE)
		result = ask_about(connection, question, limit, answer, detail, detail_size);
	if (result != OPEN_UNFIT ||
		!(connection_lost_prepared(prepare.sqlstate) || connection_lost_prepared(question->sqlstate)))
		return result;
	question->name = NULL;
	return ask_about(connection, question, limit, answer, detail, detail_size);
}

/*
 * Run one statement outside any transaction, and copy the columns of its only
 * row, to be freed; NULL for SQL's NULL.  With a name it is prepared, where that
 * lasts; a connection has only one such statement.  Not OPEN_DONE: "detail" has the
 * reason.
 */
OpenResult
connection_ask(Connection *connection, const char *name, const char *sql,
			   const char *parameter, int64_t limit, char **values, int count,
			   char *detail, size_t detail_size)
{
	Question	question = {.sql = sql, .has_parameter = true, .parameter = parameter};
	PGresult   *answer;
	OpenResult	result;
	int			i;

	if (name != NULL && connection_may_prepare())
	{
		question.name = name;
		result = ask_by_name(connection, &question, limit, &answer, detail, detail_size);
	}
	else
		result = ask_about(connection, &question, limit, &answer, detail, detail_size);
	memset(values, 0, sizeof(char *) * (size_t) count);
	for (i = 0; result == OPEN_DONE && i < count && i < PQnfields(answer); i++)
	{
		if (!PQgetisnull(answer, 0, i))
			values[i] = strdup(PQgetvalue(answer, 0, i));
	}
	PQclear(answer);
	return result;
}

/* Is this version, three numbers with dots between them, before that one? */
static bool
is_before(const char *version, const char *other)
{
	int			a[3] = {0, 0, 0};
	int			b[3] = {0, 0, 0};
	int			i;

	sscanf(version, "%d.%d.%d", &a[0], &a[1], &a[2]);
	sscanf(other, "%d.%d.%d", &b[0], &b[1], &b[2]);
	for (i = 0; i < 2 && a[i] == b[i]; i++)
		;
	return a[i] < b[i];
}

/*
 * A position from text, 16/B374D848; 0: there is none.  On a page boundary the
 * server counts the header of the next page, which is replayed with the record
 * behind it: an idle primary would be ahead of its replicas for ever.
 */
static uint64_t
read_position(const Connection *connection, const char *text)
{
	unsigned int high;
	unsigned int low;
	uint64_t	position;
	uint64_t	offset;

	if (sscanf(text, "%X/%X", &high, &low) != 2)
		return 0;
	position = ((uint64_t) high << 32) | low;
	offset = connection->wal_block_size == 0 ? 0 :
		position % connection->wal_block_size;
	return offset == SHORT_PAGE_HEADER || offset == LONG_PAGE_HEADER ?
		position - offset : position;
}

/* Take what LOOK_COLUMNS say; not OPEN_DONE: it is no server of this kind. */
static OpenResult
take_look(Connection *connection, const PGresult *answer, char *detail,
		  size_t detail_size)
{
	bool		in_recovery = PQgetvalue(answer, 0, 0)[0] == 't';

	connection->position = read_position(connection, PQgetvalue(answer, 0, 1));
	snprintf(connection->server, sizeof(connection->server), "%s",
			 PQgetvalue(answer, 0, 2));
	if (in_recovery == connection->of_replica)
		return OPEN_DONE;
	snprintf(detail, detail_size, in_recovery ? "the server is in recovery" :
			 "the server is not in recovery");
	return in_recovery ? OPEN_STANDBY : OPEN_PROMOTED;
}

#define LOOK_COLUMNS \
	"pg_catalog.pg_is_in_recovery()," \
	" CASE WHEN pg_catalog.pg_is_in_recovery()" \
	" THEN pg_catalog.pg_last_wal_replay_lsn()" \
	" ELSE pg_catalog.pg_current_wal_insert_lsn() END," \
	" pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())"

/* Where in the WAL is the server?  "detail" has the reason if that is not told. */
OpenResult
connection_look(Connection *connection, int64_t timeout, char *detail,
				size_t detail_size)
{
	PGresult   *answer;
	OpenResult	result = connection_ask_for(connection, "SELECT " LOOK_COLUMNS,
											clock_now() + timeout, &answer,
											detail, detail_size);

	if (result == OPEN_DONE)
		result = take_look(connection, answer, detail, detail_size);
	PQclear(answer);
	return result;
}

/* As of the last look or check; 0: nowhere. */
uint64_t
connection_position(const Connection *connection)
{
	return connection->position;
}

/* Positions mean something within one timeline; as of the last check. */
uint32_t
connection_timeline(const Connection *connection)
{
	return connection->timeline;
}

/* Which start of which server it is: another text after a restart. */
const char *
connection_server(const Connection *connection)
{
	return connection->server;
}

/*
 * A look at a replica has seen that it had replayed so far: has the server that
 * answers here?  One that is back after a crash has not, for it replays again from
 * its last checkpoint on, and its start is the same if one of its processes was all
 * that crashed.  But no session outlives a crash.  So a session from before the
 * look is with what was looked at, and one from after it has seen by itself.
 */
bool
connection_has_replayed(const Connection *connection, const Replay *replay,
						uint64_t target)
{
	return strcmp(connection->server, replay->server) == 0 &&
		(connection->opened_at <= replay->since || connection->position >= target);
}

/* Which database it is: the same text on a primary and its replicas. */
const char *
connection_identity(const Connection *connection)
{
	return connection->identity;
}

/*
 * Is this a server of the kind that is wanted, and speaks its pg_tide our
 * protocol?  "detail" has versions, or the reason.
 */
OpenResult
connection_check(Connection *connection, int64_t timeout, char *detail,
				 size_t detail_size)
{
	int64_t		limit = clock_now() + timeout;
	PGresult   *server;
	PGresult   *protocol;
	OpenResult	result;

	result = connection_ask_for(connection, "SELECT " LOOK_COLUMNS ","
								" pg_catalog.current_setting('server_version'),"
								" (SELECT e.extversion FROM pg_catalog.pg_extension AS e"
								" WHERE e.extname OPERATOR(pg_catalog.=) 'pg_tide'),"
								" pg_catalog.current_setting('wal_block_size'),"
								" (SELECT pg_catalog.concat_ws('-', c.system_identifier, d.oid)"
								" FROM pg_catalog.pg_control_system() AS c,"
								" pg_catalog.pg_database AS d WHERE d.datname"
								" OPERATOR(pg_catalog.=) pg_catalog.current_database())",
								limit, &server, detail, detail_size);
	if (result != OPEN_DONE)
		return result;
	connection->wal_block_size = strtoull(PQgetvalue(server, 0, 5), NULL, 10);
	snprintf(connection->identity, sizeof(connection->identity), "%s",
			 PQgetvalue(server, 0, 6));
	result = take_look(connection, server, detail, detail_size);
	if (result == OPEN_DONE && connection->of_replica &&
		PQserverVersion(connection->link) < LEAST_STANDBY_VERSION)
	{
		snprintf(detail, detail_size, "pulls from a standby need PostgreSQL 15 or later");
		result = OPEN_UNFIT;
	}
	if (result != OPEN_DONE)
	{
		PQclear(server);
		return result;
	}
	if (!PQgetisnull(server, 0, 4) && is_before(PQgetvalue(server, 0, 4), OLDEST_PG_TIDE))
	{
		snprintf(detail, detail_size, "the database has pg_tide %s, and tide-gateway " VERSION
				 " needs " OLDEST_PG_TIDE ": ALTER EXTENSION pg_tide UPDATE",
				 PQgetvalue(server, 0, 4));
		PQclear(server);
		return OPEN_UNFIT;
	}
	result = connection_ask_for(connection, "SELECT tide.protocol(), tide.timeline()", limit,
								&protocol, detail, detail_size);
	if (result == OPEN_DONE &&
		strcmp(PQgetvalue(protocol, 0, 0), PROTOCOL_MAJOR) != 0)
	{
		snprintf(detail, detail_size, "pg_tide %s speaks version %s of the "
				 "protocol, this gateway %s", PQgetvalue(server, 0, 4),
				 PQgetvalue(protocol, 0, 0), PROTOCOL_MAJOR);
		result = OPEN_UNFIT;
	}
	else if (result == OPEN_DONE)
	{
		connection->timeline = (uint32_t) strtoul(PQgetvalue(protocol, 0, 1), NULL, 10);
		snprintf(detail, detail_size,
				 "PostgreSQL %s, pg_tide %s, protocol " PROTOCOL_MAJOR,
				 PQgetvalue(server, 0, 3), PQgetvalue(server, 0, 4));
	}
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
	connection->is_split = false;
	connection->asks_by_name = false;
	connection->cut = false;
	memset(connection->prepared, 0, sizeof(connection->prepared));
	pthread_mutex_lock(&connection->cancel_lock);
	connection->cancel = PQgetCancel(link);
	pthread_mutex_unlock(&connection->cancel_lock);

	result = connection_check(connection, REGISTER_TIMEOUT, detail, detail_size);
	if (result == OPEN_DONE && !connection->of_replica)
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
