/*-------------------------------------------------------------------------
 *
 * load.c
 *	  The load generator of `make bench`: the same rows either through the
 *	  gateway over HTTP or straight into PostgreSQL through libpq.
 *
 *	  load push-http HOST PORT TOKENS ROUND REQUESTS STAMP
 *	  load push-sql  CONNINFO  USERS  ROUND REQUESTS STAMP
 *	  load pull-http HOST PORT TOKENS
 *	  load pull-sql  CONNINFO  USERS
 *	  load times-http HOST PORT TOKENS REQUESTS STAMP
 *
 * TOKENS and USERS are files with a line for each connection: a bearer token,
 * or the user it is for.  Every connection is a thread that sends its next
 * request when the reply is there.  A push is ROWS_A_REQUEST rows whose ids
 * follow from ROUND, connection, request and row, stamped STAMP; all bodies
 * are made before the clock starts.  A pull reads everything of a user, in
 * pages of PAGE.  Prints "rows seconds"; any error ends it.  "times" is the first
 * user alone, who pushes one row and pulls ten, again and again; it prints the
 * median of a push, that of a pull, and the 99th percentile of both, in
 * milliseconds.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <libpq-fe.h>

#define PROGRAM "load"
#include "bench.h"

#define ROWS_A_REQUEST	100
#define PAGE			500
#define MAX_CONNECTIONS 64

/* what tracked and plain rows have in common; names as in bench.sql */
#define ROW_FORMAT \
	"{\"id\":\"%s\",\"user_id\":\"%s\",\"title\":\"Bench Press %d\"," \
	"\"notes\":\"five by five, two minutes of rest\",\"position\":%d," \
	"\"weight_kg\":%d.5,\"done\":%s,\"last_modified_at\":\"%s\"}"

#define PUSH_SQL \
	"INSERT INTO bench_plain (id, user_id, title, notes, position, weight_kg, done, last_modified_at)" \
	" SELECT id, user_id, title, notes, position, weight_kg, done, last_modified_at" \
	" FROM jsonb_to_recordset($1) AS r (id uuid, user_id text, title text, notes text," \
	" position integer, weight_kg numeric, done boolean, last_modified_at timestamptz)" \
	" ON CONFLICT (id) DO UPDATE SET user_id = excluded.user_id, title = excluded.title," \
	" notes = excluded.notes, position = excluded.position, weight_kg = excluded.weight_kg," \
	" done = excluded.done, last_modified_at = excluded.last_modified_at" \
	" WHERE bench_plain.last_modified_at < excluded.last_modified_at"

#define PULL_SQL \
	"SELECT id, row_to_json(t) FROM bench_plain AS t" \
	" WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT 500"

typedef struct Buffer
{
	char	   *data;
	size_t		length;
	size_t		size;
} Buffer;

typedef struct Worker
{
	pthread_t	thread;
	int			number;
	char	   *who;			/* token, or user */
	Buffer	   *bodies;			/* of a push, one a request */
	int			socket;
	PGconn	   *connection;
	Buffer		reply;
	long		rows;			/* that the server acknowledged, or sent */
} Worker;

static bool over_http;
static bool pushing;
static const char *host;
static const char *port;
static const char *conninfo;
static int	requests;
static pthread_barrier_t start_line;

static void
append(Buffer *buffer, const char *format,...)
{
	va_list		args;
	int			needed;

	for (;;)
	{
		size_t		room = buffer->size - buffer->length;

		va_start(args, format);
		needed = vsnprintf(buffer->data ? buffer->data + buffer->length : NULL,
						   room, format, args);
		va_end(args);
		if ((size_t) needed < room)
			break;
		buffer->size = (buffer->size + needed + 1) * 2;
		buffer->data = realloc(buffer->data, buffer->size);
		if (buffer->data == NULL)
			die("out of memory");
	}
	buffer->length += needed;
}

static double
now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec + at.tv_nsec / 1e9;
}

/*
 * The rows of one request, as a JSON array.  The ids are spread over the key
 * space like random ones, but the same in every run.
 */
static void
append_rows(Buffer *body, const char *user, int round, int worker, int request,
			const char *stamp)
{
	append(body, "[");
	for (int i = 0; i < ROWS_A_REQUEST; i++)
	{
		unsigned	n = ((unsigned) (round * 64 + worker) * 10000 + request) * 100 + i;
		char		id[37];

		snprintf(id, sizeof(id), "%08x-%04x-4000-8000-%04x%08x",
				 n * 2654435761u, n & 0xffff, (n >> 16) & 0xffff, n);
		append(body, "%s" ROW_FORMAT, i ? "," : "", id, user, i, i + 1,
			   20 + i, i % 2 ? "true" : "false", stamp);
	}
	append(body, "]");
}

/*
 * HTTP/1.1 with keep-alive, as much of it as the gateway's replies need.
 */
static void
http_connect(Worker *worker)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *address;
	int			on = 1;

	if (getaddrinfo(host, port, &hints, &address) != 0)
		die("unknown address %s:%s", host, port);
	worker->socket = socket(address->ai_family, SOCK_STREAM, 0);
	if (worker->socket < 0 ||
		connect(worker->socket, address->ai_addr, address->ai_addrlen) != 0)
		die("cannot connect: %s", strerror(errno));
	setsockopt(worker->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	freeaddrinfo(address);
}

static void
http_send(Worker *worker, const Buffer *request)
{
	size_t		sent = 0;

	while (sent < request->length)
	{
		ssize_t		n = send(worker->socket, request->data + sent,
							 request->length - sent, 0);

		if (n <= 0)
			die("send: %s", strerror(errno));
		sent += n;
	}
}

/*
 * Read one reply into worker->reply, which then ends with a NUL, and return
 * where its body starts.
 */
static char *
http_receive(Worker *worker)
{
	Buffer	   *reply = &worker->reply;
	size_t		expected = 0;
	char	   *body = NULL;

	reply->length = 0;
	while (body == NULL || reply->length < expected)
	{
		ssize_t		n;

		if (reply->size - reply->length < 65536)
		{
			size_t		offset = body ? (size_t) (body - reply->data) : 0;

			reply->size = reply->size * 2 + 131072;
			reply->data = realloc(reply->data, reply->size);
			if (reply->data == NULL)
				die("out of memory");
			if (body)
				body = reply->data + offset;
		}
		n = recv(worker->socket, reply->data + reply->length,
				 reply->size - reply->length - 1, 0);
		if (n <= 0)
			die("recv: %s", n < 0 ? strerror(errno) : "connection closed");
		reply->length += n;
		reply->data[reply->length] = '\0';
		if (body == NULL && (body = strstr(reply->data, "\r\n\r\n")) != NULL)
		{
			char	   *length = strcasestr(reply->data, "\r\ncontent-length:");

			if (length == NULL || length > body)
				die("a reply without Content-Length");
			body += 4;
			expected = (body - reply->data) + strtoul(length + 17, NULL, 10);
		}
	}
	if (strncmp(reply->data, "HTTP/1.1 200", 12) != 0)
		die("unexpected reply: %.300s", reply->data);
	return body;
}

static void
http_push(Worker *worker)
{
	char		stored[64];

	snprintf(stored, sizeof(stored), "\"succeeded\":%d,\"failed\":0", ROWS_A_REQUEST);
	for (int i = 0; i < requests; i++)
	{
		char	   *body;

		http_send(worker, &worker->bodies[i]);
		body = http_receive(worker);
		if (strstr(body, stored) == NULL)
			die("not all rows were stored: %.1000s", body);
		worker->rows += ROWS_A_REQUEST;
	}
}

static void
http_pull(Worker *worker)
{
	Buffer		request = {0};
	char		since[8192] = "";

	for (;;)
	{
		char	   *body;
		char	   *cursor;

		request.length = 0;
		append(&request,
			   "GET /api/v1/sync/pull?limit=%d&entityTypes=bench_tracked%s HTTP/1.1\r\n"
			   "Host: %s\r\nAuthorization: Bearer %s\r\n\r\n",
			   PAGE, since, host, worker->who);
		http_send(worker, &request);
		body = http_receive(worker);
		for (char *row = body; (row = strstr(row, "{\"id\":")) != NULL; row++)
			worker->rows++;
		cursor = strstr(body, "\"cursor\":\"");
		if (cursor == NULL)
			die("a page without a cursor: %.300s", body);
		cursor += strlen("\"cursor\":\"");
		snprintf(since, sizeof(since), "&since=%.*s", (int) strcspn(cursor, "\""), cursor);
		if (strstr(cursor, "\"hasMore\":true,\"reset\"") == NULL)
			break;
	}
	free(request.data);
}

static int
compare_times(const void *a, const void *b)
{
	double		difference = *(const double *) a - *(const double *) b;

	return difference < 0 ? -1 : difference > 0;
}

/* One user's requests, by turns a push and a pull, and how long each took. */
static void
http_times(Worker *worker, const char *stamp)
{
	double	   *times = malloc(sizeof(double) * requests);
	double	   *kinds[2] = {malloc(sizeof(double) * requests), malloc(sizeof(double) * requests)};
	Buffer		request = {0};
	Buffer		row = {0};
	char		later[64];

	if (times == NULL || kinds[0] == NULL || kinds[1] == NULL)
		die("out of memory");
	for (int i = 0; i < requests; i++)
	{
		request.length = row.length = 0;
		if (i % 2 == 0)
		{
			/* an edit is later than the one before */
			snprintf(later, sizeof(later), "%.20s%06dZ", stamp, i);
			append(&row, "{\"changes\":{\"bench_tracked\":[" ROW_FORMAT "]}}",
				   "ffffffff-0000-4000-8000-000000000000", "u0", i, i, 20, "true", later);
			append(&request,
				   "POST /api/v1/sync/push HTTP/1.1\r\nHost: %s\r\n"
				   "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
				   "Content-Length: %zu\r\n\r\n%s", host, worker->who, row.length, row.data);
		}
		else
			append(&request, "GET /api/v1/sync/pull?limit=10 HTTP/1.1\r\nHost: %s\r\n"
				   "Authorization: Bearer %s\r\n\r\n", host, worker->who);
		times[i] = now();
		http_send(worker, &request);
		http_receive(worker);
		times[i] = now() - times[i];
	}
	for (int i = 0; i < requests; i++)
		kinds[i % 2][i / 2] = times[i];
	for (int kind = 0; kind < 2; kind++)
	{
		qsort(kinds[kind], requests / 2, sizeof(double), compare_times);
		printf("%.3f ", kinds[kind][requests / 4] * 1000);
		free(kinds[kind]);
	}
	qsort(times, requests, sizeof(double), compare_times);
	printf("%.3f\n", times[requests * 99 / 100] * 1000);
	free(times);
	free(request.data);
	free(row.data);
}

static PGresult *
sql_checked(Worker *worker, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		die("%s", PQerrorMessage(worker->connection));
	return result;
}

static void
sql_connect(Worker *worker)
{
	worker->connection = PQconnectdb(conninfo);
	if (PQstatus(worker->connection) != CONNECTION_OK)
		die("%s", PQerrorMessage(worker->connection));
	PQclear(sql_checked(worker, PQprepare(worker->connection, "q",
										  pushing ? PUSH_SQL : PULL_SQL, 0, NULL)));
}

static void
sql_push(Worker *worker)
{
	for (int i = 0; i < requests; i++)
	{
		const char *parameter = worker->bodies[i].data;
		PGresult   *result = sql_checked(worker,
										 PQexecPrepared(worker->connection, "q", 1,
														&parameter, NULL, NULL, 0));

		if (atoi(PQcmdTuples(result)) != ROWS_A_REQUEST)
			die("only %s rows were stored", PQcmdTuples(result));
		worker->rows += ROWS_A_REQUEST;
		PQclear(result);
	}
}

static void
sql_pull(Worker *worker)
{
	char		after[37] = "00000000-0000-0000-0000-000000000000";

	for (;;)
	{
		const char *parameters[2] = {worker->who, after};
		PGresult   *page = sql_checked(worker,
									   PQexecPrepared(worker->connection, "q", 2,
													  parameters, NULL, NULL, 0));
		int			rows = PQntuples(page);

		worker->rows += rows;
		if (rows > 0)
			snprintf(after, sizeof(after), "%s", PQgetvalue(page, rows - 1, 0));
		PQclear(page);
		if (rows < PAGE)
			break;
	}
}

static void *
work(void *argument)
{
	Worker	   *worker = argument;

	if (over_http)
		http_connect(worker);
	else
		sql_connect(worker);
	/* once for "all are connected", once for "the clock runs" */
	pthread_barrier_wait(&start_line);
	pthread_barrier_wait(&start_line);
	if (over_http)
		pushing ? http_push(worker) : http_pull(worker);
	else
		pushing ? sql_push(worker) : sql_pull(worker);
	return NULL;
}

/* Lines of a file, one for each worker; returns how many there are. */
static int
read_workers(const char *path, Worker *workers)
{
	FILE	   *file = fopen(path, "r");
	char	   *line = NULL;
	size_t		size = 0;
	int			count = 0;

	if (file == NULL)
		die("%s: %s", path, strerror(errno));
	while (count < MAX_CONNECTIONS && getline(&line, &size, file) > 0)
	{
		line[strcspn(line, "\n")] = '\0';
		workers[count].number = count;
		workers[count++].who = strdup(line);
	}
	free(line);
	fclose(file);
	if (count == 0)
		die("%s is empty", path);
	return count;
}

/*
 * The user of worker n is un; its bodies are a whole HTTP request each, or
 * the one parameter of PUSH_SQL.
 */
static void
make_bodies(Worker *worker, int round, const char *stamp)
{
	char		user[16];

	snprintf(user, sizeof(user), "u%d", worker->number);
	worker->bodies = calloc(requests, sizeof(Buffer));
	if (worker->bodies == NULL)
		die("out of memory");
	for (int i = 0; i < requests; i++)
	{
		Buffer		rows = {0};

		append_rows(&rows, user, round, worker->number, i, stamp);
		if (over_http)
		{
			append(&worker->bodies[i],
				   "POST /api/v1/sync/push HTTP/1.1\r\nHost: %s\r\n"
				   "Authorization: Bearer %s\r\nContent-Type: application/json\r\n"
				   "Content-Length: %zu\r\n\r\n{\"changes\":{\"bench_tracked\":%s}}",
				   host, worker->who,
				   rows.length + strlen("{\"changes\":{\"bench_tracked\":}}"), rows.data);
			free(rows.data);
		}
		else
			worker->bodies[i] = rows;
	}
}

int
main(int argc, char **argv)
{
	static Worker workers[MAX_CONNECTIONS];
	int			count;
	long		rows = 0;
	double		started;
	char	  **rest;

	if (argc < 2)
		die("which load?");
	if (strcmp(argv[1], "times-http") == 0 && argc == 7)
	{
		host = argv[2];
		port = argv[3];
		read_workers(argv[4], workers);
		requests = atoi(argv[5]);
		http_connect(&workers[0]);
		http_times(&workers[0], argv[6]);
		return 0;
	}
	pushing = strncmp(argv[1], "push-", 5) == 0;
	over_http = strcmp(argv[1] + 5, "http") == 0;
	if (argc != 2 + (over_http ? 3 : 2) + (pushing ? 3 : 0))
		die("wrong number of arguments");
	rest = argv + 2;
	if (over_http)
	{
		host = *rest++;
		port = *rest++;
	}
	else
		conninfo = *rest++;
	count = read_workers(*rest++, workers);
	if (pushing)
	{
		requests = atoi(rest[1]);
		for (int i = 0; i < count; i++)
			make_bodies(&workers[i], atoi(rest[0]), rest[2]);
	}

	pthread_barrier_init(&start_line, NULL, count + 1);
	for (int i = 0; i < count; i++)
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
			die("cannot start a thread");
	pthread_barrier_wait(&start_line);
	started = now();
	pthread_barrier_wait(&start_line);
	for (int i = 0; i < count; i++)
	{
		pthread_join(workers[i].thread, NULL);
		rows += workers[i].rows;
	}
	printf("%ld %.6f\n", rows, now() - started);
	return 0;
}
