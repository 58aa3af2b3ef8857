/*-------------------------------------------------------------------------
 *
 * setting.h
 *	  The settings of a tracked table, as the arguments of its stamp trigger
 *	  hold them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_SETTING_H
#define TIDE_SETTING_H

#include "nodes/pg_list.h"
#include "table/policy.h"

/* columns by their names in SQL; lists are of char * */
typedef struct TableSettings
{
	int			reg;			/* 0: none, so the table is not tracked */
	char	   *entity_type;
	List	   *keys;			/* in the order of the index then */
	List	   *forms;			/* of the keys and the scope: type_form() */
	char	   *scope;			/* NULL if shared */
	char	   *scope_path;		/* the foreign keys that the scope follows;
								 * NULL: it is a column of the user's */
	bool		shared;
	char	   *conflict;		/* NULL: last_write_wins */
	char	   *modified_at;
	char	   *client_id;
	char	   *version;		/* NULL if none */
	char	   *deleted_at;		/* NULL if none */
	bool		camel;
	bool		utc;
	bool		replicated;
	List	   *exclude;
	List	   *added;			/* columns that tide.track added */
	List	   *moved;			/* columns above that have another name by
								 * now, or are gone: see settings_rename() */
	bool		unlogged;		/* the table was, so a crash may have emptied it */
} TableSettings;

/* from the arguments of a stamp trigger; palloc'd */
extern void settings_read(TableSettings *s, int nargs, char **args);

/* the arguments: char * */
extern List *settings_list(const TableSettings *s);

/* the same as SQL, for CREATE TRIGGER */
extern char *settings_arguments(const TableSettings *s);

/* the call of tide.track that makes the settings again */
extern char *settings_call(const TableSettings *s, const char *table);

/*
 * A column of the table has got another name, or is gone (now: "").  If a setting
 * names it, another column that gets the old name is not the one that is meant.
 * True if the settings say anything else now.
 */
extern bool settings_rename(TableSettings *s, const char *old, const char *now);

/*
 * The name that settings have for the column that is called so by now, where they
 * mean it.
 */
extern const char *settings_name_of(const TableSettings *s, const char *now);

/* the names of columns that are not the ones that are meant, where they are there */
extern List *settings_moved(const TableSettings *s);

/* the policy of that name; a resolver's name has a dot.  false: none */
extern bool policy_by_name(const char *name, ConflictPolicy *policy);

/* of a policy that is no resolver */
extern const char *policy_name(ConflictPolicy policy);

/* lists of names: char * */
extern bool name_in_list(List *names, const char *name);
extern List *add_name(List *names, const char *name);	/* once */

#endif							/* TIDE_SETTING_H */
