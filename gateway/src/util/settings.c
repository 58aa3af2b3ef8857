/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  The gateway's settings: one table, three sources.
 *
 * The command line goes before the environment (TIDE_LISTEN for --listen), and
 * the environment before the file that --config names.  A name that is not in
 * the table is an error: a misspelled setting that has no effect could be the
 * one that was meant to keep somebody out.
 *
 *-------------------------------------------------------------------------
 */
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "util/json.h"
#include "util/log.h"
#include "util/settings.h"

extern char **environ;

typedef enum SettingType
{
	SETTING_TEXT,
	SETTING_LIST,				/* given several times, or separated by ; */
	SETTING_INTEGER,
	SETTING_SECONDS				/* with a fraction; the field has milliseconds */
} SettingType;

typedef struct Setting
{
	const char *name;			/* on the command line and in the file */
	SettingType type;
	size_t		offset;			/* of its field in Settings */
	const char *initial;		/* default value */
	int			minimum;		/* of the field */
	int			maximum;
	bool		reloads;		/* SIGHUP changes it */
	const char *help;
} Setting;

/* the nesting of a push with one change of one column */
#define LEAST_DEPTH		4

#define FIELD(name) offsetof(Settings, name)

static const Setting table[] = {
	{"listen", SETTING_TEXT, FIELD(listen), "127.0.0.1:8080", 0, 0, false,
	"address and port to serve on; port 0: a free one, which the log names"},
	{"database-url", SETTING_TEXT, FIELD(database_url), "", 0, 0, false,
	"conninfo string or postgresql:// URI; PG* variables give what it leaves out"},
	{"replica-url", SETTING_LIST, FIELD(replica_urls_text), "", 0, 0, false,
	"likewise, a hot standby that serves reads; may be given several times, or separated by ;"},
	{"replica-connections", SETTING_INTEGER, FIELD(replica_connections), "4",
	1, 1000, false, "connections to each replica, each with a thread of its own"},
	{"replica-wait", SETTING_SECONDS, FIELD(replica_wait), "1", 10, 60000, true,
	"seconds that a read waits for a replica to have what it needs; then the primary serves it"},
	{"replica-max-lag", SETTING_SECONDS, FIELD(replica_max_lag), "1",
		10, 86400000, false,
	"seconds behind the primary at which a replica gets no requests any more"},
	{"jwt-secret-file", SETTING_TEXT, FIELD(jwt_secret_file), "", 0, 0, true,
	"file with the secret of HS256 tokens, at least 32 bytes"},
	{"jwt-public-key-file", SETTING_TEXT, FIELD(jwt_public_key_files), "",
		0, 0, true,
	"PEM files with public keys of RS256 and ES256 tokens, separated by commas"},
	{"jwks-file", SETTING_TEXT, FIELD(jwks_file), "", 0, 0, true,
	"file with a JSON Web Key Set; at least one of these three is required"},
	{"jwt-issuer", SETTING_TEXT, FIELD(jwt_issuer), "", 0, 0, true,
	"issuer (iss) that tokens must have; empty: any"},
	{"jwt-audience", SETTING_TEXT, FIELD(jwt_audience_text), "", 0, 0, true,
	"audiences (aud), separated by commas, of which tokens must have one; empty: any"},
	{"default-role", SETTING_TEXT, FIELD(default_role), "tide_user", 0, 0, true,
	"database role of tokens without a role claim"},
	{"max-pull-rows", SETTING_INTEGER, FIELD(max_pull_rows), "500",
	1, 100000, true, "most rows in one reply to a pull; a higher limit is lowered to it"},
	{"max-pull-bytes", SETTING_INTEGER, FIELD(max_pull_bytes), "8388608",
		1024, 1 << 30, true,
	"bytes at which a page of a pull ends; it has at least one row"},
	{"max-push-changes", SETTING_INTEGER, FIELD(max_push_changes), "5000",
	1, 100000, true, "most changes in one push"},
	{"max-body-bytes", SETTING_INTEGER, FIELD(max_body_bytes), "16777216",
	1, 1 << 30, true, "longest request body"},
	{"max-body-depth", SETTING_INTEGER, FIELD(max_body_depth), "512",
		LEAST_DEPTH, JSON_MAX_DEPTH, true,
	"deepest nesting of objects and arrays in a request body"},
	{"max-header-bytes", SETTING_INTEGER, FIELD(max_header_bytes), "65536",
	1024, 1 << 20, false, "longest request line and headers together"},
	{"max-time-rows", SETTING_INTEGER, FIELD(max_time_rows), "50000",
	1, 10000000, true, "most rows in one reply to a pull since a time"},
	{"scope-params", SETTING_TEXT, FIELD(scope_params_text),
		"scope,athleteId,userId", 0, 0, true,
	"parameters of a pull that name a scope"},
	{"cors-origins", SETTING_TEXT, FIELD(cors_origins_text), "", 0, 0, true,
	"origins whose pages may call, separated by commas, or *; empty: none"},
	{"metrics-listen", SETTING_TEXT, FIELD(metrics_listen), "", 0, 0, false,
	"address and port of /metrics, for Prometheus; empty: none"},
	{"login-function", SETTING_TEXT, FIELD(login_function), "", 0, 0, true,
	"schema.function that checks a password, such as tide_auth.login; empty: no logins"},
	{"auth-role", SETTING_TEXT, FIELD(auth_role), "tide_auth", 0, 0, true,
	"database role that calls login-function and the functions of pg_tide_auth"},
	{"access-token-ttl", SETTING_INTEGER, FIELD(access_token_ttl), "900",
	1, 86400, true, "seconds that the token of a login is valid"},
	{"refresh-token-ttl", SETTING_INTEGER, FIELD(refresh_token_ttl), "2592000",
	1, 315360000, true, "seconds that a refresh token is valid"},
	{"refresh-grace", SETTING_INTEGER, FIELD(refresh_grace), "300",
		0, 86400, true,
	"seconds in which a used refresh token may be sent again, if the reply was lost"},
	{"login-attempts", SETTING_INTEGER, FIELD(login_attempts), "10",
		1, 1000000, true,
	"failed logins of a username from one address within login-window; then 429"},
	{"login-attempts-address", SETTING_INTEGER, FIELD(login_attempts_address),
	"100", 1, 1000000, true, "failed logins from one address within login-window; then 429"},
	{"login-attempts-username", SETTING_INTEGER, FIELD(login_attempts_username),
		"50", 1, 1000000, true,
	"failed logins of a username, for addresses where it has not logged in; then 429"},
	{"login-window", SETTING_INTEGER, FIELD(login_window), "900",
	1, 86400, true, "seconds in which failed logins are counted"},
	{"max-logins", SETTING_INTEGER, FIELD(max_logins), "2", 1, 1000, true,
	"passwords that are checked at a time; other logins wait"},
	{"trusted-proxies", SETTING_TEXT, FIELD(trusted_proxies_text), "", 0, 0, true,
	"addresses and networks whose X-Forwarded-For is believed"},
	{"db-connections", SETTING_INTEGER, FIELD(db_connections), "4",
	1, 1000, false, "connections to the database, each with a thread of its own"},
	{"queue-length", SETTING_INTEGER, FIELD(queue_length), "1000",
	1, 1000000, true, "requests that may wait for a connection to the database; then 503"},
	{"push-group", SETTING_INTEGER, FIELD(push_group), "16", 1, 16, true,
	"pushes of different users in one transaction, at most, when they wait; 1: each alone"},
	{"max-waiting", SETTING_INTEGER, FIELD(max_waiting), "5000",
		0, 1000000, true,
	"pulls with wait= and streams of events that may wait for something to come; then 503"},
	{"max-grants-age", SETTING_INTEGER, FIELD(max_grants_age), "60",
		0, 86400, true,
	"seconds for which grants and policies are believed while nothing changed"},
	{"max-scopes-age", SETTING_INTEGER, FIELD(max_scopes_age), "0",
		0, 86400, true,
	"seconds for which what pg_tide.scopes_function returned is believed likewise"},
	{"remembered-polls", SETTING_INTEGER, FIELD(remembered_polls), "50000",
		0, 10000000, true,
	"polls that are answered from memory while nothing changed; 0: none"},
	{"max-connections", SETTING_INTEGER, FIELD(max_connections), "10000",
	1, 1000000, false, "connections of clients; then 503"},
	{"max-connections-address", SETTING_INTEGER,
		FIELD(max_connections_address), "1000", 0, 1000000, true,
	"connections from one address, trusted proxies excepted; then 429; 0: any number"},
	{"max-user-connections", SETTING_INTEGER, FIELD(max_user_connections),
	"100", 1, 1000000, true, "connections of one user; then 429"},
	{"max-user-requests", SETTING_INTEGER, FIELD(max_user_requests), "50",
		1, 1000000, true,
	"requests of one user that have no reply yet; then 429"},
	{"max-bytes", SETTING_INTEGER, FIELD(max_bytes), "536870912",
		1, INT_MAX, true,
	"bytes of bodies and replies in memory, all users together; then 503"},
	{"max-user-bytes", SETTING_INTEGER, FIELD(max_user_bytes), "67108864",
		1, INT_MAX, true,
	"bytes of bodies and replies in memory of one user; then 429"},
	{"header-timeout", SETTING_INTEGER, FIELD(header_timeout), "15",
	1, 3600, true, "seconds for the first headers of a new connection; then 408"},
	{"body-timeout", SETTING_INTEGER, FIELD(body_timeout), "30",
	1, 3600, true, "seconds for a body, beside its time at min-rate, and for a pause in it; then 408"},
	{"reply-timeout", SETTING_INTEGER, FIELD(reply_timeout), "30",
		1, 3600, true,
	"seconds for a client to read a reply, beside its time at min-rate"},
	{"idle-timeout", SETTING_INTEGER, FIELD(idle_timeout), "60",
		1, 3600, true,
	"seconds from a reply to the headers of the next request"},
	{"min-rate", SETTING_INTEGER, FIELD(min_rate), "2048", 1, 1 << 30, true,
	"bytes a second that a client must send or read in the long run"},
	{"lock-timeout", SETTING_INTEGER, FIELD(lock_timeout), "10", 0, 3600, true,
	"seconds that a request waits for a lock in the database; then 503; 0: no limit"},
	{"request-timeout", SETTING_INTEGER, FIELD(request_timeout), "30",
	1, 3600, true, "seconds until a request fails with 503"},
	{"shutdown-delay", SETTING_INTEGER, FIELD(shutdown_delay), "0", 0, 3600, true,
	"seconds that SIGTERM leaves to proxies to go elsewhere, before requests are refused"},
	{"shutdown-timeout", SETTING_INTEGER, FIELD(shutdown_timeout), "10",
	1, 3600, true, "seconds that SIGTERM gives to running requests"},
	{"maintain-interval", SETTING_INTEGER, FIELD(maintain_interval), "300",
	0, 86400, true, "seconds between runs of tide.maintain(); 0: no runs"},
	{"log-level", SETTING_TEXT, FIELD(log_level_text), "info", 0, 0, true,
	"debug, info, warning or error"},
	{.name = NULL}
};

#define MAX_SETTINGS	64

/* Values as text before they are checked, by index in the table. */
typedef struct Values
{
	char	   *text[MAX_SETTINGS];
	char	   *config;			/* --config */
} Values;

static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static Settings *current = NULL;

static int
find_setting(const char *name)
{
	int			i;

	for (i = 0; table[i].name != NULL; i++)
	{
		if (strcmp(table[i].name, name) == 0)
			return i;
	}
	return -1;
}

static char *
duplicate(const char *text)
{
	char	   *copy = strdup(text);

	/* the gateway cannot go on without its settings */
	if (copy == NULL)
		abort();
	return copy;
}

/* Keep the first value: the sources are read by falling precedence. */
static void
keep_first(char **slot, const char *text)
{
	if (*slot == NULL)
		*slot = duplicate(text);
}

static void
replace(char **slot, const char *text)
{
	free(*slot);
	*slot = duplicate(text);
}

/* One more value of a setting in one source; of most the last one counts. */
static void
take_value(Values *values, int index, const char *text)
{
	char	  **slot = &values->text[index];
	char	   *joined;

	if (table[index].type != SETTING_LIST || *slot == NULL)
	{
		replace(slot, text);
		return;
	}
	if (asprintf(&joined, "%s;%s", *slot, text) < 0)
		abort();
	free(*slot);
	*slot = joined;
}

/* TIDE_MAX_PULL_ROWS for max-pull-rows; "variable" holds 64 bytes. */
static void
environment_name(const char *name, char *variable)
{
	char	   *c = variable + sprintf(variable, "TIDE_");

	for (; *name != '\0'; name++)
		*c++ = *name == '-' ? '_' : (char) toupper((unsigned char) *name);
	*c = '\0';
}

/* --name value or --name=value. */
static bool
read_arguments(int argc, char **argv, Values *values,
			   char *problem, size_t problem_size)
{
	int			i;

	for (i = 1; i < argc; i++)
	{
		char		name[64];
		const char *value = strchr(argv[i], '=');
		size_t		length = value ? (size_t) (value - argv[i]) : strlen(argv[i]);
		int			index;

		if (strncmp(argv[i], "--", 2) != 0 || length >= sizeof(name))
		{
			snprintf(problem, problem_size, "unexpected argument \"%s\"", argv[i]);
			return false;
		}
		memcpy(name, argv[i] + 2, length - 2);
		name[length - 2] = '\0';

		index = find_setting(name);
		if (index < 0 && strcmp(name, "config") != 0)
		{
			snprintf(problem, problem_size, "unknown setting \"--%s\"", name);
			return false;
		}
		if (value != NULL)
			value++;
		else if (i + 1 < argc)
			value = argv[++i];
		else
		{
			snprintf(problem, problem_size, "\"--%s\" needs a value", name);
			return false;
		}
		if (index < 0)
			replace(&values->config, value);
		else
			take_value(values, index, value);
	}
	return true;
}

/*
 * Warn of variables that are named TIDE_* and are no settings.  They are no
 * errors because the environment is shared with others: container platforms set
 * TIDE_SERVICE_HOST for a service named tide.
 */
static void
check_environment(void)
{
	char	  **entry;
	int			i;

	for (entry = environ; entry != NULL && *entry != NULL; entry++)
	{
		char		name[64];
		char		variable[64];
		bool		known = strncmp(*entry, "TIDE_CONFIG=", 12) == 0;

		if (strncmp(*entry, "TIDE_", 5) != 0)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int) strcspn(*entry, "="), *entry);
		for (i = 0; table[i].name != NULL && !known; i++)
		{
			environment_name(table[i].name, variable);
			known = strcmp(variable, name) == 0;
		}
		if (!known)
			log_event(LOG_WARNING, "unknown-variable", "name", name, NULL);
	}
}

/*
 * An empty variable counts as absent, because container files often leave them
 * empty.
 */
static void
read_environment(Values *values)
{
	char		variable[64];
	const char *value;
	int			i;

	check_environment();
	for (i = 0; table[i].name != NULL; i++)
	{
		environment_name(table[i].name, variable);
		value = getenv(variable);
		if (value != NULL && *value != '\0')
			keep_first(&values->text[i], value);
	}
	value = getenv("TIDE_CONFIG");
	if (value != NULL && *value != '\0')
		keep_first(&values->config, value);
}

/* One "name = value" of the file; false: "problem" says what is wrong. */
static bool
read_line(char *line, Values *file_values, char *problem, size_t problem_size)
{
	char	   *name = text_trim(line);
	char	   *value;
	int			index;

	if (*name == '\0' || *name == '#')
		return true;
	value = strchr(name, '=');
	if (value == NULL)
	{
		snprintf(problem, problem_size, "a line is not of the form name = value");
		return false;
	}
	*value++ = '\0';
	text_end_at_comment(value);
	name = text_trim(name);
	value = text_trim(value);

	index = find_setting(name);
	if (index < 0)
	{
		snprintf(problem, problem_size, "unknown setting \"%s\"", name);
		return false;
	}
	take_value(file_values, index, value);
	return true;
}

static void
free_values(Values *values)
{
	int			i;

	for (i = 0; i < MAX_SETTINGS; i++)
		free(values->text[i]);
	free(values->config);
}

static bool
read_file(const char *path, Values *values, char *problem, size_t problem_size)
{
	FILE	   *file = fopen(path, "r");
	Values		file_values = {.config = NULL};
	char	   *line = NULL;
	size_t		size = 0;
	int			number = 0;
	bool		good = true;
	char		detail[256];
	int			i;

	if (file == NULL)
	{
		snprintf(problem, problem_size, "could not open \"%s\": %s",
				 path, strerror(errno));
		return false;
	}
	while (good && getline(&line, &size, file) >= 0)
	{
		number++;
		good = read_line(line, &file_values, detail, sizeof(detail));
	}
	if (!good)
		snprintf(problem, problem_size, "\"%s\", line %d: %s", path, number,
				 detail);
	else if (ferror(file))
	{
		snprintf(problem, problem_size, "could not read \"%s\"", path);
		good = false;
	}
	free(line);
	fclose(file);

	for (i = 0; good && table[i].name != NULL; i++)
	{
		if (file_values.text[i] != NULL)
			keep_first(&values->text[i], file_values.text[i]);
	}
	free_values(&file_values);
	return good;
}

/* Seconds, with a fraction or without, as milliseconds. */
static bool
parse_seconds(const char *text, int64_t *milliseconds)
{
	char	   *end;
	double		seconds = strtod(text, &end);

	if (*text == '\0' || text[strspn(text, "0123456789.")] != '\0' ||
		*end != '\0' || seconds > INT_MAX / 1000.0)
		return false;
	*milliseconds = (int64_t) (seconds * 1000 + 0.5);
	return true;
}

/* A number from text; false: "problem" says why it is none. */
static bool
parse_number(const Setting *setting, const char *text, int *field,
			 char *problem, size_t problem_size)
{
	bool		is_whole = setting->type == SETTING_INTEGER;
	int64_t		number;

	if ((is_whole ? text_parse_integer : parse_seconds) (text, &number) &&
		number >= setting->minimum && number <= setting->maximum)
	{
		*field = (int) number;
		return true;
	}
	if (is_whole)
		snprintf(problem, problem_size,
				 "%s must be a whole number from %d to %d, not \"%s\"",
				 setting->name, setting->minimum, setting->maximum, text);
	else
		snprintf(problem, problem_size,
				 "%s must be a number of seconds from %g to %g, not \"%s\"",
				 setting->name, setting->minimum / 1000.0,
				 setting->maximum / 1000.0, text);
	return false;
}

static bool
is_text(const Setting *setting)
{
	return setting->type == SETTING_TEXT || setting->type == SETTING_LIST;
}

/* Give each field its value, or its default. */
static bool
assign(Settings *settings, const Values *values,
	   char *problem, size_t problem_size)
{
	int			i;

	for (i = 0; table[i].name != NULL; i++)
	{
		const Setting *setting = &table[i];
		const char *text = values->text[i] ? values->text[i] : setting->initial;
		char	   *field = (char *) settings + setting->offset;

		if (is_text(setting))
			*(char **) field = duplicate(text);
		else if (!parse_number(setting, text, (int *) field, problem, problem_size))
			return false;
	}
	return true;
}

/* The servers that replica-url names; false: too many. */
static bool
split_replicas(Settings *settings, char *problem, size_t problem_size)
{
	char	   *text = duplicate(settings->replica_urls_text);
	char	   *rest = text;
	char	   *item;

	while ((item = strsep(&rest, ";")) != NULL)
	{
		item = text_trim(item);
		if (*item != '\0' && !list_append(&settings->replica_urls, item, strlen(item)))
			abort();
	}
	free(text);
	if (settings->replica_urls.count <= MOST_REPLICAS)
		return true;
	snprintf(problem, problem_size, "replica-url names more than %d servers",
			 MOST_REPLICAS);
	return false;
}

/* Check the settings of logging in, and work out what follows from them. */
static bool
derive_login(Settings *settings, char *problem, size_t problem_size)
{
	Buffer		call = {0};

	if (!networks_parse(&settings->trusted_proxies,
						settings->trusted_proxies_text, problem, problem_size))
		return false;
	if (settings->login_function[0] == '\0')
		return true;
	if (settings->jwt_secret_file[0] == '\0')
	{
		snprintf(problem, problem_size,
				 "login-function needs jwt-secret-file: tokens are signed with it");
		return false;
	}
	if (!text_quote_function(settings->login_function, &call))
	{
		buffer_free(&call);
		snprintf(problem, problem_size,
				 "login-function must be schema.function, as in the catalogs, not \"%s\"",
				 settings->login_function);
		return false;
	}
	settings->login_call = call.data;
	if (settings->auth_role[0] == '\0' ||
		strcmp(settings->auth_role, "none") == 0 ||
		strcmp(settings->auth_role, settings->default_role) == 0)
	{
		snprintf(problem, problem_size,
				 "auth-role must name a role of its own: users must not have its rights");
		return false;
	}
	return true;
}

/* Check the values, and work out what follows from them. */
static bool
derive(Settings *settings, char *problem, size_t problem_size)
{
	int			level = 0;

	if (!list_split(&settings->scope_params, settings->scope_params_text) ||
		!list_split(&settings->cors_origins, settings->cors_origins_text) ||
		!list_split(&settings->jwt_audiences, settings->jwt_audience_text))
		abort();
	if (!split_replicas(settings, problem, problem_size))
		return false;
	settings->cors_any = list_contains(&settings->cors_origins, "*");

	while (log_level_names[level] != NULL &&
		   strcmp(log_level_names[level], settings->log_level_text) != 0)
		level++;
	if (log_level_names[level] == NULL)
	{
		snprintf(problem, problem_size,
				 "log-level must be debug, info, warning or error, not \"%s\"",
				 settings->log_level_text);
		return false;
	}
	settings->log_level = level;

	if (settings->default_role[0] == '\0' ||
		strcmp(settings->default_role, "none") == 0)
	{
		snprintf(problem, problem_size, "default-role must name a role");
		return false;
	}
	if (!derive_login(settings, problem, problem_size))
		return false;
	if (settings->jwt_secret_file[0] == '\0' &&
		settings->jwt_public_key_files[0] == '\0' &&
		settings->jwks_file[0] == '\0')
	{
		snprintf(problem, problem_size,
				 "one of jwt-secret-file, jwt-public-key-file and jwks-file is "
				 "required: tokens are checked with their keys");
		return false;
	}
	/* "," must not turn the check off */
	if (settings->jwt_audience_text[0] != '\0' &&
		settings->jwt_audiences.count == 0)
	{
		snprintf(problem, problem_size, "jwt-audience names no audience");
		return false;
	}
	return true;
}

static void
free_settings(Settings *settings)
{
	int			i;

	for (i = 0; table[i].name != NULL; i++)
	{
		if (is_text(&table[i]))
			free(*(char **) ((char *) settings + table[i].offset));
	}
	list_free(&settings->scope_params);
	list_free(&settings->cors_origins);
	list_free(&settings->jwt_audiences);
	list_free(&settings->replica_urls);
	networks_free(&settings->trusted_proxies);
	free(settings->login_call);
	free(settings);
}

/*
 * Read all three sources.  NULL: "problem" says what is wrong.  argv[0] is
 * skipped.
 */
Settings *
settings_read(int argc, char **argv, char *problem, size_t problem_size)
{
	Values		values = {.config = NULL};
	Settings   *settings = calloc(1, sizeof(Settings));
	bool		good;

	_Static_assert(sizeof(table) / sizeof(table[0]) <= MAX_SETTINGS,
				   "MAX_SETTINGS is too low");
	if (settings == NULL)
		abort();

	good = read_arguments(argc, argv, &values, problem, problem_size);
	if (good)
		read_environment(&values);
	good = good &&
		(values.config == NULL ||
		 read_file(values.config, &values, problem, problem_size)) &&
		assign(settings, &values, problem, problem_size) &&
		derive(settings, problem, problem_size);

	free_values(&values);
	if (!good)
	{
		free_settings(settings);
		return NULL;
	}
	return settings;
}

/* Settings that were read and never published. */
void
settings_discard(Settings *settings)
{
	free_settings(settings);
}

/*
 * Settings that only a restart changes keep their running value; the log warns
 * of each whose new value differs.
 */
void
settings_keep_fixed(Settings *fresh, const Settings *running)
{
	int			i;

	for (i = 0; table[i].name != NULL; i++)
	{
		char	   *new_field = (char *) fresh + table[i].offset;
		const char *old_field = (const char *) running + table[i].offset;
		bool		changed;

		if (table[i].reloads)
			continue;
		if (is_text(&table[i]))
		{
			changed = strcmp(*(char **) new_field,
							 *(char *const *) old_field) != 0;
			replace((char **) new_field, *(char *const *) old_field);
		}
		else
		{
			changed = *(int *) new_field != *(const int *) old_field;
			*(int *) new_field = *(const int *) old_field;
		}
		if (changed)
			log_event(LOG_WARNING, "needs-restart", "setting", table[i].name,
					  NULL);
	}
}

/*
 * Make these the settings of all requests that begin from now on.  They belong
 * to this file afterwards.
 */
void
settings_publish(Settings *settings)
{
	Settings   *old;

	settings->references = 1;
	log_set_level((LogLevel) settings->log_level);

	pthread_mutex_lock(&current_lock);
	old = current;
	current = settings;
	pthread_mutex_unlock(&current_lock);

	if (old != NULL)
		settings_release(old);
}

/* The settings in force; they stay valid until settings_release. */
const Settings *
settings_acquire(void)
{
	Settings   *settings;

	pthread_mutex_lock(&current_lock);
	settings = current;
	settings->references++;
	pthread_mutex_unlock(&current_lock);
	return settings;
}

void
settings_release(const Settings *settings)
{
	Settings   *own = (Settings *) settings;

	if (atomic_fetch_sub(&own->references, 1) == 1)
		free_settings(own);
}

void
settings_print_help(FILE *out)
{
	char		variable[64];
	int			i;

	fprintf(out,
			"tide-gateway: speaks pg_tide's sync protocol over HTTP\n\n"
			"Usage:\n"
			"  tide-gateway [--SETTING VALUE]...\n"
			"  tide-gateway token --jwt-secret-file FILE --sub USER [--role ROLE] [--ttl SECONDS]\n"
			"                     [--jwt-issuer ISSUER] [--jwt-audience AUDIENCE]\n"
			"  tide-gateway --help | --version\n\n"
			"Each setting can be given on the command line, in the environment, or in the\n"
			"file that --config (TIDE_CONFIG) names as \"name = value\"; the first of these\n"
			"that has it counts.  SIGHUP reads all of them again; * marks the settings\n"
			"that keep their value until a restart.\n\n"
			"Settings:\n"
			"  --config  (TIDE_CONFIG, default: none)\n"
			"      file with further settings\n");
	for (i = 0; table[i].name != NULL; i++)
	{
		environment_name(table[i].name, variable);
		fprintf(out, "  --%s%s  (%s, default: %s)\n      %s\n",
				table[i].name, table[i].reloads ? "" : " *", variable,
				table[i].initial[0] ? table[i].initial : "none",
				table[i].help);
	}
	fprintf(out,
			"\nExit status: 0 it was asked to end; 2 a setting is wrong, a file cannot be read,\n"
			"or the address cannot be had.\n\n"
			"Read on: man tide-gateway; the page docs/gateway.md of pg_tide.\n");
}
