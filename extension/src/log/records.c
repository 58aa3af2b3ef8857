/*-------------------------------------------------------------------------
 *
 * records.c
 *	  What is remembered beside the log: tombstones, conflicts, receipts, and
 *	  the horizon before which all of it is forgotten.  What was sent is in
 *	  sent.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "log/packed.h"
#include "log/columns.h"
#include "log/records.h"
#include "util/owner.h"
#include "util/store.h"

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

/* ---------- arrays, one for each column ---------- */

/*
 * Rows to insert, column by column.  Each column is an array, of which NULLs
 * are elements, and unnest() makes rows of them.
 */
typedef struct Columns
{
	int			nrows;
	Datum	   *values;			/* column after column */
	bool	   *nulls;
} Columns;

static void
columns_begin(Columns *columns, int ncolumns, int nrows)
{
	columns->nrows = nrows;
	columns->values = palloc0(sizeof(Datum) * ncolumns * nrows);
	columns->nulls = palloc(sizeof(bool) * ncolumns * nrows);
	memset(columns->nulls, true, sizeof(bool) * ncolumns * nrows);
}

static void
column_put(Columns *columns, int column, int row, Datum value)
{
	columns->values[column * columns->nrows + row] = value;
	columns->nulls[column * columns->nrows + row] = false;
}

static void
column_put_text(Columns *columns, int column, int row, const char *string)
{
	if (string)
		column_put(columns, column, row, CStringGetTextDatum(string));
}

static void
column_put_time(Columns *columns, int column, int row, bool has_time, TimestampTz time)
{
	if (has_time)
		column_put(columns, column, row, TimestampTzGetDatum(time));
}

/* the array of a column of this type, which is text or timestamptz */
static Datum
column_array(Columns *columns, int column, Oid type)
{
	int			lower_bound = 1;
	int			first = column * columns->nrows;
	bool		is_time = (type == TIMESTAMPTZOID);

	return PointerGetDatum(construct_md_array(columns->values + first,
											  columns->nulls + first,
											  1, &columns->nrows, &lower_bound,
											  type, is_time ? sizeof(int64) : -1,
											  is_time && FLOAT8PASSBYVAL,
											  is_time ? TYPALIGN_DOUBLE : TYPALIGN_INT));
}

/* ---------- tombstones ---------- */

/* a large DELETE is written in pieces, so that its arrays do not get large */
#define TOMBSTONES_PER_STATEMENT 5000
#define IMAGES_PER_STATEMENT (32 * 1024 * 1024) /* bytes */

/* how many of these go into one statement, at least one */
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

/* columns of the arrays that are written */
enum
{
	DEAD_KEY, DEAD_BINDS, DEAD_SCOPES, DEAD_TIME, DEAD_CLIENT, DEAD_SCOPE, DEAD_IMAGE,
	DEAD_CLOCKS, DEAD_COLUMNS
};

/* columns of the table */
enum
{
	TOMBSTONE_RELID = 1, TOMBSTONE_KEY, TOMBSTONE_BINDS, TOMBSTONE_SCOPES, TOMBSTONE_TIME,
	TOMBSTONE_CLIENT, TOMBSTONE_SCOPE, TOMBSTONE_XID, TOMBSTONE_IMAGE, TOMBSTONE_CLOCKS
};

static StoreTable tombstone_table = {"tombstone"};
static StoreIndex tombstone_key = {"tombstone_pkey", 2, {TOMBSTONE_RELID, TOMBSTONE_KEY},
{F_OIDEQ, F_TEXTEQ}};

/* the scopes as the text of an array */
static char *
scopes_text(char **scopes, int n)
{
	Oid			output;
	bool		is_varlena;

	getTypeOutputInfo(TEXTARRAYOID, &output, &is_varlena);
	return OidOutputFunctionCall(output, owner_text_array(scopes, n));
}

/*
 * Write tombstones by one statement.  A tombstone is inserted; if there is one
 * of its key, the greater stamp stands.
 */
static void
merge_tombstones(TrackedTable *t, const Tombstone *tombstones, int n)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[DEAD_COLUMNS + 3] = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	OIDOID, XID8OID, TIMESTAMPTZOID};
	Datum		values[DEAD_COLUMNS + 3];
	Columns		columns;
	int			i;

	columns_begin(&columns, DEAD_COLUMNS, n);
	for (i = 0; i < n; i++)
	{
		const Tombstone *tombstone = &tombstones[i];
		char	   *scopes = tombstone->nbinds > 0 ?
			scopes_text(tombstone->binds, tombstone->nbinds) : NULL;

		column_put_text(&columns, DEAD_KEY, i, indexed_key(tombstone->key));
		column_put_text(&columns, DEAD_BINDS, i, scopes ? indexed_key(scopes) : "");
		column_put_text(&columns, DEAD_SCOPES, i, scopes);
		column_put_time(&columns, DEAD_TIME, i, tombstone->stamp.has_time,
						tombstone->stamp.time);
		column_put_text(&columns, DEAD_CLIENT, i, tombstone->stamp.client_id);
		column_put_text(&columns, DEAD_SCOPE, i, tombstone->scope);
		column_put_text(&columns, DEAD_IMAGE, i, tombstone->image);
		column_put_text(&columns, DEAD_CLOCKS, i, tombstone->clocks);
	}
	for (i = 0; i < DEAD_COLUMNS; i++)
		values[i] = column_array(&columns, i, i == DEAD_TIME ? TIMESTAMPTZOID : TEXTOID);
	values[i++] = ObjectIdGetDatum(t->relid);
	values[i++] = top_xid();
	values[i++] = TimestampTzGetDatum(stamp_limit());

	/* a stamp beyond the limit counts for nothing; see decide.c */
	owner_execute(&plan,
				  "INSERT INTO tide.tombstone AS old (relid, key, binds, scopes, modified_at,"
				  " client_id, scope, image, clocks, xid)"
				  " SELECT $9, n.key, n.binds, CAST(n.scopes AS pg_catalog.text[]), n.modified_at,"
				  "  n.client_id, n.scope, n.image, CAST(n.clocks AS pg_catalog.jsonb), $10"
				  " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
				  "  pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5),"
				  "  pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8))"
				  "  n(key, binds, scopes, modified_at, client_id, scope, image, clocks)"
				  " ORDER BY n.key COLLATE pg_catalog.\"C\""
				  " ON CONFLICT (relid, key, binds) DO UPDATE SET modified_at = excluded.modified_at,"
				  "  client_id = excluded.client_id, scope = excluded.scope, xid = excluded.xid,"
				  "  image = excluded.image, clocks = excluded.clocks"
				  " WHERE old.modified_at IS NULL OR old.modified_at OPERATOR(pg_catalog.>) $11"
				  "  OR excluded.modified_at OPERATOR(pg_catalog.>) old.modified_at"
				  "  OR (excluded.modified_at OPERATOR(pg_catalog.=) old.modified_at"
				  "   AND (old.client_id IS NULL OR excluded.client_id OPERATOR(pg_catalog.>=) old.client_id))",
				  lengthof(types), types, values, NULL);
}

/* false: there is a tombstone of its key already */
static bool
insert_tombstone(StoreInsert *insert, TrackedTable *t, const Tombstone *tombstone)
{
	MemoryContext old = MemoryContextSwitchTo(store_row_context(insert));
	StoreRow	row;
	char	   *binds = "";

	store_row_begin(&row);
	if (tombstone->nbinds > 0)
	{
		Datum		scopes = owner_text_array(tombstone->binds, tombstone->nbinds);

		store_put(&row, TOMBSTONE_SCOPES, scopes);
		binds = indexed_key(scopes_text(tombstone->binds, tombstone->nbinds));
	}
	store_put(&row, TOMBSTONE_RELID, ObjectIdGetDatum(t->relid));
	store_put_text(&row, TOMBSTONE_KEY, indexed_key(tombstone->key));
	store_put_text(&row, TOMBSTONE_BINDS, binds);
	stamp_put(&row, TOMBSTONE_TIME, &tombstone->stamp);
	store_put_text(&row, TOMBSTONE_SCOPE, tombstone->scope);
	store_put(&row, TOMBSTONE_XID, top_xid());
	store_put_text(&row, TOMBSTONE_IMAGE, tombstone->image);
	if (tombstone->clocks)
		store_put(&row, TOMBSTONE_CLOCKS,
				  DirectFunctionCall1(jsonb_in, CStringGetDatum(tombstone->clocks)));
	MemoryContextSwitchTo(old);
	return store_insert_if_new(insert, &row, TOMBSTONE_CLOCKS);
}

static int
compare_tombstones(const void *a, const void *b)
{
	return strcmp(((const Tombstone *) a)->key, ((const Tombstone *) b)->key);
}

/*
 * In the order of their keys, so that two sessions that write the same ones do
 * not wait for each other.  Nearly all rows were never deleted before, so each
 * tombstone is inserted.  Once one exists already, a statement writes it and
 * some of those behind it, and more and more of them as long as that goes on.
 */
static void
write_some_tombstones(TrackedTable *t, const Tombstone *tombstones, int n)
{
	Tombstone  *sorted = palloc(sizeof(Tombstone) * n);
	StoreInsert insert;
	int			run = 1;
	int			i = 0;

	memcpy(sorted, tombstones, sizeof(Tombstone) * n);
	qsort(sorted, n, sizeof(Tombstone), compare_tombstones);
	while (i < n)
	{
		int			first = i;

		store_insert_begin(&insert, &tombstone_table, true);
		while (i < n && insert_tombstone(&insert, t, &sorted[i]))
			i++;
		store_insert_end(&insert);
		if (i > first)
			run = 1;
		if (i < n)
		{
			int			size = Min(run, n - i);

			merge_tombstones(t, sorted + i, size);
			i += size;
			run *= 2;
		}
	}
}

void
tombstone_write(TrackedTable *t, Tombstone *tombstones, int n)
{
	int			i;
	int			size;

	for (i = 0; i < n; i += size)
	{
		MemoryContext piece = AllocSetContextCreate(CurrentMemoryContext, "pg_tide tombstones",
													ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(piece);

		size = piece_of(tombstones + i, n - i);
		write_some_tombstones(t, tombstones + i, size);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(piece);
	}
}

bool
tombstone_set_image(TrackedTable *t, const Tombstone *tombstone)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[7] = {OIDOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[7];
	char		nulls[7];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = ObjectIdGetDatum(t->relid);
	put_text(values, nulls, 1, indexed_key(tombstone->key));
	put_stamp(values, nulls, 2, &tombstone->stamp);
	put_text(values, nulls, 4, tombstone->image);
	put_text(values, nulls, 5, tombstone->clocks);
	put_text(values, nulls, 6, tombstone->nbinds == 0 ? "" :
			 indexed_key(scopes_text(tombstone->binds, tombstone->nbinds)));
	return owner_execute(&plan,
						 "UPDATE tide.tombstone SET image = $5, clocks = CAST($6 AS pg_catalog.jsonb)"
						 " WHERE relid OPERATOR(pg_catalog.=) $1 AND key OPERATOR(pg_catalog.=) $2"
						 " AND binds OPERATOR(pg_catalog.=) $7"
						 " AND (modified_at OPERATOR(pg_catalog.=) $3"
						 "  OR (modified_at IS NULL AND $3 IS NULL))"
						 " AND (client_id OPERATOR(pg_catalog.=) $4"
						 "  OR (client_id IS NULL AND $4 IS NULL))",
						 7, types, values, nulls) > 0;
}

static Tombstone *
tombstone_of(TupleTableSlot *slot, char *key)
{
	Tombstone  *tombstone = palloc0(sizeof(Tombstone));
	Datum		value;
	bool		isnull;

	tombstone->key = key;
	tombstone->stamp = stamp_get(slot, TOMBSTONE_TIME);
	tombstone->scope = store_text(slot, TOMBSTONE_SCOPE);
	tombstone->image = store_text(slot, TOMBSTONE_IMAGE);
	value = slot_getattr(slot, TOMBSTONE_CLOCKS, &isnull);
	if (!isnull)
	{
		Jsonb	   *clocks = DatumGetJsonbP(value);

		tombstone->clocks = JsonbToCString(NULL, &clocks->root, VARSIZE(clocks));
	}
	value = slot_getattr(slot, TOMBSTONE_SCOPES, &isnull);
	if (!isnull)
		tombstone->binds = owner_strings(value, &tombstone->nbinds);
	value = slot_getattr(slot, TOMBSTONE_XID, &isnull);
	tombstone->is_own = FullTransactionIdEquals(DatumGetFullTransactionId(value),
												GetTopFullTransactionIdIfAny());
	return tombstone;
}

List *
tombstone_read(TrackedTable *t, char **keys, int nkeys, Snapshot snapshot)
{
	StoreScan	scan;
	TupleTableSlot *slot;
	Datum		values[2];
	List	   *result = NIL;
	int			i;

	if (nkeys == 0)
		return NIL;
	store_scan_begin(&scan, &tombstone_table, &tombstone_key, snapshot);
	values[0] = ObjectIdGetDatum(t->relid);
	for (i = 0; i < nkeys; i++)
	{
		values[1] = CStringGetTextDatum(indexed_key(keys[i]));
		store_look_up(&scan, values, 2);
		while ((slot = store_next(&scan, ForwardScanDirection)) != NULL)
			result = lappend(result, tombstone_of(slot, keys[i]));
	}
	store_scan_end(&scan);
	return list_concat(result, packed_read(t, keys, nkeys, snapshot));
}

/* ---------- conflicts ---------- */

/* columns of the table */
enum
{
	CONFLICT_ID = 1, CONFLICT_RELID, CONFLICT_REG, CONFLICT_KEY, CONFLICT_SCOPE, CONFLICT_KIND,
	CONFLICT_LOST, CONFLICT_LOST_IS_DELETE, CONFLICT_LOST_TIME, CONFLICT_LOST_CLIENT,
	CONFLICT_STOOD, CONFLICT_STOOD_TIME, CONFLICT_STOOD_CLIENT, CONFLICT_ROLE,
	CONFLICT_SUBJECT, CONFLICT_AT, CONFLICT_XID
};

static StoreTable conflict_table = {"conflict"};

static void
insert_conflict(StoreInsert *insert, TrackedTable *t, const Conflict *c,
				const char *subject, Datum role, TimestampTz now)
{
	MemoryContext old = MemoryContextSwitchTo(store_row_context(insert));
	StoreRow	row;

	store_row_begin(&row);
	store_put(&row, CONFLICT_ID,
			  Int64GetDatum(nextval_internal(owner_relation("conflict_id_seq"), false)));
	store_put(&row, CONFLICT_RELID, ObjectIdGetDatum(t->relid));
	store_put(&row, CONFLICT_REG, Int32GetDatum(t->reg));
	store_put_text(&row, CONFLICT_KEY, c->key);
	store_put_text(&row, CONFLICT_SCOPE, c->scope);
	store_put_text(&row, CONFLICT_KIND, c->kind);
	store_put_text(&row, CONFLICT_LOST, c->lost);
	store_put(&row, CONFLICT_LOST_IS_DELETE, BoolGetDatum(c->lost_is_delete));
	stamp_put(&row, CONFLICT_LOST_TIME, &c->lost_stamp);
	store_put_text(&row, CONFLICT_STOOD, c->stood);
	stamp_put(&row, CONFLICT_STOOD_TIME, &c->stood_stamp);
	store_put(&row, CONFLICT_ROLE, role);
	store_put_text(&row, CONFLICT_SUBJECT, subject);
	store_put(&row, CONFLICT_AT, TimestampTzGetDatum(now));
	store_put(&row, CONFLICT_XID, top_xid());
	MemoryContextSwitchTo(old);
	store_insert_row(insert, &row, CONFLICT_XID);
}

void
conflict_write(TrackedTable *t, const Conflict *conflicts, int n, const char *subject)
{
	StoreInsert insert;
	TimestampTz now = GetCurrentTimestamp();
	Datum		role;
	int			i;

	if (n == 0)
		return;
	role = current_role();		/* the caller's role, not that of the owner */
	store_insert_begin(&insert, &conflict_table, false);
	for (i = 0; i < n; i++)
		insert_conflict(&insert, t, &conflicts[i], subject, role, now);
	store_insert_end(&insert);
}

static void
take_conflict(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Conflict   *c = palloc0(sizeof(Conflict));
	bool		isnull;

	c->relid = DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &isnull));
	c->key = owner_column_text(tuple, desc, 2);
	c->lost = owner_column_text(tuple, desc, 3);
	c->lost_is_delete = DatumGetBool(SPI_getbinval(tuple, desc, 4, &isnull));
	c->scope = owner_column_text(tuple, desc, 5);
	c->subject = owner_column_text(tuple, desc, 6);
	*(Conflict **) arg = c;
}

Conflict *
conflict_by_id(int64 id)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[1] = {INT8OID};
	Conflict   *c = NULL;
	Datum		values[1];

	values[0] = Int64GetDatum(id);
	owner_select(&plan,
				 "SELECT c.relid, c.key, c.lost, c.lost_is_delete, c.scope, c.subject"
				 " FROM tide.conflict c WHERE c.id OPERATOR(pg_catalog.=) $1",
				 1, types, values, NULL, InvalidSnapshot, take_conflict, &c);
	if (c)
		c->id = id;
	return c;
}

/* ---------- receipts ---------- */

/*
 * Whose a receipt is: the role that pushes, and the user and the schema of its
 * claims.  These and the batch's id together are of any length, so they are
 * looked up by hash.
 */
static Datum
receipt_id(const ReceiptOwner *owner, const char *batch_id)
{
	char	   *names[4];
	int			n = 3;

	names[0] = GetUserNameFromId(GetUserId(), false);
	names[1] = unconstify(char *, owner->subject ? owner->subject : "");
	names[2] = unconstify(char *, batch_id);
	if (OidIsValid(owner->schema))
		names[n++] = psprintf("%u", owner->schema);
	return DirectFunctionCall1(sha256_bytea, CStringGetTextDatum(scopes_text(names, n)));
}

/* columns of the table */
enum
{
	RECEIPT_ID = 1, RECEIPT_ROLE, RECEIPT_SUBJECT, RECEIPT_BATCH_ID, RECEIPT_BODY_HASH,
	RECEIPT_REPLY, RECEIPT_XID, RECEIPT_COLUMNS = RECEIPT_XID
};

static StoreTable receipt_table = {"receipt"};
static StoreIndex receipt_key = {"receipt_pkey", 1, {RECEIPT_ID}, {F_BYTEAEQ}};

char *
receipt_read(const ReceiptOwner *owner, const char *batch_id, Snapshot snapshot,
			 bytea **body_hash)
{
	StoreScan	scan;
	TupleTableSlot *slot;
	Datum		id = receipt_id(owner, batch_id);
	char	   *reply = NULL;
	bool		isnull;

	*body_hash = NULL;
	store_scan_begin(&scan, &receipt_table, &receipt_key, snapshot);
	store_look_up(&scan, &id, 1);
	if ((slot = store_next(&scan, ForwardScanDirection)) != NULL)
	{
		*body_hash = DatumGetByteaPCopy(slot_getattr(slot, RECEIPT_BODY_HASH, &isnull));
		reply = store_text(slot, RECEIPT_REPLY);
	}
	store_scan_end(&scan);
	return reply;
}

void
receipt_write(const ReceiptOwner *owner, const char *batch_id, bytea *body_hash,
			  const char *reply)
{
	StoreInsert insert;
	StoreRow	row;

	store_row_begin(&row);
	store_put(&row, RECEIPT_ID, receipt_id(owner, batch_id));
	store_put(&row, RECEIPT_ROLE, current_role());
	store_put_text(&row, RECEIPT_SUBJECT, owner->subject);
	store_put_text(&row, RECEIPT_BATCH_ID, batch_id);
	store_put(&row, RECEIPT_BODY_HASH, PointerGetDatum(body_hash));
	store_put_text(&row, RECEIPT_REPLY, reply);
	store_put(&row, RECEIPT_XID, top_xid());
	store_insert_begin(&insert, &receipt_table, false);
	store_insert_row(&insert, &row, RECEIPT_COLUMNS);
	store_insert_end(&insert);
}

/* ---------- the horizon ---------- */

static StoreTable horizon_table = {"horizon"};
static StoreIndex horizon_xid = {"horizon_xid"};

static uint64
xid_of(TupleTableSlot *slot, AttrNumber n)
{
	bool		isnull;

	return U64FromFullTransactionId(DatumGetFullTransactionId(slot_getattr(slot, n, &isnull)));
}

/* the newest one, which is the last in the index */
bool
horizon_read(Snapshot snapshot, Horizon *horizon)
{
	StoreScan	scan;
	TupleTableSlot *slot;
	bool		found = false;
	bool		isnull;

	store_scan_begin(&scan, &horizon_table, &horizon_xid, snapshot);
	store_look_up(&scan, NULL, 0);
	while ((slot = store_next(&scan, BackwardScanDirection)) != NULL)
	{
		if (found && xid_of(slot, 1) <= horizon->xid)
			continue;
		found = true;
		horizon->xid = xid_of(slot, 1);
		horizon->at = DatumGetTimestampTz(slot_getattr(slot, 2, &isnull));
		horizon->pruned_at = DatumGetTimestampTz(slot_getattr(slot, 3, &isnull));
		if (scan.index)
			break;
	}
	store_scan_end(&scan);
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
	owner_execute(&delete_plan, "DELETE FROM tide.horizon", 0, NULL, NULL, NULL);
	owner_execute(&insert_plan, "INSERT INTO tide.horizon (xid, at, pruned_at) VALUES ($1, $2, $3)",
				  3, types, values, NULL);
}

/* the most rows that a statement deletes */
#define MOST_ROWS 1000000

/*
 * Delete from one of the tables by up to so many statements (0: as many as it
 * takes).  Each passes by the rows that those before it have deleted, so where
 * there may be many of them, each takes more than the last.
 */
static int64
forget_from(SPIPlanPtr *plan, const char *sql, uint64 horizon, int max_rows, int max_statements)
{
	static Oid	types[2] = {XID8OID, INT4OID};
	Datum		values[2];
	int64		removed = 0;
	int			i;

	values[0] = FullTransactionIdGetDatum(FullTransactionIdFromU64(horizon));
	for (i = 0; max_statements == 0 || i < max_statements; i++)
	{
		int64		n;

		values[1] = Int32GetDatum(max_rows);
		n = owner_execute(plan, sql, 2, types, values, NULL);
		CHECK_FOR_INTERRUPTS();
		removed += n;
		if (n == 0)
			break;
		if (max_statements == 0)
			max_rows = Min(max_rows * 2, MOST_ROWS);
	}
	return removed;
}

/*
 * The oldest entries go first, so that pages of the indexes become empty and
 * can be used again: new entries have higher transaction ids.  All but
 * tombstones are never updated, so deleting them waits for nobody, and nobody
 * waits for it.  A row that is deleted again updates its tombstone; one that an
 * open transaction has updated so far is new, and is passed by.  Who deletes a
 * row whose old tombstone is being forgotten does wait, so tombstones go last.
 */
int64
changelog_forget(uint64 horizon, int max_rows, int max_statements)
{
	static SPIPlanPtr plans[7] = {NULL, NULL, NULL, NULL, NULL, NULL, NULL};
	static const char *const sql[7] = {
		"DELETE FROM tide.log WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT l.ctid FROM tide.log l WHERE l.reg OPERATOR(pg_catalog.>) 0"
		" AND l.xid OPERATOR(pg_catalog.<) $1 ORDER BY l.xid, l.seq LIMIT $2))",
		"DELETE FROM tide.tombstone_pack WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT p.ctid FROM tide.tombstone_pack p WHERE p.xid OPERATOR(pg_catalog.<) $1"
		" ORDER BY p.xid LIMIT $2))",
		"DELETE FROM tide.receipt WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT r.ctid FROM tide.receipt r WHERE r.xid OPERATOR(pg_catalog.<) $1"
		" ORDER BY r.xid LIMIT $2))",
		"DELETE FROM tide.conflict WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT c.ctid FROM tide.conflict c WHERE c.xid OPERATOR(pg_catalog.<) $1"
		" ORDER BY c.xid LIMIT $2))",
		"DELETE FROM tide.sent WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT s.ctid FROM tide.sent s WHERE s.xid OPERATOR(pg_catalog.<) $1"
		" ORDER BY s.xid LIMIT $2))",
		"DELETE FROM tide.sample WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT s.ctid FROM tide.sample s"
		" WHERE pg_catalog.pg_snapshot_xmin(s.snapshot) OPERATOR(pg_catalog.<) $1"
		" LIMIT $2))",
		"DELETE FROM tide.tombstone WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT o.ctid FROM tide.tombstone o WHERE o.xid OPERATOR(pg_catalog.<) $1"
		" ORDER BY o.xid LIMIT $2 FOR UPDATE SKIP LOCKED))"
	};
	int64		removed = 0;
	int			i;

	for (i = 0; i < lengthof(plans); i++)
		removed += forget_from(&plans[i], sql[i], horizon, max_rows, max_statements);
	return removed;
}
