/*-------------------------------------------------------------------------
 *
 * trackable.h
 *	  What can be tracked, and with which settings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_TRACKABLE_H
#define TIDE_TRACKABLE_H

#include "catalog/pg_attribute.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

#include "table/tracked.h"

/* the arguments of tide.track, and what is made of them */
typedef struct TrackOptions
{
	Oid			relid;
	TableSettings s;			/* once settled, scope is a column */
	struct ScopePath *path;		/* the scope's, made out; NULL if none */
	char	   *scope_column;	/* as it was given */
	bool		add_columns;
	List	   *clauses;		/* "ADD COLUMN ..." to be run */
	TrackedTable *before;		/* the registration so far; not tracked if
								 * there is none */
} TrackOptions;

/*
 * Comments that tide.untrack leaves on columns, so that tide.track recognizes
 * those that it added, and the client's column if that was there before.
 */
#define MARK_ADDED "pg_tide added this column"
#define MARK_USED "pg_tide kept the client of each change in this column"

extern const char *trackable_mark(Relation rel, Form_pg_attribute att);

/* each function raises an error with a hint for what cannot be tracked */
extern void trackable_check_relation(Relation rel);
extern void trackable_check_partition(Relation root, Relation partition);

/* does a trigger of that name and type run after ours and change rows? */
extern bool trackable_comes_after(const char *name, int16 type);
extern List *trackable_check_key(Relation rel); /* names of the key's columns */
extern void trackable_check_scope(Relation rel, TrackOptions *o);

/* choose the columns of the stamp and the like; o->added are those to add */
extern void trackable_settle_columns(Relation rel, TrackOptions *o);
extern void trackable_check_settings(Relation rel, TrackOptions *o);

#endif							/* TIDE_TRACKABLE_H */
