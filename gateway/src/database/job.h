/*-------------------------------------------------------------------------
 *
 * job.h
 *	  One call of pg_tide in a transaction of its own.
 *
 * The owner, mostly a request, hands the job over by queue_put.  From then
 * until finished() is called, the job belongs to the queue and to the database
 * thread that took it, and the owner must not touch it; it may only say, by
 * queue_abandon, that nobody waits for the outcome any more.
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
	JOB_SCHEMA,
	JOB_PULL,
	JOB_KEYS,
	JOB_DIGEST,
	JOB_ROWS,
	JOB_SCOPES,
	JOB_PUSH,
	JOB_AUTH,					/* a call of pg_tide_auth, see login.c */
	JOB_MAINTAIN				/* no request's, see maintenance.c */
} JobKind;

#define JOB_MAX_VALUES	7

/* Where a job is; own to queue.c, held.c and keeper.c. */
typedef enum JobPlace
{
	PLACE_NOWHERE,				/* with its owner */
	PLACE_HELD,					/* until a replica has replayed enough for it */
	PLACE_QUEUED,
	PLACE_RUNNING,
	PLACE_ENDED					/* without being run; finished() is to come */
} JobPlace;

/* How far a replica had come, as of a look at it. */
typedef struct Replay
{
	uint64_t	position;		/* 0: not known */
	int64_t		since;			/* when the look began */
	char		server[32];		/* which start of which server it was at */
} Replay;

typedef struct Job
{
	JobKind		kind;
	bool		is_login;		/* a JOB_AUTH that checks a password: few run
								 * at a time */

	/* whose call it is; not used by JOB_MAINTAIN */
	const char *user;			/* whose turn it takes; NULL: nobody's */
	const char *claims;
	const char *role;

	/* arguments as text, NULL for SQL's NULL */
	char	   *since;
	char	   *scopes;			/* an array literal */
	char	   *entity_types;	/* an array literal */
	char	   *refresh;		/* an array literal */
	char	   *acks;			/* an array literal */
	char	   *buckets;		/* an array literal */
	char	   *client_id;
	const char *body;			/* of a push, or keys of rows */
	size_t		body_length;	/* of a push */
	uint64_t	types;			/* of a push, see group.h */
	int			push_group;		/* pushes in its transaction, at most */
	const char *times;			/* "iso" or "ms" */
	int			max_rows;
	int			max_push_changes;
	int			max_time_rows;
	int			max_bytes;		/* of a page */
	bool		as_lines;		/* a page of a stream */
	int			lock_timeout;	/* seconds; 0: none */

	/* the statement of a JOB_AUTH */
	const char *sql;
	const char *values[JOB_MAX_VALUES];
	int			value_count;

	/* limits, on the monotonic clock */
	int64_t		timeout;		/* of one run, time in the queue included */
	int64_t		deadline;		/* of this run */
	int64_t		wait_until;		/* an empty pull waits until then; 0: it does
								 * not */
	int64_t		replica_wait;	/* how long it may wait for a replica; 0: it
								 * is for the primary */

	/* the outcome: failure.status is 0 when there is a reply */
	Failure		failure;
	char		sqlstate[6];	/* of the server's last error, for the log */
	const char *reply;			/* points into "result" */
	size_t		reply_length;
	long		rows;			/* of a pull, or changes of a push; below 0:
								 * not counted */
	bool		is_news;		/* a pull: it tells the client something, so
								 * that it must not wait */
	bool		may_be_stale;	/* a replica's reply, made while nobody knew
								 * where the primary is */
	const char *cursor;			/* of a pull; points into "result" */
	const char *interest;		/* likewise: JSON, what a pull that goes on
								 * from there would look at; empty: not told */

	/* of a page of a stream; they point into "result", too */
	bool		has_more;		/* pages follow */
	const char *begin;			/* the line that goes before the page, and */
	bool		begins;			/* does so in any case */
	const char *tail;			/* members of the line after the last page */
	const char *counts;			/* rows by type, JSON */
	void	   *result;			/* a PGresult; database_free frees it */

	/*
	 * called by the thread that is to run the job, before it does; false: the
	 * job has its failure.  NULL: there is nothing to prepare
	 */
	bool		(*prepare) (struct Job *job);
	void		(*finished) (struct Job *job);
	void	   *owner;

	/* held.c's own */
	int64_t		held_at;		/* when it came to a replica */
	int64_t		leave_at;		/* when it goes on to the primary if it has
								 * not been taken; 0: it is there */
	uint64_t	target;			/* what the replica must have replayed */
	Replay		replay;			/* by which it has; server is empty before */
	int64_t		due;			/* not before this moment */

	/* likewise */
	JobPlace	place;
	struct Queue *queue;
	bool		abandoned;		/* nobody waits for the outcome */
	int64_t		cancel_at;		/* when its run is to be cancelled, if it was
								 * abandoned */
	bool		is_woken;		/* a pull that has waited, and runs again */
	bool		is_alone;		/* a push that is not to be in a group again */
	bool		is_grouped;		/* it runs in one */
	bool		is_member;		/* as another than its first */
	uint64_t	number;			/* of this run: no other run has it */
	struct Turn *turn;			/* its user's */
				TAILQ_ENTRY(Job) link;
} Job;

#endif							/* JOB_H */
