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

/* the arguments of tide.track; names are those of SQL */
typedef struct TrackOptions
{
	Oid			relid;
	char	   *entity_type;
	char	   *scope;			/* once settled, a column */
	char	   *scope_path;		/* as it was given, if it follows foreign keys */
	struct ScopePath *path;		/* the same, made out */
	char	   *scope_column;	/* as it was given */
	bool		scope_added;	/* the column is ours */
	bool		shared;
	char	   *modified_at;
	char	   *client_id;
	char	   *version;
	char	   *deleted_at;
	char	   *conflict;		/* NULL: last_write_wins */
	bool		camel;
	bool		utc;
	List	   *exclude;		/* of char * */
	bool		add_columns;
	bool		replicated;
	List	   *added;			/* "ADD COLUMN ..." to be run */
} TrackOptions;

/* each raises an error, with a hint, for what cannot be tracked */
extern void trackable_check_relation(Relation rel);
extern void trackable_check_partition(Relation root, Relation partition);
extern List *trackable_check_key(Relation rel); /* names of the key's columns */
extern void trackable_check_scope(Relation rel, TrackOptions *o);

/* choose the columns of the stamp and the like; o->added are those to add */
extern void trackable_settle_columns(Relation rel, TrackOptions *o);
extern void trackable_check_settings(Relation rel, TrackOptions *o, List *keys);

#endif							/* TIDE_TRACKABLE_H */
