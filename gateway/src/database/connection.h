/*-------------------------------------------------------------------------
 *
 * connection.h
 *	  One connection to PostgreSQL, and a job's transaction on it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CONNECTION_H
#define CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "database/job.h"

typedef struct Connection Connection;

typedef enum OpenResult
{
	OPEN_DONE,
	OPEN_AWAY,					/* no server answers, or none is ready */
	OPEN_REFUSED,				/* a server answers, but does not let us in */
	OPEN_STANDBY,				/* a server in recovery */
	OPEN_PROMOTED,				/* a replica that is in recovery no more */
	OPEN_FOREIGN,				/* a replica of another database */
	OPEN_UNFIT					/* no pg_tide, or one of another protocol */
} OpenResult;

typedef enum RunResult
{
	RUN_DONE,					/* there is a reply, or a failure that will
								 * stay one */
	RUN_CONFLICT,				/* rolled back; may succeed if it is run again */
	RUN_AGAIN,					/* rolled back; must be run again at once */
	RUN_LOST_BEFORE_SENT,		/* the connection was lost, and nothing was
								 * done */
	RUN_LOST					/* the connection was lost, and the job may
								 * have been committed */
} RunResult;

extern bool connection_check_conninfo(const char *setting, const char *conninfo,
									  char *problem, size_t problem_size);
extern void connection_describe(const char *conninfo, char *text, size_t size);
extern Connection *connection_create(const char *conninfo, bool of_replica,
									 const char *application);
extern OpenResult connection_open(Connection *connection, char *detail,
								  size_t detail_size);
extern OpenResult connection_check(Connection *connection, int64_t timeout,
								   char *detail, size_t detail_size);
extern OpenResult connection_look(Connection *connection, int64_t timeout,
								  char *detail, size_t detail_size);
extern uint64_t connection_position(const Connection *connection);
extern uint32_t connection_timeline(const Connection *connection);
extern const char *connection_server(const Connection *connection);
extern bool connection_has_replayed(const Connection *connection,
									const Replay *replay, uint64_t target);
extern const char *connection_identity(const Connection *connection);
extern OpenResult connection_ask(Connection *connection, const char *name,
								 const char *sql, const char *parameter,
								 int64_t limit, char **values, int count,
								 char *detail, size_t detail_size);
extern int64_t connection_age(const Connection *connection);
extern bool connection_is_alive(Connection *connection);
extern bool connection_may_group(const Connection *connection);
extern RunResult connection_run_group(Connection *connection, Job **jobs,
									  int count, int *blamed);
extern RunResult connection_run(Connection *connection, Job *job);
extern void connection_cut(Connection *connection);
extern void connection_cancel_run(Connection *connection, uint64_t number);
extern void connection_close(Connection *connection);
extern void connection_free(Connection *connection);
extern void connection_free_result(Job *job);

#endif							/* CONNECTION_H */
