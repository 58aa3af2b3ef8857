/*-------------------------------------------------------------------------
 *
 * reply.c
 *	  The reply to a push: the verdict of each change, and the rows as they
 *	  now stand.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "utils/json.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "capture/capture.h"
#include "cursor/ack.h"
#include "cursor/generation.h"
#include "log/records.h"
#include "push/change.h"
#include "read/rows.h"
#include "util/errors.h"
#include "util/keymap.h"
#include "wire/wire.h"

const char *
verdict_name(Verdict verdict)
{
	switch (verdict)
	{
		case VERDICT_APPLIED:
			return "applied";
		case VERDICT_MERGED:
			return "merged";
		case VERDICT_UNCHANGED:
			return "unchanged";
		case VERDICT_SUPERSEDED:
			return "superseded";
		case VERDICT_FAILED:
		case VERDICT_NONE:
			break;
	}
	return "failed";
}

/*
 * Must the row be read for the reply?  The row of a failed change is read only
 * if its key is known and the caller may read every column that clients get;
 * otherwise the other changes would fail with it.
 */
static bool
wants_row(Change *c, PushTable *table, bool may_read)
{
	if (c->table != table || c->outcome.entity != NULL)
		return false;
	if (c->outcome.verdict == VERDICT_FAILED)
		return may_read && c->typed.key_text != NULL;
	return true;
}

/* its row is gone, and the change does not say since when */
static bool
wants_deletion(Change *c, PullTable *read)
{
	PullItem   *item = c->outcome.entity;

	return item && item->table == read && !item->have_row &&
		c->outcome.verdict != VERDICT_FAILED &&
		!(c->typed.is_delete && c->outcome.verdict == VERDICT_APPLIED);
}

/*
 * When absent rows were deleted, as far as the caller may know it: not where a
 * row has moved out of its scopes.
 */
static void
find_deletions(Push *push, PullTable *table)
{
	char	  **keys = palloc(sizeof(char *) * push->nchanges);
	Snapshot	snapshot;
	ListCell   *lc;
	int			n = 0;
	int			i;

	for (i = 0; i < push->nchanges; i++)
		if (wants_deletion(&push->changes[i], table))
			keys[n++] = push->changes[i].typed.key_text;
	if (n == 0)
		return;
	capture_write_rows();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	foreach(lc, tombstone_read(table->t, keys, n, snapshot))
	{
		Tombstone  *tombstone = lfirst(lc);
		PullItem   *item = keymap_get(table->seen, tombstone->key);

		if (item && access_has_text(&table->scopes, tombstone->scope) &&
			(!item->have_stamp || stamp_compare(&tombstone->stamp, &item->stamp) > 0))
		{
			item->have_stamp = tombstone->stamp.has_time;
			item->stamp = tombstone->stamp;
		}
	}
	UnregisterSnapshot(snapshot);
}

/*
 * Read the rows of all changes as they stand after everything that the push
 * caused, with the caller's rights and scopes: one statement for each table.
 * Afterwards c->outcome.entity is the row, or an item without one.  Rows that
 * a write returned are there already.
 */
void
push_read_entities(Push *push)
{
	MemoryContext old = MemoryContextSwitchTo(push->context);
	List	   *tables = NIL;
	List	   *items = NIL;
	ListCell   *lc;

	foreach(lc, push->tables)
	{
		PushTable  *table = lfirst(lc);
		PullTable  *read = rows_table(table->t, &table->scopes);
		bool		may_read = access_may_read(table->t);
		int			i;

		tables = lappend(tables, read);
		for (i = 0; i < push->nchanges; i++)
		{
			Change	   *c = &push->changes[i];

			if (!wants_row(c, table, may_read))
				continue;
			c->outcome.entity = keymap_get(read->seen, c->typed.key_text);
			if (c->outcome.entity == NULL)
			{
				c->outcome.entity = rows_ask(read, c->typed.key_text);
				items = lappend(items, c->outcome.entity);
			}
		}
	}
	if (items != NIL)
	{
		CommandCounterIncrement();
		PushActiveSnapshot(GetTransactionSnapshot());
		rows_fetch(tables, items);
		PopActiveSnapshot();
		foreach(lc, tables)
			find_deletions(push, lfirst(lc));
	}
	MemoryContextSwitchTo(old);
}

/*
 * For an absent row: its key, and when it was deleted.  A row that is gone
 * without a tombstone that the caller may see has just left its scopes.
 */
static void
append_absent(StringInfo buf, Change *c)
{
	const Stamp *stamp = NULL;

	if (c->typed.is_delete && c->outcome.verdict == VERDICT_APPLIED)
		stamp = &c->outcome.stored;
	else if (c->outcome.entity && c->outcome.entity->have_stamp)
		stamp = &c->outcome.entity->stamp;
	else if (c->found.tombstone)
		stamp = &c->found.stamp;

	appendStringInfoChar(buf, '{');
	wire_append_key_members(buf, c->table->t, c->typed.key);
	appendStringInfoString(buf, ",\"deletedAt\":");
	wire_append_time(buf, stamp && stamp->has_time ? stamp->time : GetCurrentTimestamp());
	appendStringInfoChar(buf, '}');
}

static void
append_entity(StringInfo buf, Change *c)
{
	if (c->outcome.entity && c->outcome.entity->have_row)
		wire_append_row(buf, c->table->t, c->outcome.entity->values, c->outcome.entity->nulls);
	else
		append_absent(buf, c);
}

char *
push_entity(Push *push, Change *c)
{
	StringInfoData buf;
	int			level = wire_begin();

	initStringInfo(&buf);
	append_entity(&buf, c);
	wire_end(level);
	return buf.data;
}

static void
append_string_member(StringInfo buf, const char *name, const char *value)
{
	if (value == NULL)
		return;
	appendStringInfo(buf, ",\"%s\":", name);
	escape_json(buf, value);
}

/* entityType, entityId and changeId, by which a client knows its change */
static void
append_identity(StringInfo buf, Change *c)
{
	appendStringInfoString(buf, "{\"entityType\":");
	if (c->sent.entity_type)
		escape_json(buf, c->sent.entity_type);
	else
		appendStringInfoString(buf, "null");
	appendStringInfo(buf, ",\"entityId\":%s", c->sent.entity_id ? c->sent.entity_id : "null");
	if (c->sent.change_id)
		appendStringInfo(buf, ",\"changeId\":%s", c->sent.change_id);
}

static void
append_succeeded(StringInfo buf, Change *c)
{
	append_identity(buf, c);
	appendStringInfo(buf, ",\"status\":\"%s\",\"entity\":", verdict_name(c->outcome.verdict));
	append_entity(buf, c);
	append_string_member(buf, "note", c->outcome.note);
	appendStringInfoChar(buf, '}');
}

static void
append_failed(StringInfo buf, Change *c)
{
	append_identity(buf, c);
	appendStringInfoString(buf, ",\"entity\":");
	if (c->outcome.entity && c->outcome.entity->have_row)
		wire_append_row(buf, c->table->t, c->outcome.entity->values, c->outcome.entity->nulls);
	else
		appendStringInfoString(buf, "null");
	appendStringInfoString(buf, ",\"errors\":[{\"code\":");
	escape_json(buf, c->outcome.failure.code);
	append_string_member(buf, "message", c->outcome.failure.message);
	append_string_member(buf, "constraint", c->outcome.failure.constraint);
	append_string_member(buf, "column", c->outcome.failure.column);
	appendStringInfoString(buf, "}]}");
}

/*
 * the name of this push; a push that wrote nothing has no transaction to name
 */
static char *
push_ack(Push *push)
{
	Ack			ack = {0};

	ack.generation = generation_current();
	if (push->origin.push > 0)
	{
		ack.xid = U64FromFullTransactionId(GetTopFullTransactionId());
		ack.number = push->origin.push;
	}
	return ack_encode(&ack);
}

/* do its rows have the same text under any settings? */
static bool
is_plain(Push *push)
{
	ListCell   *lc;

	foreach(lc, push->tables)
		if (!((PushTable *) lfirst(lc))->t->plain_row)
		return false;
	return true;
}

/* of a reply to several changes, in bytes */
#define REPLY_MAX (256 * 1024 * 1024)

/* each change comes back with its row, and a row may be large */
static void
check_size(Push *push, int size)
{
	if (push->nchanges > 1 && size > REPLY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_TOO_MANY_CHANGES),
				 errmsg("the rows of this push are too large for one reply"),
				 errhint("Send its changes in several pushes.")));
}

/* the reply to a push, in request order */
char *
push_reply(Push *push)
{
	StringInfoData buf;
	StringInfoData failed;
	bool		plain = is_plain(push);
	int			level = plain ? 0 : wire_begin();
	int			nfailed = 0;
	int			nsuperseded = 0;
	int			i;

	initStringInfo(&buf);
	initStringInfo(&failed);
	appendStringInfoString(&buf, "{\"succeeded\":[");
	for (i = 0; i < push->nchanges; i++)
	{
		Change	   *c = &push->changes[i];

		check_size(push, buf.len + failed.len);
		if (c->outcome.verdict == VERDICT_FAILED)
		{
			if (nfailed++ > 0)
				appendStringInfoChar(&failed, ',');
			append_failed(&failed, c);
			continue;
		}
		if (i - nfailed > 0)
			appendStringInfoChar(&buf, ',');
		nsuperseded += (c->outcome.verdict == VERDICT_SUPERSEDED);
		append_succeeded(&buf, c);
	}
	appendStringInfo(&buf,
					 "],\"failed\":[%s],\"summary\":{\"total\":%d,\"succeeded\":%d,"
					 "\"failed\":%d,\"superseded\":%d},\"serverTime\":",
					 failed.data, push->nchanges, push->nchanges - nfailed,
					 nfailed, nsuperseded);
	wire_append_time_ms_floor(&buf, GetCurrentTimestamp());
	appendStringInfo(&buf, ",\"ack\":\"%s\"}", push_ack(push));
	if (!plain)
		wire_end(level);
	return buf.data;
}
