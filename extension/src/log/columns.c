/*-------------------------------------------------------------------------
 *
 * columns.c
 *	  Values of the columns that several of pg_tide's tables have: keys,
 *	  stamps, the transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/xid8.h"

#include "log/columns.h"
#include "util/owner.h"

Datum
top_xid(void)
{
	return FullTransactionIdGetDatum(GetTopFullTransactionId());
}

/* ---------- stamps ---------- */

Stamp
stamp_get(TupleTableSlot *slot, AttrNumber n)
{
	Stamp		stamp = {0};
	bool		isnull;
	Datum		time = slot_getattr(slot, n, &isnull);

	stamp.has_time = !isnull;
	if (!isnull)
		stamp.time = DatumGetTimestampTz(time);
	stamp.client_id = store_text(slot, n + 1);
	return stamp;
}

void
stamp_put(StoreRow *row, AttrNumber n, const Stamp *stamp)
{
	store_put_time(row, n, stamp->has_time, stamp->time);
	store_put_text(row, n + 1, stamp->client_id);
}

/* ---------- long keys ---------- */

/* an index entry may not be longer than a third of a page */
#define MAX_KEY_LENGTH 500

/*
 * A key as the indexes of pg_tide hold it.  A long key is held by its hash.
 * The hash is longer than any key that is held as it is, so it is never taken
 * for another key.
 */
char *
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

/* that one of these keys which the index holds in this form */
char *
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

Datum
indexed_keys(char **keys, int nkeys)
{
	char	  **indexed = palloc(sizeof(char *) * Max(nkeys, 1));
	int			i;

	for (i = 0; i < nkeys; i++)
		indexed[i] = indexed_key(keys[i]);
	return owner_text_array(indexed, nkeys);
}
