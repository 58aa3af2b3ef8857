/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between PostgreSQL 14 and 18.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_COMPAT_H
#define TIDE_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 140000
#error "pg_tide needs PostgreSQL 14 or later"
#endif

/* the timeline that WAL is written to; not during recovery */
#if PG_VERSION_NUM >= 150000
#define TideCurrentTimeLine() GetWALInsertionTimeLine()
#else
#define TideCurrentTimeLine() ThisTimeLineID
#endif

/* raises an error for a precision it does not know */
#if PG_VERSION_NUM >= 160000
#define TideAdjustTimestamp(time, typmod) \
	((void) AdjustTimestampForTypmod(time, typmod, NULL))
#else
#define TideAdjustTimestamp(time, typmod) \
	AdjustTimestampForTypmod(time, typmod)
#endif

#endif							/* TIDE_COMPAT_H */
