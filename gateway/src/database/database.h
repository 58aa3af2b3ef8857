/*-------------------------------------------------------------------------
 *
 * database.h
 *	  The servers: which of them a job goes to, and what is known about them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DATABASE_H
#define DATABASE_H

#include <stdbool.h>

#include "database/job.h"
#include "database/queue.h"
#include "util/buffer.h"
#include "util/settings.h"

extern bool database_start(const Settings *settings, char *problem,
						   size_t problem_size);
extern bool database_put(Job *job, const Settings *settings, bool is_woken);
extern bool database_put_login(Job *job, const Settings *settings);
extern bool database_put_maintenance(Job *job);
extern void database_reconnect(void);
extern void database_stop(void);
extern int	database_connected(void);
extern void database_free(Job *job);

/* for /ready and the metrics */
extern bool database_is_ready(Failure *failure);
extern int	database_replica_count(void);
extern void database_write_replicas(Buffer *json);

/* A replica at this moment. */
typedef struct ReplicaReport
{
	const char *state;			/* "serving", or why it does not */
	double		lag;			/* seconds */
	uint64_t	lag_bytes;
	uint64_t	reads;			/* that it has served */
	int			connections;
} ReplicaReport;

extern void database_report_replica(int number, ReplicaReport *report);
extern uint64_t database_primary_reads(void);

#endif							/* DATABASE_H */
