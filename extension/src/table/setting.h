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
	List	   *keys;			/* in index order */
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
} TableSettings;

/* from the arguments of a stamp trigger; palloc'd */
extern void settings_read(TableSettings *s, int nargs, char **args);

/* the same as SQL, for CREATE TRIGGER */
extern char *settings_arguments(const TableSettings *s);

/* the call of tide.track that makes the settings again */
extern char *settings_call(const TableSettings *s, const char *table);

/* the policy of that name; a resolver's name has a dot.  false: none */
extern bool policy_by_name(const char *name, ConflictPolicy *policy);

/* of a policy that is no resolver */
extern const char *policy_name(ConflictPolicy policy);

/* lists of names: char * */
extern bool name_in_list(List *names, const char *name);
extern List *add_name(List *names, const char *name);	/* once */

#endif							/* TIDE_SETTING_H */
