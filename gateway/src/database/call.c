/*-------------------------------------------------------------------------
 *
 * call.c
 *	  What a job sends: the statements of its transaction.
 *
 * A job is one round trip in pipeline mode: BEGIN; role, claims and settings;
 * the call; COMMIT.  A push is the call alone, which takes all of these.  All
 * settings are local to the transaction, so that nothing of one user is left for
 * the next, not even behind a pooler in transaction mode.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include "database/call.h"
#include "database/group.h"
#include "util/clock.h"

#define MAX_PARAMETERS		9

/*
 * How long a read waits for a lock, in seconds.  A table that is locked for
 * long must not hold the connections that other reads need.
 */
#define READ_LOCK_TIMEOUT	1

static const struct
{
	const char *name;
	const char *sql;
}			statements[STATEMENT_COUNT] = {

	/*
	 * A function in FROM would put its row into a tuplestore, and a large
	 * reply onto disk with it.
	 */

	{"tide_1_begin_read",
	"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"},
	{"tide_1_begin_read_on_primary",
	"BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE"},
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
		/* the last column, see run.c */
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
	{"tide_1_push_grouped",
		"SELECT (c.p).reply, (c.p).changes FROM"
		" (SELECT tide.push_grouped($1::bytea, $2::text, $3::text, $4::text, $5::text,"
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

const char *
call_statement_name(Statement statement)
{
	return statements[statement].name;
}

static void
add_step(Connection *connection, Statement statement, bool is_prepare)
{
	Step	   *step = &connection->steps[connection->step_count++];

	step->statement = statement;
	step->is_prepare = is_prepare;
}

/*
 * Put a statement into the pipeline, with lengths and formats as libpq wants
 * them.
 */
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

/* Likewise with parameters that are all text. */
static bool
send_statement(Connection *connection, Statement statement, int count,
			   const char *const *values)
{
	return send_parameters(connection, statement, count, values, NULL, NULL);
}

/*
 * Put the preparation of a statement into the pipeline, unless it is prepared.
 */
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

Statement
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

/*
 * Milliseconds until the deadline.  At least one, because 0 means no timeout.
 */
static int64_t
milliseconds_left(const Job *job)
{
	int64_t		left = (job->deadline - clock_now()) / CLOCK_MILLISECOND;

	return left > 1 ? left : 1;
}

/*
 * A push carries in one statement what other jobs send as identity and role.
 * The body goes as bytes: as text, a character that the database's encoding
 * lacks would have the whole body refused before anybody could see which
 * change has it.
 */
static bool
send_push(Connection *connection, const Job *job, Statement statement,
		  int64_t wait)
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
	snprintf(lock_timeout, sizeof(lock_timeout), "%lld", (long long) wait);
	return send_parameters(connection, statement, 8, values, lengths, formats);
}

/* Is the call a transaction by itself?  One statement costs less than five. */
bool
call_is_alone(const Connection *connection, const Job *job)
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
		return send_push(connection, job, STATEMENT_PUSH,
						 (int64_t) job->lock_timeout * 1000);
	return send_statement(connection, call_statement(job), count, values);
}

/* Does the job only read? */
bool
call_is_read(const Job *job)
{
	return job->kind != JOB_PUSH && job->kind != JOB_MAINTAIN && job->kind != JOB_AUTH;
}

static Statement
begin_statement(const Connection *connection, const Job *job)
{
	if (!call_is_read(job))
		return STATEMENT_BEGIN_WRITE;
	return connection->is_split ? STATEMENT_BEGIN_READ_ON_PRIMARY : STATEMENT_BEGIN_READ;
}

/*
 * Send role, claims and limits of the transaction.  Everything is sent at
 * once, so that a session is idle in a transaction only if the gateway dies in
 * the middle of sending; then the server must not wait for the network to
 * notice.  Maintenance runs as the role that has logged in, and has no claims.
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
	if (call_is_read(job) && (wait == 0 || wait > READ_LOCK_TIMEOUT))
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
 * Send the preparation of what a job needs; step_count tells how much that
 * was.  It is a round trip of its own, once for each connection: parsing a
 * SELECT takes a snapshot, after which BEGIN in the same pipeline could no
 * longer set the isolation level.
 */
bool
call_send_prepares(Connection *connection, const Job *job)
{
	connection->step_count = 0;
	connection->sent = false;

	if (!send_prepare(connection, call_statement(job)))
		return false;
	if (!call_is_alone(connection, job) &&
		!(send_prepare(connection, begin_statement(connection, job)) &&
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
bool
call_send(Connection *connection, const Job *job)
{
	connection->step_count = 0;
	connection->sent = false;

	if (call_is_alone(connection, job))
		return send_call(connection, job) &&
			PQpipelineSync(connection->link) == 1;
	return send_statement(connection, begin_statement(connection, job), 0, NULL) &&
		send_identity(connection, job) &&
		send_call(connection, job) &&
		send_statement(connection, STATEMENT_COMMIT, 0, NULL) &&
		PQpipelineSync(connection->link) == 1;
}

bool
call_send_group_prepare(Connection *connection)
{
	connection->step_count = 0;
	connection->sent = false;
	return send_prepare(connection, STATEMENT_PUSH_GROUPED) &&
		(connection->step_count == 0 || PQpipelineSync(connection->link) == 1);
}

/*
 * Without a Sync between them, they are one transaction.  A lock that one of
 * them waits for is waited for by all, so none of them waits for long.
 */
bool
call_send_group(Connection *connection, Job *const *jobs, int count)
{
	int			i;

	connection->step_count = 0;
	connection->sent = false;
	for (i = 0; i < count; i++)
	{
		int64_t		wait = (int64_t) jobs[i]->lock_timeout * 1000;

		if (wait == 0 || wait > GROUP_LOCK_TIMEOUT)
			wait = GROUP_LOCK_TIMEOUT;
		if (!send_push(connection, jobs[i], STATEMENT_PUSH_GROUPED, wait))
			return false;
	}
	return PQpipelineSync(connection->link) == 1;
}
