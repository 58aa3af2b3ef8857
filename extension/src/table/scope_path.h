/*-------------------------------------------------------------------------
 *
 * scope_path.h
 *	  A scope that follows foreign keys: another table says whose row it is,
 *	  'exercise_plan_id.training_plan_id.athlete_id'.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_SCOPE_PATH_H
#define TIDE_SCOPE_PATH_H

#include "access/attnum.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

/* a foreign key, from the table before to the one that it refers to */
typedef struct PathStep
{
	Oid			relid;			/* the table referred to */
	char	   *sql_name;		/* qualified and quoted */
	int			ncolumns;
	AttrNumber *from;			/* columns of the table before */
	AttrNumber *to;				/* and those of this one that they equal */
	char	  **from_names;		/* quoted */
	char	  **to_names;
	Oid		   *from_types;
	Oid		   *to_types;		/* domains looked through */
	char	  **equal;			/* "OPERATOR(schema.=)", to on its left */
	char		on_delete;		/* FKCONSTR_ACTION_... */
	int			nreads;			/* where the path continues from here: the
								 * next */
	AttrNumber *reads;			/* step's from, or the column that is the
								 * scope */
	char	  **read_names;
} PathStep;

typedef struct ScopePath
{
	int			nsteps;			/* at least one */
	PathStep   *steps;
	AttrNumber	first;			/* the column that the path begins with */
	char	   *column;			/* the last one, which is the scope */
	Oid			type;			/* its type, ... */
	int32		typmod;
	Oid			collation;
} ScopePath;

/*
 * Resolve a path of a table from the catalogs, without a lock on the tables
 * that it goes through.  The result is palloc'd; it is NULL, with the reason,
 * if there is no such path.
 */
extern ScopePath *scope_path_resolve(Oid relid, const char *path, char **why);

/* does it go through this table? */
extern bool scope_path_visits(const ScopePath *path, Oid relid);

/*
 * Is the column in a unique index that a foreign key could refer to? Only
 * then does a change of the column wait for those who hold FOR KEY SHARE on
 * the row.
 */
extern bool scope_path_is_guarded(Relation rel, AttrNumber column);

/* the scope of row c of the table, as an expression; palloc'd */
extern char *scope_path_expression(const ScopePath *path);

#define SCOPE_TRIGGER "zz_tide_scope"
#define SCOPE_LATE_TRIGGER "zz_tide_scope_late"
#define PATH_TRIGGER_PREFIX "zz_tide_path_"
#define PATH_UPDATE_TRIGGER "zz_tide_path_update"
#define PATH_DELETE_TRIGGER "zz_tide_path_delete"

#endif							/* TIDE_SCOPE_PATH_H */
