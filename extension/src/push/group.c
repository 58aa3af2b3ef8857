/*-------------------------------------------------------------------------
 *
 * group.c
 *	  Pushes of several users in one transaction.
 *
 * The gateway saves the COMMIT of each of them.  What each of them gets and
 * leaves behind has to be as if it were alone, in their order.  So
 *
 * - no code but PostgreSQL's and ours may run, see foreign_code.c;
 *
 * - no two of them are of one user: versions of one's own transaction count as
 *   seen by nobody, see is_own_version() in stamp_trigger.c.  For the same
 *   reason all rows must be of one user: not shared, and in scopes that are the
 *   user's name;
 *
 * - an error is an error of the transaction.  A push of a group has no
 *   subtransaction, which costs as much as what it does with one row; whoever
 *   sees an error rolls all back and sends each again alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/pg_list.h"
#include "storage/proc.h"
#include "utils/memutils.h"

#include "push/group.h"
#include "table/foreign_code.h"
#include "util/compat.h"
#include "util/errors.h"
#include "util/settings.h"

static void
refuse(const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_NOT_GROUPED),
			 errmsg("this push cannot share its transaction with others"),
			 errdetail("%s.", why)));
}

void
group_check_user(Push *push)
{
	static List *users = NIL;	/* of the transaction, in its memory */
	static LocalTransactionId transaction = InvalidLocalTransactionId;
	const char *user = push->access.subject;
	MemoryContext old;
	ListCell   *lc;

	if (!push->is_grouped)
		return;
	if (user == NULL || tide_scopes_function[0] != '\0')
		refuse("The scopes are not the user's name");
	if (transaction != TideLocalTransactionId())
		users = NIL;
	transaction = TideLocalTransactionId();
	foreach(lc, users)
	{
		if (strcmp(lfirst(lc), user) == 0)
			refuse("Another one of the same user is in it");
	}
	old = MemoryContextSwitchTo(TopTransactionContext);
	users = lappend(users, pstrdup(user));
	MemoryContextSwitchTo(old);
}

static void
check_table(PushTable *table, bool deletes)
{
	const char *code = table->t->shared ? "rows that are everybody's" :
		foreign_code(table->t, deletes);

	if (code)
		refuse(psprintf("Table %s has %s", table->t->sql_name, code));
}

void
group_check_tables(Push *push)
{
	ListCell   *lc;

	if (!push->is_grouped)
		return;
	foreach(lc, push->tables)
		check_table(lfirst(lc), false);
}

void
group_check_changes(Push *push)
{
	int			i;

	if (!push->is_grouped)
		return;
	for (i = 0; i < push->nchanges; i++)
	{
		Change	   *c = &push->changes[i];

		if (c->typed.done && c->typed.is_delete)
			check_table(c->table, true);
	}
}
