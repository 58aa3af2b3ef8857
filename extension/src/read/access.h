/*-------------------------------------------------------------------------
 *
 * access.h
 *	  Which scopes a caller may sync.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_ACCESS_H
#define TIDE_ACCESS_H

#include "utils/array.h"
#include "cursor/cursor.h"
#include "table/registry.h"

typedef struct Access
{
	ScopeSet	scopes;			/* effective: asked for and allowed */
	ScopeSet	allowed;		/* all that the caller may */
	char	   *subject;		/* "sub" of the claims, NULL without claims */
	bool		by_function;	/* "allowed" may be another set next time, with
								 * the same claims */
} Access;

/* asked: text[], NULL for all that the caller may; raises TD005, TD006 */
extern void access_resolve(ArrayType *asked, Access *access);

/*
 * The scopes as values of a table's scope column.  Those that are no value of
 * its type cannot be any row's and are left out.
 */
typedef struct TableScopes
{
	bool		any;			/* no restriction: shared, or every scope */
	int			n;
	Datum	   *values;
	char	  **texts;			/* as the column's type writes them */
} TableScopes;

extern void access_table_scopes(const Access *access, TrackedTable *t,
								TableScopes *result);

/* an array for = ANY ($n), of access_array_type() */
extern Datum access_scope_array(TrackedTable *t, const TableScopes *scopes);
extern Oid	access_scope_array_type(TrackedTable *t);
extern bool access_has_text(const TableScopes *scopes, const char *text);

/*
 * Has the caller any right to read this table, and its schema's USAGE?  Not of
 * one that has just been dropped.
 */
extern bool access_may_select(Oid relid);

/* may the caller read every column that is synced? */
extern bool access_may_read(TrackedTable *t);

/* an error that names what the caller lacks, unless it has */
extern void access_require_select(Oid relid);

/* an error that names the column, unless the caller may read all that is synced */
extern void access_check_columns(TrackedTable *t);

#endif							/* TIDE_ACCESS_H */
