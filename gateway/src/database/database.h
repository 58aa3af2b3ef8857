/*-------------------------------------------------------------------------
 *
 * database.h
 *	  The threads that run jobs, each on a connection of its own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DATABASE_H
#define DATABASE_H

#include <stdbool.h>

#include "database/job.h"

extern bool database_start(const char *conninfo, int connections,
						   char *problem, size_t problem_size);
extern void database_cancel(void);
extern void database_reconnect(void);
extern void database_stop(void);
extern int	database_connected(void);
extern void database_free(Job *job);

#endif							/* DATABASE_H */
