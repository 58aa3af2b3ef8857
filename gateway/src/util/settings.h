/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  The gateway's settings: one table, three sources.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SETTINGS_H
#define SETTINGS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "util/address.h"
#include "util/text.h"

#define MOST_REPLICAS	16

/*
 * All settings.  They never change once they are published: a reload publishes
 * others, and a request keeps those that were in force when it began.
 */
typedef struct Settings
{
	char	   *listen;
	char	   *metrics_listen; /* empty: the metrics are not served */
	char	   *database_url;
	char	   *replica_urls_text;
	char	   *jwt_secret_file;
	char	   *jwt_public_key_files;
	char	   *jwks_file;
	char	   *jwt_issuer;
	char	   *jwt_audience_text;
	char	   *scope_params_text;
	char	   *cors_origins_text;
	char	   *default_role;
	char	   *log_level_text;
	char	   *login_function; /* empty: nobody can log in */
	char	   *auth_role;
	char	   *trusted_proxies_text;
	int			max_pull_rows;
	int			max_pull_bytes;
	int			max_push_changes;
	int			max_body_bytes;
	int			max_body_depth;
	int			max_time_rows;
	int			db_connections;
	int			replica_connections;	/* to each of them */
	int			replica_wait;	/* milliseconds */
	int			replica_max_lag;	/* milliseconds */
	int			queue_length;
	int			push_group;
	int			max_waiting;
	int			max_grants_age; /* seconds */
	int			max_scopes_age; /* seconds */
	int			remembered_polls;
	int			request_timeout;	/* seconds */
	int			maintain_interval;	/* seconds; 0: never */
	int			shutdown_delay; /* seconds */
	int			shutdown_timeout;	/* seconds */
	int			access_token_ttl;	/* seconds */
	int			refresh_token_ttl;	/* seconds */
	int			refresh_grace;	/* seconds */
	int			login_attempts;
	int			login_attempts_address;
	int			login_attempts_username;
	int			login_window;	/* seconds */
	int			max_logins;
	int			max_header_bytes;
	int			max_connections;
	int			max_connections_address;	/* 0: there is no limit */
	int			max_user_connections;
	int			max_user_requests;
	int			max_bytes;
	int			max_user_bytes;
	int			header_timeout; /* seconds */
	int			body_timeout;	/* seconds */
	int			reply_timeout;	/* seconds */
	int			idle_timeout;	/* seconds */
	int			min_rate;		/* bytes a second */
	int			lock_timeout;	/* seconds; 0: none */

	/* worked out from the above */
	StringList	replica_urls;
	StringList	scope_params;
	StringList	cors_origins;
	bool		cors_any;		/* the origins are "*" */
	int			log_level;
	StringList	jwt_audiences;
	char	   *login_call;		/* login_function, quoted; NULL: there is none */
	NetworkList trusted_proxies;

	atomic_int	references;
} Settings;

extern Settings *settings_read(int argc, char **argv, char *problem,
							   size_t problem_size);
extern void settings_discard(Settings *settings);
extern void settings_publish(Settings *settings);
extern void settings_keep_fixed(Settings *fresh, const Settings *running);
extern const Settings *settings_acquire(void);
extern void settings_release(const Settings *settings);
extern void settings_print_help(FILE *out);

#endif							/* SETTINGS_H */
