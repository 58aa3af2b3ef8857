/*-------------------------------------------------------------------------
 *
 * moved.c
 *	  The buckets of keys that changed since a cursor.
 *
 * A client whose cursor is older than the digest cannot have what came since,
 * so these buckets say nothing.  One bucket too many does no harm: a row that
 * is only sent again counts, too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "digest/digest.h"
#include "log/scan.h"
#include "wire/wire.h"

/* the scopes of a place, as the log writes them */
static ScopeSet
log_scopes(Pull *pull, const Place *place)
{
	if (pull->access.scopes.all || place->scopes.all)
		return place->scopes;
	return scopes_intersect(&place->scopes, &pull->spelled);
}

/*
 * the digest of the table that an entry is about; NULL: the place has no such
 * table
 */
static TableDigest *
digest_of(Pull *pull, const Place *place, const LogEntry *entry, TableDigest *digests)
{
	int			i;

	if (!types_contain(&place->types, entry->reg))
		return NULL;
	for (i = 0; i < list_length(pull->tables); i++)
	{
		PullTable  *table = digests[i].table;

		if (table->t->reg != entry->reg || table->t->relid != entry->relid)
			continue;
		if (table->t->shared || entry->is_registration ||
			(scopes_contain(&place->scopes, entry->scope) &&
			 access_has_text(&table->scopes, entry->scope)))
			return &digests[i];
	}
	return NULL;
}

static void
mark_keys(TableDigest *digest, const LogEntry *entry, RowHasher *hasher)
{
	TrackedTable *t = digest->table->t;
	Datum		key[INDEX_MAX_KEYS];
	int			level = wire_begin();
	int			i;

	/* an entry without keys is about all of them */
	if (entry->is_registration)
		memset(digest->moved, true, sizeof(digest->moved));
	for (i = 0; i < entry->nkeys; i++)
	{
		wire_key_values(t, entry->keys[i], key);
		digest->moved[hasher_bucket(hasher, t, key)] = true;
	}
	wire_end(level);
}

static void
mark_place(Pull *pull, const Place *place, TableDigest *digests, RowHasher *hasher)
{
	ScopeSet	scopes = log_scopes(pull, place);
	LogPosition start = {0};
	LogScan    *scan = log_scan_begin(&place->seen, &scopes, &start);
	MemoryContext keys = AllocSetContextCreate(CurrentMemoryContext, "pg_tide moved keys",
											   ALLOCSET_DEFAULT_SIZES);
	const LogEntry *found;

	while ((found = log_scan_next(scan)) != NULL)
	{
		TableDigest *digest = digest_of(pull, place, found, digests);
		MemoryContext old = MemoryContextSwitchTo(keys);

		if (digest)
			mark_keys(digest, log_scan_keep(scan), hasher);
		MemoryContextSwitchTo(old);
		MemoryContextReset(keys);
	}
	log_scan_end(scan);
	MemoryContextDelete(keys);
}

void
digest_mark_moved(Pull *pull, TableDigest *digests, RowHasher *hasher)
{
	int			i;

	for (i = 0; i < pull->begin.nasked; i++)
		mark_place(pull, &pull->begin.asked[i], digests, hasher);
}
