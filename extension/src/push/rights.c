/*-------------------------------------------------------------------------
 *
 * rights.c
 *	  What a caller may write in a table.
 *
 * A statement checks this by itself, but only when it runs.  That is too late:
 * a verdict tells something about a row and is remembered, so a caller who may
 * not write must be refused before there is one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "push/rights.h"

static bool
has_right(TrackedTable *t, AclMode right)
{
	return pg_class_aclcheck(t->relid, GetUserId(), right) == ACLCHECK_OK;
}

bool
rights_may_select_all(TrackedTable *t)
{
	return has_right(t, ACL_SELECT);
}

bool
rights_may_insert_all(TrackedTable *t)
{
	return has_right(t, ACL_INSERT);
}

/* are these columns, and those that sync writes besides, allowed? */
static bool
has_right_to_columns(TrackedTable *t, Bitmapset *columns, AclMode right,
					 TrackedColumn **missing)
{
	AttrNumber	own[4];
	int			n = 0;
	int			att = -1;
	int			i;

	if (missing)
		*missing = NULL;
	if (has_right(t, right))
		return true;
	own[n++] = t->modified_at;
	own[n++] = t->client_id;
	if (t->policy == POLICY_MERGE)
		own[n++] = t->clocks;
	if (right == ACL_UPDATE && t->deleted_at)
		own[n++] = t->deleted_at;
	columns = bms_copy(columns);
	for (i = 0; i < n; i++)
		columns = bms_add_member(columns, own[i]);
	for (i = 0; right == ACL_INSERT && i < t->nkeys; i++)
		if (!tracked_column(t, t->keys[i])->generated)
			columns = bms_add_member(columns, t->keys[i]);

	/* if the caller has a right to no column, the table is named as missing */
	if (pg_attribute_aclcheck_all(t->relid, GetUserId(), right, ACLMASK_ANY) != ACLCHECK_OK)
		return false;
	while ((att = bms_next_member(columns, att)) >= 0)
	{
		if (pg_attribute_aclcheck(t->relid, att, GetUserId(), right) == ACLCHECK_OK)
			continue;
		if (missing)
			*missing = tracked_column(t, att);
		return false;
	}
	return true;
}

bool
rights_may_insert(TrackedTable *t, Bitmapset *columns, TrackedColumn **missing)
{
	return has_right_to_columns(t, columns, ACL_INSERT, missing);
}

bool
rights_may_update(TrackedTable *t, Bitmapset *columns, TrackedColumn **missing)
{
	return has_right_to_columns(t, columns, ACL_UPDATE, missing);
}

bool
rights_may_delete(TrackedTable *t, TrackedColumn **missing)
{
	if (t->deleted_at)
		return has_right_to_columns(t, NULL, ACL_UPDATE, missing);
	if (missing)
		*missing = NULL;
	return has_right(t, ACL_DELETE);
}

bool
rights_refuse(Change *c, bool exists)
{
	TrackedTable *t = c->table->t;
	TrackedColumn *missing = NULL;
	bool		allowed;

	if (c->typed.is_delete)
		allowed = rights_may_delete(t, &missing);
	else if (exists)
		allowed = rights_may_update(t, c->typed.changed, &missing);
	else
		allowed = rights_may_insert(t, c->typed.inserted, &missing);
	if (allowed)
		return false;
	if (missing)
	{
		change_fail_as(c, "42501", psprintf("permission denied for column \"%s\" of table %s",
											missing->name, get_rel_name(t->relid)));
		if (column_is_synced(missing))
			c->outcome.failure.column = missing->wire;
	}
	else
		change_fail_as(c, "42501", psprintf("permission denied for table %s", get_rel_name(t->relid)));
	return true;
}
