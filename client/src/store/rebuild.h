/*
 * rebuild.h
 *	  A table is made anew where its columns cannot become those of the server:
 *	  SQLite changes no column's type, and takes neither NOT NULL nor a foreign
 *	  key from one.
 *
 *		rebuild_look(&r), rebuild_begin(&r), the tables are created, rebuild_end(&r)
 */
#ifndef TIDE_STORE_REBUILD_H
#define TIDE_STORE_REBUILD_H

#include "store/store.h"

typedef struct Rebuild
{
	Store	   *store;
	EntityType *type;
	bool		needed;
	bool		retyped;		/* values may be no longer as the server's */
	bool		rekeyed;		/* nothing is edited, and the notes are empty */
	const char *rowid;			/* a name of it; NULL: the table has none */
	char	   *own;			/* SQL that adds the app's own columns */
	char	   *others;			/* SQL of its indexes and triggers, in JSON */
} Rebuild;

bool		rebuild_look(Rebuild *r, Store *store, EntityType *type);

/* The type's table and those beside it, out of the way. */
bool		rebuild_begin(Rebuild *r);

/* What was in them, and what the app had added; ends also what has failed. */
bool		rebuild_end(Rebuild *r, bool good);

#endif
