/*-------------------------------------------------------------------------
 *
 * records.c
 *	  What is remembered beside the log: tombstones, conflicts, receipts, and
 *	  the horizon before which all of it is forgotten.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/xid8.h"

#include "log/packed.h"
#include "log/records.h"
#include "util/compat.h"
#include "util/keymap.h"
#include "util/owner.h"
#include "version/decide.h"

/* a time and a client id, columns n and n + 1 of a result */
static Stamp
stamp_columns(HeapTuple tuple, TupleDesc desc, int n)
{
	Stamp		stamp = {0};
	bool		isnull;
	Datum		time = SPI_getbinval(tuple, desc, n, &isnull);

	stamp.has_time = !isnull;
	if (!isnull)
		stamp.time = DatumGetTimestampTz(time);
	stamp.client_id = owner_column_text(tuple, desc, n + 1);
	return stamp;
}

static void
put_text(Datum *values, char *nulls, int n, const char *string)
{
	nulls[n] = string ? ' ' : 'n';
	values[n] = string ? CStringGetTextDatum(string) : (Datum) 0;
}

static void
put_stamp(Datum *values, char *nulls, int n, const Stamp *stamp)
{
	nulls[n] = stamp->has_time ? ' ' : 'n';
	values[n] = TimestampTzGetDatum(stamp->time);
	put_text(values, nulls, n + 1, stamp->client_id);
}

static Datum
current_role(void)
{
	return DirectFunctionCall1(namein,
							   CStringGetDatum(GetUserNameFromId(GetUserId(), false)));
}

/* ---------- tombstones ---------- */

/* in pieces, so that a huge DELETE does not make huge arrays */
#define TOMBSTONES_PER_STATEMENT 5000
#define IMAGES_PER_STATEMENT (32 * 1024 * 1024) /* bytes */

/* how many of these go into one statement; at least one */
static int
piece_of(Tombstone *tombstones, int n)
{
	size_t		size = 0;
	int			i;

	for (i = 0; i < n && i < TOMBSTONES_PER_STATEMENT; i++)
	{
		size += tombstones[i].image ? strlen(tombstones[i].image) : 0;
		if (i > 0 && size > IMAGES_PER_STATEMENT)
			break;
	}
	return i;
}

/* key[], client_id[], scope[], modified_at[] of tombstones, as four values */
static void
put_tombstones(Datum *values, Tombstone *tombstones, int n)
{
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
	values[0] = owner_text_array(keys, n);
	values[1] = owner_text_array(clients, n);
	values[2] = owner_text_array(scopes, n);
	values[3] = PointerGetDatum(construct_md_array(times, no_time, 1, &n, &lower_bound,
												   TIMESTAMPTZOID, sizeof(TimestampTz),
												   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static void
write_some_tombstones(TrackedTable *t, Tombstone *tombstones, int n)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[8] = {OIDOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	TIMESTAMPTZARRAYOID, XID8OID, TEXTARRAYOID, TEXTARRAYOID};
	Datum		values[8];
	char	  **images = palloc(sizeof(char *) * n);
	char	  **clocks = palloc(sizeof(char *) * n);
	int			i;

	for (i = 0; i < n; i++)
	{
		images[i] = tombstones[i].image;
		clocks[i] = tombstones[i].clocks;
	}
	values[0] = ObjectIdGetDatum(t->relid);
	put_tombstones(values + 1, tombstones, n);
	values[5] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	values[6] = owner_text_array(images, n);
	values[7] = owner_text_array(clocks, n);
	owner_run(&plan,
			  "INSERT INTO tide.tombstone AS old (relid, key, client_id, scope, modified_at, xid, image, clocks)"
			  " SELECT $1, n.key, n.client_id, n.scope, n.modified_at, $6,"
			  "  n.image, CAST(n.clocks AS pg_catalog.jsonb)"
			  " FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3),"
			  "  pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($7),"
			  "  pg_catalog.unnest($8)) n(key, client_id, scope, modified_at, image, clocks)"
			  " ORDER BY n.key COLLATE pg_catalog.\"C\""
			  " ON CONFLICT (relid, key) DO UPDATE SET modified_at = excluded.modified_at,"
			  "  client_id = excluded.client_id, scope = excluded.scope, xid = excluded.xid,"
			  "  image = excluded.image, clocks = excluded.clocks"
			  " WHERE old.modified_at IS NULL"
			  "  OR excluded.modified_at OPERATOR(pg_catalog.>) old.modified_at"
			  "  OR (excluded.modified_at OPERATOR(pg_catalog.=) old.modified_at"
			  "   AND (old.client_id IS NULL OR excluded.client_id OPERATOR(pg_catalog.>=) old.client_id))",
			  8, types, values, NULL, InvalidSnapshot, true);
}

/*
 * Tombstones of these keys are about to be replaced: the stamps of a client's
 * deletes are to be known when they come again.
 */
static void
remember_tombstones(TrackedTable *t, Tombstone *tombstones, int n)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[6] = {OIDOID, INT4OID, TEXTARRAYOID, NAMEOID, TIMESTAMPTZOID, XID8OID};
	Datum		values[6];
	char	  **keys = palloc(sizeof(char *) * n);
	int			i;

	for (i = 0; i < n; i++)
		keys[i] = tombstones[i].key;
	values[0] = ObjectIdGetDatum(t->relid);
	values[1] = Int32GetDatum(t->reg);
	values[2] = owner_text_array(keys, n);
	values[3] = current_role();
	values[4] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[5] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	owner_run(&plan,
			  "INSERT INTO tide.conflict (relid, reg, key, scope, kind, lost_is_delete,"
			  " lost_modified_at, lost_client_id, role, at, xid)"
			  " SELECT $1, $2, o.key, o.scope, '" CONFLICT_REPLACED "', true,"
			  "  o.modified_at, o.client_id, $4, $5, $6 FROM tide.tombstone o"
			  " WHERE o.relid OPERATOR(pg_catalog.=) $1 AND o.key OPERATOR(pg_catalog.=) ANY ($3)"
			  " AND o.client_id IS NOT NULL AND o.modified_at IS NOT NULL",
			  6, types, values, NULL, InvalidSnapshot, true);
}

bool
tombstone_set_image(TrackedTable *t, const Tombstone *tombstone)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[6] = {OIDOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[6];
	char		nulls[6];
	bool		found;

	memset(nulls, ' ', sizeof(nulls));
	values[0] = ObjectIdGetDatum(t->relid);
	put_text(values, nulls, 1, tombstone->key);
	put_stamp(values, nulls, 2, &tombstone->stamp);
	put_text(values, nulls, 4, tombstone->image);
	put_text(values, nulls, 5, tombstone->clocks);
	SPI_connect();
	owner_run(&plan,
			  "UPDATE tide.tombstone SET image = $5,"
			  " clocks = CAST($6 AS pg_catalog.jsonb)"
			  " WHERE relid OPERATOR(pg_catalog.=) $1 AND key OPERATOR(pg_catalog.=) $2"
			  " AND (modified_at OPERATOR(pg_catalog.=) $3"
			  "  OR (modified_at IS NULL AND $3 IS NULL))"
			  " AND (client_id OPERATOR(pg_catalog.=) $4"
			  "  OR (client_id IS NULL AND $4 IS NULL))",
			  6, types, values, nulls, InvalidSnapshot, true);
	found = (SPI_processed > 0);
	SPI_finish();
	return found;
}

/*
 * No key may be among them twice.
 */
void
tombstone_write(TrackedTable *t, Tombstone *tombstones, int n)
{
	int			i;
	int			size;

	SPI_connect();
	for (i = 0; i < n; i += size)
	{
		MemoryContext piece = AllocSetContextCreate(CurrentMemoryContext, "pg_tide tombstones",
													ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(piece);

		size = piece_of(tombstones + i, n - i);
		if (policy_forgets(t->policy))
			remember_tombstones(t, tombstones + i, size);
		write_some_tombstones(t, tombstones + i, size);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(piece);
	}
	SPI_finish();
}

/*
 * A palloc'd list of Tombstone, in no order.  snapshot: InvalidSnapshot for
 * one of this command.
 */
/*
 * Of each key the tombstone with the greatest stamp: one of its own, or one in
 * a pack.
 */
static List *
greatest_of_each(List *own, List *packed)
{
	KeyMap	   *map;
	ListCell   *lc;

	if (packed == NIL)
		return own;
	map = keymap_new(CurrentMemoryContext, list_length(own) * 2 + 1);
	foreach(lc, own)
		keymap_put(map, ((Tombstone *) lfirst(lc))->key, lfirst(lc));
	foreach(lc, packed)
	{
		Tombstone  *tombstone = lfirst(lc);
		Tombstone  *other = keymap_get(map, tombstone->key);

		if (other == NULL)
			own = lappend(own, tombstone);
		else if (stamp_compare(&tombstone->stamp, &other->stamp) > 0)
			*other = *tombstone;
	}
	return own;
}

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
	values[1] = owner_text_array(keys, nkeys);
	SPI_connect();
	owner_run(&plan,
			  "SELECT o.key, o.modified_at, o.client_id, o.scope,"
			  " o.image, CAST(o.clocks AS pg_catalog.text) FROM tide.tombstone o"
			  " WHERE o.relid OPERATOR(pg_catalog.=) $1 AND o.key OPERATOR(pg_catalog.=) ANY ($2)",
			  2, types, values, NULL, snapshot, snapshot == InvalidSnapshot);
	spi = MemoryContextSwitchTo(caller);
	for (i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		Tombstone  *tombstone = palloc0(sizeof(Tombstone));

		tombstone->key = owner_column_text(tuple, desc, 1);
		tombstone->stamp = stamp_columns(tuple, desc, 2);
		tombstone->scope = owner_column_text(tuple, desc, 4);
		tombstone->image = owner_column_text(tuple, desc, 5);
		tombstone->clocks = owner_column_text(tuple, desc, 6);
		result = lappend(result, tombstone);
	}
	MemoryContextSwitchTo(spi);
	SPI_finish();
	return greatest_of_each(result, packed_read(t, keys, nkeys, snapshot));
}

/* ---------- conflicts ---------- */

void
conflict_write_replaced(TrackedTable *t, Tombstone *replaced, int n)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[9] = {OIDOID, INT4OID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	TIMESTAMPTZARRAYOID, NAMEOID, TIMESTAMPTZOID, XID8OID};
	Datum		values[9];

	values[0] = ObjectIdGetDatum(t->relid);
	values[1] = Int32GetDatum(t->reg);
	put_tombstones(values + 2, replaced, n);
	values[6] = current_role();
	values[7] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[8] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	SPI_connect();
	owner_run(&plan,
			  "INSERT INTO tide.conflict (relid, reg, key, scope, kind, lost_is_delete,"
			  " lost_modified_at, lost_client_id, role, at, xid)"
			  " SELECT $1, $2, n.key, n.scope, '" CONFLICT_REPLACED "', false,"
			  "  n.modified_at, n.client_id, $7, $8, $9"
			  " FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4),"
			  "  pg_catalog.unnest($5), pg_catalog.unnest($6)) n(key, client_id, scope, modified_at)",
			  9, types, values, NULL, InvalidSnapshot, true);
	SPI_finish();
}

void
conflict_write(TrackedTable *t, const Conflict *c, const char *subject)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[16] = {OIDOID, INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID,
		TIMESTAMPTZOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, NAMEOID,
	TEXTOID, TIMESTAMPTZOID, XID8OID};
	Datum		values[16];
	char		nulls[16];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = ObjectIdGetDatum(t->relid);
	values[1] = Int32GetDatum(t->reg);
	put_text(values, nulls, 2, c->key);
	put_text(values, nulls, 3, c->scope);
	put_text(values, nulls, 4, c->kind);
	put_text(values, nulls, 5, c->lost);
	values[6] = BoolGetDatum(c->lost_is_delete);
	put_stamp(values, nulls, 7, &c->lost_stamp);
	put_text(values, nulls, 9, c->stood);
	put_stamp(values, nulls, 10, &c->stood_stamp);
	values[12] = current_role();
	put_text(values, nulls, 13, subject);
	values[14] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[15] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	SPI_connect();
	owner_run(&plan,
			  "INSERT INTO tide.conflict (relid, reg, key, scope, kind, lost, lost_is_delete,"
			  " lost_modified_at, lost_client_id, stood, stood_modified_at, stood_client_id,"
			  " role, subject, at, xid)"
			  " VALUES ($1, $2, $3, $4, $5, CAST($6 AS pg_catalog.json), $7, $8, $9,"
			  " CAST($10 AS pg_catalog.json), $11, $12, $13, $14, $15, $16)",
			  16, types, values, nulls, InvalidSnapshot, true);
	SPI_finish();
}

/*
 * A palloc'd list of Conflict.  snapshot: InvalidSnapshot for one of this
 * command.
 */
List *
conflict_read(TrackedTable *t, char **keys, int nkeys, Snapshot snapshot)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[2] = {OIDOID, TEXTARRAYOID};
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext spi;
	List	   *result = NIL;
	Datum		values[2];
	uint64		i;

	values[0] = ObjectIdGetDatum(t->relid);
	values[1] = owner_text_array(keys, nkeys);
	SPI_connect();
	owner_run(&plan,
			  "SELECT c.key, c.kind, c.lost_modified_at, c.lost_client_id,"
			  " c.stood_modified_at, c.stood_client_id FROM tide.conflict c"
			  " WHERE c.relid OPERATOR(pg_catalog.=) $1 AND c.key OPERATOR(pg_catalog.=) ANY ($2)",
			  2, types, values, NULL, snapshot, snapshot == InvalidSnapshot);
	spi = MemoryContextSwitchTo(caller);
	for (i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		Conflict   *c = palloc0(sizeof(Conflict));

		c->key = owner_column_text(tuple, desc, 1);
		c->kind = owner_column_text(tuple, desc, 2);
		c->lost_stamp = stamp_columns(tuple, desc, 3);
		c->stood_stamp = stamp_columns(tuple, desc, 5);
		result = lappend(result, c);
	}
	MemoryContextSwitchTo(spi);
	SPI_finish();
	return result;
}

/* NULL: there is none of that number */
Conflict *
conflict_by_id(int64 id)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[1] = {INT8OID};
	MemoryContext caller = CurrentMemoryContext;
	Conflict   *c = NULL;
	Datum		values[1];

	values[0] = Int64GetDatum(id);
	SPI_connect();
	owner_run(&plan,
			  "SELECT c.relid, c.key, CAST(c.lost AS pg_catalog.text), c.lost_is_delete,"
			  " c.scope, c.subject"
			  " FROM tide.conflict c WHERE c.id OPERATOR(pg_catalog.=) $1"
			  " AND c.kind OPERATOR(pg_catalog.<>) ALL ('{" CONFLICT_ADJUSTED "," CONFLICT_REPLACED "}')",
			  1, types, values, NULL, InvalidSnapshot, true);
	if (SPI_processed > 0)
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MemoryContext old = MemoryContextSwitchTo(caller);
		bool		isnull;

		c = palloc0(sizeof(Conflict));
		c->id = id;
		c->relid = DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &isnull));
		c->key = owner_column_text(tuple, desc, 2);
		c->lost = owner_column_text(tuple, desc, 3);
		c->lost_is_delete = DatumGetBool(SPI_getbinval(tuple, desc, 4, &isnull));
		c->scope = owner_column_text(tuple, desc, 5);
		c->subject = owner_column_text(tuple, desc, 6);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return c;
}

/* ---------- receipts ---------- */

/* whose a receipt is: the role that pushes, and the user of its claims */
static void
receipt_owner(Datum *values, const char *subject, const char *batch_id)
{
	values[0] = current_role();
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
	owner_run(&plan,
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
		reply = owner_column_text(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
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
	owner_run(&plan,
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
	owner_run(&plan, "SELECT h.xid, h.at, h.pruned_at FROM tide.horizon h"
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
	owner_run(&delete_plan, "DELETE FROM tide.horizon", 0, NULL, NULL, NULL,
			  InvalidSnapshot, true);
	owner_run(&insert_plan, "INSERT INTO tide.horizon (xid, at, pruned_at) VALUES ($1, $2, $3)",
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
	static SPIPlanPtr plans[6] = {NULL, NULL, NULL, NULL, NULL, NULL};
	static const char *const sql[6] = {
		"DELETE FROM tide.log WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT l.ctid FROM tide.log l WHERE l.reg OPERATOR(pg_catalog.>) 0"
		" AND l.xid OPERATOR(pg_catalog.<) $1 ORDER BY l.xid, l.seq LIMIT $2))",
		"DELETE FROM tide.tombstone WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT o.ctid FROM tide.tombstone o WHERE o.xid OPERATOR(pg_catalog.<) $1"
		" ORDER BY o.xid LIMIT $2))",
		"DELETE FROM tide.tombstone_pack WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT p.ctid FROM tide.tombstone_pack p WHERE p.xid OPERATOR(pg_catalog.<) $1"
		" ORDER BY p.xid LIMIT $2))",
		"DELETE FROM tide.receipt WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT r.ctid FROM tide.receipt r WHERE r.xid OPERATOR(pg_catalog.<) $1"
		" ORDER BY r.xid LIMIT $2))",
		"DELETE FROM tide.conflict WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT c.ctid FROM tide.conflict c WHERE c.xid OPERATOR(pg_catalog.<) $1"
		" ORDER BY c.xid LIMIT $2))",
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
		owner_run(&plans[i], sql[i], 2, types, values, NULL, InvalidSnapshot, true);
		removed += SPI_processed;
	}
	SPI_finish();
	return removed;
}
