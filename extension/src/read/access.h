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

/*
 * asked: text[], or NULL for all that the caller may sync; raises TD005,
 * TD006
 */
extern void access_resolve(ArrayType *asked, Access *access);

/*
 * The scopes as values of a table's scope column.  A scope that is not a value
 * of its type cannot belong to any row, and is left out.
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
 * Has the caller any right to read this table, and USAGE on its schema? False
 * for a table that has just been dropped.
 */
extern bool access_may_select(Oid relid);

/* may the caller read every column that is synced? */
extern bool access_may_read(TrackedTable *t);

/* raises an error that names the missing right */
extern void access_require_select(Oid relid);

/* raises an error that names a synced column that the caller may not read */
extern void access_check_columns(TrackedTable *t);

#endif							/* TIDE_ACCESS_H */
