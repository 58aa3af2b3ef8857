/*-------------------------------------------------------------------------
 *
 * conflicts.c
 *	  Remembering versions that lost, and which clients must see the winner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/acl.h"
#include "utils/json.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "log/changelog.h"
#include "log/records.h"
#include "push/change.h"
#include "push/known.h"
#include "read/rows.h"
#include "table/registry.h"
#include "util/keymap.h"
#include "util/settings.h"
#include "wire/wire.h"

PG_FUNCTION_INFO_V1(tide_conflict_is_visible);

/* must the row be kept as it was before this change? */
static bool
needs_row(const Change *c)
{
	return c->outcome.overrules || c->outcome.asks || c->outcome.replaces_twin;
}

/*
 * Keep rows as JSON in c->found.before, before changes are written: rows that
 * a change is about to overrule, rows that a change cannot be told from by its
 * stamp, and rows about which the resolver is asked.
 */
void
conflicts_keep_rows(Push *push, PushTable *table, List *changes)
{
	MemoryContext old = MemoryContextSwitchTo(push->context);
	PullTable  *read = rows_table(table->t, &table->scopes);
	List	   *items = NIL;
	ListCell   *lc;
	int			level;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		c->found.before = NULL;
		if (needs_row(c))
			items = lappend(items, rows_ask(read, c->typed.key_text));
	}
	if (items != NIL)
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		rows_fetch(list_make1(read), items);
		level = wire_begin_kept();
		foreach(lc, changes)
		{
			Change	   *c = lfirst(lc);
			PullItem   *item = needs_row(c) ?
				keymap_get(read->seen, c->typed.key_text) : NULL;
			StringInfoData buf;

			if (item == NULL || !item->have_row)
				continue;
			initStringInfo(&buf);
			wire_append_row(&buf, table->t, item->values, item->nulls);
			c->found.before = buf.data;
		}
		wire_end(level);
		PopActiveSnapshot();
	}
	MemoryContextSwitchTo(old);
}

/*
 * The pushed version as JSON: its key, these columns as they were sent, and
 * its stamp if with_stamp.  Must run between wire_begin_kept() and wire_end().
 */
char *
change_json(Change *c, Bitmapset *columns, bool with_stamp)
{
	TrackedTable *t = c->table->t;
	StringInfoData buf;
	int			att = -1;

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '{');
	wire_append_key_members(&buf, t, c->typed.key);
	if (with_stamp && c->typed.incoming.has_stamp)
	{
		appendStringInfoChar(&buf, ',');
		escape_json(&buf, tracked_column(t, t->modified_at)->wire);
		appendStringInfoChar(&buf, ':');
		wire_append_time(&buf, c->typed.incoming.stamp.time);
	}
	while ((att = bms_next_member(columns, att)) >= 0)
		wire_append_member(&buf, t, tracked_column(t, att), c->typed.values[att - 1],
						   c->typed.nulls[att - 1]);
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

/* false: this change leaves nothing to remember */
static bool
conflict_of(Push *push, Change *c, Conflict *conflict)
{
	memset(conflict, 0, sizeof(*conflict));
	conflict->key = c->typed.key_text;
	conflict->scope = c->found.scope;
	if (c->outcome.verdict == VERDICT_SUPERSEDED && c->typed.incoming.known == KNOWN_NOT)
	{
		conflict->kind = CONFLICT_SUPERSEDED;
		conflict->lost = c->typed.is_delete ? NULL : change_json(c, c->typed.columns, false);
		conflict->lost_is_delete = c->typed.is_delete;
		conflict->lost_stamp = c->typed.incoming.stamp;
		conflict->stood_stamp = c->found.stamp;
	}
	else if (c->outcome.verdict == VERDICT_MERGED && stands_in_part(c))
	{
		conflict->kind = CONFLICT_MERGED;
		conflict->lost = change_json(c, c->typed.columns, false);
		conflict->lost_stamp = c->typed.incoming.stamp;
		conflict->stood_stamp = c->outcome.stored;
	}
	else
		return false;
	conflict->stood = push_entity(push, c);
	return true;
}

/* the version that this change overrules, whatever the stamps say */
static bool
overruled_by(Push *push, Change *c, Conflict *conflict)
{
	memset(conflict, 0, sizeof(*conflict));
	conflict->key = c->typed.key_text;
	conflict->scope = c->found.scope;
	if (c->outcome.overrules && (c->outcome.verdict == VERDICT_APPLIED || c->outcome.verdict == VERDICT_MERGED))
	{
		conflict->kind = CONFLICT_OVERRULED;
		conflict->lost = c->found.exists ? c->found.before : NULL;
		conflict->lost_is_delete = !c->found.exists;
		conflict->lost_stamp = c->found.stamp;
		conflict->stood_stamp = c->outcome.stored;
	}
	else
		return false;
	conflict->stood = push_entity(push, c);
	return true;
}

/*
 * A conflict shows both versions.  So one scope sees it only if both versions
 * are in that scope.  If the row has moved, the scope is NULL, and only those
 * see the conflict who may see everything.
 */
static void
settle_scope(Change *c, Conflict *conflict)
{
	TrackedTable *t = c->table->t;
	PullItem   *item = c->outcome.entity;
	char	   *now;

	if (t->shared || conflict->scope == NULL || item == NULL || !item->have_row)
		return;
	now = item->nulls[t->scope - 1] ? NULL :
		wire_scope_text(t, item->values[t->scope - 1]);
	if (now == NULL || strcmp(now, conflict->scope) != 0)
		conflict->scope = NULL;
}

/* has any change lost, or has another version lost to one? */
static bool
may_have_conflicts(Push *push)
{
	int			i;

	for (i = 0; i < push->nchanges; i++)
	{
		Outcome    *outcome = &push->changes[i].outcome;

		if (outcome->verdict == VERDICT_SUPERSEDED || outcome->verdict == VERDICT_MERGED ||
			outcome->overrules)
			return true;
	}
	return false;
}

/* after the rows were read as they stand at the end */
void
conflicts_record(Push *push)
{
	Conflict   *conflicts;
	ListCell   *lc;
	int			level;
	int			i;

	if (!may_have_conflicts(push))
		return;
	conflicts = palloc(sizeof(Conflict) * push->nchanges * 2);
	level = wire_begin_kept();
	foreach(lc, push->tables)
	{
		PushTable  *table = lfirst(lc);
		int			n = 0;

		for (i = 0; i < push->nchanges; i++)
		{
			Change	   *c = &push->changes[i];

			if (c->table != table || c->outcome.verdict == VERDICT_FAILED)
				continue;
			if (overruled_by(push, c, &conflicts[n]))
				settle_scope(c, &conflicts[n++]);
			if (conflict_of(push, c, &conflicts[n]))
				settle_scope(c, &conflicts[n++]);
		}
		conflict_write(table->t, conflicts, n, push->access.subject);
	}
	wire_end(level);
}

/* ---------- the winner, once more ---------- */

/* a client to send rows to; it has one such entry for each scope */
typedef struct Loser
{
	const char *scope;
	const char *client_id;
	int			nkeys;
	char	  **keys;
} Loser;

static bool
same_string(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static void
add_loser(List **losers, Change *c)
{
	Loser	   *loser = NULL;
	ListCell   *lc;

	foreach(lc, *losers)
	{
		loser = lfirst(lc);
		if (loser->nkeys < MAX_KEYS_PER_ENTRY && same_string(loser->scope, c->found.scope) &&
			same_string(loser->client_id, c->typed.incoming.stamp.client_id))
			break;
	}
	if (lc == NULL)
	{
		loser = palloc0(sizeof(Loser));
		loser->scope = c->found.scope;
		loser->client_id = c->typed.incoming.stamp.client_id;
		loser->keys = palloc(sizeof(char *) * MAX_KEYS_PER_ENTRY);
		*losers = lappend(*losers, loser);
	}
	loser->keys[loser->nkeys++] = c->typed.key_text;
}

/*
 * Rows that do not stand as they were pushed are sent again with the next pull
 * of the client that pushed them, even if it ignores the reply.  Other clients
 * have missed nothing.  A change that is known to have lost was told so
 * before.
 */
void
conflicts_send_winners(Push *push)
{
	ListCell   *lc,
			   *ll;
	int			i;

	foreach(lc, push->tables)
	{
		PushTable  *table = lfirst(lc);
		List	   *losers = NIL;

		for (i = 0; i < push->nchanges; i++)
		{
			Change	   *c = &push->changes[i];

			if (c->table == table &&
				(c->outcome.verdict == VERDICT_SUPERSEDED ||
				 c->outcome.verdict == VERDICT_MERGED) &&
				c->typed.incoming.known == KNOWN_NOT &&
				(table->t->shared || c->found.scope))
				add_loser(&losers, c);
		}
		foreach(ll, losers)
		{
			Loser	   *loser = lfirst(ll);

			changelog_append_for(table->t, loser->scope, push->access.subject,
								 loser->client_id, loser->keys, loser->nkeys);
		}
	}
}

/* ---------- who may see them ---------- */

/*
 * A conflict is seen by those who may read the whole table and sync the scope
 * of the row.  If row security decides which rows they are, it cannot be asked
 * about versions that are no rows any more; then only the user who pushed the
 * change sees it, who was told of it.  What is left of a table that is gone is
 * for superusers.
 */
bool
conflict_is_visible(const Access *access, Oid relid, const char *scope,
					const char *subject)
{
	TrackedTable *t;
	TableScopes scopes;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return superuser() && !OidIsValid(access->schema);
	t = registry_lookup(relid);
	if (!registry_sees(access->schema, t))
		return false;
	if (!t->tracked || registry_problem(t))
		return superuser();
	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		return false;
	if (check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED &&
		(subject == NULL || access->subject == NULL ||
		 strcmp(subject, access->subject) != 0))
		return false;
	access_table_scopes(access, t, &scopes);
	return access_has_text(&scopes, scope);
}

/* (relid, scope, subject), for the view tide.conflicts */
Datum
tide_conflict_is_visible(PG_FUNCTION_ARGS)
{
	Access	   *access = fcinfo->flinfo->fn_extra;

	if (access == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		access = palloc(sizeof(Access));
		access_resolve(NULL, access);
		fcinfo->flinfo->fn_extra = access;
		MemoryContextSwitchTo(old);
	}
	if (PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(conflict_is_visible(access, PG_GETARG_OID(0),
									   tide_text_argument(fcinfo, 1),
									   tide_text_argument(fcinfo, 2)));
}
