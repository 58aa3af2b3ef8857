/*-------------------------------------------------------------------------
 *
 * scan.h
 *	  The change log, read entry by entry.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_SCAN_H
#define TIDE_SCAN_H

#include "log/changelog.h"

/* an entry at which to begin; without a scope: in a scan of every scope */
typedef struct LogPosition
{
	const char *scope;			/* NULL: the scan is of every scope */
	uint64		xid;			/* 0: at the start */
	int64		seq;
} LogPosition;

typedef struct LogScan LogScan;

/*
 * The entries that the active snapshot shows and that the snapshot "seen" did
 * not show: those of transactions that were running then, and of all
 * transactions from its xmax on.  If scopes says every scope, they come in the
 * order of (xid, seq).  Else they come scope by scope, each in that order.
 * Entries of shared tables have the scope '' and are always among them.  A
 * position that does not belong to this order means the start.
 *
 * The scan must be ended, in the same memory context.
 */
extern LogScan *log_scan_begin(const TideSnapshot *seen, const ScopeSet *scopes,
							   const LogPosition *from);

/*
 * The next entry, without its keys, good until the one after it; NULL: there
 * are no more.
 */
extern const LogEntry *log_scan_next(LogScan *scan);

/* the entry at which the scan is, palloc'd, with its keys */
extern LogEntry *log_scan_keep(LogScan *scan);
extern void log_entry_free(LogEntry *entry);

extern void log_scan_end(LogScan *scan);

/* Is there an entry by now, of whatever scope, that this snapshot does not show? */
extern bool log_goes_beyond(const TideSnapshot *seen);

#endif							/* TIDE_SCAN_H */
