/*-------------------------------------------------------------------------
 *
 * retention.h
 *	  Whether a cursor is older than what has been forgotten.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_RETENTION_H
#define TIDE_RETENTION_H

#include "cursor/cursor.h"
#include "log/changelog.h"
#include "log/records.h"

/*
 * Entries of transactions before the horizon are gone.  A cursor is still good
 * if its snapshot saw all of those finished.
 */
static inline bool
snapshot_is_expired(const TideSnapshot *seen, const Horizon *horizon)
{
	return seen->xmin < horizon->xid;
}

#endif							/* TIDE_RETENTION_H */
