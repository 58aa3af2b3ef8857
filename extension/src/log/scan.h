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

/* an entry at which to begin; no scope: among those of every scope */
typedef struct LogPosition
{
	const char *scope;			/* NULL: see above */
	uint64		xid;			/* 0: at the very first */
	int64		seq;
} LogPosition;

typedef struct LogScan LogScan;

/*
 * Entries that the active snapshot shows and that this one did not: those of
 * transactions that were running then, and of all from its xmax on.  They come
 * in the order of (xid, seq) if scopes says every scope, else scope by scope,
 * each in that order; shared tables' have the scope '' and are always among
 * them.  From a position that is not of this order the scan begins at the start.
 *
 * Must be ended, in the same memory context.
 */
extern LogScan *log_scan_begin(const TideSnapshot *seen, const ScopeSet *scopes,
							   const LogPosition *from);

/* good until the next one, and without its keys; NULL: there are no more */
extern const LogEntry *log_scan_next(LogScan *scan);

/* the entry at which the scan is, with its keys, palloc'd */
extern LogEntry *log_scan_keep(LogScan *scan);
extern void log_entry_free(LogEntry *entry);

extern void log_scan_end(LogScan *scan);

#endif							/* TIDE_SCAN_H */
