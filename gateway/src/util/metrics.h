/*-------------------------------------------------------------------------
 *
 * metrics.h
 *	  Counters, and their report in the text format of Prometheus.
 *
 *-------------------------------------------------------------------------
 */
#ifndef METRICS_H
#define METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/buffer.h"

/* A request that has ended. */
typedef struct Measured
{
	const char *path;			/* of its route; NULL: there is none */
	int			status;			/* 0: it got no reply */
	int64_t		duration;		/* microseconds */
	size_t		received;		/* bytes of bodies */
	size_t		sent;
	long		rows;			/* below 0: none */
} Measured;

/* The state at this moment. */
typedef struct Gauges
{
	int			connections;
	int			requests;		/* without a reply */
	int			queued;			/* those that wait for a database connection */
	int			waiting;		/* those that wait for something to come */
	int			remembered;		/* polls */
	uint64_t	looks;			/* of the watcher, all so far */
	uint64_t	answered;		/* polls, from memory */
	uint64_t	woken;			/* seats of which something changed */
	int			database_connections;
} Gauges;

extern void metrics_count_request(const Measured *measured);
extern void metrics_count_cut(void);
extern void metrics_count_group(int pushes, bool succeeded);
extern void metrics_count_maintenance(bool succeeded);
extern void metrics_write(const Gauges *gauges, const char *version,
						  Buffer *text);

#endif							/* METRICS_H */
