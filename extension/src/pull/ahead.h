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

/* Is this one of the entries to be read?  It has no keys yet. */
typedef bool (*WantEntry) (const LogEntry *entry, void *arg);

/*
 * From a place in the log on, with the reach that the place knows. max_rows:
 * the most keys that will be taken.  Must be ended.
 */
extern Ahead *ahead_begin(const Place *place, const ScopeSet *scopes, int max_rows,
						  WantEntry want, void *arg);

/* the next entry, good until the one after it; NULL: there are no more */
extern const LogEntry *ahead_next(Ahead *ahead);

/*
 * The newest entry that has a key of the current entry, as far as has been
 * read ahead.  It is the current entry itself or another one of the same
 * scope, which may come later or have come before.
 */
extern const LogEntry *ahead_newest(Ahead *ahead, const char *key);

/*
 * what the place keeps for the next page about the entries behind the current
 * one
 */
extern void ahead_save(Ahead *ahead, Place *place);

extern void ahead_end(Ahead *ahead);

#endif							/* TIDE_AHEAD_H */
