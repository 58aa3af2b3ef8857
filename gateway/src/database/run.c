/*-------------------------------------------------------------------------
 *
 * run.c
 *	  A job's transaction, once: what comes back, and what to do about it.
 *
 *-------------------------------------------------------------------------
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "database/call.h"
#include "util/clock.h"
#include "util/log.h"

/*
 * The server cancels by itself at the deadline.  If it has not done so some time
 * later, it does not answer, and would not obey a request to cancel either: the
 * connection is closed.
 */
#define GRACE				(2 * CLOCK_SECOND)

/*
 * libpq keeps the largest buffers that a connection has ever needed.  One that
 * has carried more than this is closed, and its memory goes back.
 */
#define MAX_KEPT_BYTES		((size_t) 12 << 20)

static FailedStep
failed_step(const Step *step)
{
	if (step->is_prepare)
		return STEP_PREPARE;
	if (step->statement == STATEMENT_BEGIN_READ ||
		step->statement == STATEMENT_BEGIN_READ_ON_PRIMARY ||
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

/* What may be done after an error. */
static RunResult
after_error(Connection *connection, const Step *step, const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *severity = PQresultErrorField(result,
											  PG_DIAG_SEVERITY_NONLOCALIZED);

	if (connection->by_name && connection_lost_prepared(sqlstate))
		return RUN_AGAIN;

	/* behind a pooler, a restart of the server goes unnoticed */
	if (sqlstate != NULL && strcmp(sqlstate, "TD012") == 0 &&
		!connection->unregistered && !connection->of_replica)
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

	/*
	 * replay cancels what is in its way; our own timeout comes at the
	 * deadline
	 */
	if (connection->of_replica && sqlstate != NULL && strcmp(sqlstate, "57014") == 0)
		return RUN_CONFLICT;
	return failure_is_retryable_conflict(sqlstate) ? RUN_CONFLICT : RUN_DONE;
}

/*
 * May the log have the server's message?  Those of the server itself about how
 * the database is set up name objects and roles, and no values.  What a function
 * raises with such a SQLSTATE may say anything: which password is wrong, whose
 * row may not be seen.
 */
static bool
may_be_logged(const PGresult *result)
{
	const char *source = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
	bool		is_raised = source != NULL &&
		(strcmp(source, "exec_stmt_raise") == 0 ||	/* PL/pgSQL */
		 strcmp(source, "PLy_output") == 0);	/* PL/Python */

	return failure_is_setup(PQresultErrorField(result, PG_DIAG_SQLSTATE)) &&
		!is_raised;
}

/* Set the job's failure from an error result, and decide what happens next. */
static RunResult
take_error(Connection *connection, Job *job, const Step *step,
		   const PGresult *result)
{
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	failure_from_sqlstate(&job->failure, failed_step(step),
						  job->kind == JOB_PUSH,
						  PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION) != NULL,
						  sqlstate, message,
						  PQresultErrorField(result, PG_DIAG_MESSAGE_HINT));
	if (job->kind == JOB_AUTH)
		failure_hide(&job->failure, sqlstate);
	snprintf(job->sqlstate, sizeof(job->sqlstate), "%s",
			 sqlstate == NULL ? "" : sqlstate);
	/* maintenance.c writes a line of its own */
	if ((job->failure.status >= 500 || failure_is_setup(sqlstate)) &&
		job->kind != JOB_MAINTAIN)
		log_event(connection->of_replica ? LOG_DEBUG : LOG_WARNING,
				  "database-error", "sqlstate", sqlstate,
				  "statement", call_statement_name(step->statement),
				  "message", may_be_logged(result) ? message : NULL, NULL);

	return after_error(connection, step, result);
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
	else if ((step->statement == call_statement(job) ||
			  step->statement == STATEMENT_PUSH_GROUPED) &&
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
		connection->wrong_kind =
			(PQgetvalue(result, 0, PQnfields(result) - 1)[0] == 't') !=
			connection->of_replica;
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
	PGresult   *result = connection_next_result(connection, limit);

	while (result != NULL && PQresultStatus(result) == PGRES_FATAL_ERROR)
	{
		if (job->failure.status == 0)
			outcome = take_error(connection, job, &commit, result);
		PQclear(result);
		if (outcome == RUN_LOST)
			return outcome;
		result = connection_next_result(connection, limit);
	}
	if (result == NULL && connection->step_count > 0 && call_is_alone(connection, job) &&
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
		result = connection_next_result(connection, limit);
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

	result = connection_next_result(connection, limit);
	good = result != NULL && PQresultStatus(result) == PGRES_COMMAND_OK;
	PQclear(result);
	PQclear(connection_next_result(connection, limit));
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
	OpenResult	result = connection_ask_for(connection, WOULD_LOG_SQL, limit, &answer,
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

	connection->wrong_kind = false;
	if (connection->unregistered &&
		connection_register(connection, problem, sizeof(problem)) == OPEN_AWAY)
		return RUN_LOST_BEFORE_SENT;
	if (job->is_login && !keeps_secrets(connection, job, limit))
		return RUN_DONE;
	connection->by_name = connection_may_prepare();
	if (!call_send_prepares(connection, job))
		return RUN_LOST_BEFORE_SENT;
	if (connection->step_count > 0)
		outcome = read_results(connection, job, limit);
	if (outcome == RUN_LOST)
		return RUN_LOST_BEFORE_SENT;
	if (outcome != RUN_DONE || job->failure.status != 0)
		return outcome;

	if (!call_send(connection, job))
		return RUN_LOST_BEFORE_SENT;
	return read_results(connection, job, limit);
}

/*
 * Another kind of server than this connection's has answered.  A pooler may send
 * what is READ ONLY to standbys, so a read is tried once as a transaction that
 * such a pooler leaves to the primary.  Where a standby has taken the primary's
 * place, it refuses that one.
 */
static RunResult
after_wrong_kind(Connection *connection, Job *job)
{
	static atomic_bool is_told;

	if (connection->of_replica || connection->is_split || !call_is_read(job))
		return RUN_LOST;
	connection->is_split = true;
	if (!atomic_exchange(&is_told, true))
		log_event(LOG_INFO, "read-reached-standby", NULL);
	failure_try_again(&job->failure, "a standby has answered in the primary's place");
	return RUN_AGAIN;
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

	connection_set_running(connection, true, job->number);
	outcome = prepare_and_run(connection, job, limit);
	connection_set_running(connection, false, 0);

	if (connection->wrong_kind && outcome != RUN_LOST && outcome != RUN_LOST_BEFORE_SENT)
		outcome = after_wrong_kind(connection, job);
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

/* ---------- groups ---------- */

/* Is this connection one on which pushes are statements of their own? */
bool
connection_may_group(const Connection *connection)
{
	return !connection->needs_begin && !connection->unregistered;
}

/*
 * The results of a group up to the end of the pipeline, which is its COMMIT.
 * RUN_DONE: all have replies.  RUN_AGAIN: all is rolled back, because of the push
 * "blamed", or of none (-1).
 */
static RunResult
read_group(Connection *connection, Job **jobs, int64_t limit, int *blamed)
{
	static const Step commit = {STATEMENT_COMMIT, false};
	RunResult	outcome = RUN_DONE;
	int			i;

	for (i = 0; i <= connection->step_count; i++)
	{
		bool		is_end = i == connection->step_count;
		const Step *step = is_end ? &commit : &connection->steps[i];
		PGresult   *result = connection_next_result(connection, limit);

		if (result == NULL)
			return connection->sent ? RUN_LOST : RUN_LOST_BEFORE_SENT;
		if (PQresultStatus(result) == PGRES_FATAL_ERROR)
		{
			if (outcome == RUN_DONE && !is_end && !step->is_prepare)
			{
				const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

				*blamed = i;
				snprintf(jobs[i]->sqlstate, sizeof(jobs[i]->sqlstate), "%s",
						 sqlstate == NULL ? "" : sqlstate);
			}
			outcome = after_error(connection, step, result) == RUN_LOST ? RUN_LOST : RUN_AGAIN;
			PQclear(result);
			if (outcome == RUN_LOST)
				return outcome;
			if (is_end)
				i--;			/* the end itself is still to come */
		}
		else if (PQresultStatus(result) == PGRES_TUPLES_OK ||
				 (step->is_prepare && PQresultStatus(result) == PGRES_COMMAND_OK))
			take_result(connection, jobs[i], step, result);
		else
			PQclear(result);
	}
	return outcome;
}

static RunResult
prepare_and_run_group(Connection *connection, Job **jobs, int count,
					  int64_t limit, int *blamed)
{
	RunResult	outcome = RUN_DONE;

	connection->by_name = connection_may_prepare();
	if (!call_send_group_prepare(connection))
		return RUN_LOST_BEFORE_SENT;
	if (connection->step_count > 0)
		outcome = read_group(connection, jobs, limit, blamed);
	if (outcome != RUN_DONE)
		return outcome == RUN_LOST ? RUN_LOST_BEFORE_SENT : outcome;
	if (!call_send_group(connection, jobs, count))
		return RUN_LOST_BEFORE_SENT;
	return read_group(connection, jobs, limit, blamed);
}

/*
 * Run pushes in one transaction, once.  RUN_DONE: each has its reply.  Else none
 * has: with RUN_AGAIN all was rolled back, because of the push "blamed", if it is
 * not below 0, and each must be run alone.
 *
 * What is cancelled is a run with a number, and a group has none: if one client
 * goes, that must not undo what others have sent.  It is over soon, because it
 * waits for no lock.
 */
RunResult
connection_run_group(Connection *connection, Job **jobs, int count, int *blamed)
{
	int64_t		limit = jobs[0]->deadline;
	size_t		kept = 0;
	RunResult	outcome;
	int			i;

	*blamed = -1;
	for (i = 1; i < count; i++)
		limit = jobs[i]->deadline > limit ? jobs[i]->deadline : limit;
	connection_set_running(connection, true, 0);
	outcome = prepare_and_run_group(connection, jobs, count, limit + GRACE, blamed);
	connection_set_running(connection, false, 0);

	for (i = 0; i < count; i++)
	{
		if (outcome == RUN_DONE && jobs[i]->reply == NULL)
			outcome = RUN_AGAIN;
		kept += jobs[i]->reply_length;
	}
	for (i = 0; i < count && outcome != RUN_DONE; i++)
	{
		failure_try_again(&jobs[i]->failure, outcome == RUN_AGAIN ?
						  "the database is busy, try again" :
						  "the connection to the database was lost");
		connection_free_result(jobs[i]);
	}
	if (outcome == RUN_LOST || outcome == RUN_LOST_BEFORE_SENT || !roll_back(connection) ||
		kept > MAX_KEPT_BYTES)
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
