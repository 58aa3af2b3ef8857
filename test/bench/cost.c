/*-------------------------------------------------------------------------
 *
 * cost.c
 *	  What one operation costs the backend that carries it out: processor time
 *	  as the kernel counts it, so that other load on the machine, the network
 *	  and the disk do not matter.
 *
 *	  cost CONNINFO ROUNDS OPERATIONS SCRIPT...
 *
 * A script is an operation.  Each of its lines is a statement, or, if it
 * begins with a tab, a parameter of the statement above; a line that begins
 * with -- is neither, but for "-- in NAME" at the head: the script runs in that
 * database, not in CONNINFO's.  In parameters,
 *
 *	  {n}		is the number of the operation, never the same one twice
 *	  {id}		a uuid made of it
 *	  {row}		a uuid made of its last three digits
 *	  {time}	a time in the last hour, later for later ones
 *
 * The statements are prepared, and go in one pipeline with one Sync, as the
 * gateway sends them.  The scripts take turns, in each round all of them, each
 * on a connection of its own that stays.  Prints for each the least and the
 * median of its rounds in microseconds, and the median of its ratios to the
 * first script's in the same round.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libpq-fe.h>

#define PROGRAM "cost"
#include "bench.h"

#define MAX_STATEMENTS	16
#define MAX_PARAMETERS	16
#define MAX_SCRIPTS		32
#define MAX_ROUNDS		100

/* enough for statements to be prepared and caches to be filled */
#define WARM_UP			500

typedef struct Statement
{
	char	   *sql;
	int			count;
	char	   *parameters[MAX_PARAMETERS];
} Statement;

typedef struct Script
{
	const char *name;
	char	   *database;		/* or NULL: CONNINFO's */
	int			count;
	Statement	statements[MAX_STATEMENTS];
	PGconn	   *connection;
	double		costs[MAX_ROUNDS];	/* microseconds an operation, by round */
} Script;

static unsigned long number = 0;
static time_t begun_at;

static char *
copy(const char *string)
{
	char	   *result = strdup(string);

	if (result == NULL)
		die("out of memory");
	return result;
}

static void
read_script(Script *script, const char *path)
{
	FILE	   *file = fopen(path, "r");
	char	   *line = NULL;
	size_t		size = 0;
	ssize_t		length;

	if (file == NULL)
		die("cannot read %s", path);
	script->name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	while ((length = getline(&line, &size, file)) > 0)
	{
		if (line[length - 1] == '\n')
			line[--length] = '\0';
		if (script->count == 0 && strncmp(line, "-- in ", 6) == 0)
			script->database = copy(line + 6);
		if (length == 0 || strncmp(line, "--", 2) == 0)
			continue;
		if (line[0] != '\t')
		{
			if (script->count == MAX_STATEMENTS)
				die("%s has too many statements", path);
			script->statements[script->count++].sql = copy(line);
		}
		else
		{
			Statement  *statement = &script->statements[script->count - 1];

			if (script->count == 0 || statement->count == MAX_PARAMETERS)
				die("%s has a parameter of no statement, or too many", path);
			statement->parameters[statement->count++] = copy(line + 1);
		}
	}
	free(line);
	fclose(file);
}

/* The value of a place holder, for the current operation. */
static int
expand_name(char *out, size_t size, const char *name, int length)
{
	unsigned	n = (unsigned) number;

	if (length == 1 && *name == 'n')
		return snprintf(out, size, "%lu", number);
	/* spread over the key space like random ones */
	if (length == 2 && strncmp(name, "id", length) == 0)
		return snprintf(out, size, "%08x-%04x-4000-8000-%04x%08x",
						n * 2654435761u, n & 0xffff, (n >> 16) & 0xffff, n);
	/* one of a thousand; cost.sql makes them too */
	if (length == 3 && strncmp(name, "row", length) == 0)
		return snprintf(out, size, "00000000-0000-4000-8000-%012x", n % 1000);
	if (length == 4 && strncmp(name, "time", length) == 0)
	{
		time_t		at = begun_at - 3600 + number / 1000;
		struct tm	utc;

		gmtime_r(&at, &utc);
		out += strftime(out, size, "%Y-%m-%dT%H:%M:%S", &utc);
		return 19 + snprintf(out, size - 19, ".%03luZ", number % 1000);
	}
	die("{%.*s} is not known", length, name);
}

static const char *
expand(char *out, size_t size, const char *template)
{
	size_t		used = 0;

	while (*template && used + 64 < size)
	{
		const char *end = *template == '{' ? strchr(template, '}') : NULL;

		/* a brace of JSON is followed by a quote */
		if (end != NULL && template[1] >= 'a' && template[1] <= 'z')
		{
			used += expand_name(out + used, size - used, template + 1,
								(int) (end - template - 1));
			template = end + 1;
		}
		else
			out[used++] = *template++;
	}
	if (*template)
		die("a parameter is too long");
	out[used] = '\0';
	return out;
}

static void
check(Script *script, PGresult *result)
{
	switch (PQresultStatus(result))
	{
		case PGRES_COMMAND_OK:
		case PGRES_PIPELINE_SYNC:
			break;
		case PGRES_TUPLES_OK:
			/* a push that stores nothing costs little */
			if (PQntuples(result) > 0 && !PQgetisnull(result, 0, 0) &&
				strstr(PQgetvalue(result, 0, 0), "\"succeeded\":[]"))
				die("%s: %s", script->name, PQgetvalue(result, 0, 0));
			break;
		default:
			die("%s: %s", script->name, PQresultErrorMessage(result));
	}
	PQclear(result);
}

static void
connect_script(Script *script, const char *conninfo)
{
	char		whole[1024];

	/* of two, the later one counts */
	snprintf(whole, sizeof(whole), "%s%s%s", conninfo, script->database ? " dbname=" : "",
			 script->database ? script->database : "");
	script->connection = PQconnectdb(whole);
	if (PQstatus(script->connection) != CONNECTION_OK)
		die("%s", PQerrorMessage(script->connection));
	for (int i = 0; i < script->count; i++)
	{
		char		name[16];

		snprintf(name, sizeof(name), "s%d", i);
		check(script, PQprepare(script->connection, name, script->statements[i].sql, 0, NULL));
	}
	if (PQenterPipelineMode(script->connection) != 1)
		die("no pipeline mode");
}

static void
operate(Script *script)
{
	static char buffers[MAX_PARAMETERS][65536];
	PGconn	   *connection = script->connection;

	number++;
	for (int i = 0; i < script->count; i++)
	{
		Statement  *statement = &script->statements[i];
		const char *values[MAX_PARAMETERS];
		char		name[16];

		snprintf(name, sizeof(name), "s%d", i);
		for (int p = 0; p < statement->count; p++)
			values[p] = expand(buffers[p], sizeof(buffers[p]), statement->parameters[p]);
		if (PQsendQueryPrepared(connection, name, statement->count, values, NULL, NULL, 0) != 1)
			die("%s", PQerrorMessage(connection));
	}
	if (PQpipelineSync(connection) != 1)
		die("%s", PQerrorMessage(connection));
	for (int i = 0; i < script->count; i++)
	{
		check(script, PQgetResult(connection));
		PQclear(PQgetResult(connection));	/* the NULL behind each */
	}
	check(script, PQgetResult(connection));
}

/* Microseconds that the backend has run, as the scheduler counts. */
static double
backend_time(Script *script)
{
	char		path[64];
	unsigned long long nanoseconds;
	FILE	   *file;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", PQbackendPID(script->connection));
	file = fopen(path, "r");
	if (file == NULL || fscanf(file, "%llu", &nanoseconds) != 1)
		die("cannot read %s: the server has to be on this machine, and that Linux", path);
	fclose(file);
	return nanoseconds / 1000.0;
}

static int
compare(const void *a, const void *b)
{
	double		difference = *(const double *) a - *(const double *) b;

	return difference < 0 ? -1 : difference > 0;
}

static double
median(const double *values, int n)
{
	double		sorted[MAX_ROUNDS];

	memcpy(sorted, values, sizeof(double) * n);
	qsort(sorted, n, sizeof(double), compare);
	return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static double
least(const double *values, int n)
{
	double		result = values[0];

	for (int i = 1; i < n; i++)
		if (values[i] < result)
			result = values[i];
	return result;
}

int
main(int argc, char **argv)
{
	static Script scripts[MAX_SCRIPTS];
	int			count = argc - 4;
	int			rounds;
	int			operations;

	if (count < 1 || count > MAX_SCRIPTS ||
		(rounds = atoi(argv[2])) < 1 || rounds > MAX_ROUNDS ||
		(operations = atoi(argv[3])) < 1)
		die("usage: cost CONNINFO ROUNDS OPERATIONS SCRIPT...");
	begun_at = time(NULL);
	for (int s = 0; s < count; s++)
	{
		read_script(&scripts[s], argv[4 + s]);
		connect_script(&scripts[s], argv[1]);
		for (int i = 0; i < WARM_UP; i++)
			operate(&scripts[s]);
	}
	for (int round = 0; round < rounds; round++)
	{
		for (int i = 0; i < count; i++)
		{
			/* who comes first changes, what the caches hold with it */
			Script	   *script = &scripts[(i + round) % count];
			double		before = backend_time(script);

			for (int n = 0; n < operations; n++)
				operate(script);
			script->costs[round] = (backend_time(script) - before) / operations;
		}
	}
	for (int s = 0; s < count; s++)
	{
		double		ratios[MAX_ROUNDS];

		for (int round = 0; round < rounds; round++)
			ratios[round] = scripts[s].costs[round] / scripts[0].costs[round];
		printf("%-28s %8.1f %8.1f us %8.2f\n", scripts[s].name,
			   least(scripts[s].costs, rounds), median(scripts[s].costs, rounds),
			   median(ratios, rounds));
		PQfinish(scripts[s].connection);
	}
	return 0;
}
