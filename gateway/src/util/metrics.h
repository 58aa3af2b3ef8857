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
	const char *path;			/* of its route; NULL: it has none */
	int			status;			/* 0: it got no reply */
	int64_t		duration;		/* microseconds */
	size_t		received;		/* bytes of bodies */
	size_t		sent;
	long		rows;			/* below 0: unknown */
} Measured;

/* The state at this moment. */
typedef struct Gauges
{
	int			connections;
	int			requests;		/* requests that have no reply yet */
	int			queued;			/* requests that wait for a database
								 * connection */
	int			waiting;		/* requests that wait for a change */
	int			remembered;		/* polls that are remembered */
	uint64_t	looks;			/* looks of the watcher since the start */
	uint64_t	answered;		/* polls that were answered from memory */
	uint64_t	woken;			/* waiting requests that a change has woken */
	int			database_connections;
} Gauges;

/* A replica at this moment. */
typedef struct ReplicaMetrics
{
	bool		serves;
	double		lag;			/* seconds; below 0: not known */
	uint64_t	lag_bytes;
	uint64_t	reads;
	int			connections;
} ReplicaMetrics;

extern void metrics_count_request(const Measured *measured);
extern void metrics_count_cut(void);
extern void metrics_count_group(int pushes, bool succeeded);
extern void metrics_count_maintenance(bool succeeded);
extern void metrics_write(const Gauges *gauges, const char *version,
						  Buffer *text);
extern void metrics_write_replicas(const ReplicaMetrics *replicas, int count,
								   uint64_t primary_reads, Buffer *text);
extern void metrics_write_fallbacks(const char *const *names,
									const uint64_t *counts, int count,
									Buffer *text);

#endif							/* METRICS_H */
