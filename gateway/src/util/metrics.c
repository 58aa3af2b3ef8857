/*-------------------------------------------------------------------------
 *
 * metrics.c
 *	  Counters, and their report in the text format of Prometheus.
 *
 * Labels are statuses and paths of our own routes, never the name of a user or
 * anything else that a client has sent, so that their number stays small.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "util/metrics.h"

#define MAX_PATHS		24
#define MAX_STATUS		600
#define MICROSECONDS	1e6

/* Upper bounds of the histogram's buckets, in seconds. */
static const double bounds[] = {
	0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30
};

#define BUCKETS		((int) (sizeof(bounds) / sizeof(bounds[0])))

typedef struct PathMetrics
{
	const char *path;			/* a route's own string, or "other" */
	uint64_t	by_status[MAX_STATUS];
	uint64_t	by_duration[BUCKETS + 1];	/* the last: longer than all */
	double		seconds;
	uint64_t	received;
	uint64_t	sent;
	uint64_t	rows;
} PathMetrics;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static PathMetrics paths[MAX_PATHS];
static int	path_count = 0;
static uint64_t cuts = 0;
static uint64_t maintenances[2] = {0, 0};	/* failed, succeeded */
static uint64_t groups[2] = {0, 0}; /* of pushes, likewise */
static uint64_t grouped = 0;	/* pushes that were committed in groups */

/* The counters of a path; when the table is full, those of the last one. */
static PathMetrics *
find_path(const char *path)
{
	int			i;

	if (path == NULL)
		path = "other";
	for (i = 0; i < path_count; i++)
	{
		if (strcmp(paths[i].path, path) == 0)
			return &paths[i];
	}
	if (path_count == MAX_PATHS)
		return &paths[MAX_PATHS - 1];
	paths[path_count].path = path;
	return &paths[path_count++];
}

void
metrics_count_request(const Measured *measured)
{
	double		seconds = (double) measured->duration / MICROSECONDS;
	int			bucket = 0;
	PathMetrics *path;

	while (bucket < BUCKETS && seconds > bounds[bucket])
		bucket++;

	pthread_mutex_lock(&lock);
	path = find_path(measured->path);
	if (measured->status >= 0 && measured->status < MAX_STATUS)
		path->by_status[measured->status]++;
	path->by_duration[bucket]++;
	path->seconds += seconds;
	path->received += measured->received;
	path->sent += measured->sent;
	if (measured->rows > 0)
		path->rows += (uint64_t) measured->rows;
	pthread_mutex_unlock(&lock);
}

/* A connection that was cut because it was too slow. */
void
metrics_count_cut(void)
{
	pthread_mutex_lock(&lock);
	cuts++;
	pthread_mutex_unlock(&lock);
}

/* Pushes that were run in one transaction; if that failed, each is run again. */
void
metrics_count_group(int pushes, bool succeeded)
{
	pthread_mutex_lock(&lock);
	groups[succeeded ? 1 : 0]++;
	if (succeeded)
		grouped += (uint64_t) pushes;
	pthread_mutex_unlock(&lock);
}

void
metrics_count_maintenance(bool succeeded)
{
	pthread_mutex_lock(&lock);
	maintenances[succeeded ? 1 : 0]++;
	pthread_mutex_unlock(&lock);
}

/* ---------- writing ---------- */

static void append(Buffer *text, const char *format,...)
__attribute__ ((format(printf, 2, 3)));

static void
append(Buffer *text, const char *format,...)
{
	char		line[256];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	buffer_append_text(text, line);
}

static void
begin_family(Buffer *text, const char *name, const char *type, const char *help)
{
	append(text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
write_gauge(Buffer *text, const char *name, const char *help, int value)
{
	begin_family(text, name, "gauge", help);
	append(text, "%s %d\n", name, value);
}

static void
write_counter(Buffer *text, const char *name, const char *help, uint64_t value)
{
	begin_family(text, name, "counter", help);
	append(text, "%s %llu\n", name, (unsigned long long) value);
}

/* One counter of each path, the field at this offset. */
static void
write_by_path(Buffer *text, const char *name, const char *help, size_t offset)
{
	int			i;

	begin_family(text, name, "counter", help);
	for (i = 0; i < path_count; i++)
		append(text, "%s{path=\"%s\"} %llu\n", name, paths[i].path,
			   (unsigned long long)
			   *(const uint64_t *) ((const char *) &paths[i] + offset));
}

static void
write_statuses(Buffer *text)
{
	static const char name[] = "tide_requests_total";
	int			i;
	int			status;

	begin_family(text, name, "counter",
				 "requests, by path and status; status 0: no reply was sent");
	for (i = 0; i < path_count; i++)
	{
		for (status = 0; status < MAX_STATUS; status++)
		{
			if (paths[i].by_status[status] > 0)
				append(text, "%s{path=\"%s\",status=\"%d\"} %llu\n", name,
					   paths[i].path, status,
					   (unsigned long long) paths[i].by_status[status]);
		}
	}
}

static void
write_durations(Buffer *text)
{
	static const char name[] = "tide_request_seconds";
	int			i;
	int			bucket;

	begin_family(text, name, "histogram",
				 "from a request's headers to the end of its reply, waiting included");
	for (i = 0; i < path_count; i++)
	{
		unsigned long long count = 0;

		for (bucket = 0; bucket < BUCKETS; bucket++)
		{
			count += paths[i].by_duration[bucket];
			append(text, "%s_bucket{path=\"%s\",le=\"%g\"} %llu\n", name,
				   paths[i].path, bounds[bucket], count);
		}
		count += paths[i].by_duration[BUCKETS];
		append(text, "%s_bucket{path=\"%s\",le=\"+Inf\"} %llu\n", name,
			   paths[i].path, count);
		append(text, "%s_sum{path=\"%s\"} %.6f\n", name, paths[i].path,
			   paths[i].seconds);
		append(text, "%s_count{path=\"%s\"} %llu\n", name, paths[i].path, count);
	}
}

/* Write the whole report; text->failed if memory ran out. */
void
metrics_write(const Gauges *gauges, const char *version, Buffer *text)
{
	pthread_mutex_lock(&lock);
	begin_family(text, "tide_build_info", "gauge", "the gateway's version");
	append(text, "tide_build_info{version=\"%s\"} 1\n", version);
	write_statuses(text);
	write_durations(text);
	write_by_path(text, "tide_received_bytes_total", "bytes of request bodies",
				  offsetof(PathMetrics, received));
	write_by_path(text, "tide_sent_bytes_total", "bytes of reply bodies",
				  offsetof(PathMetrics, sent));
	write_by_path(text, "tide_rows_total", "rows and changes in replies",
				  offsetof(PathMetrics, rows));
	begin_family(text, "tide_cut_connections_total", "counter",
				 "connections that were cut because they were too slow");
	append(text, "tide_cut_connections_total %llu\n", (unsigned long long) cuts);
	begin_family(text, "tide_push_groups_total", "counter",
				 "pushes of several users in one transaction, by outcome; those of a failed one are run again, each alone");
	append(text, "tide_push_groups_total{outcome=\"succeeded\"} %llu\n"
		   "tide_push_groups_total{outcome=\"failed\"} %llu\n",
		   (unsigned long long) groups[1], (unsigned long long) groups[0]);
	begin_family(text, "tide_grouped_pushes_total", "counter",
				 "pushes that were committed in groups");
	append(text, "tide_grouped_pushes_total %llu\n", (unsigned long long) grouped);
	begin_family(text, "tide_maintenance_total", "counter",
				 "runs of tide.maintain(), by outcome");
	append(text, "tide_maintenance_total{outcome=\"succeeded\"} %llu\n"
		   "tide_maintenance_total{outcome=\"failed\"} %llu\n",
		   (unsigned long long) maintenances[1],
		   (unsigned long long) maintenances[0]);
	pthread_mutex_unlock(&lock);

	write_gauge(text, "tide_connections", "connections of clients",
				gauges->connections);
	write_gauge(text, "tide_requests", "requests that have no reply yet",
				gauges->requests);
	write_gauge(text, "tide_queued_requests",
				"requests that wait for a connection to the database",
				gauges->queued);
	write_gauge(text, "tide_waiting_pulls",
				"pulls and streams of events that wait for something to come",
				gauges->waiting);
	write_gauge(text, "tide_remembered_polls",
				"polls that are remembered to bring nothing",
				gauges->remembered);
	write_counter(text, "tide_remembered_answers_total",
				  "polls that were answered from memory", gauges->answered);
	write_counter(text, "tide_woken_total",
				  "pulls and polls that asked the database because something changed",
				  gauges->woken);
	write_counter(text, "tide_looks_total",
				  "looks of the watcher at what changed", gauges->looks);
	write_gauge(text, "tide_database_connections",
				"connections to the database that are up",
				gauges->database_connections);
}

/* ---------- replicas ---------- */

/* Replicas are named by the number that the log gives them, never by host. */
void
metrics_write_replicas(const ReplicaMetrics *replicas, int count,
					   uint64_t primary_reads, Buffer *text)
{
	int			i;

	begin_family(text, "tide_reads_total", "counter",
				 "pulls and other reads that replicas may serve, by who has served them");
	append(text, "tide_reads_total{server=\"primary\"} %llu\n",
		   (unsigned long long) primary_reads);
	for (i = 0; i < count; i++)
		append(text, "tide_reads_total{server=\"replica-%d\"} %llu\n", i + 1,
			   (unsigned long long) replicas[i].reads);
	begin_family(text, "tide_replica_serves", "gauge",
				 "1 while a replica gets requests");
	for (i = 0; i < count; i++)
		append(text, "tide_replica_serves{replica=\"%d\"} %d\n", i + 1,
			   replicas[i].serves ? 1 : 0);
	begin_family(text, "tide_replica_connections", "gauge",
				 "connections to a replica that are up");
	for (i = 0; i < count; i++)
		append(text, "tide_replica_connections{replica=\"%d\"} %d\n", i + 1,
			   replicas[i].connections);
	begin_family(text, "tide_replica_lag_seconds", "gauge",
				 "how long ago the primary was where a replica is; absent while that is not known");
	for (i = 0; i < count; i++)
	{
		if (replicas[i].lag >= 0)
			append(text, "tide_replica_lag_seconds{replica=\"%d\"} %.3f\n", i + 1,
				   replicas[i].lag);
	}
	begin_family(text, "tide_replica_lag_bytes", "gauge",
				 "bytes of WAL that a replica has yet to replay; absent likewise");
	for (i = 0; i < count; i++)
	{
		if (replicas[i].lag >= 0)
			append(text, "tide_replica_lag_bytes{replica=\"%d\"} %llu\n", i + 1,
				   (unsigned long long) replicas[i].lag_bytes);
	}
}

void
metrics_write_fallbacks(const char *const *names, const uint64_t *counts,
						int count, Buffer *text)
{
	int			i;

	begin_family(text, "tide_replica_fallbacks_total", "counter",
				 "reads that the primary had to serve, by reason");
	for (i = 0; i < count; i++)
		append(text, "tide_replica_fallbacks_total{reason=\"%s\"} %llu\n",
			   names[i], (unsigned long long) counts[i]);
}
