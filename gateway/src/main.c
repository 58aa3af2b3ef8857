/*-------------------------------------------------------------------------
 *
 * main.c
 *	  Start, signals, stop; and the "token" command.
 *
 *-------------------------------------------------------------------------
 */
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/keys.h"
#include "auth/token.h"
#include "database/database.h"
#include "database/maintenance.h"
#include "database/queue.h"
#include "http/http.h"
#include "http/listener.h"
#include "live/live.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/settings.h"
#include "util/version.h"

#define GRACE_SECONDS	2		/* after shutdown-timeout and this, the
								 * process ends in any case */
#define LOG_TIME		CLOCK_SECOND	/* to write the end of the log */
#define LARGE_BLOCK		(256 * 1024)
#define DEFAULT_TTL		3600
#define MAX_TTL			INT64_C(3155760000) /* a century */

static int
complain(const char *message)
{
	fprintf(stderr, "tide-gateway: %s\n", message);
	return 2;
}

/* The value of --name in the arguments of "token", where *i stands. */
static const char *
token_option(int argc, char **argv, int *i, const char *name)
{
	size_t		length = strlen(name);

	if (strncmp(argv[*i], name, length) != 0)
		return NULL;
	if (argv[*i][length] == '=')
		return argv[*i] + length + 1;
	if (argv[*i][length] == '\0' && *i + 1 < argc)
		return argv[++*i];
	return NULL;
}

static bool
is_text_or_absent(const char *text)
{
	return text == NULL || text_is_utf8(text, strlen(text));
}

/* False: "problem" says what is wrong with the arguments of "token". */
static bool
token_arguments(int argc, char **argv, const char **secret_file,
				TokenClaims *claims, char *problem, size_t problem_size)
{
	const struct
	{
		const char *name;
		const char **value;
	}			options[] = {
		{"--jwt-secret-file", secret_file}, {"--sub", &claims->user},
		{"--role", &claims->role}, {"--jwt-issuer", &claims->issuer},
		{"--jwt-audience", &claims->audience}, {NULL, NULL}
	};
	int			i;
	int			option;

	for (i = 2; i < argc; i++)
	{
		const char *value = NULL;
		int64_t		ttl;

		for (option = 0; options[option].name != NULL && value == NULL; option++)
		{
			value = token_option(argc, argv, &i, options[option].name);
			if (value != NULL)
				*options[option].value = value;
		}
		if (value != NULL)
			continue;
		value = token_option(argc, argv, &i, "--ttl");
		if (value == NULL)
		{
			snprintf(problem, problem_size,
					 "token: unknown or incomplete option \"%s\"", argv[i]);
			return false;
		}
		if (!text_parse_integer(value, &ttl) || ttl > MAX_TTL || ttl < -MAX_TTL)
		{
			snprintf(problem, problem_size,
					 "token: --ttl must be a number of seconds");
			return false;
		}
		claims->ttl = (long) ttl;
	}
	return true;
}

/*
 * tide-gateway token: print a signed token.  A negative ttl makes a token that
 * has expired.
 */
static int
token_command(int argc, char **argv)
{
	const char *secret_file = getenv("TIDE_JWT_SECRET_FILE");
	TokenClaims claims = {
		.issuer = getenv("TIDE_JWT_ISSUER"),
		.audience = getenv("TIDE_JWT_AUDIENCE"),
		.issued_at = time(NULL),
		.ttl = DEFAULT_TTL
	};
	KeyFiles	files = {.public_keys = "", .jwks = ""};
	Keys	   *keys;
	char		problem[512];
	char	   *token;

	if (!token_arguments(argc, argv, &secret_file, &claims,
						 problem, sizeof(problem)))
		return complain(problem);
	if (secret_file == NULL || *secret_file == '\0' ||
		claims.user == NULL || *claims.user == '\0')
		return complain("token: --jwt-secret-file and --sub are required");
	if (!is_text_or_absent(claims.user) || !is_text_or_absent(claims.role) ||
		!is_text_or_absent(claims.issuer) || !is_text_or_absent(claims.audience))
		return complain("token: the claims must be UTF-8");
	files.secret = secret_file;
	keys = keys_read(&files, problem, sizeof(problem));
	if (keys == NULL)
		return complain(problem);

	token = token_create(keys_set(keys), &claims);
	keys_free(keys);
	if (token == NULL)
		return complain("token: could not sign");
	puts(token);
	free(token);
	return 0;
}

static Keys *
read_keys(const Settings *settings, char *problem, size_t problem_size)
{
	KeyFiles	files = {
		.secret = settings->jwt_secret_file,
		.public_keys = settings->jwt_public_key_files,
		.jwks = settings->jwks_file
	};

	return keys_read(&files, problem, problem_size);
}

/*
 * SIGHUP: read the settings and the keys again.  If something is wrong, all
 * stays as it was.
 */
static void
reload(int argc, char **argv)
{
	char		problem[512];
	Settings   *fresh = settings_read(argc, argv, problem, sizeof(problem));
	Keys	   *keys = fresh == NULL ? NULL : read_keys(fresh, problem, sizeof(problem));
	const Settings *running;

	if (keys == NULL)
	{
		log_event(LOG_ERROR, "reload-failed", "message", problem, NULL);
		if (fresh != NULL)
			settings_discard(fresh);
		return;
	}
	running = settings_acquire();
	settings_keep_fixed(fresh, running);
	settings_release(running);
	keys_publish(keys);
	settings_publish(fresh);
	database_reconnect();
	live_reconnect();
	log_event(LOG_INFO, "reloaded", NULL);
}

/*
 * The time is up although a thread still waits for a server that does not
 * answer.
 */
static void
give_up(int number)
{
	(void) number;
	_exit(0);
}

/* Wait for a signal; 0: "until" has come.  May return 0 too early. */
static int
wait_for_signal(const sigset_t *signals, int64_t until)
{
	struct timespec pause = {0};
	int64_t		left = until - clock_now();
	int			number;

	if (left > 0)
		pause = clock_timespec(left);
	number = sigtimedwait(signals, NULL, &pause);
	return number > 0 ? number : 0;
}

/*
 * Serve on for a while, but tell who asks that this will end.  A second signal to
 * stop cuts it short.
 */
static void
announce_stop(const sigset_t *signals)
{
	const Settings *settings = settings_acquire();
	int64_t		until = clock_now() + settings->shutdown_delay * CLOCK_SECOND;
	bool		delayed = settings->shutdown_delay > 0;
	int			number = 0;

	settings_release(settings);
	if (!delayed)
		return;
	log_event(LOG_INFO, "leaving", NULL);
	http_announce_stop();
	while (clock_now() < until && (number == 0 || number == SIGHUP))
		number = wait_for_signal(signals, until);
}

/*
 * Refuse new requests, and finish those that are under way.  At the deadline,
 * what still runs in the database is cancelled, and its requests fail with 503.
 */
static void
stop(void)
{
	const Settings *settings = settings_acquire();
	int			timeout = settings->shutdown_timeout;
	int64_t		deadline = clock_now() + timeout * CLOCK_SECOND;

	settings_release(settings);
	signal(SIGALRM, give_up);
	alarm((unsigned int) timeout + GRACE_SECONDS);

	log_event(LOG_INFO, "stopping", NULL);
	maintenance_stop();
	http_refuse_new();
	queue_end_maintenance();
	live_end_waits();
	if (!http_wait_idle(deadline - CLOCK_SECOND))
	{
		log_event(LOG_WARNING, "cancelling", NULL);
		queue_abandon_all();
		http_wait_idle(deadline);
	}
	/* if no request is left, only maintenance may still run */
	queue_abandon_all();
	queue_stop();
	if (http_waiting_for_database() > 0 || !http_wait_idle(clock_now()))
	{
		/* the server does not answer, so the threads cannot be ended */
		log_event(LOG_ERROR, "stopped", "unfinished", "yes", NULL);
		log_stop(clock_now() + LOG_TIME);
		_exit(0);
	}
	http_stop_metrics();
	database_stop();
	live_stop();
	queue_free();
	http_stop();
	log_event(LOG_INFO, "stopped", NULL);
	log_stop(clock_now() + LOG_TIME);
}

/*
 * Serve until a signal says to stop.  In between, start maintenance and look at
 * the files of keys when it is time.  The signals are blocked in all threads.
 */
static void
serve_signals(const sigset_t *signals, int argc, char **argv)
{
	int			number;

	for (;;)
	{
		int64_t		maintenance = maintenance_tick();
		int64_t		keys = keys_tick();

		number = wait_for_signal(signals, maintenance < keys ? maintenance : keys);
		if (number == SIGHUP)
			reload(argc, argv);
		else if (number != 0)
			return;
	}
}

static void
block_signals(sigset_t *signals)
{
	sigemptyset(signals);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGINT);
	sigaddset(signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, signals, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* A socket that listens, and where, as text. */
typedef struct Listener
{
	int			socket;
	char		address[128];
	char		port[16];
} Listener;

/* False: "problem" says what is wrong with the value of the setting. */
static bool
open_listener(const char *setting, const char *value, Listener *listener,
			  char *problem, size_t problem_size)
{
	listener->socket = listener_open(setting, value,
									 listener->address, sizeof(listener->address),
									 listener->port, sizeof(listener->port),
									 problem, problem_size);
	return listener->socket >= 0;
}

static int
serve(int argc, char **argv)
{
	char		problem[512];
	sigset_t	signals;
	const Settings *settings;
	Settings   *fresh = settings_read(argc, argv, problem, sizeof(problem));
	Keys	   *keys = fresh == NULL ? NULL : read_keys(fresh, problem, sizeof(problem));
	Listener	listener;
	Listener	metrics = {.socket = -1};
	bool		started;

	if (keys == NULL)
		return complain(problem);
	block_signals(&signals);
	keys_publish(keys);
	settings_publish(fresh);
	settings = settings_acquire();
	/* large blocks go back to the system as soon as they are freed */
	mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
	if (!log_start())
		return complain("could not start a thread");

	if (!open_listener("listen", settings->listen, &listener, problem, sizeof(problem)))
		return complain(problem);
	if (settings->metrics_listen[0] != '\0' &&
		!open_listener("metrics-listen", settings->metrics_listen, &metrics,
					   problem, sizeof(problem)))
		return complain(problem);
	if (!queue_start())
		return complain("could not start a thread");
	started = database_start(settings, problem, sizeof(problem));
	if (started && !live_start(settings->database_url))
		return complain("could not start a thread");
	settings_release(settings);
	if (!started)
		return complain(problem);
	if (!http_start(listener.socket, metrics.socket))
		return complain("could not start the HTTP server");
	if (metrics.socket >= 0)
		log_event(LOG_ALWAYS, "metrics", "address", metrics.address,
				  "port", metrics.port, NULL);
	/* if the port is 0, this line is the only place that tells the real one */
	log_event(LOG_ALWAYS, "listening", "address", listener.address,
			  "port", listener.port,
			  "version", VERSION, NULL);

	serve_signals(&signals, argc, argv);
	announce_stop(&signals);
	stop();
	return 0;
}

int
main(int argc, char **argv)
{
	int			i;

	if (argc > 1 && strcmp(argv[1], "token") == 0)
		return token_command(argc, argv);
	for (i = 1; i < argc; i++)
	{
		if (strcmp(argv[i], "--help") == 0)
		{
			settings_print_help(stdout);
			return 0;
		}
		if (strcmp(argv[i], "--version") == 0)
		{
			puts("tide-gateway " VERSION
				 "\nRead on: man tide-gateway; the page docs/gateway.md of pg_tide.");
			return 0;
		}
	}
	return serve(argc, argv);
}
