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

#include "database/job.h"

typedef struct Connection Connection;

typedef enum RunResult
{
	RUN_DONE,					/* a reply, or a failure that stays one */
	RUN_CONFLICT,				/* rolled back, may succeed if run again */
	RUN_AGAIN,					/* rolled back, must be run again at once */
	RUN_LOST_BEFORE_SENT,		/* connection lost, nothing was done */
	RUN_LOST					/* connection lost, may have been committed */
} RunResult;

extern bool connection_check_conninfo(const char *conninfo, char *problem,
									  size_t problem_size);
extern Connection *connection_create(const char *conninfo);
extern bool connection_open(Connection *connection, char *problem,
							size_t problem_size);
extern bool connection_is_alive(Connection *connection);
extern RunResult connection_run(Connection *connection, Job *job);
extern void connection_cancel(Connection *connection);
extern void connection_close(Connection *connection);
extern void connection_free(Connection *connection);
extern void connection_free_result(Job *job);

#endif							/* CONNECTION_H */
