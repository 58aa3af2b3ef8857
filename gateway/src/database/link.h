/*-------------------------------------------------------------------------
 *
 * link.h
 *	  A connection from within, for the files of this folder that send and read.
 *
 * The only file that includes libpq.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LINK_H
#define LINK_H

#include <pthread.h>

#include <libpq-fe.h>

#include "database/connection.h"

#define MAX_STEPS			16	/* a group has one for each push */

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
	STATEMENT_PUSH_GROUPED,
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
	bool		unregistered;	/* a job failed with TD012, see run.c */
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

extern void connection_set_running(Connection *connection, bool running,
								   uint64_t number);
extern PGresult *connection_next_result(Connection *connection, int64_t limit);
extern OpenResult connection_ask_for(Connection *connection, const char *sql,
									 int64_t limit, PGresult **answer,
									 char *detail, size_t detail_size);
extern OpenResult connection_register(Connection *connection, char *detail,
									  size_t detail_size);

#endif							/* LINK_H */
