/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  tide.keys: the keys that exist.
 *
 * This is for a client that cannot tell which of its rows are gone.  For a
 * client whose digest differs, it also gives the versions of some buckets.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "digest/hash.h"
#include "digest/scan.h"
#include "pull/pull.h"
#include "util/errors.h"
#include "util/settings.h"
#include "wire/wire.h"

PG_FUNCTION_INFO_V1(tide_keys);

typedef struct Listing
{
	StringInfoData reply;
	TrackedTable *t;			/* the table that is being listed */
	RowHasher  *hasher;			/* NULL: the keys of all buckets are listed,
								 * without stamps */
	bool		wanted[DIGEST_BUCKETS];
	int			n;				/* listed so far, of this table */
	int			left;			/* how many more may be listed */
} Listing;

static void
read_buckets(ArrayType *array, Listing *listing)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n,
				i;

	deconstruct_array(array, INT4OID, sizeof(int32), true, TYPALIGN_INT, &elements, &nulls, &n);
	for (i = 0; i < n; i++)
	{
		if (nulls[i] || DatumGetInt32(elements[i]) < 0 ||
			DatumGetInt32(elements[i]) >= DIGEST_BUCKETS)
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
					 errmsg("a bucket must be a number from 0 to %d", DIGEST_BUCKETS - 1)));
		listing->wanted[DatumGetInt32(elements[i])] = true;
	}
}

/* as the reply to a push names the row: a string, or an object */
static void
append_key(StringInfo buf, TrackedTable *t, Datum *key)
{
	if (t->nkeys == 1)
		escape_json(buf, wire_key_text(t, key));
	else
		wire_append_key(buf, t, key);
}

/* the row as a pull sends it, with its key and stamp alone */
static void
append_version(StringInfo buf, TrackedTable *t, ScannedRow *row)
{
	appendStringInfoChar(buf, '{');
	wire_append_key_members(buf, t, row->key);
	wire_append_member(buf, t, tracked_column(t, t->modified_at), row->stamp, row->no_stamp);
	wire_append_member(buf, t, tracked_column(t, t->client_id), row->client, row->no_client);
	appendStringInfoChar(buf, '}');
}

static bool
list_row(ScannedRow *row, void *arg)
{
	Listing    *listing = arg;
	StringInfo	buf = &listing->reply;

	if (listing->hasher &&
		!listing->wanted[hasher_bucket(listing->hasher, listing->t, row->key)])
		return true;
	if (listing->left-- == 0)
		return false;
	if (listing->n++ > 0)
		appendStringInfoChar(buf, ',');
	if (listing->hasher)
		append_version(buf, listing->t, row);
	else
		append_key(buf, listing->t, row->key);
	return buf->len <= PULL_LARGEST;
}

/* "Type":[...] */
static void
list_table(Listing *listing, PullTable *table)
{
	listing->t = table->t;
	listing->n = 0;
	escape_json(&listing->reply, table->t->entity_type);
	appendStringInfoString(&listing->reply, ":[");
	scan_rows(table, list_row, listing);
	appendStringInfoChar(&listing->reply, ']');
	if (listing->left >= 0 && listing->reply.len <= PULL_LARGEST)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_USE_CURSOR),
			 listing->left < 0 ?
			 errmsg("there are more than %d keys", tide_max_time_rows) :
			 errmsg("the keys take more than %d bytes", PULL_LARGEST),
			 listing->hasher ?
			 errhint("Ask for fewer buckets or entity types.") :
			 errhint("Ask for fewer entity types, or pull without \"since\".")));
}

/*
 * The list is not paged, so its length is limited, in rows and in bytes, as that
 * of a pull since a time is.  A type without rows has an empty list, so that the
 * client may drop all rows of it.
 */
Datum
tide_keys(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	Pull		pull = {0};
	Listing		listing = {0};
	ListCell   *lc;
	text	   *result;

	if (!PG_ARGISNULL(2))
		read_buckets(PG_GETARG_ARRAYTYPE_P(2), &listing);
	pull_open(&pull, tide_array_argument(fcinfo, 0),
			  tide_array_argument(fcinfo, 1), NULL);
	if (!PG_ARGISNULL(2))
		listing.hasher = hasher_new();
	listing.left = tide_max_time_rows;
	initStringInfo(&listing.reply);
	appendStringInfoString(&listing.reply, "{\"keysByType\":{");
	foreach(lc, pull.tables)
	{
		if (lc != list_head(pull.tables))
			appendStringInfoChar(&listing.reply, ',');
		list_table(&listing, lfirst(lc));
	}
	appendStringInfoChar(&listing.reply, '}');
	pull_append_names(&listing.reply, "unavailableTypes", pull.unavailable);
	appendStringInfoChar(&listing.reply, '}');
	if (listing.hasher)
		hasher_free(listing.hasher);
	MemoryContextSwitchTo(caller);
	result = cstring_to_text_with_len(listing.reply.data, listing.reply.len);
	pull_finish(&pull);
	PG_RETURN_TEXT_P(result);
}
