/*-------------------------------------------------------------------------
 *
 * changelog.c
 *	  The change log, and samples of which transactions were visible when.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "cursor/generation.h"
#include "cursor/history.h"
#include "log/changelog.h"
#include "log/columns.h"
#include "util/compat.h"
#include "util/owner.h"
#include "util/store.h"

#define SAMPLE_INTERVAL (60 * INT64CONST(1000000))

/* when this backend last saw a sample or wrote one */
static TimestampTz last_sample = 0;

/* ---------- samples ---------- */

/*
 * Take the result of a statement whose one row is a time. *arg stays as it is
 * if the time is NULL.
 */
static void
take_time(HeapTuple tuple, TupleDesc desc, void *arg)
{
	bool		isnull;
	Datum		time = SPI_getbinval(tuple, desc, 1, &isnull);

	if (!isnull)
		*(TimestampTz *) arg = DatumGetTimestampTz(time);
}

/*
 * Remember which transactions are visible now, about once a minute.  The
 * snapshot is taken before the time is read, so that whoever reads the clock
 * later has a later snapshot.  Each writer keeps its own minute: waiting until
 * another writer's sample is committed would stall it.
 */
static void
sample_if_due(void)
{
	static SPIPlanPtr newest_plan = NULL;
	static SPIPlanPtr insert_plan = NULL;
	static Oid	types[2] = {TIMESTAMPTZOID, TEXTOID};
	TimestampTz now = GetCurrentTimestamp();
	TideSnapshot snapshot;
	Datum		values[2];
	TimestampTz newest = PG_INT64_MIN;
	StringInfoData text;
	int			i;

	if (last_sample != 0 && now - last_sample < SAMPLE_INTERVAL && now >= last_sample)
		return;
	last_sample = now;

	owner_select(&newest_plan, "SELECT pg_catalog.max(at) FROM tide.sample", 0, NULL, NULL,
				 NULL, InvalidSnapshot, take_time, &newest);
	if (newest > now - SAMPLE_INTERVAL && now >= newest)
	{
		last_sample = newest;
		return;
	}

	history_snapshot(GetLatestSnapshot(), &snapshot);
	initStringInfo(&text);
	appendStringInfo(&text, UINT64_FORMAT ":" UINT64_FORMAT ":",
					 snapshot.xmin, snapshot.xmax);
	for (i = 0; i < snapshot.nxip; i++)
		appendStringInfo(&text, "%s" UINT64_FORMAT, i ? "," : "", snapshot.xip[i]);
	values[0] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[1] = CStringGetTextDatum(text.data);
	owner_execute(&insert_plan,
				  "INSERT INTO tide.sample (at, snapshot)"
				  " VALUES ($1, CAST($2 AS pg_catalog.pg_snapshot))",
				  2, types, values, NULL);
}

/* Take a sample even if nobody writes, for clients that come with a time. */
void
sample_now(void)
{
	sample_if_due();
}

/* xmin:xmax:xip,... */
static void
parse_snapshot(char *text, TideSnapshot *result)
{
	char	   *p = text;

	memset(result, 0, sizeof(*result));
	result->xmin = strtoull(p, &p, 10);
	result->xmax = strtoull(p + 1, &p, 10);
	result->xip = palloc(sizeof(uint64) * (strlen(p) + 1));
	while (*p && p[1])
		result->xip[result->nxip++] = strtoull(p + 1, &p, 10);
}

typedef struct Sample
{
	TideSnapshot snapshot;
	TimestampTz at;
} Sample;

static void
take_sample(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Sample	   *sample = arg;
	bool		isnull;

	parse_snapshot(owner_column_text(tuple, desc, 1), &sample->snapshot);
	sample->at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 2, &isnull));
}

/*
 * The clock may have been set back.  Then several samples are of about the
 * same time, and a time that a client read before that must mean the earlier
 * sample.  So the samples are gone through in the order of what they show, up
 * to the first one after which the clock can have shown that time.  That is so
 * if the next sample has a later time, or an earlier time than this one.
 *
 * How far the clock went on before it was set back is not known; we assume at
 * most a day, because somebody writes or maintains once a day.  Samples that
 * writers take at the same moment can be slightly out of order.  That is no
 * sign of a clock that was set back for long.
 */
#define CLOCK_WAS_WRONG_FOR "CAST('1 day' AS pg_catalog.interval)"
#define AT_ONCE "CAST('1 second' AS pg_catalog.interval)"
#define AT_ONCE_FOR "CAST('2 minutes' AS pg_catalog.interval)"

bool
sample_before(TimestampTz time, TideSnapshot *result, TimestampTz *at)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[1] = {TIMESTAMPTZOID};
	Datum		values[1];
	Sample		sample;

	values[0] = TimestampTzGetDatum(time);
	if (owner_select(&plan,
					 "SELECT CAST(s.snapshot AS pg_catalog.text), s.at FROM ("
					 " SELECT r.at, r.snapshot, r.xmax, r.xmin,"
					 " pg_catalog.lead(r.at) OVER o AS next,"
					 " pg_catalog.bool_or(r.at OPERATOR(pg_catalog.>) $1) OVER o AS is_late FROM ("
					 " SELECT c.at, c.snapshot, pg_catalog.pg_snapshot_xmax(c.snapshot) AS xmax,"
					 " pg_catalog.pg_snapshot_xmin(c.snapshot) AS xmin FROM ("
					 " SELECT t.at, t.snapshot FROM tide.sample t"
					 " WHERE t.at OPERATOR(pg_catalog.>) ($1 OPERATOR(pg_catalog.-) " CLOCK_WAS_WRONG_FOR ")"
					 " UNION ALL (SELECT b.at, b.snapshot FROM tide.sample b"
					 " WHERE b.at OPERATOR(pg_catalog.<=) ($1 OPERATOR(pg_catalog.-) " CLOCK_WAS_WRONG_FOR ")"
					 " ORDER BY b.at DESC LIMIT 1)) c) r"
					 " WINDOW o AS (ORDER BY r.xmax, r.xmin, r.at)) s"
					 " WHERE NOT s.is_late AND (s.next IS NULL OR s.next OPERATOR(pg_catalog.>) $1"
					 " OR s.next OPERATOR(pg_catalog.<) s.at AND $1 OPERATOR(pg_catalog.<) (s.at"
					 " OPERATOR(pg_catalog.+) CASE WHEN (s.at OPERATOR(pg_catalog.-) s.next)"
					 " OPERATOR(pg_catalog.<) " AT_ONCE " THEN " AT_ONCE_FOR " ELSE " CLOCK_WAS_WRONG_FOR " END))"
					 " ORDER BY s.xmax, s.xmin, s.at LIMIT 1",
					 1, types, values, NULL, GetActiveSnapshot(), take_sample, &sample) == 0)
		return false;
	*result = sample.snapshot;
	*at = sample.at;
	return true;
}

bool
sample_newest(TideSnapshot *result, TimestampTz *at)
{
	static SPIPlanPtr plan = NULL;
	Sample		sample;

	if (owner_select(&plan,
					 "SELECT CAST(s.snapshot AS pg_catalog.text), s.at FROM tide.sample s"
					 " ORDER BY s.at DESC LIMIT 1",
					 0, NULL, NULL, NULL, GetActiveSnapshot(), take_sample, &sample) == 0)
		return false;
	*result = sample.snapshot;
	*at = sample.at;
	return true;
}

/*
 * A commit record has a time from before it was written.  Whoever could see
 * another commit by that time saw one whose record was written before, so it is
 * replayed if this one is.  Of a sample that is visible the same is true, because
 * its commit came after its time.
 */
TimestampTz
sample_replayed_until(void)
{
	TimestampTz last = GetLatestXTime();
	TideSnapshot snapshot;
	TimestampTz at;
	bool		found;

	PushActiveSnapshot(GetLatestSnapshot());
	found = sample_newest(&snapshot, &at);
	PopActiveSnapshot();
	if (!found)
		at = 0;
	return Max(last, at);
}

static void
take_xid(HeapTuple tuple, TupleDesc desc, void *arg)
{
	bool		isnull;

	*(uint64 *) arg = U64FromFullTransactionId(DatumGetFullTransactionId(SPI_getbinval(tuple, desc, 1, &isnull)));
}

/*
 * The oldest transaction that was running at a sample of this age in
 * microseconds, 0 if there is no such sample.  The answer may be a minute
 * late.
 */
uint64
samples_xmin_before(int64 age)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[1] = {TIMESTAMPTZOID};
	static TimestampTz looked_at = 0;
	static int64 looked_for = 0;
	static uint64 xmin = 0;
	TimestampTz now = GetCurrentTimestamp();
	Datum		values[1];

	if (looked_at != 0 && now >= looked_at && now - looked_at < SAMPLE_INTERVAL &&
		looked_for == age)
		return xmin;
	xmin = 0;
	values[0] = TimestampTzGetDatum(now - age);
	owner_select(&plan,
				 "SELECT pg_catalog.pg_snapshot_xmin(s.snapshot) FROM tide.sample s"
				 " WHERE s.at OPERATOR(pg_catalog.<=) $1 ORDER BY s.at DESC LIMIT 1",
				 1, types, values, NULL, GetActiveSnapshot(), take_xid, &xmin);
	looked_at = now;
	looked_for = age;
	return xmin;
}

/* ---------- the log ---------- */

/* columns of the table */
enum
{
	LOG_XID = 1, LOG_SEQ, LOG_RELID, LOG_REG, LOG_SCOPE, LOG_PUSH, LOG_SUBJECT, LOG_CLIENT,
	LOG_KEYS, LOG_FOR_SUBJECT, LOG_FOR_CLIENT
};

static StoreTable log_table = {"log"};

/*
 * Insert an entry.  Its scope (NULL: shared), origin, receiver and keys are
 * used.
 */
static void
insert_entry(StoreInsert *insert, Oid relid, int32 reg, const LogEntry *entry)
{
	MemoryContext old = MemoryContextSwitchTo(store_row_context(insert));
	StoreRow	row;

	store_row_begin(&row);

	/*
	 * the top-level id, because snapshots do not list those of
	 * subtransactions
	 */
	store_put(&row, LOG_XID, top_xid());
	store_put(&row, LOG_SEQ, Int64GetDatum(nextval_internal(owner_relation("log_seq"), false)));
	store_put(&row, LOG_RELID, ObjectIdGetDatum(relid));
	store_put(&row, LOG_REG, Int32GetDatum(reg));
	store_put_text(&row, LOG_SCOPE, entry->scope ? entry->scope : "");
	if (entry->origin)
	{
		store_put(&row, LOG_PUSH, Int32GetDatum(entry->origin->push));
		store_put_text(&row, LOG_SUBJECT, entry->origin->subject);
		store_put_text(&row, LOG_CLIENT, entry->origin->client_id);
	}
	store_put(&row, LOG_KEYS, owner_text_array(entry->keys, entry->nkeys));
	store_put_text(&row, LOG_FOR_SUBJECT, entry->for_subject);
	store_put_text(&row, LOG_FOR_CLIENT, entry->for_client);
	MemoryContextSwitchTo(old);
	store_insert_row(insert, &row, LOG_FOR_CLIENT);
}

static void
insert_entries(Oid relid, int32 reg, const LogEntry *entries, int n)
{
	StoreInsert insert;
	int			i;

	generation_register();
	sample_if_due();
	store_insert_begin(&insert, &log_table, false);
	for (i = 0; i < n; i++)
		insert_entry(&insert, relid, reg, &entries[i]);
	store_insert_end(&insert);
}

/*
 * Write the keys of one scope that a statement changed. origin: the push that
 * did so, or NULL.
 */
void
changelog_append(TrackedTable *t, const char *scope, const LogOrigin *origin,
				 char **keys, int nkeys)
{
	LogEntry	entry = {0};

	entry.scope = unconstify(char *, scope);
	entry.origin = unconstify(LogOrigin *, origin);
	entry.keys = keys;
	entry.nkeys = nkeys;
	insert_entries(t->relid, t->reg, &entry, 1);
}

void
changelog_append_for(TrackedTable *t, const char *scope, const char *subject,
					 const char *client_id, char **keys, int nkeys)
{
	LogEntry	entry = {0};

	entry.scope = unconstify(char *, scope);
	entry.for_subject = unconstify(char *, subject);
	entry.for_client = unconstify(char *, client_id);
	entry.keys = keys;
	entry.nkeys = nkeys;
	insert_entries(t->relid, t->reg, &entry, 1);
}

/*
 * Write that the table is tracked under this number from now on, or no longer
 * tracked.  The entry has no keys, and everybody reads it.
 */
void
changelog_append_registration(Oid relid, int32 reg)
{
	LogEntry	entry = {0};

	insert_entries(relid, reg, &entry, 1);
}

/*
 * Write several entries at once, for a statement that changes a thousand
 * scopes.  Of each, scope (NULL: shared), origin and keys are used.
 */
void
changelog_append_many(TrackedTable *t, const LogEntry *entries, int n)
{
	insert_entries(t->relid, t->reg, entries, n);
}

int32
changelog_next_reg(void)
{
	return (int32) nextval_internal(owner_relation("reg_seq"), false);
}

/*
 * Number the pushes of a transaction.  A number that was taken in a
 * subtransaction stays taken if that is rolled back.
 */
int32
changelog_next_push(void)
{
	static uint64 transaction = 0;
	static int32 last = 0;
	uint64		current = U64FromFullTransactionId(GetTopFullTransactionId());

	if (current != transaction)
	{
		transaction = current;
		last = 0;
	}
	return ++last;
}
