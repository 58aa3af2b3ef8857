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
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/queryenvironment.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"
#include "utils/xid8.h"

#include "cursor/generation.h"
#include "cursor/history.h"
#include "log/changelog.h"
#include "util/compat.h"
#include "util/owner.h"

#define SAMPLE_INTERVAL (60 * INT64CONST(1000000))

/* when this backend last saw or wrote a sample */
static TimestampTz last_sample = 0;

/* ---------- samples ---------- */

/*
 * Remember which transactions are visible now, about once a minute.  The
 * snapshot is taken before the time: whoever read the clock later has a later
 * snapshot.  Each writer keeps its own minute: waiting for another one's
 * sample to commit would stall it.
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
	StringInfoData text;
	bool		isnull;
	int			i;

	if (last_sample != 0 && now - last_sample < SAMPLE_INTERVAL && now >= last_sample)
		return;
	last_sample = now;

	owner_run(&newest_plan, "SELECT pg_catalog.max(at) FROM tide.sample", 0, NULL, NULL,
			  NULL, InvalidSnapshot, true);
	values[0] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (!isnull && now - DatumGetTimestampTz(values[0]) < SAMPLE_INTERVAL &&
		now >= DatumGetTimestampTz(values[0]))
	{
		last_sample = DatumGetTimestampTz(values[0]);
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
	owner_run(&insert_plan,
			  "INSERT INTO tide.sample (at, snapshot)"
			  " VALUES ($1, CAST($2 AS pg_catalog.pg_snapshot))",
			  2, types, values, NULL, InvalidSnapshot, true);
}

/* a sample even if nobody writes, for who comes with a time */
void
sample_now(void)
{
	SPI_connect();
	sample_if_due();
	SPI_finish();
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

/*
 * The clock may have been set back: then there are two samples or more of about
 * one time, and a time that was read before that is to mean one of before that.
 * So samples are gone through in the order of what they show, up to the first
 * behind which the clock can have said that time: the next one is of later, or
 * of earlier than this one.  How far the clock went on before it was set back
 * is not known; no farther than a day, we say, for somebody writes or
 * maintains once a day.  Writers who take a sample at the same moment can be in
 * the wrong order by a bit, which says nothing of the clock for long.
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
	MemoryContext caller = CurrentMemoryContext;
	bool		found;

	values[0] = TimestampTzGetDatum(time);
	SPI_connect();
	owner_run(&plan,
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
			  1, types, values, NULL, GetActiveSnapshot(), false);
	found = (SPI_processed > 0);
	if (found)
	{
		MemoryContext old = MemoryContextSwitchTo(caller);

		bool		isnull;

		parse_snapshot(owner_column_text(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
					   result);
		*at = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0],
												SPI_tuptable->tupdesc, 2, &isnull));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return found;
}

/*
 * What a sample from before so many microseconds did not show, at least; 0 if
 * there is none.  As it is: a minute late now and then.
 */
uint64
samples_xmax_before(int64 age)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[1] = {TIMESTAMPTZOID};
	static TimestampTz looked_at = 0;
	static uint64 xmax = 0;
	TimestampTz now = GetCurrentTimestamp();
	Datum		values[1];

	if (looked_at != 0 && now >= looked_at && now - looked_at < SAMPLE_INTERVAL)
		return xmax;
	values[0] = TimestampTzGetDatum(now - age);
	SPI_connect();
	owner_run(&plan,
			  "SELECT pg_catalog.pg_snapshot_xmax(s.snapshot) FROM tide.sample s"
			  " WHERE s.at OPERATOR(pg_catalog.<=) $1 ORDER BY s.at DESC LIMIT 1",
			  1, types, values, NULL, GetActiveSnapshot(), false);
	if (SPI_processed > 0)
	{
		bool		isnull;

		xmax = U64FromFullTransactionId(DatumGetFullTransactionId(SPI_getbinval(SPI_tuptable->vals[0],
																				 SPI_tuptable->tupdesc, 1, &isnull)));
	}
	looked_at = now;
	SPI_finish();
	return xmax;
}

/* ---------- the log ---------- */

/* those that an entry for everybody has */
#define LOG_COLUMNS 9

static void
put_text(Datum *values, bool *nulls, int n, const char *string)
{
	nulls[n] = (string == NULL);
	values[n] = string ? CStringGetTextDatum(string) : (Datum) 0;
}

static void
entry_values(Oid relid, int32 reg, const char *scope, const LogOrigin *origin,
			 char **keys, int nkeys, Datum *values, bool *nulls)
{
	memset(nulls, false, sizeof(bool) * LOG_COLUMNS);

	/* the top-level id: those of subtransactions are in no snapshot's list */
	values[0] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[1] = Int64GetDatum(nextval_internal(owner_relation("log_seq"), false));
	values[2] = ObjectIdGetDatum(relid);
	values[3] = Int32GetDatum(reg);
	values[4] = CStringGetTextDatum(scope ? scope : "");
	nulls[5] = (origin == NULL);
	values[5] = origin ? Int32GetDatum(origin->push) : (Datum) 0;
	put_text(values, nulls, 6, origin ? origin->subject : NULL);
	put_text(values, nulls, 7, origin ? origin->client_id : NULL);
	values[8] = owner_text_array(keys, nkeys);
}

/* for_subject, for_client: whom it is for, NULL: everybody */
static void
append_entry(Oid relid, int32 reg, const char *scope, const LogOrigin *origin,
			 const char *for_subject, const char *for_client, char **keys, int nkeys)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[LOG_COLUMNS + 2] = {XID8OID, INT8OID, OIDOID, INT4OID, TEXTOID,
	INT4OID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, TEXTOID};
	Datum		values[LOG_COLUMNS + 2];
	bool		isnull[LOG_COLUMNS + 2];
	char		nulls[LOG_COLUMNS + 2];
	int			i;

	entry_values(relid, reg, scope, origin, keys, nkeys, values, isnull);
	put_text(values, isnull, LOG_COLUMNS, for_subject);
	put_text(values, isnull, LOG_COLUMNS + 1, for_client);
	for (i = 0; i < lengthof(nulls); i++)
		nulls[i] = isnull[i] ? 'n' : ' ';

	generation_register();
	SPI_connect();
	sample_if_due();
	owner_run(&plan,
			  "INSERT INTO tide.log (xid, seq, relid, reg, scope, push, subject, client_id, keys,"
			  " for_subject, for_client) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
			  lengthof(types), types, values, nulls, InvalidSnapshot, true);
	SPI_finish();
}

/*
 * Keys of one scope that a statement changed.  origin: of a push, or NULL.
 */
void
changelog_append(TrackedTable *t, const char *scope, const LogOrigin *origin,
				 char **keys, int nkeys)
{
	append_entry(t->relid, t->reg, scope, origin, NULL, NULL, keys, nkeys);
}

void
changelog_append_for(TrackedTable *t, const char *scope, const char *subject,
					 const char *client_id, char **keys, int nkeys)
{
	append_entry(t->relid, t->reg, scope, NULL, subject, client_id, keys, nkeys);
}

/*
 * The table is tracked under this number from now on, or no more: an entry
 * without keys that everybody reads.
 */
void
changelog_append_registration(Oid relid, int32 reg)
{
	append_entry(relid, reg, NULL, NULL, NULL, NULL, NULL, 0);
}

/* the columns of tide.log, as those of an ephemeral relation */
static TupleDesc
entries_desc(void)
{
	TupleDesc	desc = CreateTemplateTupleDesc(LOG_COLUMNS);

	TupleDescInitEntry(desc, 1, "xid", XID8OID, -1, 0);
	TupleDescInitEntry(desc, 2, "seq", INT8OID, -1, 0);
	TupleDescInitEntry(desc, 3, "relid", OIDOID, -1, 0);
	TupleDescInitEntry(desc, 4, "reg", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 5, "scope", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 6, "push", INT4OID, -1, 0);
	TupleDescInitEntry(desc, 7, "subject", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 8, "client_id", TEXTOID, -1, 0);
	TupleDescInitEntry(desc, 9, "keys", TEXTARRAYOID, -1, 0);
	return desc;
}

/*
 * Several entries at once: one statement for a bulk write of a thousand scopes.
 * Of each, scope (NULL: shared), origin and keys are used.
 */
void
changelog_append_many(TrackedTable *t, LogEntry *entries, int n)
{
	static SPIPlanPtr plan = NULL;
	EphemeralNamedRelation enr;
	Tuplestorestate *store;
	TupleDesc	desc;
	int			i;

	generation_register();
	SPI_connect();
	sample_if_due();
	desc = entries_desc();
	store = tuplestore_begin_heap(false, false, work_mem);
	for (i = 0; i < n; i++)
	{
		Datum		values[LOG_COLUMNS];
		bool		nulls[LOG_COLUMNS];

		entry_values(t->relid, t->reg, entries[i].scope, entries[i].origin,
					 entries[i].keys, entries[i].nkeys, values, nulls);
		tuplestore_putvalues(store, desc, values, nulls);
	}
	enr = palloc0(sizeof(EphemeralNamedRelationData));
	enr->md.name = "tide_entries";
	enr->md.reliddesc = InvalidOid;
	enr->md.tupdesc = desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = n;
	enr->reldata = store;
	if (SPI_register_relation(enr) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the entries");
	owner_run(&plan,
			  "INSERT INTO tide.log (xid, seq, relid, reg, scope, push, subject, client_id, keys)"
			  " SELECT e.xid, e.seq, e.relid, e.reg, e.scope, e.push, e.subject, e.client_id, e.keys"
			  " FROM tide_entries e",
			  0, NULL, NULL, NULL, InvalidSnapshot, true);
	tuplestore_end(store);
	SPI_finish();
}

int32
changelog_next_reg(void)
{
	return (int32) nextval_internal(owner_relation("reg_seq"), false);
}

/*
 * Pushes of one transaction are told apart by number.  A number that was taken
 * in a subtransaction stays taken when that is rolled back.
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
