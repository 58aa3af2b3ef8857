/*-------------------------------------------------------------------------
 *
 * conflicts.c
 *	  Remembering versions that lost, and putting one back: tide.restore.
 *
 * What is remembered has a second use: a change that comes again is known by
 * its stamp, also when that was not the stamp that was stored, or when its
 * version has been overruled since.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/acl.h"
#include "utils/json.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "log/changelog.h"
#include "log/records.h"
#include "push/change.h"
#include "push/merge.h"
#include "read/rows.h"
#include "table/registry.h"
#include "util/compat.h"
#include "util/keymap.h"
#include "util/settings.h"
#include "wire/wire.h"

PG_FUNCTION_INFO_V1(tide_conflict_is_visible);

/*
 * A delete whose row plain SQL has inserted again since: its stamp is that of
 * the tombstone, which has nothing to say any more.
 */
static void
load_known_deletes(PushTable *table, char **keys, int n, KeyMap *map, Snapshot snapshot)
{
	ListCell   *lc;

	foreach(lc, tombstone_read(table->t, keys, n, snapshot))
	{
		Tombstone  *tombstone = lfirst(lc);
		Change	   *c = keymap_get(map, tombstone->key);

		if (c->found.exists && c->typed.incoming.has_stamp &&
			stamp_compare(&c->typed.incoming.stamp, &tombstone->stamp) == 0)
			c->typed.incoming.is_known = true;
	}
}

/* set for each of these changes whether it was judged before, as committed by now */
void
conflicts_load_known(Push *push, PushTable *table, List *changes)
{
	MemoryContext old;
	Snapshot	snapshot;
	KeyMap	   *map;
	char	  **keys;
	ListCell   *lc;
	int			n = 0;

	if (changes == NIL)
		return;
	old = MemoryContextSwitchTo(push->context);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	map = keymap_new(push->context, list_length(changes) * 2);
	keys = palloc(sizeof(char *) * list_length(changes));
	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		c->typed.incoming.is_known = false;
		memset(&c->typed.incoming.known_stored, 0, sizeof(Stamp));
		keys[n++] = c->typed.key_text;
		keymap_put(map, c->typed.key_text, c);
	}
	if (policy_forgets(table->t->policy))
		load_known_deletes(table, keys, n, map, snapshot);
	foreach(lc, conflict_read(table->t, keys, n, snapshot))
	{
		Conflict   *conflict = lfirst(lc);
		Change	   *c = keymap_get(map, conflict->key);

		if (!c->typed.incoming.has_stamp ||
			stamp_compare(&c->typed.incoming.stamp, &conflict->lost_stamp) != 0)
			continue;
		c->typed.incoming.is_known = true;
		memset(&c->typed.incoming.known_stored, 0, sizeof(Stamp));
		if (strcmp(conflict->kind, CONFLICT_ADJUSTED) == 0 ||
			strcmp(conflict->kind, CONFLICT_MERGED) == 0)
			c->typed.incoming.known_stored = conflict->stood_stamp;
	}
	UnregisterSnapshot(snapshot);
	MemoryContextSwitchTo(old);
}

/*
 * The rows that changes are about to overrule, or about which the resolver is
 * asked, as they are before that: as JSON, in c->found.before.
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
		if (c->outcome.overrules || c->outcome.asks)
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
			PullItem   *item = c->outcome.overrules || c->outcome.asks ?
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
 * The pushed version, as JSON: its key, these columns as they were sent, and
 * its stamp if wanted.  Between wire_begin_kept() and wire_end().
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
	{
		appendStringInfoChar(&buf, ',');
		escape_json(&buf, tracked_column(t, att)->wire);
		appendStringInfoChar(&buf, ':');
		if (c->typed.nulls[att - 1])
			appendStringInfoString(&buf, "null");
		else
			wire_append_value(&buf, t, tracked_column(t, att), c->typed.values[att - 1]);
	}
	appendStringInfoChar(&buf, '}');
	return buf.data;
}

/* does not all of a merged change show in the row? */
static bool
stands_in_part(Change *c)
{
	return c->found.merge == NULL || !c->found.exists || c->found.merge->is_deleted ||
		!bms_equal(c->found.merge->wins, c->typed.changed);
}

/* false: there is nothing about this change to remember */
static bool
conflict_of(Push *push, Change *c, Conflict *conflict)
{
	memset(conflict, 0, sizeof(*conflict));
	conflict->key = c->typed.key_text;
	conflict->scope = c->found.scope;
	if (c->outcome.verdict == VERDICT_SUPERSEDED && !c->typed.incoming.is_known)
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

/* the version that a change stands against, whatever the stamps say */
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

/* a stamp that was brought back or raised must be known when it comes again */
static bool
adjustment_of(Change *c, Conflict *conflict)
{
	if ((c->outcome.verdict != VERDICT_APPLIED && c->outcome.verdict != VERDICT_MERGED) ||
		!c->typed.incoming.has_stamp ||
		stamp_compare(&c->typed.incoming.stamp, &c->outcome.stored) == 0)
		return false;
	memset(conflict, 0, sizeof(*conflict));
	conflict->key = c->typed.key_text;
	conflict->scope = c->found.scope;
	conflict->kind = CONFLICT_ADJUSTED;
	conflict->lost_is_delete = c->typed.is_delete;
	conflict->lost_stamp = c->typed.incoming.stamp;
	conflict->stood_stamp = c->outcome.stored;
	return true;
}

/*
 * A conflict shows both versions, so it is seen in one scope only if they both
 * are: NULL, everybody's who may see everything, if the row has moved.
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

/* the stamp of the version that was there will not be known any more */
static bool
forgotten_by(Change *c, Conflict *conflict)
{
	if (!policy_forgets(c->table->t->policy) || c->outcome.overrules ||
		(c->outcome.verdict != VERDICT_APPLIED && c->outcome.verdict != VERDICT_MERGED) ||
		!c->found.stamp.has_time || c->found.stamp.client_id == NULL ||
		stamp_compare(&c->found.stamp, &c->outcome.stored) == 0)
		return false;
	memset(conflict, 0, sizeof(*conflict));
	conflict->key = c->typed.key_text;
	conflict->scope = c->found.scope;
	conflict->kind = CONFLICT_REPLACED;
	conflict->lost_stamp = c->found.stamp;
	return true;
}

static void
write_conflict(Push *push, Change *c, Conflict *conflict)
{
	settle_scope(c, conflict);
	conflict_write(c->table->t, conflict, push->access.subject);
}

/* after the rows were read as they now stand */
void
conflicts_record(Push *push)
{
	int			level = wire_begin_kept();
	int			i;

	for (i = 0; i < push->nchanges; i++)
	{
		Change	   *c = &push->changes[i];
		Conflict	conflict;

		if (c->outcome.verdict == VERDICT_FAILED)
			continue;
		if (overruled_by(push, c, &conflict) || forgotten_by(c, &conflict))
			write_conflict(push, c, &conflict);
		if (conflict_of(push, c, &conflict) || adjustment_of(c, &conflict))
			write_conflict(push, c, &conflict);
	}
	wire_end(level);
}

/* ---------- who may see them ---------- */

/*
 * A conflict is seen by who may read the whole table and sync the row's scope.
 * Where row security says which rows those are, it cannot be asked about
 * versions that are no rows any more: then by who pushed the change, who has
 * been told.  What is left of a table that is gone is for superusers.
 */
bool
conflict_is_visible(const Access *access, Oid relid, const char *scope,
					const char *subject)
{
	TrackedTable *t;
	TableScopes scopes;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return superuser();
	t = registry_lookup(relid);
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

/* (relid, scope, subject); for the view tide.conflicts */
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
