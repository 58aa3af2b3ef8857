/*-------------------------------------------------------------------------
 *
 * known.c
 *	  Changes that were sent before.
 *
 * A change that comes again because its reply was lost must have no second
 * effect.  It is recognized by its stamp as sent and by what was sent: by the
 * row, or by tide.sent where the row does not tell.  tide.sent has a digest of
 * a change that lost, of a change that was stored with another stamp or other
 * values than were sent (raised, brought back, altered by a trigger), and of
 * each change of a table whose policy lets older versions stand, because
 * stamps do not tell there what has been seen.
 *
 * The same table says which stamps were raised: their sender knows them as
 * they were sent.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"

#include "util/compat.h"
#include "util/json_text.h"
#include "push/known.h"
#include "push/merge.h"
#include "read/rows.h"
#include "log/records.h"
#include "wire/wire.h"

bool
same_datum(TrackedColumn *column, Form_pg_attribute att, Datum a, Datum b)
{
	if (tide_image_eq(a, b, att->attbyval, att->attlen))
		return true;
	/* 1.5 and 1.50 are equal */
	return column->base_type == NUMERICOID &&
		DatumGetBool(DirectFunctionCall2(numeric_eq, a, b));
}

/* ---------- marks and digests ---------- */

/* key and stamp as sent, as one text that no other pair has */
static void
append_identity(StringInfo buf, Change *c)
{
	const Stamp *stamp = &c->typed.incoming.stamp;

	appendStringInfo(buf, "%zu:%s," INT64_FORMAT ",%s", strlen(c->typed.key_text),
					 c->typed.key_text, stamp->time,
					 stamp->client_id ? stamp->client_id : "");
}

/*
 * Computed for each change that has a stamp, so it has to be cheap.  A digest
 * decides.
 */
static int64
mark_of(Change *c)
{
	const Stamp *stamp = &c->typed.incoming.stamp;
	uint64		mark = hash_bytes_extended((const unsigned char *) c->typed.key_text,
										   strlen(c->typed.key_text),
										   (uint64) stamp->time);

	if (stamp->client_id)
		mark = hash_combine64(mark, hash_bytes_extended((const unsigned char *) stamp->client_id,
														strlen(stamp->client_id), 0));
	return (int64) mark;
}

static void
finish_digest(StringInfo buf, uint8 *digest)
{
	bytea	   *input = (bytea *) cstring_to_text_with_len(buf->data, buf->len);
	bytea	   *hash = DatumGetByteaPP(DirectFunctionCall1(sha256_bytea,
														   PointerGetDatum(input)));

	memcpy(digest, VARDATA_ANY(hash), SENT_DIGEST_SIZE);
	pfree(input);
	pfree(buf->data);
}

/*
 * Only key and stamp count for a delete.  Must run between wire_begin_kept()
 * and wire_end().
 */
static void
digest_of(Push *push, Change *c, bool is_delete, uint8 *digest)
{
	StringInfoData buf;
	int			att = -1;

	initStringInfo(&buf);
	append_identity(&buf, c);
	appendStringInfo(&buf, ",%zu:%s,",
					 push->access.subject ? strlen(push->access.subject) : 0,
					 push->access.subject ? push->access.subject : "");
	if (!is_delete)
	{
		appendStringInfoString(&buf, change_json(c, c->typed.columns, false));
		while ((att = bms_next_member(c->typed.changed, att)) >= 0)
			appendStringInfo(&buf, ",%d", att);
	}
	finish_digest(&buf, digest);
}

/*
 * the digest of a version whose row we have, but neither what was sent nor by
 * whom
 */
static void
digest_of_image(Change *c, uint8 *digest)
{
	StringInfoData buf;

	initStringInfo(&buf);
	append_identity(&buf, c);
	appendStringInfoString(&buf, ",image");
	finish_digest(&buf, digest);
}

/* does the row of this image have what the change would store? */
static bool
image_is_same(Change *c, const char *image)
{
	TrackedTable *t = c->table->t;
	int			att = -1;

	if (c->typed.is_delete)
		return false;
	while ((att = bms_next_member(c->typed.changed, att)) >= 0)
	{
		TrackedColumn *column = tracked_column(t, att);
		char	   *member = json_text_member(image, column->wire);
		StringInfoData sent;

		initStringInfo(&sent);
		if (c->typed.nulls[att - 1])
			appendStringInfoString(&sent, "null");
		else
			wire_append_value(&sent, t, column, c->typed.values[att - 1]);
		if (member == NULL || strcmp(member, sent.data) != 0)
			return false;
	}
	return true;
}

/* ---------- what is known ---------- */

static bool
is_of(Push *push, Change *c, const SentRecord *r)
{
	uint8		digest[SENT_DIGEST_SIZE];

	if (r->image)
	{
		digest_of_image(c, digest);
		return memcmp(digest, r->digest, SENT_DIGEST_SIZE) == 0 &&
			image_is_same(c, r->image);
	}
	digest_of(push, c, c->typed.is_delete, digest);
	return memcmp(digest, r->digest, SENT_DIGEST_SIZE) == 0;
}

/*
 * since then, the change that lost may have come again with its base, and was
 * stored
 */
static void
take_known(Incoming *in, const SentRecord *r)
{
	if (in->known == KNOWN_STORED)
		return;
	in->known = r->stored.has_time && !r->in_part ? KNOWN_STORED : KNOWN_LOST;
	if (r->stored.has_time)
		in->known_stored = r->stored;
}

typedef struct Marked
{
	int64		mark;
	Change	   *change;
} Marked;

static int
compare_marked(const void *a, const void *b)
{
	int64		x = ((const Marked *) a)->mark;
	int64		y = ((const Marked *) b)->mark;

	return (x > y) - (x < y);
}

/* take over what this record says about the changes with its mark */
static void
take_record(Push *push, Marked *marked, int n, const SentRecord *r)
{
	int			low = 0;
	int			high = n;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (marked[middle].mark < r->mark)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < n && marked[low].mark == r->mark; low++)
		if (is_of(push, marked[low].change, r))
			take_known(&marked[low].change->typed.incoming, r);
}

void
known_load(Push *push, PushTable *table, List *changes)
{
	MemoryContext old = MemoryContextSwitchTo(push->context);
	Marked	   *marked = palloc(sizeof(Marked) * Max(list_length(changes), 1));
	int64	   *marks = palloc(sizeof(int64) * Max(list_length(changes), 1));
	Snapshot	snapshot;
	List	   *records;
	ListCell   *lc;
	int			level;
	int			n = 0;
	int			i;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);
		Incoming   *in = &c->typed.incoming;

		in->known = KNOWN_NOT;
		memset(&in->known_stored, 0, sizeof(Stamp));
		if (!in->has_stamp)
			continue;
		marked[n].mark = mark_of(c);
		marked[n++].change = c;
	}
	if (n > 0)
	{
		qsort(marked, n, sizeof(Marked), compare_marked);
		for (i = 0; i < n; i++)
			marks[i] = marked[i].mark;
		snapshot = RegisterSnapshot(GetLatestSnapshot());
		records = sent_read(table->t, marks, n, snapshot);
		UnregisterSnapshot(snapshot);
		if (records != NIL)
		{
			level = wire_begin_kept();
			foreach(lc, records)
				take_record(push, marked, n, lfirst(lc));
			wire_end(level);
		}
	}
	MemoryContextSwitchTo(old);
}

/* ---------- raised stamps ---------- */

static bool
same_string(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static void
add_raised(Change *c, TimestampTz known_as, TimestampTz stored)
{
	Found	   *found = &c->found;

	found->raised = found->nraised == 0 ? palloc(sizeof(RaisedStamp)) :
		repalloc(found->raised, sizeof(RaisedStamp) * (found->nraised + 1));
	found->raised[found->nraised].known_as = known_as;
	found->raised[found->nraised].stored = stored;
	found->nraised++;
}

/*
 * Does it matter to this change that a stamp of its own client was raised?  It
 * does only if the change would lose to a raised stamp: to the row's, or under
 * "merge" to a column's.
 */
static bool
may_lose_to_its_own(Change *c)
{
	TrackedTable *t = c->table->t;
	const Incoming *in = &c->typed.incoming;
	const Stamp *clocks = c->found.merge ? c->found.merge->clocks : NULL;
	int			att = -1;

	if (!in->has_stamp || in->known == KNOWN_STORED ||
		!c->found.stamp.has_time || stamp_compare(&in->stamp, &c->found.stamp) > 0)
		return false;
	if (same_string(in->stamp.client_id, c->found.stamp.client_id))
		return true;
	if (clocks == NULL || t->policy != POLICY_MERGE)
		return false;
	while ((att = bms_next_member(c->typed.changed, att)) >= 0)
		if (same_string(in->stamp.client_id, clocks[att - 1].client_id))
			return true;
	return false;
}

static char *
raised_name(Change *c)
{
	return psprintf("%u %s", c->table->t->relid, c->typed.key_text);
}

void
known_load_raised(Push *push, PushTable *table, List *changes)
{
	MemoryContext old = MemoryContextSwitchTo(push->context);
	char	  **keys = palloc(sizeof(char *) * Max(list_length(changes), 1));
	List	   *asking = NIL;
	Snapshot	snapshot;
	ListCell   *lc,
			   *lr;
	int			n = 0;

	foreach(lc, changes)
	{
		Change	   *c = lfirst(lc);

		c->found.nraised = 0;
		if (!may_lose_to_its_own(c))
			continue;
		keys[n++] = c->typed.key_text;
		asking = lappend(asking, c);
		foreach(lr, push->raised ? keymap_get(push->raised, raised_name(c)) : NIL)
		{
			SentRecord *r = lfirst(lr);

			if (same_string(r->stamp.client_id, c->typed.incoming.stamp.client_id))
				add_raised(c, r->known_as, r->raised_to);
		}
	}
	if (n > 0)
	{
		KeyMap	   *map = keymap_new(CurrentMemoryContext, n * 2);

		foreach(lc, asking)
			keymap_put(map, ((Change *) lfirst(lc))->typed.key_text, lfirst(lc));
		snapshot = RegisterSnapshot(GetLatestSnapshot());
		foreach(lr, sent_read_raised(table->t, keys, n, snapshot))
		{
			SentRecord *r = lfirst(lr);
			Change	   *c = keymap_get(map, r->key);

			if (c && same_string(r->stamp.client_id, c->typed.incoming.stamp.client_id) &&
				same_string(r->subject, push->access.subject))
				add_raised(c, r->known_as, r->raised_to);
		}
		UnregisterSnapshot(snapshot);
	}
	MemoryContextSwitchTo(old);
}

/*
 * the time that the sender of the version does not know; false if there is
 * none
 */
static bool
was_raised(const Incoming *in, Verdict verdict, const Stamp *stored,
		   const Stamp *column_stamp, TimestampTz *raised_to)
{
	if (verdict == VERDICT_APPLIED)
		*raised_to = stored->time;
	else if (verdict == VERDICT_MERGED)
		*raised_to = column_stamp->time;
	else
		return false;
	return in->has_stamp && *raised_to > in->stamp.time;
}

/*
 * A later change of the same push may be to the same row.  If this change is
 * undone, no version has the stamp that is noted here.
 */
void
known_note_raised(Push *push, Change *c, const Decision *decision)
{
	SentRecord *r;
	TimestampTz raised_to;
	char	   *name;

	if (!was_raised(&c->typed.incoming, decision->verdict, &decision->stored,
					&decision->column_stamp, &raised_to))
		return;
	if (push->raised == NULL)
		push->raised = keymap_new(push->context, 16);
	r = palloc0(sizeof(SentRecord));
	r->stamp = c->typed.incoming.stamp;
	r->raised_to = raised_to;
	r->known_as = decision->known_as;
	name = raised_name(c);
	keymap_put(push->raised, name, lcons(r, keymap_get(push->raised, name)));
}

/* ---------- what is remembered ---------- */

/*
 * Does the row show what was sent, as it stands at the end of the push?  Then
 * the row tells by itself that this change was stored.
 */
static bool
shows_in_row(Change *c)
{
	TrackedTable *t = c->table->t;
	PullItem   *row = c->outcome.entity;
	const Incoming *in = &c->typed.incoming;
	Stamp		stamp;
	int			att = -1;

	if (row == NULL || !row->have_row)
		return c->typed.is_delete && !t->deleted_at;
	stamp = stamp_of_row(t, row->values, row->nulls);
	if (stamp_compare(&stamp, &in->stamp) != 0)
		return false;
	if (c->typed.is_delete || (t->deleted_at && !row->nulls[t->deleted_at - 1]))
		return c->typed.is_delete && t->deleted_at && !row->nulls[t->deleted_at - 1];
	while ((att = bms_next_member(c->typed.changed, att)) >= 0)
	{
		if (row->nulls[att - 1] != c->typed.nulls[att - 1])
			return false;
		if (!row->nulls[att - 1] &&
			!same_datum(tracked_column(t, att), TupleDescAttr(t->tupdesc, att - 1),
						row->values[att - 1], c->typed.values[att - 1]))
			return false;
	}
	return true;
}

/* is some of a merged change not in the row? */
bool
stands_in_part(Change *c)
{
	return c->found.merge == NULL || !c->found.exists || c->found.merge->is_deleted ||
		!bms_equal(c->found.merge->wins, c->typed.changed);
}

static void
fill_record(Push *push, Change *c, SentRecord *r)
{
	memset(r, 0, sizeof(*r));
	r->mark = mark_of(c);
	r->key = c->typed.key_text;
	r->stamp = c->typed.incoming.stamp;
	r->subject = push->access.subject;
}

/*
 * must this change be remembered, because the row does not tell that it was
 * sent?
 */
static bool
is_remembered(Change *c)
{
	const Incoming *in = &c->typed.incoming;
	Verdict		verdict = c->outcome.verdict;

	if (!in->has_stamp || verdict == VERDICT_FAILED || verdict == VERDICT_UNCHANGED ||
		(verdict == VERDICT_SUPERSEDED && in->known != KNOWN_NOT))
		return false;
	return verdict != VERDICT_APPLIED || policy_forgets(c->table->t->policy) ||
		stamp_compare(&in->stamp, &c->outcome.stored) != 0 || !shows_in_row(c);
}

/* false: it need not be remembered */
static bool
record_of(Push *push, Change *c, SentRecord *r)
{
	const Incoming *in = &c->typed.incoming;
	Verdict		verdict = c->outcome.verdict;

	if (!is_remembered(c))
		return false;
	fill_record(push, c, r);
	digest_of(push, c, c->typed.is_delete, r->digest);
	if (verdict == VERDICT_SUPERSEDED)
		return true;
	r->stored = c->outcome.stored;
	r->in_part = (verdict == VERDICT_MERGED && stands_in_part(c));
	r->is_raised = was_raised(in, verdict, &c->outcome.stored,
							  c->found.merge ? &c->found.merge->column_stamp : &c->outcome.stored,
							  &r->raised_to);
	r->known_as = c->outcome.known_as;
	return true;
}

/*
 * The version that this change replaced had the very same stamp.  When that
 * version comes again, its stamp will tell nothing.
 */
static bool
twin_of(Push *push, Change *c, SentRecord *r)
{
	const Incoming *in = &c->typed.incoming;
	Verdict		verdict = c->outcome.verdict;

	if (!c->outcome.replaces_twin ||
		(verdict != VERDICT_APPLIED && verdict != VERDICT_MERGED) ||
		(verdict == VERDICT_APPLIED && stamp_compare(&in->stamp, &c->found.stamp) != 0))
		return false;
	fill_record(push, c, r);
	r->stored = c->found.stamp;
	if (!c->found.exists || c->found.deleted)
		digest_of(push, c, true, r->digest);
	else if (c->found.before == NULL)
		return false;
	else
	{
		r->image = c->found.before;
		digest_of_image(c, r->digest);
	}
	return true;
}

static bool
remembers_any(Push *push)
{
	int			i;

	for (i = 0; i < push->nchanges; i++)
	{
		Change	   *c = &push->changes[i];

		if (c->outcome.replaces_twin || (c->table && is_remembered(c)))
			return true;
	}
	return false;
}

void
known_record(Push *push)
{
	SentRecord *records;
	ListCell   *lc;
	int			level;
	int			i;

	if (!remembers_any(push))
		return;
	records = palloc(sizeof(SentRecord) * push->nchanges * 2);
	level = wire_begin_kept();
	foreach(lc, push->tables)
	{
		PushTable  *table = lfirst(lc);
		int			n = 0;

		for (i = 0; i < push->nchanges; i++)
		{
			Change	   *c = &push->changes[i];

			if (c->table != table)
				continue;
			if (twin_of(push, c, &records[n]))
				n++;
			if (record_of(push, c, &records[n]))
				n++;
		}
		sent_write(table->t, records, n);
	}
	wire_end(level);
}
