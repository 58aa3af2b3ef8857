/*-------------------------------------------------------------------------
 *
 * ahead.h
 *	  Entries of the log, and which of their keys come again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_AHEAD_H
#define TIDE_AHEAD_H

#include "log/scan.h"

typedef struct Ahead Ahead;

/* is this one of the entries that are to be read?  It has no keys yet. */
typedef bool (*WantEntry) (const LogEntry *entry, void *arg);

/*
 * From a place in the log on, with its reach.  max_rows: how many keys at most
 * will be taken of what is read.  Must be ended.
 */
extern Ahead *ahead_begin(const Place *place, const ScopeSet *scopes, int max_rows,
						  WantEntry want, void *arg);

/* the next entry, good until the one after; NULL: there are no more */
extern const LogEntry *ahead_next(Ahead *ahead);

/*
 * The newest entry of a key of the entry that ahead_next gave, as far as has been
 * read ahead: that one itself, or another one of the same scope, which comes
 * later or was before.
 */
extern const LogEntry *ahead_newest(Ahead *ahead, const char *key);

/* what the place is to know of what lies ahead of the entry that ahead_next gave */
extern void ahead_save(Ahead *ahead, Place *place);

extern void ahead_end(Ahead *ahead);

#endif							/* TIDE_AHEAD_H */
