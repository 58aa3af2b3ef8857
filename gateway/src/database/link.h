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
#include <stdatomic.h>

#include <libpq-fe.h>

#include "database/connection.h"

#define MAX_STEPS			16	/* a group has one for each push */

typedef enum Statement
{
	STATEMENT_BEGIN_READ,
	STATEMENT_BEGIN_READ_ON_PRIMARY,
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
	bool		of_replica;		/* the server is to be in recovery */
	PGconn	   *link;			/* NULL: not open */
	int64_t		opened_at;
	char		identity[64];	/* of the database that its log is of */
	char		server[32];		/* which start of which server answers */
	uint64_t	position;		/* in the WAL, as of the last look */
	uint64_t	wal_block_size;
	uint32_t	timeline;		/* likewise, as of the last check */
	bool		prepared[STATEMENT_COUNT];
	bool		unregistered;	/* a job failed with TD012, see run.c */
	bool		needs_begin;	/* a push did with TD016, likewise */
	bool		is_split;		/* a read came to a standby, likewise */
	bool		asks_by_name;	/* what connection_ask() asks is prepared */

	pthread_mutex_t cancel_lock;
	PGcancel   *cancel;			/* of "link"; protected by cancel_lock */
	bool		running;		/* a job's; protected by cancel_lock */
	uint64_t	number;			/* of the run; protected by cancel_lock */
	atomic_bool cut;			/* the run is to end at once */

	/* the current run */
	bool		by_name;		/* connection_may_prepare() when the run began */
	Step		steps[MAX_STEPS];
	int			step_count;
	bool		sent;			/* all of it has left this process */
	bool		wrong_kind;		/* a primary has become a standby, or a
								 * replica a primary */
};

extern void connection_set_running(Connection *connection, bool running,
								   uint64_t number);
extern bool connection_may_prepare(void);
extern bool connection_lost_prepared(const char *sqlstate);
extern PGresult *connection_next_result(Connection *connection, int64_t limit);
extern OpenResult connection_ask_for(Connection *connection, const char *sql,
									 int64_t limit, PGresult **answer,
									 char *detail, size_t detail_size);
extern OpenResult connection_register(Connection *connection, char *detail,
									  size_t detail_size);

#endif							/* LINK_H */
