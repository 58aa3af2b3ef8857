/*-------------------------------------------------------------------------
 *
 * changelog.c
 *	  pg_tide's own tables: change log, tombstones, samples, receipts, horizon.
 *
 * Callers have no rights on these tables, so every statement here runs as
 * their owner.  That is why none of them may see a type, cast or operator of
 * a user's: parameters are built-in types, every name is qualified.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/xid8.h"

#include "compat.h"
#include "changelog.h"
#include "history.h"
#include "pg_tide.h"
#include "plans.h"

#define SAMPLE_INTERVAL (60 * INT64CONST(1000000))

/* when this backend last saw or wrote a sample */
static TimestampTz last_sample = 0;

/* ---------- as the owner ---------- */

typedef struct Elevation
{
	Oid			user;
	int			context;
} Elevation;

static Oid
own_relation(const char *name)
{
	Oid			relid = get_relname_relid(name, get_namespace_oid(TIDE_SCHEMA, false));

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation tide.%s does not exist", name),
				 errhint("CREATE EXTENSION pg_tide in this database.")));
	return relid;
}

static void
elevate(Elevation *saved)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(own_relation("log")));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for tide.log");
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);

	GetUserIdAndSecContext(&saved->user, &saved->context);
	SetUserIdAndSecContext(owner, saved->context | SECURITY_LOCAL_USERID_CHANGE);
}

static void
step_down(Elevation *saved)
{
	SetUserIdAndSecContext(saved->user, saved->context);
}

/*
 * Run one of our own statements as the owner of our tables, with a plan that
 * is kept.  Reads use the given snapshot (InvalidSnapshot: as a volatile
 * function would, seeing what this command wrote).  On an error the user is
 * restored with the (sub)transaction's abort.
 */
static void
run(SPIPlanPtr *plan, const char *sql, int nargs, Oid *types,
	Datum *values, const char *nulls, Snapshot snapshot, bool write)
{
	Elevation	saved;
	int			code;

	elevate(&saved);
	if (*plan == NULL)
	{
		SPIPlanPtr	fresh = plans_prepare(sql, nargs, types);

		if (SPI_keepplan(fresh) != 0)
			elog(ERROR, "could not keep the plan of: %s", sql);
		*plan = fresh;
	}
	if (!write)
		plans_settle(*plan);
	code = SPI_execute_snapshot(*plan, values, nulls, snapshot,
								InvalidSnapshot, !write && snapshot != InvalidSnapshot,
								true, 0);
	step_down(&saved);
	if (code < 0)
		elog(ERROR, "could not run, %s: %s", SPI_result_code_string(code), sql);
}

static Datum
text_array(char **strings, int n)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(n, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(n, 1));
	int			lower_bound = 1;
	int			i;

	for (i = 0; i < n; i++)
	{
		nulls[i] = (strings[i] == NULL);
		elements[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(strings[i]);
	}
	if (n == 0)
		return PointerGetDatum(construct_empty_array(TEXTOID));
	return PointerGetDatum(construct_md_array(elements, nulls, 1, &n, &lower_bound,
											  TEXTOID, -1, false, TYPALIGN_INT));
}

static char *
column_text(HeapTuple tuple, TupleDesc desc, int n)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, desc, n, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

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

	run(&newest_plan, "SELECT pg_catalog.max(at) FROM tide.sample", 0, NULL, NULL,
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
	run(&insert_plan,
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
	run(&plan,
		"SELECT CAST(s.snapshot AS pg_catalog.text), s.at FROM tide.sample s"
		" WHERE s.at OPERATOR(pg_catalog.<=) $1 ORDER BY s.at DESC LIMIT 1",
		1, types, values, NULL, GetActiveSnapshot(), false);
	found = (SPI_processed > 0);
	if (found)
	{
		MemoryContext old = MemoryContextSwitchTo(caller);

		bool		isnull;

		parse_snapshot(column_text(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1),
					   result);
		*at = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0],
												SPI_tuptable->tupdesc, 2, &isnull));
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return found;
}

/* ---------- the log ---------- */

/*
 * Keys of one scope that a statement changed.  No keys: the table was
 * tracked.  client_id: the client that pushed just this and sees the result
 * in its reply.
 */
void
changelog_append(TrackedTable *t, const char *scope, const char *client_id,
				 char **keys, int nkeys)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[7] = {XID8OID, INT8OID, OIDOID, INT4OID, TEXTOID, TEXTOID, TEXTARRAYOID};
	Datum		values[7];
	char		nulls[7];

	/* the top-level id: those of subtransactions are in no snapshot's list */
	values[0] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[1] = Int64GetDatum(nextval_internal(own_relation("log_seq"), false));
	values[2] = ObjectIdGetDatum(t->relid);
	values[3] = Int32GetDatum(t->reg);
	values[4] = CStringGetTextDatum(scope ? scope : "");
	values[5] = client_id ? CStringGetTextDatum(client_id) : (Datum) 0;
	values[6] = text_array(keys, nkeys);
	memset(nulls, ' ', sizeof(nulls));
	if (client_id == NULL)
		nulls[5] = 'n';

	SPI_connect();
	sample_if_due();
	run(&plan,
		"INSERT INTO tide.log (xid, seq, relid, reg, scope, client_id, keys)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7)",
		7, types, values, nulls, InvalidSnapshot, true);
	SPI_finish();
}

int32
changelog_next_reg(void)
{
	return (int32) nextval_internal(own_relation("reg_seq"), false);
}

/* rows of one of the statements below */
static List *
collect_entries(List *entries)
{
	uint64		i;

	for (i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		LogEntry   *entry = palloc0(sizeof(LogEntry));
		Datum	   *keys;
		bool		isnull;
		int			k;

		entry->xid = U64FromFullTransactionId(DatumGetFullTransactionId(SPI_getbinval(tuple, desc, 1, &isnull)));
		entry->seq = DatumGetInt64(SPI_getbinval(tuple, desc, 2, &isnull));
		entry->relid = DatumGetObjectId(SPI_getbinval(tuple, desc, 3, &isnull));
		entry->reg = DatumGetInt32(SPI_getbinval(tuple, desc, 4, &isnull));
		entry->scope = column_text(tuple, desc, 5);
		entry->client_id = column_text(tuple, desc, 6);
		deconstruct_array(DatumGetArrayTypeP(SPI_getbinval(tuple, desc, 7, &isnull)),
						  TEXTOID, -1, false, TYPALIGN_INT,
						  &keys, NULL, &entry->nkeys);
		entry->keys = palloc(sizeof(char *) * Max(entry->nkeys, 1));
		for (k = 0; k < entry->nkeys; k++)
			entry->keys[k] = TextDatumGetCString(keys[k]);
		entries = lappend(entries, entry);
	}
	return entries;
}

#define ENTRY_COLUMNS "l.xid, l.seq, l.relid, l.reg, l.scope, l.client_id, l.keys"
#define AFTER "ROW(l.xid, l.seq) OPERATOR(pg_catalog.>) ROW($2, $3)"
#define RUNNING "l.xid OPERATOR(pg_catalog.=) ANY ($5) AND " AFTER
#define IN_ORDER " ORDER BY l.xid, l.seq LIMIT $4"

/*
 * Scope by scope, each with its own ORDER BY and LIMIT: with one condition
 * for all of them the index gives no order, and the whole log of every scope
 * would be read and sorted for each page.
 */
#define BY_SCOPE(condition) \
	"SELECT " ENTRY_COLUMNS " FROM pg_catalog.unnest($1) s(scope) CROSS JOIN LATERAL (" \
	" SELECT " ENTRY_COLUMNS " FROM tide.log l" \
	" WHERE l.scope OPERATOR(pg_catalog.=) s.scope AND " condition IN_ORDER ") l" IN_ORDER
#define ALL_SCOPES(condition) \
	"SELECT " ENTRY_COLUMNS " FROM tide.log l" \
	" WHERE ($1 IS NULL) AND l.reg OPERATOR(pg_catalog.>) 0 AND " condition IN_ORDER

/* the scopes to look into: the caller's, and '', which has shared tables' */
static Datum
scopes_with_shared(const ScopeSet *scopes)
{
	char	  **all = palloc(sizeof(char *) * (scopes->n + 1));
	int			n = 0;
	int			i;

	all[n++] = "";
	for (i = 0; i < scopes->n; i++)
		if (scopes->scopes[i][0] != '\0')
			all[n++] = scopes->scopes[i];
	return text_array(all, n);
}

List *
changelog_read(const TideSnapshot *seen, const ScopeSet *scopes,
			   uint64 after_xid, int64 after_seq, int max_entries)
{
	static SPIPlanPtr plans[2][2] = {{NULL, NULL}, {NULL, NULL}};
	static const char *const sql[2][2] = {
		{BY_SCOPE(AFTER), BY_SCOPE(RUNNING)},
		{ALL_SCOPES(AFTER), ALL_SCOPES(RUNNING)}
	};
	static Oid	types[5] = {TEXTARRAYOID, XID8OID, INT8OID, INT4OID, XID8ARRAYOID};
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext spi;
	List	   *result = NIL;
	Datum		values[5];
	char		nulls[5] = {' ', ' ', ' ', ' ', ' '};
	int			which = scopes->all ? 1 : 0;

	values[0] = scopes_with_shared(scopes);
	if (scopes->all)
		nulls[0] = 'n';
	values[3] = Int32GetDatum(max_entries);

	SPI_connect();
	spi = CurrentMemoryContext;

	/* those that were running then: all of them before xmax */
	if (seen->nxip > 0 && after_xid < seen->xmax)
	{
		Datum	   *running = palloc(sizeof(Datum) * seen->nxip);
		int			i;

		for (i = 0; i < seen->nxip; i++)
			running[i] = FullTransactionIdGetDatum(FullTransactionIdFromU64(seen->xip[i]));
		values[1] = FullTransactionIdGetDatum(FullTransactionIdFromU64(after_xid));
		values[2] = Int64GetDatum(after_seq);
		values[4] = PointerGetDatum(construct_array(running, seen->nxip, XID8OID,
													sizeof(uint64), FLOAT8PASSBYVAL,
													TYPALIGN_DOUBLE));
		run(&plans[which][1], sql[which][1], 5, types, values, nulls,
			GetActiveSnapshot(), false);
		MemoryContextSwitchTo(caller);
		result = collect_entries(result);
		MemoryContextSwitchTo(spi);
		SPI_freetuptable(SPI_tuptable);
	}

	/* and those that had not begun: never a scan from xmin */
	if (list_length(result) < max_entries)
	{
		bool		beyond = (after_xid >= seen->xmax);

		values[1] = FullTransactionIdGetDatum(FullTransactionIdFromU64(beyond ? after_xid : seen->xmax));
		values[2] = Int64GetDatum(beyond ? after_seq : PG_INT64_MIN);
		values[3] = Int32GetDatum(max_entries - list_length(result));
		run(&plans[which][0], sql[which][0], 4, types, values, nulls,
			GetActiveSnapshot(), false);
		MemoryContextSwitchTo(caller);
		result = collect_entries(result);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	return result;
}

/* ---------- tombstones ---------- */

/* in pieces, so that a huge DELETE does not make huge arrays */
#define TOMBSTONES_PER_STATEMENT 5000

static void
write_some_tombstones(TrackedTable *t, Tombstone *tombstones, int n)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[6] = {OIDOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	TIMESTAMPTZARRAYOID, XID8OID};
	Datum		values[6];
	char	  **keys = palloc(sizeof(char *) * n);
	char	  **clients = palloc(sizeof(char *) * n);
	char	  **scopes = palloc(sizeof(char *) * n);
	Datum	   *times = palloc(sizeof(Datum) * n);
	bool	   *no_time = palloc(sizeof(bool) * n);
	int			lower_bound = 1;
	int			i;

	for (i = 0; i < n; i++)
	{
		keys[i] = tombstones[i].key;
		clients[i] = unconstify(char *, tombstones[i].stamp.client_id);
		scopes[i] = tombstones[i].scope;
		times[i] = TimestampTzGetDatum(tombstones[i].stamp.time);
		no_time[i] = !tombstones[i].stamp.has_time;
	}
	values[0] = ObjectIdGetDatum(t->relid);
	values[1] = text_array(keys, n);
	values[2] = text_array(clients, n);
	values[3] = text_array(scopes, n);
	values[4] = PointerGetDatum(construct_md_array(times, no_time, 1, &n, &lower_bound,
												   TIMESTAMPTZOID, sizeof(TimestampTz),
												   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[5] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	run(&plan,
		"INSERT INTO tide.tombstone AS old (relid, key, client_id, scope, modified_at, xid)"
		" SELECT $1, n.key, n.client_id, n.scope, n.modified_at, $6"
		" FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3),"
		"  pg_catalog.unnest($4), pg_catalog.unnest($5)) n(key, client_id, scope, modified_at)"
		" ORDER BY n.key COLLATE pg_catalog.\"C\""
		" ON CONFLICT (relid, key) DO UPDATE SET modified_at = excluded.modified_at,"
		"  client_id = excluded.client_id, scope = excluded.scope, xid = excluded.xid"
		" WHERE old.modified_at IS NULL"
		"  OR excluded.modified_at OPERATOR(pg_catalog.>) old.modified_at"
		"  OR (excluded.modified_at OPERATOR(pg_catalog.=) old.modified_at"
		"   AND (old.client_id IS NULL OR excluded.client_id OPERATOR(pg_catalog.>=) old.client_id))",
		6, types, values, NULL, InvalidSnapshot, true);
}

/*
 * No key may be among them twice.
 */
void
tombstone_write(TrackedTable *t, Tombstone *tombstones, int n)
{
	int			i;

	SPI_connect();
	for (i = 0; i < n; i += TOMBSTONES_PER_STATEMENT)
	{
		MemoryContext piece = AllocSetContextCreate(CurrentMemoryContext, "pg_tide tombstones",
													ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(piece);

		write_some_tombstones(t, tombstones + i, Min(n - i, TOMBSTONES_PER_STATEMENT));
		MemoryContextSwitchTo(old);
		MemoryContextDelete(piece);
	}
	SPI_finish();
}

/*
 * A palloc'd list of Tombstone, in no order.  snapshot: InvalidSnapshot for
 * one of this command.
 */
List *
tombstone_read(TrackedTable *t, char **keys, int nkeys, Snapshot snapshot)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[2] = {OIDOID, TEXTARRAYOID};
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext spi;
	List	   *result = NIL;
	Datum		values[2];
	uint64		i;

	if (nkeys == 0)
		return NIL;
	values[0] = ObjectIdGetDatum(t->relid);
	values[1] = text_array(keys, nkeys);
	SPI_connect();
	run(&plan,
		"SELECT o.key, o.modified_at, o.client_id, o.scope FROM tide.tombstone o"
		" WHERE o.relid OPERATOR(pg_catalog.=) $1 AND o.key OPERATOR(pg_catalog.=) ANY ($2)",
		2, types, values, NULL, snapshot, snapshot == InvalidSnapshot);
	spi = MemoryContextSwitchTo(caller);
	for (i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		Tombstone  *tombstone = palloc0(sizeof(Tombstone));
		Datum		time;
		bool		isnull;

		tombstone->key = column_text(tuple, desc, 1);
		time = SPI_getbinval(tuple, desc, 2, &isnull);
		tombstone->stamp.has_time = !isnull;
		if (!isnull)
			tombstone->stamp.time = DatumGetTimestampTz(time);
		tombstone->stamp.client_id = column_text(tuple, desc, 3);
		tombstone->scope = column_text(tuple, desc, 4);
		result = lappend(result, tombstone);
	}
	MemoryContextSwitchTo(spi);
	SPI_finish();
	return result;
}

/* ---------- receipts ---------- */

/* whose a receipt is: the role that pushes, and the user of its claims */
static void
receipt_owner(Datum *values, const char *subject, const char *batch_id)
{
	values[0] = DirectFunctionCall1(namein,
									CStringGetDatum(GetUserNameFromId(GetUserId(), false)));
	values[1] = CStringGetTextDatum(subject ? subject : "");
	values[2] = CStringGetTextDatum(batch_id);
}

char *
receipt_read(const char *subject, const char *batch_id, Snapshot snapshot,
			 bytea **body_hash)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[3] = {NAMEOID, TEXTOID, TEXTOID};
	MemoryContext caller = CurrentMemoryContext;
	Datum		values[3];
	char	   *reply = NULL;

	receipt_owner(values, subject, batch_id);
	SPI_connect();
	run(&plan,
		"SELECT r.body_hash, r.reply FROM tide.receipt r"
		" WHERE r.role OPERATOR(pg_catalog.=) $1 AND r.subject OPERATOR(pg_catalog.=) $2"
		" AND r.batch_id OPERATOR(pg_catalog.=) $3",
		3, types, values, NULL, snapshot, snapshot == InvalidSnapshot);
	if (SPI_processed > 0)
	{
		MemoryContext old = MemoryContextSwitchTo(caller);
		bool		isnull;

		*body_hash = DatumGetByteaPCopy(SPI_getbinval(SPI_tuptable->vals[0],
													  SPI_tuptable->tupdesc, 1, &isnull));
		reply = column_text(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return reply;
}

void
receipt_write(const char *subject, const char *batch_id, bytea *body_hash,
			  const char *reply)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[6] = {NAMEOID, TEXTOID, TEXTOID, BYTEAOID, TEXTOID, XID8OID};
	Datum		values[6];

	receipt_owner(values, subject, batch_id);
	values[3] = PointerGetDatum(body_hash);
	values[4] = CStringGetTextDatum(reply);
	values[5] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	SPI_connect();
	run(&plan,
		"INSERT INTO tide.receipt (role, subject, batch_id, body_hash, reply, xid)"
		" VALUES ($1, $2, $3, $4, $5, $6)",
		6, types, values, NULL, InvalidSnapshot, true);
	SPI_finish();
}

/* ---------- the horizon ---------- */

/* snapshot: InvalidSnapshot for one of this command */
bool
horizon_read(Snapshot snapshot, Horizon *horizon)
{
	static SPIPlanPtr plan = NULL;
	bool		found;

	SPI_connect();
	run(&plan, "SELECT h.xid, h.at, h.pruned_at FROM tide.horizon h"
		" ORDER BY h.xid DESC LIMIT 1",
		0, NULL, NULL, NULL, snapshot, snapshot == InvalidSnapshot);
	found = (SPI_processed > 0);
	if (found)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		horizon->xid = U64FromFullTransactionId(DatumGetFullTransactionId(SPI_getbinval(tuple, desc, 1, &isnull)));
		horizon->at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 2, &isnull));
		horizon->pruned_at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 3, &isnull));
	}
	SPI_finish();
	return found;
}

void
horizon_set(const Horizon *horizon)
{
	static SPIPlanPtr delete_plan = NULL;
	static SPIPlanPtr insert_plan = NULL;
	static Oid	types[3] = {XID8OID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[3];

	values[0] = FullTransactionIdGetDatum(FullTransactionIdFromU64(horizon->xid));
	values[1] = TimestampTzGetDatum(horizon->at);
	values[2] = TimestampTzGetDatum(horizon->pruned_at);
	SPI_connect();
	run(&delete_plan, "DELETE FROM tide.horizon", 0, NULL, NULL, NULL,
		InvalidSnapshot, true);
	run(&insert_plan, "INSERT INTO tide.horizon (xid, at, pruned_at) VALUES ($1, $2, $3)",
		3, types, values, NULL, InvalidSnapshot, true);
	SPI_finish();
}

/*
 * The oldest first, so that emptied pages of the indexes are whole and can be
 * used again: new entries have higher transaction ids.  Deleting waits for
 * nobody and nobody for it: entries are never updated.
 */
int64
changelog_forget(uint64 horizon, int max_rows)
{
	static SPIPlanPtr plans[4] = {NULL, NULL, NULL, NULL};
	static const char *const sql[4] = {
		"DELETE FROM tide.log WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT l.ctid FROM tide.log l WHERE l.reg OPERATOR(pg_catalog.>) 0"
		" AND l.xid OPERATOR(pg_catalog.<) $1 ORDER BY l.xid, l.seq LIMIT $2))",
		"DELETE FROM tide.tombstone WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT o.ctid FROM tide.tombstone o WHERE o.xid OPERATOR(pg_catalog.<) $1"
		" ORDER BY o.xid LIMIT $2))",
		"DELETE FROM tide.receipt WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT r.ctid FROM tide.receipt r WHERE r.xid OPERATOR(pg_catalog.<) $1"
		" ORDER BY r.xid LIMIT $2))",
		"DELETE FROM tide.sample WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT s.ctid FROM tide.sample s"
		" WHERE pg_catalog.pg_snapshot_xmin(s.snapshot) OPERATOR(pg_catalog.<) $1"
		" LIMIT $2))"
	};
	static Oid	types[2] = {XID8OID, INT4OID};
	Datum		values[2];
	int64		removed = 0;
	int			i;

	values[0] = FullTransactionIdGetDatum(FullTransactionIdFromU64(horizon));
	values[1] = Int32GetDatum(max_rows);
	SPI_connect();
	for (i = 0; i < lengthof(plans); i++)
	{
		run(&plans[i], sql[i], 2, types, values, NULL, InvalidSnapshot, true);
		removed += SPI_processed;
	}
	SPI_finish();
	return removed;
}
