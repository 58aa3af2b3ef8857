/*-------------------------------------------------------------------------
 *
 * sent.c
 *	  What was sent, where the row does not tell of it: for when a change comes
 *	  again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "log/columns.h"
#include "log/records.h"
#include "util/owner.h"
#include "util/store.h"

/* columns of the table */
enum
{
	SENT_RELID = 1, SENT_MARK, SENT_KEY, SENT_TIME, SENT_CLIENT, SENT_SUBJECT, SENT_DIGEST,
	SENT_IMAGE, SENT_STORED_TIME, SENT_STORED_CLIENT, SENT_IN_PART, SENT_RAISED, SENT_KNOWN_AS,
	SENT_XID, SENT_COLUMNS = SENT_XID
};

static StoreTable sent_table = {"sent"};
static StoreIndex sent_mark = {"sent_mark", 2, {SENT_RELID, SENT_MARK}, {F_OIDEQ, F_INT8EQ}};

static Datum
digest_datum(const uint8 *digest)
{
	return PointerGetDatum(cstring_to_text_with_len((const char *) digest, SENT_DIGEST_SIZE));
}

static void
insert_sent(StoreInsert *insert, TrackedTable *t, const SentRecord *r)
{
	MemoryContext old = MemoryContextSwitchTo(store_row_context(insert));
	StoreRow	row;

	store_row_begin(&row);
	store_put(&row, SENT_RELID, ObjectIdGetDatum(t->relid));
	store_put(&row, SENT_MARK, Int64GetDatum(r->mark));
	store_put_text(&row, SENT_KEY, indexed_key(r->key));
	stamp_put(&row, SENT_TIME, &r->stamp);
	store_put_text(&row, SENT_SUBJECT, r->subject);
	store_put(&row, SENT_DIGEST, digest_datum(r->digest));
	store_put_text(&row, SENT_IMAGE, r->image);
	stamp_put(&row, SENT_STORED_TIME, &r->stored);
	store_put(&row, SENT_IN_PART, BoolGetDatum(r->in_part));
	store_put_time(&row, SENT_RAISED, r->is_raised, r->raised_to);
	store_put_time(&row, SENT_KNOWN_AS, r->is_raised, r->known_as);
	store_put(&row, SENT_XID, top_xid());
	MemoryContextSwitchTo(old);
	store_insert_row(insert, &row, SENT_COLUMNS);
}

void
sent_write(TrackedTable *t, const SentRecord *records, int n)
{
	StoreInsert insert;
	int			i;

	if (n == 0)
		return;
	store_insert_begin(&insert, &sent_table, false);
	for (i = 0; i < n; i++)
		insert_sent(&insert, t, &records[i]);
	store_insert_end(&insert);
}

/* the key has the form that the index holds */
static SentRecord *
sent_of(TupleTableSlot *slot)
{
	SentRecord *r = palloc0(sizeof(SentRecord));
	bool		isnull;
	Datum		value;

	r->mark = DatumGetInt64(slot_getattr(slot, SENT_MARK, &isnull));
	r->key = store_text(slot, SENT_KEY);
	r->stamp = stamp_get(slot, SENT_TIME);
	r->subject = store_text(slot, SENT_SUBJECT);
	value = slot_getattr(slot, SENT_DIGEST, &isnull);
	memcpy(r->digest, VARDATA_ANY(DatumGetByteaPP(value)), SENT_DIGEST_SIZE);
	r->image = store_text(slot, SENT_IMAGE);
	r->stored = stamp_get(slot, SENT_STORED_TIME);
	r->in_part = DatumGetBool(slot_getattr(slot, SENT_IN_PART, &isnull));
	value = slot_getattr(slot, SENT_RAISED, &isnull);
	r->is_raised = !isnull;
	if (r->is_raised)
	{
		r->raised_to = DatumGetTimestampTz(value);
		r->known_as = DatumGetTimestampTz(slot_getattr(slot, SENT_KNOWN_AS, &isnull));
	}
	return r;
}

/* the keys in the result have the form that the index holds */
List *
sent_read(TrackedTable *t, const int64 *marks, int n, Snapshot snapshot)
{
	StoreScan	scan;
	TupleTableSlot *slot;
	Datum		values[2];
	List	   *result = NIL;
	int			i;

	if (n == 0)
		return NIL;
	store_scan_begin(&scan, &sent_table, &sent_mark, snapshot);
	values[0] = ObjectIdGetDatum(t->relid);
	for (i = 0; i < n; i++)
	{
		/* the marks are in order, so equal ones are next to each other */
		if (i > 0 && marks[i] == marks[i - 1])
			continue;
		values[1] = Int64GetDatum(marks[i]);
		store_look_up(&scan, values, 2);
		while ((slot = store_next(&scan, ForwardScanDirection)) != NULL)
			result = lappend(result, sent_of(slot));
	}
	store_scan_end(&scan);
	return result;
}

/* a client whose stamps are in whole seconds has one raised after the other */
#define MAX_RAISED "100"

#define SENT_RESULT \
	"s.key, s.client_id, s.subject, s.raised_to, s.known_as"

/* where the rows of a result go, and the keys that they were asked for by */
typedef struct Reading
{
	List	   *result;
	char	  **keys;
	int			nkeys;
} Reading;

static void
take_raised(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Reading    *reading = arg;
	SentRecord *r = palloc0(sizeof(SentRecord));
	bool		isnull;

	r->key = key_of(owner_column_text(tuple, desc, 1), reading->keys, reading->nkeys);
	r->stamp.client_id = owner_column_text(tuple, desc, 2);
	r->subject = owner_column_text(tuple, desc, 3);
	r->is_raised = true;
	r->raised_to = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 4, &isnull));
	r->known_as = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 5, &isnull));
	reading->result = lappend(reading->result, r);
}

List *
sent_read_raised(TrackedTable *t, char **keys, int nkeys, Snapshot snapshot)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[2] = {OIDOID, TEXTARRAYOID};
	Reading		reading = {NIL, keys, nkeys};
	Datum		values[2];

	if (nkeys == 0)
		return NIL;
	values[0] = ObjectIdGetDatum(t->relid);
	values[1] = indexed_keys(keys, nkeys);
	owner_select(&plan, "SELECT " SENT_RESULT " FROM pg_catalog.unnest($2) k(key)"
				 " CROSS JOIN LATERAL (SELECT * FROM tide.sent s"
				 "  WHERE s.relid OPERATOR(pg_catalog.=) $1 AND s.key OPERATOR(pg_catalog.=) k.key"
				 "  AND s.raised_to IS NOT NULL ORDER BY s.raised_to DESC LIMIT " MAX_RAISED ") s",
				 2, types, values, NULL, snapshot, take_raised, &reading);
	return reading.result;
}
