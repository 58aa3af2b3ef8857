/*-------------------------------------------------------------------------
 *
 * rights.c
 *	  May the caller make a change at all?
 *
 * Only grants are looked at, and of columns only those that were sent: the
 * write itself finds out about policies, and about all that it touches beside.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "rights.h"

static bool
may_on_table(Change *c, AclMode mode)
{
	return pg_class_aclcheck(c->table->t->relid, GetUserId(), mode) == ACLCHECK_OK;
}

static bool
may_on_column(Change *c, AttrNumber attnum, AclMode mode)
{
	return pg_attribute_aclcheck(c->table->t->relid, attnum, GetUserId(), mode) == ACLCHECK_OK;
}

static bool
may_on_columns(Change *c, Bitmapset *columns, AclMode mode)
{
	int			att = -1;

	while ((att = bms_next_member(columns, att)) >= 0)
		if (!may_on_column(c, att, mode))
			return false;
	return true;
}

static bool
is_allowed(Change *c, bool row_exists)
{
	TrackedTable *t = c->table->t;
	int			k;

	if (c->typed.is_delete && !t->deleted_at)
		return may_on_table(c, ACL_DELETE);
	if (c->typed.is_delete)
		return may_on_table(c, ACL_UPDATE) || may_on_column(c, t->deleted_at, ACL_UPDATE);
	if (row_exists)
		return may_on_table(c, ACL_UPDATE) ||
			(pg_attribute_aclcheck_all(t->relid, GetUserId(), ACL_UPDATE, ACLMASK_ANY) == ACLCHECK_OK &&
			 may_on_columns(c, c->typed.changed, ACL_UPDATE));
	if (may_on_table(c, ACL_INSERT))
		return true;
	for (k = 0; k < t->nkeys; k++)
		if (!may_on_column(c, t->keys[k], ACL_INSERT))
			return false;
	return may_on_columns(c, c->typed.columns, ACL_INSERT);
}

bool
rights_allow(Change *c, bool row_exists)
{
	if (is_allowed(c, row_exists))
		return true;
	/* the words and the code of the write itself */
	change_fail_as(c, "42501", psprintf("permission denied for table %s",
										get_rel_name(c->table->t->relid)));
	return false;
}
