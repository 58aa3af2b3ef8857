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

#include "miscadmin.h"
#include "utils/memutils.h"

#include "digest/digest.h"
#include "log/changelog.h"
#include "wire/wire.h"

/* entries of the log that are in memory at a time, of up to a thousand keys */
#define ENTRIES 32

/* the scopes of a place as the log has them */
static ScopeSet
log_scopes(Pull *pull, const Place *place)
{
	if (pull->access.scopes.all || place->scopes.all)
		return place->scopes;
	return scopes_intersect(&place->scopes, &pull->spelled);
}

/* the digest that an entry is about; NULL: none of this place */
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
		if (table->t->shared || entry->nkeys == 0 ||
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

	/* without keys it is about all of them */
	if (entry->nkeys == 0)
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
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext batch = AllocSetContextCreate(caller, "pg_tide moved keys",
												ALLOCSET_DEFAULT_SIZES);
	uint64		xid = 0;
	int64		seq = PG_INT64_MIN;
	int			n;

	do
	{
		List	   *entries;
		ListCell   *lc;

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(batch);
		entries = changelog_read(&place->seen, &scopes, xid, seq, ENTRIES);
		n = list_length(entries);
		foreach(lc, entries)
		{
			LogEntry   *entry = lfirst(lc);
			TableDigest *digest = digest_of(pull, place, entry, digests);

			xid = entry->xid;
			seq = entry->seq;
			if (digest)
				mark_keys(digest, entry, hasher);
		}
		MemoryContextSwitchTo(caller);
		MemoryContextReset(batch);
	} while (n == ENTRIES);
	MemoryContextDelete(batch);
}

void
digest_mark_moved(Pull *pull, TableDigest *digests, RowHasher *hasher)
{
	int			i;

	for (i = 0; i < pull->begin.nasked; i++)
		mark_place(pull, &pull->begin.asked[i], digests, hasher);
}
