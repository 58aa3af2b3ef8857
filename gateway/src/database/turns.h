/*-------------------------------------------------------------------------
 *
 * turns.h
 *	  Whose turn it is: jobs that are queued, by lane and user.
 *
 * Knows nothing of threads, nor of the clock: whoever calls holds a lock.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TURNS_H
#define TURNS_H

#include <stdbool.h>

#include "database/job.h"

typedef enum Lane
{
	LANE_WRITES,
	LANE_READS,
	LANE_CHECKS,
	LANE_LOGINS,
	LANE_SESSIONS,
	LANE_WOKEN,
	LANES
} Lane;

TAILQ_HEAD(JobList, Job);

/* A user that has jobs queued or running. */
typedef struct Turn
{
	char	   *user;
	struct JobList jobs[LANES];
	int			running[LANES];
	bool		in_group;		/* a push of the user's runs in one */
	int			count;			/* jobs in the lists and running */
				TAILQ_ENTRY(Turn) link[LANES];
} Turn;

TAILQ_HEAD(Ring, Turn);

typedef struct Turns
{
	void	   *users;			/* tsearch's tree, by user */
	struct Ring rings[LANES];	/* users with jobs queued, in turn */
	int			running[LANES];
	int			most[LANES];	/* that may run at a time */
	int			connections;
	int			next_lane;
	bool		only_reads;		/* no connection is kept for writes */
} Turns;

/* Which bounds count no more, because the gateway stops. */
typedef enum TurnsBounds
{
	BOUNDS_ALL,
	BOUNDS_NO_SPARE,			/* no connection is kept from a user */
	BOUNDS_NONE
} TurnsBounds;

extern void turns_init(Turns *turns, bool only_reads);
extern void turns_set_connections(Turns *turns, int count);
extern Lane turns_lane(const Job *job);
extern int	turns_count(const Turns *turns, const char *user);
extern bool turns_join(Turns *turns, Job *job);
extern void turns_keep(Turn *turn);
extern void turns_let_go(Turns *turns, Turn *turn);
extern void turns_leave(Turns *turns, Job *job);
extern void turns_add(Turns *turns, Job *job, bool first);
extern void turns_remove(Turns *turns, Job *job);
extern bool turns_is_free(const Turns *turns, const Turn *turn, Lane lane,
						  TurnsBounds bounds);
extern Job *turns_take_first(Turns *turns, Turn *turn, Lane lane);
extern Job *turns_next(Turns *turns, TurnsBounds bounds);
extern void turns_end_run(Turns *turns, Job *job);

#endif							/* TURNS_H */
