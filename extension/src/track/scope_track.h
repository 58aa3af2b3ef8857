/*-------------------------------------------------------------------------
 *
 * scope_track.h
 *	  What tide.track and tide.untrack do for a scope by foreign keys.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_SCOPE_TRACK_H
#define TIDE_SCOPE_TRACK_H

#include "table/scope_path.h"
#include "track/trackable.h"

extern void scope_track_settle(Relation rel, TrackOptions *o);

/* these do nothing if the scope is the user's own column */
extern void scope_track_lock(TrackOptions *o);
extern void scope_track_notice_indexes(TrackOptions *o);
extern bool scope_track_prepare(TrackOptions *o, const char *table);
extern void scope_track_create(TrackOptions *o, const char *table);

extern void scope_track_create_late(const char *table, const char *scope, const char *first);

extern List *scope_track_tables(const ScopePath *path);
extern void scope_track_leave(List *tables);

#endif							/* TIDE_SCOPE_TRACK_H */
