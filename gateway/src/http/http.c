/*-------------------------------------------------------------------------
 *
 * http.c
 *	  The HTTP side: the server, its connections, and that of the metrics.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "database/database.h"
#include "database/held.h"
#include "http/clients.h"
#include "http/exchange.h"
#include "http/head.h"
#include "http/http.h"
#include "http/linger.h"
#include "http/listener.h"
#include "http/pending.h"
#include "http/request.h"
#include "http/underway.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/metrics.h"
#include "util/settings.h"
#include "util/version.h"

#define HEADER_STRUCTS			16384	/* bytes for the library's structs */
#define PARAMETER_STRUCT		64		/* of these, for a parameter */
#define HEADERS_ROOM			8192	/* that targets leave to headers and reply */
#define REFUSED_CONNECTIONS		100 /* that are accepted to get their 503 */
#define SPARE_DESCRIPTORS		64
#define QUIESCE_TIME			CLOCK_SECOND	/* for the knock to be heard */
#define METRICS_CONNECTIONS		32U
#define METRICS_TIMEOUT			10U /* seconds */

static struct MHD_Daemon *server;
static int	server_socket;		/* that it listens on */
static size_t target_room;		/* of a connection's memory, for a target and the
								 * library's structs of its parameters */
static pthread_mutex_t quiesce_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t quiesced;
static bool quiesce_wanted = false;
static struct MHD_Daemon *metrics_server = NULL;

/* ---------- metrics ---------- */

static void
count_live(Gauges *gauges)
{
	LiveCounts	counts;

	live_count(&counts);
	gauges->waiting = counts.waiting;
	gauges->remembered = counts.remembered;
	gauges->looks = counts.looks;
	gauges->answered = counts.answered;
	gauges->woken = counts.woken;
}

/* How reads are shared out, if there is anybody to share them with. */
static void
write_replicas(Buffer *text)
{
	ReplicaReport reports[MOST_REPLICAS];
	ReplicaMetrics replicas[MOST_REPLICAS];
	uint64_t	fallbacks[FALLBACKS];
	int			count = database_replica_count();
	int			i;

	if (count == 0)
		return;
	for (i = 0; i < count; i++)
	{
		database_report_replica(i + 1, &reports[i]);
		replicas[i].serves = strcmp(reports[i].state, "serving") == 0;
		replicas[i].lag = reports[i].lag;
		replicas[i].lag_bytes = reports[i].lag_bytes;
		replicas[i].reads = reports[i].reads;
		replicas[i].connections = reports[i].connections;
	}
	metrics_write_replicas(replicas, count, database_primary_reads(), text);
	held_count_fallbacks(fallbacks);
	metrics_write_fallbacks(fallback_names, fallbacks, FALLBACKS, text);
}

static enum MHD_Result
handle_metrics(void *unused, struct MHD_Connection *connection, const char *url,
			   const char *method, const char *version, const char *data,
			   size_t *length, void **context)
{
	static const char none[] = "only GET /metrics is served here\n";
	bool		good = strcmp(url, "/metrics") == 0 && strcmp(method, "GET") == 0;
	struct MHD_Response *response;
	Buffer		text = {0};
	Gauges		gauges;
	enum MHD_Result result = MHD_NO;

	(void) unused;
	(void) version;
	(void) data;
	(void) context;
	*length = 0;
	if (good)
	{
		gauges.connections = clients_count();
		gauges.database_connections = database_connected();
		gauges.queued = queue_count();
		count_live(&gauges);
		gauges.requests = underway_count();
		metrics_write(&gauges, VERSION, &text);
		write_replicas(&text);
	}
	else
		buffer_append_text(&text, none);
	if (!text.failed)
	{
		response = MHD_create_response_from_buffer(text.length, text.data,
												   MHD_RESPMEM_MUST_COPY);
		MHD_add_response_header(response, "Content-Type",
								"text/plain; version=0.0.4; charset=utf-8");
		result = MHD_queue_response(connection, good ? 200 : 404, response);
		MHD_destroy_response(response);
	}
	buffer_free(&text);
	return result;
}

/* Anybody who reaches this address may read them, without a token. */
static bool
start_metrics(int listen_socket)
{
	metrics_server = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0,
									  NULL, NULL, handle_metrics, NULL,
									  MHD_OPTION_LISTEN_SOCKET, listen_socket,
									  MHD_OPTION_CONNECTION_LIMIT,
									  METRICS_CONNECTIONS,
									  MHD_OPTION_CONNECTION_TIMEOUT,
									  METRICS_TIMEOUT, MHD_OPTION_END);
	return metrics_server != NULL;
}

/* ---------- requests ---------- */

/*
 * What target_arrived() hands to handle_request() in the place of a request:
 * there is none yet, and its target is refused.
 */
static char refused_target;

/*
 * The first line of a request is there.  Only here its target can be seen as
 * it was sent.
 */
static void *
target_arrived(void *unused, const char *target,
			   struct MHD_Connection *connection)
{
	size_t		size = target == NULL ? 0 : strlen(target) + PARAMETER_STRUCT;
	const char *c;

	(void) unused;
	for (c = target; c != NULL && (c = strchr(c, '&')) != NULL; c++)
		size += PARAMETER_STRUCT;
	if (size > target_room)
	{
		linger_adopt(exchange_socket(connection));
		client_refuse_target(exchange_client(connection));
	}
	return target != NULL && head_target_is_plain(target) ? NULL : &refused_target;
}

/*
 * Called with the head of a request, with each piece of its body, at its end,
 * and again after a suspension.
 */
static enum MHD_Result
handle_request(void *unused, struct MHD_Connection *connection, const char *url,
			   const char *method, const char *version, const char *data,
			   size_t *length, void **context)
{
	bool		target_is_plain = *context == NULL;
	Request    *request = *context;
	bool		good;

	(void) unused;
	if (*context == NULL || *context == &refused_target)
	{
		request = request_create(connection, url, method);
		*context = request;
		good = request != NULL &&
			request_begin(request, version, target_is_plain);
	}
	else if (*length > 0)
	{
		good = request_receive(request, data, *length);
		*length = 0;
	}
	else
		good = request_continue(request);
	return good ? MHD_YES : MHD_NO;
}

static void
request_completed(void *unused, struct MHD_Connection *connection, void **context,
				  enum MHD_RequestTerminationCode reason)
{
	(void) unused;
	(void) connection;
	(void) reason;
	if (*context != NULL && *context != &refused_target)
		request_end(*context);
	*context = NULL;
}

/* ---------- start and stop ---------- */

static void log_library(void *unused, const char *format, va_list arguments)
__attribute__ ((format(printf, 2, 0)));

static void
log_library(void *unused, const char *format, va_list arguments)
{
	char		message[256];

	(void) unused;
	vsnprintf(message, sizeof(message), format, arguments);
	message[strcspn(message, "\n")] = '\0';
	log_event(LOG_DEBUG, "libmicrohttpd", "message", message, NULL);
}

/* As many connections as the settings want and descriptors allow. */
static int
connection_limit(const Settings *settings)
{
	struct rlimit limit;
	rlim_t		wanted = (rlim_t) settings->max_connections;
	rlim_t		reserved = SPARE_DESCRIPTORS * 2 + REFUSED_CONNECTIONS +
		(rlim_t) settings->db_connections +
		(rlim_t) settings->replica_urls.count * ((rlim_t) settings->replica_connections + 1);
	char		number[32];

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return 256;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur >= wanted + reserved)
		return (int) wanted;

	wanted = limit.rlim_cur > reserved + 16 ? limit.rlim_cur - reserved : 16;
	snprintf(number, sizeof(number), "%llu", (unsigned long long) wanted);
	log_event(LOG_WARNING, "max-connections-lowered", "to", number,
			  "by", "the limit of open files", NULL);
	return (int) wanted;
}

/*
 * Have libmicrohttpd accept no more; under the lock.  Called by another thread than
 * its own, MHD_quiesce_daemon() may take the listening socket out of the set of
 * epoll while that thread does the same, and the program is aborted.  So that thread
 * calls it, when the next connection comes.
 */
static void
quiesce_if_wanted(void)
{
	if (!quiesce_wanted)
		return;
	MHD_quiesce_daemon(server);
	quiesce_wanted = false;
	pthread_cond_signal(&quiesced);
}

/* A connection was opened, or is about to be closed. */
static void
connection_changed(void *unused, struct MHD_Connection *connection,
				   void **context, enum MHD_ConnectionNotificationCode what)
{
	const union MHD_ConnectionInfo *info;
	Address		address;
	int			fd;

	(void) unused;
	if (what == MHD_CONNECTION_NOTIFY_CLOSED)
	{
		client_close(*context);
		*context = NULL;
		return;
	}
	info = MHD_get_connection_info(connection,
								   MHD_CONNECTION_INFO_CONNECTION_FD);
	fd = info->connect_fd;
	info = MHD_get_connection_info(connection,
								   MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	address = address_of_socket(info->client_addr);
	*context = client_open(fd, &address);

	pthread_mutex_lock(&quiesce_lock);
	quiesce_if_wanted();
	pthread_mutex_unlock(&quiesce_lock);
}

/*
 * libmicrohttpd's own timeout is of no use: it begins anew with each byte.  Of a
 * connection's memory, one half is for headers as they come, the other for what
 * the library makes of them.
 */
bool
http_start(int listen_socket, int metrics_socket)
{
	const Settings *settings;
	size_t		memory;
	int			limit;

	settings = settings_acquire();
	limit = connection_limit(settings);
	memory = 2 * (size_t) settings->max_header_bytes + HEADER_STRUCTS;
	settings_release(settings);

	target_room = memory - HEADERS_ROOM;
	server_socket = listen_socket;
	clock_init_condition(&quiesced);
	underway_start();
	if (!linger_start() || !clients_start(limit))
		return false;
	server = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD |
							  MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG,
							  0, NULL, NULL, handle_request, NULL,
							  MHD_OPTION_EXTERNAL_LOGGER, log_library, NULL,
							  MHD_OPTION_LISTEN_SOCKET, listen_socket,
							  MHD_OPTION_NOTIFY_COMPLETED,
							  request_completed, NULL,
							  MHD_OPTION_NOTIFY_CONNECTION,
							  connection_changed, NULL,
							  MHD_OPTION_URI_LOG_CALLBACK,
							  target_arrived, NULL,
							  MHD_OPTION_STRICT_FOR_CLIENT, 1,
							  MHD_OPTION_CONNECTION_LIMIT,
							  (unsigned int) limit + REFUSED_CONNECTIONS,
							  MHD_OPTION_CONNECTION_TIMEOUT, 0U,
							  MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory,
							  MHD_OPTION_END);
	return server != NULL &&
		(metrics_socket < 0 || start_metrics(metrics_socket));
}

/* Tell proxies, by /ready and by closing connections, to go elsewhere. */
void
http_announce_stop(void)
{
	underway_leave();
}

/* Accept no more connections, and refuse new requests with 503. */
void
http_refuse_new(void)
{
	int64_t		until = clock_now() + QUIESCE_TIME;
	struct timespec moment = clock_timespec(until);
	int			knock;

	underway_refuse_new();
	pthread_mutex_lock(&quiesce_lock);
	quiesce_wanted = true;
	knock = listener_knock(server_socket);
	while (quiesce_wanted && clock_now() < until)
		pthread_cond_timedwait(&quiesced, &quiesce_lock, &moment);
	/* nobody was let in: there are too many connections */
	quiesce_if_wanted();
	pthread_mutex_unlock(&quiesce_lock);
	if (knock >= 0)
		close(knock);
	/* it stays open, since libmicrohttpd may still have it in its set */
	shutdown(server_socket, SHUT_RDWR);
}

/* Wait until no request is under way; false: it took too long. */
bool
http_wait_idle(int64_t until)
{
	return underway_wait_idle(until);
}

/* How many requests have a job that is running?  Must be 0 for http_stop. */
int
http_waiting_for_database(void)
{
	return pending_count_with_database();
}

/* Before anything is freed that the metrics count. */
void
http_stop_metrics(void)
{
	if (metrics_server != NULL)
		MHD_stop_daemon(metrics_server);
	metrics_server = NULL;
}

void
http_stop(void)
{
	MHD_stop_daemon(server);
	close(server_socket);
	clients_stop();
	linger_stop();
	underway_stop();
}
