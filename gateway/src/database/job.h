/*-------------------------------------------------------------------------
 *
 * job.h
 *	  One call of pg_tide, which mostly a request waits for.
 *
 * The request owns its job.  From queue_put until finished() is called it
 * belongs to the queue and the database thread that took it; the request
 * touches nothing of it meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JOB_H
#define JOB_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "util/failure.h"

typedef enum JobKind
{
	JOB_READY,					/* is pg_tide there, in our version? */
	JOB_SCHEMA,
	JOB_PULL,
	JOB_KEYS,
	JOB_PUSH,
	JOB_AUTH,					/* a call of pg_tide_auth, see login.c */
	JOB_MAINTAIN				/* nobody's request, see maintenance.c */
} JobKind;

#define JOB_MAX_VALUES	7

typedef struct Job
{
	JobKind		kind;
	bool		is_login;		/* a JOB_AUTH that checks a password: few run
								 * at a time */

	/* who asks; not used by JOB_READY and JOB_MAINTAIN */
	const char *claims;
	const char *role;

	/* arguments as text, NULL for SQL's NULL */
	char	   *since;
	char	   *scopes;			/* an array literal */
	char	   *entity_types;	/* an array literal */
	char	   *refresh;		/* an array literal */
	char	   *client_id;
	const char *body;			/* of a push */
	const char *times;			/* "iso" or "ms" */
	int			max_rows;
	int			max_push_changes;
	int			max_time_rows;
	int			lock_timeout;	/* seconds; 0: none */

	/* the statement of a JOB_AUTH */
	const char *sql;
	const char *values[JOB_MAX_VALUES];
	int			value_count;

	/* limits, on the monotonic clock */
	int64_t		timeout;		/* how long one run may take, queue included */
	int64_t		deadline;		/* until when this run must be done */
	int64_t		wait_until;		/* an empty pull is run again until then */
	int64_t		run_at;			/* not before this moment; 0: never waited */

	/* the outcome: failure.status is 0 when there is a reply */
	Failure		failure;
	char		sqlstate[6];	/* of the server's last error, for the log */
	const char *reply;			/* points into "result" */
	size_t		reply_length;
	void	   *result;			/* the database module's, see database_free */

	void		(*finished) (struct Job *job);
	void	   *owner;
				TAILQ_ENTRY(Job) link;
} Job;

#endif							/* JOB_H */
