/*-------------------------------------------------------------------------
 *
 * standby.h
 *	  What a hot standby has replayed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_STANDBY_H
#define TIDE_STANDBY_H

#include "access/xlogdefs.h"

/*
 * The most transactions that a cursor of a standby lists as running.  There
 * they come with their subtransactions, of which a server has many more.
 */
#define STANDBY_MAX_LISTED 1000

/* raises 25006 during recovery; the name of an SQL function, with "()" */
extern void standby_refuse(const char *function);

/* raises an error where pg_tide cannot read during recovery: before 15 */
extern void standby_require_version(void);

/* all WAL before this is replayed, and what it committed is visible */
extern XLogRecPtr standby_replayed(TimeLineID *timeline);

/* nothing that is visible now was committed by WAL behind this */
extern XLogRecPtr standby_position(TimeLineID *timeline);

/*
 * Has the primary been stopped or promoted, as far as is known here, after the
 * transaction that registered a start at that position?
 */
extern bool standby_start_is_over(uint64 registered_by, XLogRecPtr position);

#endif							/* TIDE_STANDBY_H */
