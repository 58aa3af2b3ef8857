/*-------------------------------------------------------------------------
 *
 * connection.c
 *	  One connection to PostgreSQL, and a job's transaction on it.
 *
 * The only file that includes libpq.  A job is one round trip in pipeline mode:
 * BEGIN; role, claims and settings; the call; COMMIT.  A push is the call alone,
 * which takes all of these.  All settings are local to
 * the transaction, so that nothing of one user is left for the next, not even
 * behind a pooler in transaction mode.
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

#include <libpq-fe.h>

#include "database/connection.h"
#include "util/clock.h"
#include "util/log.h"

#define CONNECT_TIMEOUT		"5"
#define PROTOCOL_MAJOR		"1"
#define MAX_PARAMETERS		9
#define MAX_STEPS			8

/*
 * The server cancels by itself at the deadline.  If it has not done so some time
 * later, it does not answer, and would not obey a request to cancel either: the
 * connection is closed.
 */
#define GRACE				(2 * CLOCK_SECOND)

#define REGISTER_TIMEOUT	(5 * CLOCK_SECOND)

/*
 * libpq keeps the largest buffers that a connection has ever needed.  One that
 * has carried more than this is closed, and its memory goes back.
 */
#define MAX_KEPT_BYTES		((size_t) 12 << 20)

/*
 * How long a read waits for a lock, seconds: a table that is locked for long
 * must not hold the connections that reads of other tables need.
 */
#define READ_LOCK_TIMEOUT	1

typedef enum Statement
{
	STATEMENT_BEGIN_READ,
	STATEMENT_BEGIN_WRITE,
	STATEMENT_IDENTITY,
	STATEMENT_ROLE,
	STATEMENT_TIMEOUT,
	STATEMENT_PULL,
	STATEMENT_LINES,
	STATEMENT_PUSH,
	STATEMENT_KEYS,
	STATEMENT_DIGEST,
	STATEMENT_ROWS,
	STATEMENT_SCHEMA,
	STATEMENT_SCOPES,
	STATEMENT_MAINTAIN,
	STATEMENT_AUTH,				/* the job's own text, never prepared */
	STATEMENT_COMMIT,
	STATEMENT_COUNT
} Statement;

static const struct
{
	const char *name;
	const char *sql;
}			statements[STATEMENT_COUNT] = {

	/*
	 * A function in FROM would have its row put into a tuplestore, and a
	 * large reply with it on disk.
	 */

	{"tide_1_begin_read",
	"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"},
	{"tide_1_begin_write",
	"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"},
	{"tide_1_identity",
		"SELECT pg_catalog.set_config('request.jwt.claims', $1, true),"
		" pg_catalog.set_config('pg_tide.client_id', $2, true),"
		" pg_catalog.set_config('pg_tide.times', $3, true),"
		" pg_catalog.set_config('pg_tide.max_time_rows', $4, true),"
		" pg_catalog.set_config('pg_tide.max_push_changes', $5, true),"
		" pg_catalog.set_config('statement_timeout', $6, true),"
		" pg_catalog.set_config('idle_in_transaction_session_timeout', $6, true),"
		" pg_catalog.set_config('lock_timeout', $7, true),"
	" pg_catalog.pg_is_in_recovery()"},
	{"tide_1_role", "SELECT pg_catalog.set_config('role', $1, true)"},
	{"tide_1_timeout",
		"SELECT pg_catalog.set_config('statement_timeout', $1, true),"
	" pg_catalog.set_config('idle_in_transaction_session_timeout', $1, true)"},
	{"tide_1_pull",
		"SELECT (c.p).reply, (c.p).items, (c.p).news, (c.p).cursor, (c.p).interest"
		" FROM (SELECT tide.pull_page("
		"$1::text, $2::text[], $3::text[], $4::integer, $5::text, $6::text[],"
	" max_bytes => $7::integer, acks => $8::text[]) AS p) AS c"},
	{"tide_1_lines",
		"SELECT (c.p).lines, (c.p).items, (c.p).news, (c.p).cursor, (c.p).interest,"
		" (c.p).more, (c.p).opening, (c.p).must_open, (c.p).tail, (c.p).counts FROM"
		" (SELECT tide.pull_lines($1::text, $2::text[], $3::text[], $4::integer,"
	" $5::text, $6::text[], $7::integer, $8::text[]) AS p) AS c"},
	{"tide_1_push",
		"SELECT (c.p).reply, (c.p).changes FROM"
		" (SELECT tide.push_as($1::bytea, $2::text, $3::text, $4::text, $5::text,"
	" $6::integer, $7::integer, $8::integer) AS p) AS c"},
	{"tide_1_keys", "SELECT tide.keys($1::text[], $2::text[], $3::integer[])"},
	{"tide_1_digest", "SELECT tide.digest($1::text, $2::text[], $3::text[])"},
	{"tide_1_rows",
		"SELECT tide.rows($1::jsonb, $2::text[], max_rows => $3::integer,"
	" max_bytes => $4::integer)"},
	{"tide_1_schema", "SELECT tide.schema()"},
	{"tide_1_scopes", "SELECT pg_catalog.json_build_object('scopes', tide.scopes())"},
	{"tide_1_maintain", "SELECT tide.maintain()"},
	{"tide_auth", NULL},
	{"tide_1_commit", "COMMIT"}
};

/* One message of the pipeline, which will have a result. */
typedef struct Step
{
	Statement	statement;
	bool		is_prepare;
} Step;

struct Connection
{
	char	   *conninfo;
	const char *application;	/* NULL: the default */
	PGconn	   *link;			/* NULL: not open */
	int64_t		opened_at;
	bool		prepared[STATEMENT_COUNT];
	bool		unregistered;	/* a job failed with TD012, see take_error */
	bool		needs_begin;	/* a push did with TD016, likewise */

	pthread_mutex_t cancel_lock;
	PGcancel   *cancel;			/* of "link"; protected by cancel_lock */
	bool		running;		/* a job's; protected by cancel_lock */
	uint64_t	number;			/* of the run; protected by cancel_lock */

	/* the current run */
	bool		by_name;		/* use_prepared as it was when the run began */
	Step		steps[MAX_STEPS];
	int			step_count;
	bool		sent;			/* all of it has left this process */
	bool		in_recovery;	/* the server has become a standby */
};

/*
 * Cleared for good when the server does not know a statement that was prepared:
 * then a pooler hands our transactions to different sessions.
 */
static atomic_bool use_prepared = true;

static void
drop_notice(void *argument, const PGresult *result)
{
	/* notices are about users' tables, and do not belong into the log */
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
 * Is the link still open, as far as can be told without a round trip?  A server
 * that was shut down has closed it, which makes the idle socket readable: first
 * comes a last message, and only then the end.
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

/* Likewise, if it is still this run of a job. */
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

static void
set_running(Connection *connection, bool running, uint64_t number)
{
	pthread_mutex_lock(&connection->cancel_lock);
	connection->running = running;
	connection->number = number;
	pthread_mutex_unlock(&connection->cancel_lock);
}

static void
add_step(Connection *connection, Statement statement, bool is_prepare)
{
	Step	   *step = &connection->steps[connection->step_count++];

	step->statement = statement;
	step->is_prepare = is_prepare;
}

/* Put a statement into the pipeline, lengths and formats as libpq has them. */
static bool
send_parameters(Connection *connection, Statement statement, int count,
				const char *const *values, const int *lengths,
				const int *formats)
{
	add_step(connection, statement, false);
	if (connection->by_name)
		return PQsendQueryPrepared(connection->link,
								   statements[statement].name,
								   count, values, lengths, formats, 0) == 1;
	return PQsendQueryParams(connection->link, statements[statement].sql,
							 count, NULL, values, lengths, formats, 0) == 1;
}

/* Likewise, all of them text. */
static bool
send_statement(Connection *connection, Statement statement, int count,
			   const char *const *values)
{
	return send_parameters(connection, statement, count, values, NULL, NULL);
}

/* Put the preparation of what is not prepared yet into the pipeline. */
static bool
send_prepare(Connection *connection, Statement statement)
{
	if (!connection->by_name || connection->prepared[statement] ||
		statement == STATEMENT_AUTH)
		return true;
	add_step(connection, statement, true);
	return PQsendPrepare(connection->link, statements[statement].name,
						 statements[statement].sql, 0, NULL) == 1;
}

static Statement
call_statement(const Job *job)
{
	switch (job->kind)
	{
		case JOB_PULL:
			return job->as_lines ? STATEMENT_LINES : STATEMENT_PULL;
		case JOB_PUSH:
			return STATEMENT_PUSH;
		case JOB_KEYS:
			return STATEMENT_KEYS;
		case JOB_DIGEST:
			return STATEMENT_DIGEST;
		case JOB_ROWS:
			return STATEMENT_ROWS;
		case JOB_SCHEMA:
			return STATEMENT_SCHEMA;
		case JOB_SCOPES:
			return STATEMENT_SCOPES;
		case JOB_MAINTAIN:
			return STATEMENT_MAINTAIN;
		case JOB_AUTH:
			break;
	}
	return STATEMENT_AUTH;
}

/* Milliseconds until the deadline; at least one, for 0 means no timeout. */
static int64_t
milliseconds_left(const Job *job)
{
	int64_t		left = (job->deadline - clock_now()) / CLOCK_MILLISECOND;

	return left > 1 ? left : 1;
}

/*
 * A push with what identity and role are for other jobs.  The body goes as
 * bytes: text that the database's encoding lacks would be refused as a whole,
 * before anybody can see whose change it is.
 */
static bool
send_push(Connection *connection, const Job *job)
{
	char		push_changes[16];
	char		timeout[32];
	char		lock_timeout[32];
	const char *values[8] = {job->body, job->role, job->claims, job->client_id,
	job->times, push_changes, timeout, lock_timeout};
	int			lengths[8] = {(int) strlen(job->body)};
	int			formats[8] = {1};

	snprintf(push_changes, sizeof(push_changes), "%d", job->max_push_changes);
	snprintf(timeout, sizeof(timeout), "%lld", (long long) milliseconds_left(job));
	snprintf(lock_timeout, sizeof(lock_timeout), "%lld", (long long) job->lock_timeout * 1000);
	return send_parameters(connection, STATEMENT_PUSH, 8, values, lengths, formats);
}

/* Is the call a transaction by itself?  One statement costs less than five. */
static bool
is_alone(const Connection *connection, const Job *job)
{
	return job->kind == JOB_PUSH && !connection->needs_begin;
}

/* The call itself with its arguments. */
static bool
send_call(Connection *connection, const Job *job)
{
	const char *values[MAX_PARAMETERS] = {NULL};
	char		max_rows[16];
	char		max_bytes[16];
	int			count = 0;

	if (job->kind == JOB_AUTH)
	{
		add_step(connection, STATEMENT_AUTH, false);
		return PQsendQueryParams(connection->link, job->sql, job->value_count,
								 NULL, job->values, NULL, NULL, 0) == 1;
	}
	if (job->kind == JOB_PULL)
	{
		snprintf(max_rows, sizeof(max_rows), "%d", job->max_rows);
		values[count++] = job->since;
		values[count++] = job->scopes;
		values[count++] = job->entity_types;
		values[count++] = max_rows;
		values[count++] = job->client_id;
		values[count++] = job->refresh;
		snprintf(max_bytes, sizeof(max_bytes), "%d", job->max_bytes);
		values[count++] = max_bytes;
		values[count++] = job->acks;
	}
	else if (job->kind == JOB_KEYS)
	{
		values[count++] = job->scopes;
		values[count++] = job->entity_types;
		values[count++] = job->buckets;
	}
	else if (job->kind == JOB_DIGEST)
	{
		values[count++] = job->since;
		values[count++] = job->scopes;
		values[count++] = job->entity_types;
	}
	else if (job->kind == JOB_ROWS)
	{
		snprintf(max_rows, sizeof(max_rows), "%d", job->max_rows);
		snprintf(max_bytes, sizeof(max_bytes), "%d", job->max_bytes);
		values[count++] = job->body;
		values[count++] = job->scopes;
		values[count++] = max_rows;
		values[count++] = max_bytes;
	}
	else if (job->kind == JOB_PUSH)
		return send_push(connection, job);
	return send_statement(connection, call_statement(job), count, values);
}

static Statement
begin_statement(const Job *job)
{
	return job->kind == JOB_PUSH || job->kind == JOB_MAINTAIN ||
		job->kind == JOB_AUTH ? STATEMENT_BEGIN_WRITE : STATEMENT_BEGIN_READ;
}

/*
 * Role, claims and limits of the transaction.  All is sent in one go, so that a
 * session is idle in a transaction only if the gateway dies in the middle of
 * it; then the server must not wait for the network to notice.  Maintenance
 * runs as the role that has logged in, and has no claims.
 */
static bool
send_identity(Connection *connection, const Job *job)
{
	const char *values[MAX_PARAMETERS];
	char		time_rows[16];
	char		push_changes[16];
	char		timeout[32];
	char		lock_timeout[32];
	int			wait = job->lock_timeout;

	if (job->kind == JOB_PUSH)
		return true;
	snprintf(timeout, sizeof(timeout), "%lld", (long long) milliseconds_left(job));
	if (job->kind == JOB_MAINTAIN)
	{
		values[0] = timeout;
		return send_statement(connection, STATEMENT_TIMEOUT, 1, values);
	}
	snprintf(time_rows, sizeof(time_rows), "%d", job->max_time_rows);
	snprintf(push_changes, sizeof(push_changes), "%d", job->max_push_changes);
	if (begin_statement(job) == STATEMENT_BEGIN_READ &&
		(wait == 0 || wait > READ_LOCK_TIMEOUT))
		wait = READ_LOCK_TIMEOUT;
	snprintf(lock_timeout, sizeof(lock_timeout), "%ds", wait);
	values[0] = job->claims;
	values[1] = job->client_id == NULL ? "" : job->client_id;
	values[2] = job->times;
	values[3] = time_rows;
	values[4] = push_changes;
	values[5] = timeout;
	values[6] = lock_timeout;
	return send_statement(connection, STATEMENT_IDENTITY, 7, values) &&
		send_statement(connection, STATEMENT_ROLE, 1, &job->role);
}

static Statement
identity_statement(const Job *job)
{
	return job->kind == JOB_MAINTAIN ? STATEMENT_TIMEOUT : STATEMENT_IDENTITY;
}

/*
 * Send what a job needs prepared; step_count tells how much that was.  This
 * is a round trip of its own, once per connection: parsing a SELECT takes a
 * snapshot, and in the same pipeline BEGIN could not set the isolation level
 * any more.
 */
static bool
send_prepares(Connection *connection, const Job *job)
{
	connection->step_count = 0;
	connection->sent = false;

	if (!send_prepare(connection, call_statement(job)))
		return false;
	if (!is_alone(connection, job) &&
		!(send_prepare(connection, begin_statement(job)) &&
		  (job->kind == JOB_PUSH ||
		   send_prepare(connection, identity_statement(job))) &&
		  (job->kind == JOB_PUSH || job->kind == JOB_MAINTAIN ||
		   send_prepare(connection, STATEMENT_ROLE)) &&
		  send_prepare(connection, STATEMENT_COMMIT)))
		return false;
	return connection->step_count == 0 ||
		PQpipelineSync(connection->link) == 1;
}

/* Send the transaction of a job; false: libpq did not accept it. */
static bool
send_job(Connection *connection, const Job *job)
{
	connection->step_count = 0;
	connection->sent = false;

	if (is_alone(connection, job))
		return send_call(connection, job) &&
			PQpipelineSync(connection->link) == 1;
	return send_statement(connection, begin_statement(job), 0, NULL) &&
		send_identity(connection, job) &&
		send_call(connection, job) &&
		send_statement(connection, STATEMENT_COMMIT, 0, NULL) &&
		PQpipelineSync(connection->link) == 1;
}

/*
 * Send what is left and wait until a result can be had without blocking.
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
 * NULL: the connection is lost or too slow.
 */
static PGresult *
next_result(Connection *connection, int64_t limit)
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
		(result = next_result(connection, limit)) == NULL)
	{
		snprintf(detail, detail_size, "the connection was lost at once");
		return OPEN_AWAY;
	}
	PQclear(next_result(connection, limit));
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
	{
		*answer = result;
		return OPEN_DONE;
	}
	sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	copy_first_line(detail, detail_size, PQresultErrorMessage(result));
	PQclear(result);
	/* the server is in a hurry or goes down: that passes */
	if (sqlstate == NULL || PQstatus(connection->link) != CONNECTION_OK ||
		strncmp(detail, "FATAL", 5) == 0)
		return OPEN_AWAY;
	return OPEN_UNFIT;
}

/* Likewise, without a parameter. */
static OpenResult
ask(Connection *connection, const char *sql, int64_t limit,
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

	result = ask(connection,
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
	result = ask(connection, "SELECT tide.protocol()", limit, &protocol,
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
 * Make the database take note that its server was started, if it has not yet.
 * That is a write, which our pulls cannot do because they are read-only; so it
 * comes before the first of them, in a transaction of its own.
 */
static OpenResult
register_start(Connection *connection, char *detail, size_t detail_size)
{
	PGresult   *answer;
	OpenResult	result = ask(connection, "SELECT tide.register()",
							 clock_now() + REGISTER_TIMEOUT, &answer,
							 detail, detail_size);

	PQclear(answer);
	return result;
}

/* Connect.  NULL: "detail" has the reason, and "refused" whether a server is
 * there. */
static PGconn *
open_link(const Connection *connection, bool *refused, char *detail,
		  size_t detail_size)
{
	/* what comes before dbname are defaults, which the conninfo may override */
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
	/* a ping gets an answer whoever asks, so it tells the one from the other */
	*refused = PQpingParams(keywords, values, 1) == PQPING_OK;
	PQfinish(link);
	return NULL;
}

/*
 * Open, or open again, and see whether the other side is fit.  "detail" has
 * versions, or the reason.
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
		result = register_start(connection, problem, sizeof(problem));
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

/* ---------- what comes back ---------- */

static FailedStep
failed_step(const Step *step)
{
	if (step->is_prepare)
		return STEP_PREPARE;
	if (step->statement == STATEMENT_BEGIN_READ ||
		step->statement == STATEMENT_BEGIN_WRITE)
		return STEP_BEGIN;
	if (step->statement == STATEMENT_IDENTITY ||
		step->statement == STATEMENT_TIMEOUT)
		return STEP_SETTINGS;
	if (step->statement == STATEMENT_ROLE)
		return STEP_ROLE;
	if (step->statement == STATEMENT_COMMIT)
		return STEP_COMMIT;
	return STEP_CALL;
}

/* Set the job's failure from an error result, and decide what happens next. */
static RunResult
take_error(Connection *connection, Job *job, const Step *step,
		   const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *severity = PQresultErrorField(result,
											  PG_DIAG_SEVERITY_NONLOCALIZED);

	failure_from_sqlstate(&job->failure, failed_step(step),
						  job->kind == JOB_PUSH, sqlstate, message,
						  PQresultErrorField(result, PG_DIAG_MESSAGE_HINT));
	if (job->kind == JOB_AUTH)
		failure_hide(&job->failure, sqlstate);
	snprintf(job->sqlstate, sizeof(job->sqlstate), "%s",
			 sqlstate == NULL ? "" : sqlstate);
	/* maintenance.c writes a line of its own */
	if ((job->failure.status >= 500 || failure_is_setup(sqlstate)) &&
		job->kind != JOB_MAINTAIN)
		log_event(LOG_WARNING, "database-error", "sqlstate", sqlstate,
				  "statement", statements[step->statement].name,
				  "message", failure_is_setup(sqlstate) ? message : NULL, NULL);

	/* unknown or already prepared: another session, see use_prepared */
	if (sqlstate != NULL && connection->by_name &&
		(strcmp(sqlstate, "26000") == 0 || strcmp(sqlstate, "42P05") == 0))
	{
		if (atomic_exchange(&use_prepared, false))
			log_event(LOG_INFO, "prepared-statements-off", NULL);
		return RUN_AGAIN;
	}

	/* behind a pooler, a restart of the server goes unnoticed */
	if (sqlstate != NULL && strcmp(sqlstate, "TD012") == 0 &&
		!connection->unregistered)
	{
		connection->unregistered = true;
		return RUN_AGAIN;
	}

	/* the session's transactions are others by default than a push needs */
	if (sqlstate != NULL && strcmp(sqlstate, "TD016") == 0 &&
		!connection->needs_begin)
	{
		connection->needs_begin = true;
		return RUN_AGAIN;
	}

	/* a standby in the place of the server that we had */
	if (failed_step(step) == STEP_BEGIN)
		return RUN_LOST;

	/* after FATAL the session ends; libpq may not have seen the end yet */
	if (PQstatus(connection->link) != CONNECTION_OK ||
		(severity != NULL && strcmp(severity, "ERROR") != 0))
		return RUN_LOST;
	return failure_is_retryable_conflict(sqlstate) ? RUN_CONFLICT : RUN_DONE;
}

/* What comes with the reply, for who hands it on unread. */
static void
take_counts(Job *job, const PGresult *result)
{
	job->rows = -1;
	job->is_news = true;
	if (job->kind == JOB_PULL || job->kind == JOB_PUSH)
		job->rows = strtol(PQgetvalue(result, 0, 1), NULL, 10);
	if (job->kind != JOB_PULL)
		return;
	job->is_news = PQgetvalue(result, 0, 2)[0] == 't';
	job->cursor = PQgetvalue(result, 0, 3);
	job->interest = PQgetvalue(result, 0, 4);
	if (!job->as_lines)
		return;
	job->has_more = PQgetvalue(result, 0, 5)[0] == 't';
	job->begin = PQgetvalue(result, 0, 6);
	job->begins = PQgetvalue(result, 0, 7)[0] == 't';
	job->tail = PQgetvalue(result, 0, 8);
	job->counts = PQgetvalue(result, 0, 9);
}

/* A step that succeeded. */
static void
take_result(Connection *connection, Job *job, const Step *step,
			PGresult *result)
{
	if (step->is_prepare)
		connection->prepared[step->statement] = true;
	else if (step->statement == call_statement(job) &&
			 PQresultStatus(result) == PGRES_TUPLES_OK &&
			 PQntuples(result) == 1 &&
			 (!PQgetisnull(result, 0, 0) || job->kind == JOB_AUTH))
	{
		/* pg_tide_auth may return NULL, which is the empty string here */
		job->result = result;
		job->reply = PQgetvalue(result, 0, 0);
		job->reply_length = (size_t) PQgetlength(result, 0, 0);
		take_counts(job, result);
		return;
	}
	else if (step->statement == STATEMENT_IDENTITY)
		connection->in_recovery = PQgetvalue(result, 0, 7)[0] == 't';
	else if (step->statement == STATEMENT_COMMIT &&
			 strcmp(PQcmdStatus(result), "COMMIT") != 0)
		failure_try_again(&job->failure, "the transaction was rolled back");
	PQclear(result);
}

/*
 * Read the end of the pipeline.  There a call that is alone is committed, so
 * what fails then undoes what it did.  Once COMMIT has been answered, a lost
 * end changes nothing.
 */
static RunResult
read_end(Connection *connection, Job *job, int64_t limit, RunResult outcome)
{
	static const Step commit = {STATEMENT_COMMIT, false};
	PGresult   *result = next_result(connection, limit);

	while (result != NULL && PQresultStatus(result) == PGRES_FATAL_ERROR)
	{
		if (job->failure.status == 0)
			outcome = take_error(connection, job, &commit, result);
		PQclear(result);
		if (outcome == RUN_LOST)
			return outcome;
		result = next_result(connection, limit);
	}
	if (result == NULL && connection->step_count > 0 && is_alone(connection, job) &&
		job->failure.status == 0)
		outcome = RUN_LOST;
	PQclear(result);
	return outcome;
}

/*
 * Read the results of all steps and the end of the pipeline.  After the first
 * error the server skips the rest.
 */
static RunResult
read_results(Connection *connection, Job *job, int64_t limit)
{
	RunResult	outcome = RUN_DONE;
	PGresult   *result;
	int			i;

	for (i = 0; i < connection->step_count; i++)
	{
		result = next_result(connection, limit);
		if (result == NULL)
			return connection->sent ? RUN_LOST : RUN_LOST_BEFORE_SENT;

		switch (PQresultStatus(result))
		{
			case PGRES_COMMAND_OK:
			case PGRES_TUPLES_OK:
				take_result(connection, job, &connection->steps[i], result);
				break;
			case PGRES_PIPELINE_ABORTED:
				PQclear(result);
				break;
			default:
				outcome = take_error(connection, job, &connection->steps[i],
									 result);
				PQclear(result);
				if (outcome == RUN_LOST)
					return outcome;
		}
	}

	return read_end(connection, job, limit, outcome);
}

/* End a transaction that an error has left open; false: that failed. */
static bool
roll_back(Connection *connection)
{
	int64_t		limit = clock_now() + GRACE;
	PGresult   *result;
	bool		good;

	if (PQtransactionStatus(connection->link) == PQTRANS_IDLE)
		return true;
	if (PQsendQueryParams(connection->link, "ROLLBACK", 0, NULL, NULL, NULL,
						  NULL, 0) != 1 ||
		PQpipelineSync(connection->link) != 1)
		return false;

	result = next_result(connection, limit);
	good = result != NULL && PQresultStatus(result) == PGRES_COMMAND_OK;
	PQclear(result);
	PQclear(next_result(connection, limit));
	return good &&
		PQtransactionStatus(connection->link) == PQTRANS_IDLE;
}

/*
 * Would this session write the parameters of statements, passwords among them,
 * into the server's log?  The names of the settings by which it would; NULL in
 * all other cases.  auto_explain and pgaudit may not be loaded.
 */
#define WOULD_LOG_SQL \
	"SELECT pg_catalog.concat_ws(', '," \
	" CASE WHEN l <> '0' AND s = 'all' THEN 'log_statement' END," \
	" CASE WHEN l <> '0' AND d <> '-1' THEN 'log_min_duration_statement' END," \
	" CASE WHEN l <> '0' AND a <> '-1' THEN 'log_min_duration_sample' END," \
	" CASE WHEN l <> '0' AND t <> '0' THEN 'log_transaction_sample_rate' END," \
	" CASE WHEN e <> '0' THEN 'log_parameter_max_length_on_error' END," \
	" CASE WHEN x <> '-1' AND xl <> '0' THEN 'auto_explain.log_min_duration' END," \
	" CASE WHEN p = 'on' THEN 'pgaudit.log_parameter' END)" \
	" FROM (SELECT pg_catalog.current_setting('log_parameter_max_length') AS l," \
	" pg_catalog.current_setting('log_statement') AS s," \
	" pg_catalog.current_setting('log_min_duration_statement') AS d," \
	" pg_catalog.current_setting('log_min_duration_sample') AS a," \
	" pg_catalog.current_setting('log_transaction_sample_rate') AS t," \
	" pg_catalog.current_setting('log_parameter_max_length_on_error') AS e," \
	" pg_catalog.current_setting('auto_explain.log_min_duration', true) AS x," \
	" pg_catalog.current_setting('auto_explain.log_parameter_max_length', true) AS xl," \
	" pg_catalog.current_setting('pgaudit.log_parameter', true) AS p) AS settings"

/* May this session see a password?  False: the job has its failure. */
static bool
keeps_secrets(Connection *connection, Job *job, int64_t limit)
{
	char		detail[256];
	PGresult   *answer;
	OpenResult	result = ask(connection, WOULD_LOG_SQL, limit, &answer,
							 detail, sizeof(detail));

	if (result == OPEN_DONE && PQgetlength(answer, 0, 0) == 0)
	{
		PQclear(answer);
		return true;
	}
	if (result == OPEN_DONE)
		log_event(LOG_ERROR, "login-refused", "message",
				  "the database would write passwords into its log",
				  "by", PQgetvalue(answer, 0, 0), NULL);
	PQclear(answer);
	return failure_set(&job->failure, 503, "not_ready",
					   "logging in is not set up in this database", NULL);
}

/*
 * Prepare and run.  Preparing has no effect on any row, so a connection that is
 * lost while preparing counts as lost before anything was sent.
 */
static RunResult
prepare_and_run(Connection *connection, Job *job, int64_t limit)
{
	RunResult	outcome = RUN_DONE;
	char		problem[256];

	connection->in_recovery = false;
	if (connection->unregistered &&
		register_start(connection, problem, sizeof(problem)) == OPEN_AWAY)
		return RUN_LOST_BEFORE_SENT;
	if (job->is_login && !keeps_secrets(connection, job, limit))
		return RUN_DONE;
	connection->by_name = use_prepared;
	if (!send_prepares(connection, job))
		return RUN_LOST_BEFORE_SENT;
	if (connection->step_count > 0)
		outcome = read_results(connection, job, limit);
	if (outcome == RUN_LOST)
		return RUN_LOST_BEFORE_SENT;
	if (outcome != RUN_DONE || job->failure.status != 0)
		return outcome;

	if (!send_job(connection, job))
		return RUN_LOST_BEFORE_SENT;
	return read_results(connection, job, limit);
}

/*
 * Run a job's transaction once.  With RUN_DONE the job has its reply or its
 * failure.  With the other results it has the failure that counts if it is not
 * run again.
 */
RunResult
connection_run(Connection *connection, Job *job)
{
	int64_t		limit = job->deadline + GRACE;
	RunResult	outcome;

	set_running(connection, true, job->number);
	outcome = prepare_and_run(connection, job, limit);
	set_running(connection, false, 0);

	if (connection->in_recovery && outcome != RUN_LOST_BEFORE_SENT)
		outcome = RUN_LOST;
	if (outcome == RUN_LOST || outcome == RUN_LOST_BEFORE_SENT)
	{
		failure_try_again(&job->failure,
						  "the connection to the database was lost");
		connection_free_result(job);
		connection_close(connection);
		return outcome;
	}

	if (!roll_back(connection))
		connection_close(connection);
	if (job->failure.status == 0)
		connection->unregistered = false;
	if (job->failure.status == 0 && job->reply == NULL)
		failure_set(&job->failure, 500, "internal_error",
					"the database gave no reply", NULL);
	if (job->failure.status != 0)
		connection_free_result(job);
	if (job->reply_length > MAX_KEPT_BYTES ||
		(job->body != NULL && strlen(job->body) > MAX_KEPT_BYTES))
		connection_close(connection);
	return outcome;
}

void
connection_free_result(Job *job)
{
	PQclear(job->result);
	job->result = NULL;
	job->reply = job->cursor = job->interest = NULL;
	job->reply_length = 0;
}
