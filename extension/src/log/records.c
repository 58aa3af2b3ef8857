/*-------------------------------------------------------------------------
 *
 * records.c
 *	  What is remembered beside the log: tombstones, conflicts, what was sent,
 *	  receipts, and the horizon before which all of it is forgotten.
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
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "log/packed.h"
#include "log/records.h"
#include "util/owner.h"

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

static Datum
top_xid(void)
{
	return FullTransactionIdGetDatum(GetTopFullTransactionId());
}

/* ---------- arrays, one for each column ---------- */

/*
 * Rows to insert, column by column: each column is an array, NULL among its
 * elements, which unnest() makes rows of again.
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

/* the array of a column of this type */
static Datum
column_array(Columns *columns, int column, Oid type)
{
	int			lower_bound = 1;
	int			first = column * columns->nrows;
	bool		is_long = (type == TIMESTAMPTZOID || type == INT8OID);
	int			length = is_long ? sizeof(int64) : type == BOOLOID ? sizeof(bool) : -1;

	return PointerGetDatum(construct_md_array(columns->values + first,
											  columns->nulls + first,
											  1, &columns->nrows, &lower_bound,
											  type, length,
											  is_long ? FLOAT8PASSBYVAL : type == BOOLOID,
											  is_long ? TYPALIGN_DOUBLE :
											  type == BOOLOID ? TYPALIGN_CHAR : TYPALIGN_INT));
}

/* ---------- long keys ---------- */

/* no index entry can be longer than a third of a page */
#define MAX_KEY_LENGTH 500

/*
 * A key as our indexes hold it: a long one by its hash, which is longer than
 * any key that is held as it is, so that no other key can be taken for it.
 */
static char *
indexed_key(char *key)
{
	char	   *result;
	Datum		hash;

	if (strlen(key) <= MAX_KEY_LENGTH)
		return key;
	hash = DirectFunctionCall1(sha256_bytea, CStringGetTextDatum(key));
	hash = DirectFunctionCall2(binary_encode, hash, CStringGetTextDatum("hex"));
	result = psprintf("%*s%s", MAX_KEY_LENGTH, "sha256:", TextDatumGetCString(hash));
	return result;
}

/* the one of these keys that is held so */
static char *
key_of(char *indexed, char **keys, int nkeys)
{
	int			i;

	if (strlen(indexed) <= MAX_KEY_LENGTH)
		return indexed;
	for (i = 0; i < nkeys; i++)
		if (strlen(keys[i]) > MAX_KEY_LENGTH && strcmp(indexed_key(keys[i]), indexed) == 0)
			return keys[i];
	elog(ERROR, "a key was read that was not asked for");
	return NULL;
}

static Datum
indexed_keys(char **keys, int nkeys)
{
	char	  **indexed = palloc(sizeof(char *) * Max(nkeys, 1));
	int			i;

	for (i = 0; i < nkeys; i++)
		indexed[i] = indexed_key(keys[i]);
	return owner_text_array(indexed, nkeys);
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

enum
{
	TOMBSTONE_KEY, TOMBSTONE_BINDS, TOMBSTONE_SCOPES, TOMBSTONE_TIME, TOMBSTONE_CLIENT,
	TOMBSTONE_SCOPE, TOMBSTONE_IMAGE, TOMBSTONE_CLOCKS, TOMBSTONE_COLUMNS
};

/* scopes as the text of an array */
static char *
scopes_text(char **scopes, int n)
{
	Oid			output;
	bool		is_varlena;

	getTypeOutputInfo(TEXTARRAYOID, &output, &is_varlena);
	return OidOutputFunctionCall(output, owner_text_array(scopes, n));
}

static void
write_some_tombstones(TrackedTable *t, Tombstone *tombstones, int n)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[TOMBSTONE_COLUMNS + 3] = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	OIDOID, XID8OID, TIMESTAMPTZOID};
	Datum		values[TOMBSTONE_COLUMNS + 3];
	Columns		columns;
	int			i;

	columns_begin(&columns, TOMBSTONE_COLUMNS, n);
	for (i = 0; i < n; i++)
	{
		Tombstone  *tombstone = &tombstones[i];
		char	   *scopes = tombstone->nbinds > 0 ?
		scopes_text(tombstone->binds, tombstone->nbinds) : NULL;

		column_put_text(&columns, TOMBSTONE_KEY, i, indexed_key(tombstone->key));
		column_put_text(&columns, TOMBSTONE_BINDS, i, scopes ? indexed_key(scopes) : "");
		column_put_text(&columns, TOMBSTONE_SCOPES, i, scopes);
		column_put_time(&columns, TOMBSTONE_TIME, i, tombstone->stamp.has_time,
						tombstone->stamp.time);
		column_put_text(&columns, TOMBSTONE_CLIENT, i, tombstone->stamp.client_id);
		column_put_text(&columns, TOMBSTONE_SCOPE, i, tombstone->scope);
		column_put_text(&columns, TOMBSTONE_IMAGE, i, tombstone->image);
		column_put_text(&columns, TOMBSTONE_CLOCKS, i, tombstone->clocks);
	}
	for (i = 0; i < TOMBSTONE_COLUMNS; i++)
		values[i] = column_array(&columns, i, i == TOMBSTONE_TIME ? TIMESTAMPTZOID : TEXTOID);
	values[i++] = ObjectIdGetDatum(t->relid);
	values[i++] = top_xid();
	values[i++] = TimestampTzGetDatum(stamp_limit());

	/* a stamp beyond the limit counts for nothing, see decide.c */
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

/* a list that rows of a result go to, and what they were asked for by */
typedef struct Reading
{
	List	   *result;
	char	  **keys;
	int			nkeys;
} Reading;

static void
take_tombstone(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Reading    *reading = arg;
	Tombstone  *tombstone = palloc0(sizeof(Tombstone));
	Datum		scopes;
	bool		isnull;

	tombstone->key = key_of(owner_column_text(tuple, desc, 1), reading->keys, reading->nkeys);
	tombstone->stamp = stamp_columns(tuple, desc, 2);
	tombstone->scope = owner_column_text(tuple, desc, 4);
	tombstone->image = owner_column_text(tuple, desc, 5);
	tombstone->clocks = owner_column_text(tuple, desc, 6);
	scopes = SPI_getbinval(tuple, desc, 7, &isnull);
	if (!isnull)
		tombstone->binds = owner_strings(scopes, &tombstone->nbinds);
	reading->result = lappend(reading->result, tombstone);
}

List *
tombstone_read(TrackedTable *t, char **keys, int nkeys, Snapshot snapshot)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[2] = {OIDOID, TEXTARRAYOID};
	Reading		reading = {NIL, keys, nkeys};
	Datum		values[2];

	if (nkeys == 0)
		return NIL;
	values[0] = ObjectIdGetDatum(t->relid);
	values[1] = indexed_keys(keys, nkeys);
	owner_select(&plan,
				 "SELECT o.key, o.modified_at, o.client_id, o.scope, o.image,"
				 " CAST(o.clocks AS pg_catalog.text), o.scopes FROM tide.tombstone o"
				 " WHERE o.relid OPERATOR(pg_catalog.=) $1 AND o.key OPERATOR(pg_catalog.=) ANY ($2)",
				 2, types, values, NULL, snapshot, take_tombstone, &reading);
	return list_concat(reading.result, packed_read(t, keys, nkeys, snapshot));
}

/* ---------- conflicts ---------- */

enum
{
	LOST_KEY, LOST_SCOPE, LOST_KIND, LOST_JSON, LOST_IS_DELETE, LOST_TIME, LOST_CLIENT,
	LOST_STOOD, LOST_STOOD_TIME, LOST_STOOD_CLIENT, LOST_COLUMNS
};

void
conflict_write(TrackedTable *t, const Conflict *conflicts, int n, const char *subject)
{
	static SPIPlanPtr plan = NULL;
	static const Oid column_types[LOST_COLUMNS] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID,
	TIMESTAMPTZOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TEXTOID};
	static Oid	types[LOST_COLUMNS + 6] = {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
		BOOLARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
	TEXTARRAYOID, OIDOID, INT4OID, NAMEOID, TEXTOID, TIMESTAMPTZOID, XID8OID};
	Datum		values[LOST_COLUMNS + 6];
	char		nulls[LOST_COLUMNS + 6];
	Columns		columns;
	int			i;

	if (n == 0)
		return;
	columns_begin(&columns, LOST_COLUMNS, n);
	for (i = 0; i < n; i++)
	{
		const Conflict *c = &conflicts[i];

		column_put_text(&columns, LOST_KEY, i, c->key);
		column_put_text(&columns, LOST_SCOPE, i, c->scope);
		column_put_text(&columns, LOST_KIND, i, c->kind);
		column_put_text(&columns, LOST_JSON, i, c->lost);
		column_put(&columns, LOST_IS_DELETE, i, BoolGetDatum(c->lost_is_delete));
		column_put_time(&columns, LOST_TIME, i, c->lost_stamp.has_time, c->lost_stamp.time);
		column_put_text(&columns, LOST_CLIENT, i, c->lost_stamp.client_id);
		column_put_text(&columns, LOST_STOOD, i, c->stood);
		column_put_time(&columns, LOST_STOOD_TIME, i, c->stood_stamp.has_time,
						c->stood_stamp.time);
		column_put_text(&columns, LOST_STOOD_CLIENT, i, c->stood_stamp.client_id);
	}
	memset(nulls, ' ', sizeof(nulls));
	for (i = 0; i < LOST_COLUMNS; i++)
		values[i] = column_array(&columns, i, column_types[i]);
	values[i++] = ObjectIdGetDatum(t->relid);
	values[i++] = Int32GetDatum(t->reg);
	values[i++] = current_role();
	put_text(values, nulls, i++, subject);
	values[i++] = TimestampTzGetDatum(GetCurrentTimestamp());
	values[i++] = top_xid();
	owner_execute(&plan,
				  "INSERT INTO tide.conflict (relid, reg, key, scope, kind, lost, lost_is_delete,"
				  " lost_modified_at, lost_client_id, stood, stood_modified_at, stood_client_id,"
				  " role, subject, at, xid)"
				  " SELECT $11, $12, n.key, n.scope, n.kind, n.lost, n.lost_is_delete,"
				  "  n.lost_modified_at, n.lost_client_id, n.stood, n.stood_modified_at,"
				  "  n.stood_client_id, $13, $14, $15, $16"
				  " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
				  "  pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5),"
				  "  pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8),"
				  "  pg_catalog.unnest($9), pg_catalog.unnest($10))"
				  "  n(key, scope, kind, lost, lost_is_delete, lost_modified_at, lost_client_id,"
				  "   stood, stood_modified_at, stood_client_id)",
				  lengthof(types), types, values, nulls);
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

/* ---------- what was sent ---------- */

enum
{
	SENT_MARK, SENT_KEY, SENT_TIME, SENT_CLIENT, SENT_SUBJECT, SENT_DIGEST, SENT_IMAGE,
	SENT_STORED_TIME, SENT_STORED_CLIENT, SENT_IN_PART, SENT_RAISED, SENT_KNOWN_AS, SENT_COLUMNS
};

static Datum
digest_datum(const uint8 *digest)
{
	return PointerGetDatum(cstring_to_text_with_len((const char *) digest, SENT_DIGEST_SIZE));
}

void
sent_write(TrackedTable *t, const SentRecord *records, int n)
{
	static SPIPlanPtr plan = NULL;
	static const Oid column_types[SENT_COLUMNS] = {INT8OID, TEXTOID, TIMESTAMPTZOID, TEXTOID,
	TEXTOID, BYTEAOID, TEXTOID, TIMESTAMPTZOID, TEXTOID, BOOLOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	static Oid	types[SENT_COLUMNS + 2] = {INT8ARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
		TEXTARRAYOID, TEXTARRAYOID, BYTEAARRAYOID, TEXTARRAYOID, TIMESTAMPTZARRAYOID,
	TEXTARRAYOID, BOOLARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, OIDOID, XID8OID};
	Datum		values[SENT_COLUMNS + 2];
	Columns		columns;
	int			i;

	if (n == 0)
		return;
	columns_begin(&columns, SENT_COLUMNS, n);
	for (i = 0; i < n; i++)
	{
		const SentRecord *r = &records[i];

		column_put(&columns, SENT_MARK, i, Int64GetDatum(r->mark));
		column_put_text(&columns, SENT_KEY, i, indexed_key(r->key));
		column_put_time(&columns, SENT_TIME, i, true, r->stamp.time);
		column_put_text(&columns, SENT_CLIENT, i, r->stamp.client_id);
		column_put_text(&columns, SENT_SUBJECT, i, r->subject);
		column_put(&columns, SENT_DIGEST, i, digest_datum(r->digest));
		column_put_text(&columns, SENT_IMAGE, i, r->image);
		column_put_time(&columns, SENT_STORED_TIME, i, r->stored.has_time, r->stored.time);
		column_put_text(&columns, SENT_STORED_CLIENT, i, r->stored.client_id);
		column_put(&columns, SENT_IN_PART, i, BoolGetDatum(r->in_part));
		column_put_time(&columns, SENT_RAISED, i, r->is_raised, r->raised_to);
		column_put_time(&columns, SENT_KNOWN_AS, i, r->is_raised, r->known_as);
	}
	for (i = 0; i < SENT_COLUMNS; i++)
		values[i] = column_array(&columns, i, column_types[i]);
	values[i++] = ObjectIdGetDatum(t->relid);
	values[i++] = top_xid();
	owner_execute(&plan,
				  "INSERT INTO tide.sent (relid, mark, key, sent_at, client_id, subject, digest,"
				  " image, stored_at, stored_client_id, in_part, raised_to, known_as, xid)"
				  " SELECT $13, n.mark, n.key, n.sent_at, n.client_id, n.subject, n.digest,"
				  "  n.image, n.stored_at, n.stored_client_id, n.in_part, n.raised_to, n.known_as, $14"
				  " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
				  "  pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5),"
				  "  pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8),"
				  "  pg_catalog.unnest($9), pg_catalog.unnest($10), pg_catalog.unnest($11),"
				  "  pg_catalog.unnest($12))"
				  "  n(mark, key, sent_at, client_id, subject, digest, image, stored_at,"
				  "   stored_client_id, in_part, raised_to, known_as)",
				  lengthof(types), types, values, NULL);
}

#define SENT_RESULT \
	"s.mark, s.key, s.sent_at, s.client_id, s.subject, s.digest, s.image," \
	" s.stored_at, s.stored_client_id, s.in_part, s.raised_to, s.known_as"

static void
take_sent(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Reading    *reading = arg;
	SentRecord *r = palloc0(sizeof(SentRecord));
	bool		isnull;
	Datum		value;

	r->mark = DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull));
	r->key = owner_column_text(tuple, desc, 2);
	if (reading->nkeys > 0)
		r->key = key_of(r->key, reading->keys, reading->nkeys);
	r->stamp = stamp_columns(tuple, desc, 3);
	r->subject = owner_column_text(tuple, desc, 5);
	value = SPI_getbinval(tuple, desc, 6, &isnull);
	memcpy(r->digest, VARDATA_ANY(DatumGetByteaPP(value)), SENT_DIGEST_SIZE);
	r->image = owner_column_text(tuple, desc, 7);
	r->stored = stamp_columns(tuple, desc, 8);
	r->in_part = DatumGetBool(SPI_getbinval(tuple, desc, 10, &isnull));
	value = SPI_getbinval(tuple, desc, 11, &isnull);
	r->is_raised = !isnull;
	if (r->is_raised)
	{
		r->raised_to = DatumGetTimestampTz(value);
		r->known_as = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 12, &isnull));
	}
	reading->result = lappend(reading->result, r);
}

/* the keys in the result are as the index holds them */
List *
sent_read(TrackedTable *t, const int64 *marks, int n, Snapshot snapshot)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[2] = {OIDOID, INT8ARRAYOID};
	Reading		reading = {0};
	Columns		columns;
	Datum		values[2];
	int			i;

	if (n == 0)
		return NIL;
	columns_begin(&columns, 1, n);
	for (i = 0; i < n; i++)
		column_put(&columns, 0, i, Int64GetDatum(marks[i]));
	values[0] = ObjectIdGetDatum(t->relid);
	values[1] = column_array(&columns, 0, INT8OID);
	owner_select(&plan, "SELECT " SENT_RESULT " FROM tide.sent s"
				 " WHERE s.relid OPERATOR(pg_catalog.=) $1 AND s.mark OPERATOR(pg_catalog.=) ANY ($2)",
				 2, types, values, NULL, snapshot, take_sent, &reading);
	return reading.result;
}

/* a client whose stamps are in whole seconds raises one after the other */
#define MAX_RAISED "100"

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
				 2, types, values, NULL, snapshot, take_sent, &reading);
	return reading.result;
}

/* ---------- receipts ---------- */

/*
 * Whose a receipt is: the role that pushes, and the user of its claims.  Both
 * and the batch's id together are of any length, so they are looked up by hash.
 */
static Datum
receipt_id(const char *subject, const char *batch_id)
{
	char	   *names[3];

	names[0] = GetUserNameFromId(GetUserId(), false);
	names[1] = unconstify(char *, subject ? subject : "");
	names[2] = unconstify(char *, batch_id);
	return DirectFunctionCall1(sha256_bytea, CStringGetTextDatum(scopes_text(names, 3)));
}

typedef struct Receipt
{
	bytea	   *body_hash;
	char	   *reply;
} Receipt;

static void
take_receipt(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Receipt    *receipt = arg;
	bool		isnull;

	receipt->body_hash = DatumGetByteaPCopy(SPI_getbinval(tuple, desc, 1, &isnull));
	receipt->reply = owner_column_text(tuple, desc, 2);
}

char *
receipt_read(const char *subject, const char *batch_id, Snapshot snapshot,
			 bytea **body_hash)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[1] = {BYTEAOID};
	Receipt		receipt = {NULL, NULL};
	Datum		values[1];

	values[0] = receipt_id(subject, batch_id);
	owner_select(&plan,
				 "SELECT r.body_hash, r.reply FROM tide.receipt r"
				 " WHERE r.id OPERATOR(pg_catalog.=) $1",
				 1, types, values, NULL, snapshot, take_receipt, &receipt);
	*body_hash = receipt.body_hash;
	return receipt.reply;
}

void
receipt_write(const char *subject, const char *batch_id, bytea *body_hash,
			  const char *reply)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[7] = {BYTEAOID, NAMEOID, TEXTOID, TEXTOID, BYTEAOID, TEXTOID, XID8OID};
	Datum		values[7];
	char		nulls[7];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = receipt_id(subject, batch_id);
	values[1] = current_role();
	put_text(values, nulls, 2, subject);
	values[3] = CStringGetTextDatum(batch_id);
	values[4] = PointerGetDatum(body_hash);
	values[5] = CStringGetTextDatum(reply);
	values[6] = top_xid();
	owner_execute(&plan,
				  "INSERT INTO tide.receipt (id, role, subject, batch_id, body_hash, reply, xid)"
				  " VALUES ($1, $2, $3, $4, $5, $6, $7)",
				  7, types, values, nulls);
}

/* ---------- the horizon ---------- */

static void
take_horizon(HeapTuple tuple, TupleDesc desc, void *arg)
{
	Horizon    *horizon = arg;
	bool		isnull;

	horizon->xid = U64FromFullTransactionId(DatumGetFullTransactionId(SPI_getbinval(tuple, desc, 1, &isnull)));
	horizon->at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 2, &isnull));
	horizon->pruned_at = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 3, &isnull));
}

bool
horizon_read(Snapshot snapshot, Horizon *horizon)
{
	static SPIPlanPtr plan = NULL;

	return owner_select(&plan, "SELECT h.xid, h.at, h.pruned_at FROM tide.horizon h"
						" ORDER BY h.xid DESC LIMIT 1",
						0, NULL, NULL, NULL, snapshot, take_horizon, horizon) > 0;
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

/*
 * The oldest first, so that emptied pages of the indexes are whole and can be
 * used again: new entries have higher transaction ids.  Deleting waits for
 * nobody and nobody for it: entries are never updated.
 */
int64
changelog_forget(uint64 horizon, int max_rows)
{
	static SPIPlanPtr plans[7] = {NULL, NULL, NULL, NULL, NULL, NULL, NULL};
	static const char *const sql[7] = {
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
		"DELETE FROM tide.sent WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY("
		" SELECT s.ctid FROM tide.sent s WHERE s.xid OPERATOR(pg_catalog.<) $1"
		" ORDER BY s.xid LIMIT $2))",
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
	for (i = 0; i < lengthof(plans); i++)
		removed += owner_execute(&plans[i], sql[i], 2, types, values, NULL);
	return removed;
}
