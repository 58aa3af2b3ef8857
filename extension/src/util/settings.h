/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  Settings, and the names that the install script and C share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_SETTINGS_H
#define TIDE_SETTINGS_H

#include "fmgr.h"
#include "nodes/pg_list.h"
#include "utils/array.h"

#define TIDE_VERSION "0.2.0"
#define TIDE_SCHEMA "tide"
#define TIDE_PROTOCOL 1

/* triggers of a tracked table; "zz" so that they run after the user's own */
#define TRIGGER_PREFIX "zz_tide_"
#define STAMP_TRIGGER "zz_tide_stamp"
#define INSERT_TRIGGER "zz_tide_insert"
#define UPDATE_TRIGGER "zz_tide_update"
#define DELETE_TRIGGER "zz_tide_delete"
#define TRUNCATE_TRIGGER "zz_tide_truncate"
#define ROW_TRIGGER "zz_tide_row"
#define FLUSH_TRIGGER "zz_tide_flush"

/* "pg_tide.client_id": empty is absent */
extern char *tide_client_id;

/* "pg_tide.ignored_fields" */
extern char *tide_ignored_fields;

/* "pg_tide.max_clock_skew", in milliseconds */
extern int	tide_max_clock_skew;
extern int	tide_max_time_rows;
extern int	tide_max_push_changes;

/* "pg_tide.scopes_function": empty, scopes are the claims' "sub" */
extern char *tide_scopes_function;

/* "pg_tide.schema_claim": empty, callers see every schema */
extern char *tide_schema_claim;

/* "pg_tide.shared_schemas": a list, see settings_split_names() */
extern char *tide_shared_schemas;

/* "pg_tide.retention", in minutes */
extern int	tide_retention;

/* "pg_tide.times": are times sent as Unix milliseconds? */
extern bool tide_times_in_ms;

/*
 * Set a setting that everybody may set, until AtEOXact_GUC() of the level that
 * NewGUCNestLevel() has begun.
 */
extern void setting_for_now(const char *name, const char *value);

/* a list of identifiers, taken apart in place; false: it is none */
extern bool settings_split_names(char *text, List **names);

/* called once, when the library is loaded */
extern void settings_define(void);

/* an argument of an array type; NULL for SQL's NULL */
extern struct ArrayType *tide_array_argument(FunctionCallInfo fcinfo, int n);

/* an argument of type text, palloc'd; NULL for SQL's NULL */
extern char *tide_text_argument(FunctionCallInfo fcinfo, int n);

#endif							/* TIDE_SETTINGS_H */
