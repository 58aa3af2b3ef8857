/*-------------------------------------------------------------------------
 *
 * packed.c
 *	  Tombstones of very many rows that one statement deleted.
 *
 * TRUNCATE of a million rows would write a million tombstones, which takes
 * many times as long as the TRUNCATE itself.  One tombstone for the whole table
 * would be wrong: it would also beat rows that devices have created offline
 * and that the table never had.  So the hashes of the keys are kept, sorted, a
 * thousand in an array.  A key is looked up by the range of hashes that an
 * array spans.
 *
 * A hash has 64 bits.  The chance that another key has the hash of one of a
 * million keys is one in ten million million, and only a row older than the
 * TRUNCATE would suffer from it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "log/packed.h"
#include "util/keymap.h"
#include "util/owner.h"

#define HASHES_PER_PACK 1000

/* this many are gathered before they are written, so that memory is bounded */
#define MAX_GATHERED (1000 * HASHES_PER_PACK)

typedef struct Buried
{
	int64		hash;
	int32		scope;			/* its place in scopes; -1: NULL */
} Buried;

struct Packing
{
	TrackedTable *t;
	Stamp		stamp;
	MemoryContext context;
	Buried	   *rows;
	int			nrows;
	int			allocated;
	KeyMap	   *places;			/* for each scope, its place in scopes, plus 1 */
	char	  **scopes;
	int			nscopes;
	int			ascopes;
};

static int64
hash_of_key(const char *key)
{
	return (int64) hash_bytes_extended((const unsigned char *) key, strlen(key), 0);
}

Packing *
packed_begin(TrackedTable *t, const Stamp *stamp, MemoryContext parent)
{
	MemoryContext context = AllocSetContextCreate(parent, "pg_tide packed tombstones",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Packing    *p = palloc0(sizeof(Packing));

	p->t = t;
	p->stamp = *stamp;
	if (stamp->client_id)
		p->stamp.client_id = pstrdup(stamp->client_id);
	p->context = context;
	p->places = keymap_new(context, 64);
	MemoryContextSwitchTo(old);
	return p;
}

static int32
place_of_scope(Packing *p, const char *scope)
{
	intptr_t	place;

	if (scope == NULL)
		return -1;
	place = (intptr_t) keymap_get(p->places, scope);
	if (place > 0)
		return (int32) place - 1;
	if (p->nscopes == p->ascopes)
	{
		p->ascopes = p->ascopes ? p->ascopes * 2 : 16;
		p->scopes = p->scopes ?
			repalloc_huge(p->scopes, sizeof(char *) * p->ascopes) :
			palloc(sizeof(char *) * p->ascopes);
	}
	p->scopes[p->nscopes++] = pstrdup(scope);
	keymap_put(p->places, p->scopes[p->nscopes - 1], (void *) (intptr_t) p->nscopes);
	return p->nscopes - 1;
}

static int
compare_hashes(const void *a, const void *b)
{
	int64		x = ((const Buried *) a)->hash;
	int64		y = ((const Buried *) b)->hash;

	return (x > y) - (x < y);
}

static void
write_pack(Packing *p, const Buried *rows, int n)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[8] = {OIDOID, INT8OID, INT8OID, INT8ARRAYOID, TEXTARRAYOID,
	TIMESTAMPTZOID, TEXTOID, XID8OID};
	Datum	   *hashes = palloc(sizeof(Datum) * n);
	char	  **scopes = palloc(sizeof(char *) * n);
	char	   *nulls = "        ";
	Datum		values[8];
	int			i;

	for (i = 0; i < n; i++)
	{
		hashes[i] = Int64GetDatum(rows[i].hash);
		scopes[i] = rows[i].scope < 0 ? NULL : p->scopes[rows[i].scope];
	}
	values[0] = ObjectIdGetDatum(p->t->relid);
	values[1] = hashes[0];
	values[2] = hashes[n - 1];
	values[3] = PointerGetDatum(construct_array(hashes, n, INT8OID, sizeof(int64),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	/* for a shared table or a single scope, one element stands for all */
	for (i = 1; i < n && rows[i].scope == rows[0].scope; i++)
		 /* look for a different one */ ;
	values[4] = owner_text_array(scopes, i < n ? n : 1);
	values[5] = TimestampTzGetDatum(p->stamp.time);
	values[6] = p->stamp.client_id ? CStringGetTextDatum(p->stamp.client_id) : (Datum) 0;
	if (p->stamp.client_id == NULL)
		nulls = "      n ";
	values[7] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	owner_run(&plan,
			  "INSERT INTO tide.tombstone_pack (relid, span, hashes, scopes, modified_at, client_id, xid)"
			  " VALUES ($1, pg_catalog.int8range($2, $3, '[]'), $4, $5, $6, $7, $8)",
			  8, types, values, nulls, InvalidSnapshot, true);
}

static void
write_gathered(Packing *p)
{
	MemoryContext pack = AllocSetContextCreate(p->context, "pg_tide pack",
											   ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	int			i;

	qsort(p->rows, p->nrows, sizeof(Buried), compare_hashes);
	SPI_connect();
	for (i = 0; i < p->nrows; i += HASHES_PER_PACK)
	{
		CHECK_FOR_INTERRUPTS();
		old = MemoryContextSwitchTo(pack);
		write_pack(p, p->rows + i, Min(HASHES_PER_PACK, p->nrows - i));
		MemoryContextSwitchTo(old);
		MemoryContextReset(pack);
	}
	SPI_finish();
	MemoryContextDelete(pack);
	p->nrows = 0;
}

void
packed_add(Packing *p, const char *key, const char *scope)
{
	MemoryContext old = MemoryContextSwitchTo(p->context);

	if (p->nrows == MAX_GATHERED)
		write_gathered(p);
	if (p->nrows == p->allocated)
	{
		p->allocated = p->allocated ? p->allocated * 2 : 1024;
		p->rows = p->rows ? repalloc_huge(p->rows, sizeof(Buried) * p->allocated) :
			palloc(sizeof(Buried) * p->allocated);
	}
	p->rows[p->nrows].hash = hash_of_key(key);
	p->rows[p->nrows].scope = place_of_scope(p, scope);
	p->nrows++;
	MemoryContextSwitchTo(old);
}

void
packed_end(Packing *p)
{
	if (p->nrows > 0)
		write_gathered(p);
	MemoryContextDelete(p->context);
}

/* ---------- looking up ---------- */

/*
 * The place of a hash in a pack, or -1. pg_tide has made the array, so it has
 * one dimension and no NULLs.
 */
static int
place_in_pack(ArrayType *hashes, int64 hash)
{
	const int64 *elements = (const int64 *) ARR_DATA_PTR(hashes);
	int			low = 0;
	int			high = ArrayGetNItems(ARR_NDIM(hashes), ARR_DIMS(hashes));

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (elements[middle] < hash)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < ArrayGetNItems(ARR_NDIM(hashes), ARR_DIMS(hashes)) && elements[low] == hash)
		return low;
	return -1;
}

static char *
scope_in_pack(ArrayType *scopes, int place)
{
	int			subscript = ArrayGetNItems(ARR_NDIM(scopes), ARR_DIMS(scopes)) > 1 ? place + 1 : 1;
	bool		isnull;
	Datum		scope = array_get_element(PointerGetDatum(scopes), 1, &subscript, -1, -1,
										  false, TYPALIGN_INT, &isnull);

	return isnull ? NULL : TextDatumGetCString(scope);
}

/*
 * The tombstone of a row (ord, hashes, scopes, modified_at, client_id), NULL
 * if the row has none for the key.
 */
static Tombstone *
read_pack(char **keys, HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	char	   *key = keys[DatumGetInt64(SPI_getbinval(tuple, desc, 1, &isnull)) - 1];
	int			place = place_in_pack(DatumGetArrayTypeP(SPI_getbinval(tuple, desc, 2, &isnull)),
									  hash_of_key(key));
	Tombstone  *tombstone;

	if (place < 0)
		return NULL;
	tombstone = palloc0(sizeof(Tombstone));
	tombstone->key = key;
	tombstone->scope = scope_in_pack(DatumGetArrayTypeP(SPI_getbinval(tuple, desc, 3, &isnull)),
									 place);
	tombstone->stamp.has_time = true;
	tombstone->stamp.time = DatumGetTimestampTz(SPI_getbinval(tuple, desc, 4, &isnull));
	tombstone->stamp.client_id = owner_column_text(tuple, desc, 5);
	return tombstone;
}

/*
 * Most databases have no packs, and every push of new rows asks.  So look
 * first whether the table has any page.
 */
static bool
there_are_none(void)
{
	Relation	rel = table_open(owner_relation("tombstone_pack"), AccessShareLock);
	bool		result = (RelationGetNumberOfBlocks(rel) == 0);

	table_close(rel, AccessShareLock);
	return result;
}

List *
packed_read(TrackedTable *t, char **keys, int nkeys, Snapshot snapshot)
{
	static SPIPlanPtr plan = NULL;
	static Oid	types[2] = {OIDOID, INT8ARRAYOID};
	MemoryContext caller = CurrentMemoryContext;
	Datum	   *hashes;
	Datum		values[2];
	KeyMap	   *found;
	List	   *result = NIL;
	uint64		n;
	int			i;

	if (nkeys == 0 || there_are_none())
		return NIL;
	hashes = palloc(sizeof(Datum) * nkeys);
	for (i = 0; i < nkeys; i++)
		hashes[i] = Int64GetDatum(hash_of_key(keys[i]));
	values[0] = ObjectIdGetDatum(t->relid);
	values[1] = PointerGetDatum(construct_array(hashes, nkeys, INT8OID, sizeof(int64),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	SPI_connect();
	owner_run(&plan,
			  "SELECT k.ord, p.hashes, p.scopes, p.modified_at, p.client_id"
			  " FROM ROWS FROM (pg_catalog.unnest($2)) WITH ORDINALITY k(hash, ord)"
			  " JOIN tide.tombstone_pack p ON p.relid OPERATOR(pg_catalog.=) $1"
			  "  AND p.span OPERATOR(pg_catalog.@>) k.hash",
			  2, types, values, NULL, snapshot, snapshot == InvalidSnapshot);
	found = keymap_new(CurrentMemoryContext, 64);
	for (n = 0; n < SPI_processed; n++)
	{
		MemoryContext old = MemoryContextSwitchTo(caller);
		Tombstone  *tombstone = read_pack(keys, SPI_tuptable->vals[n], SPI_tuptable->tupdesc);
		Tombstone  *other = tombstone ? keymap_get(found, tombstone->key) : NULL;

		if (other && stamp_compare(&tombstone->stamp, &other->stamp) > 0)
			*other = *tombstone;
		else if (tombstone && other == NULL)
		{
			result = lappend(result, tombstone);
			keymap_put(found, tombstone->key, tombstone);
		}
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	return result;
}
