/*-------------------------------------------------------------------------
 *
 * live.h
 *	  Waiting for changes, and polls that are answered from memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LIVE_H
#define LIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "live/book.h"
#include "live/interest.h"
#include "util/settings.h"

/* What becomes of somebody who waits. */
typedef enum LiveOutcome
{
	LIVE_EMPTY,					/* nothing changed, as of the time "at" */
	LIVE_ASK,					/* the database has to be asked */
	LIVE_GONE					/* live_abandon() was called */
} LiveOutcome;

/*
 * Somebody who waits.  Zeroed by its owner, who sets "finished": that is called
 * by some thread, once each time a seat was taken.
 */
typedef struct LiveSeat
{
	Seat		seat;
	LiveOutcome outcome;
	bool		said;			/* the log has that it waits */
	void		(*finished) (struct LiveSeat *seat);
	void	   *owner;
} LiveSeat;

typedef enum LiveSat
{
	LIVE_SEATED,
	LIVE_NOT_REMEMBERED,		/* the database has to be asked */
	LIVE_FULL,					/* too many wait */
	LIVE_ENDED					/* the gateway stops: nobody waits any more */
} LiveSat;

/* What makes two polls the same; NULL: not given. */
typedef struct PollParts
{
	const char *cursor;
	const char *claims;
	const char *role;
	const char *scopes;
	const char *entity_types;
	const char *acks;
	const char *client_id;
} PollParts;

extern bool live_start(const char *conninfo);
extern void live_end_waits(void);
extern void live_stop(void);
extern void live_reconnect(void);

extern bool live_key(const PollParts *parts, unsigned char *key);
extern uint64_t live_last_look(void);
extern LiveSat live_poll(const unsigned char *key, LiveSeat *seat,
						 const Settings *settings);
extern void live_remember(const unsigned char *key, PageAbout *about,
						  uint64_t base, int64_t asked_at,
						  const Settings *settings);
extern LiveSat live_wait(const unsigned char *key, LiveSeat *seat,
						 const Settings *settings);
extern bool live_has_room(const Settings *settings);
extern LiveSat live_wait_blindly(LiveSeat *seat, const Settings *settings);
extern bool live_abandon(LiveSeat *seat);

/* For the metrics. */
typedef struct LiveCounts
{
	int			waiting;
	int			remembered;
	uint64_t	looks;
	uint64_t	answered;		/* polls, from memory */
	uint64_t	woken;
} LiveCounts;

extern void live_count(LiveCounts *counts);

#endif							/* LIVE_H */
