/*-------------------------------------------------------------------------
 *
 * ahead.c
 *	  Entries of the log, and which of their keys come again.
 *
 * A row that changed a hundred times is in a hundred entries, and a client has
 * to be sent it once: with the newest.  So entries are read ahead, and it is
 * noted which is the newest of each key.  Only among those of one scope: who
 * pulls two scopes may ask for but one of them with the next page, and must then
 * hear that a row has left that one, although a newer entry of the other
 * scope has it too.
 *
 * How far to read ahead is a question of cost alone: a key of which a newer
 * entry lies farther ahead is sent twice.  Most often no key comes again, and
 * nothing need be read that the page does not send; but where a thousand rows
 * are updated over and over, it pays to look ahead over all of them.  So the
 * first page measures how far apart keys are from where they come again, and
 * the cursor takes that along, with how far it is known; then it is measured
 * again.  In all, the log is read twice.
 *
 * Lengths are in units of one key.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "pull/ahead.h"

/* the cost of reading an entry, besides its keys */
#define ENTRY_LENGTH 4

/* the cost of sending a row and of storing it in the client */
#define ROW_LENGTH 256

/* the longest distance that is measured */
#define MAX_LENGTH (64 * 1024)

/* and the most memory that this may take, because keys can be long */
#define MAX_BYTES (8 * 1024 * 1024)

#define NDISTANCES 32

typedef struct AheadEntry
{
	struct AheadEntry *next;
	LogEntry   *entry;
	int64		at;				/* the length of all entries before it */
} AheadEntry;

typedef struct KeyName
{
	int32		reg;
	const char *key;
} KeyName;

typedef struct NewestOfKey
{
	KeyName		name;			/* the text belongs to the entry */
	const AheadEntry *newest;
	uint32		hash;
	char		status;
} NewestOfKey;

#define SH_PREFIX newest
#define SH_ELEMENT_TYPE NewestOfKey
#define SH_KEY_TYPE KeyName
#define SH_KEY name
#define SH_HASH_KEY(tb, k) \
	hash_combine(murmurhash32((k).reg), \
				 hash_bytes((const unsigned char *) (k).key, strlen((k).key)))
#define SH_EQUAL(tb, a, b) ((a).reg == (b).reg && strcmp((a).key, (b).key) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, element) ((element)->hash)
#define SH_SCOPE static inline pg_attribute_unused()
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

struct Ahead
{
	MemoryContext context;
	LogScan    *scan;
	bool		by_scope;		/* the scan goes scope by scope */
	int			max_rows;
	WantEntry	want;
	void	   *arg;
	const LogEntry *found;		/* the entry at which the scan is; NULL: not
								 * looked for yet */
	bool		at_end;

	AheadEntry *current;		/* the entry that ahead_next() returned last */
	AheadEntry *first;			/* the first that was read and not returned
								 * yet */
	AheadEntry *last;
	int64		end;			/* the length of all entries that were read */
	Size		nbytes;
	newest_hash *newest;		/* of keys of the entries that were read and
								 * not returned, and of "current" */

	char	   *scope;			/* the scope of which the following is known;
								 * NULL: of every scope */
	int64		reach;			/* how far ahead to read */
	int64		measured;		/* the place up to which "reach" holds; then
								 * it is measured again */
	bool		is_measuring;
	int64		nkeys;			/* the number of keys that this page has read */
	int64		distances[NDISTANCES];	/* how many of them come again, by the
										 * binary logarithm of how far ahead */
};

Ahead *
ahead_begin(const Place *place, const ScopeSet *scopes, int max_rows, WantEntry want, void *arg)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "pg_tide ahead",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Ahead	   *ahead = palloc0(sizeof(Ahead));
	LogPosition from;

	from.scope = place->scope;
	from.xid = place->xid;
	from.seq = place->seq;
	ahead->context = context;
	ahead->scan = log_scan_begin(&place->seen, scopes, &from);
	ahead->by_scope = !scopes->all;
	ahead->max_rows = max_rows;
	ahead->want = want;
	ahead->arg = arg;
	ahead->newest = newest_create(context, 64, NULL);
	ahead->scope = place->scope ? pstrdup(place->scope) : NULL;
	ahead->reach = Min(place->reach, MAX_LENGTH);
	ahead->measured = Min(place->measured, MAX_LENGTH);
	MemoryContextSwitchTo(old);
	return ahead;
}

void
ahead_end(Ahead *ahead)
{
	log_scan_end(ahead->scan);
	MemoryContextDelete(ahead->context);
}

/* ---------- the newest of each key ---------- */

static KeyName
key_name(const LogEntry *entry, const char *key)
{
	KeyName		name;

	name.reg = entry->reg;
	name.key = key;
	return name;
}

/* writers of one row wait for each other, so seq is in their order */
static void
note_keys(Ahead *ahead, const AheadEntry *a)
{
	const LogEntry *entry = a->entry;
	int			i;

	for (i = 0; i < entry->nkeys; i++)
	{
		bool		found;
		NewestOfKey *n = newest_insert(ahead->newest, key_name(entry, entry->keys[i]), &found);

		if (found && n->newest != a)
			ahead->distances[pg_leftmost_one_pos64((uint64) (a->at - n->newest->at))]++;
		if (found && n->newest->entry->seq > entry->seq)
			continue;
		n->name.key = entry->keys[i];
		n->newest = a;
	}
	ahead->nkeys += entry->nkeys;
}

static void
forget_keys(Ahead *ahead, const AheadEntry *a)
{
	int			i;

	for (i = 0; i < a->entry->nkeys; i++)
	{
		NewestOfKey *n = newest_lookup(ahead->newest, key_name(a->entry, a->entry->keys[i]));

		if (n && n->newest == a)
			newest_delete_item(ahead->newest, n);
	}
}

const LogEntry *
ahead_newest(Ahead *ahead, const char *key)
{
	const LogEntry *current = ahead->current->entry;
	NewestOfKey *n = newest_lookup(ahead->newest, key_name(current, key));
	const LogEntry *newest = n ? n->newest->entry : current;

	if (newest != current && !ahead->by_scope && strcmp(newest->scope, current->scope) != 0)
		return current;
	return newest;
}

/* ---------- how far ahead ---------- */

/* what was measured is not known of another scope */
static void
forget_measured(Ahead *ahead, const char *scope)
{
	ahead->scope = pstrdup(scope);
	ahead->measured = 0;
	ahead->nkeys = 0;
	memset(ahead->distances, 0, sizeof(ahead->distances));
}

/*
 * Settle how far ahead the next pages read, which is as far as it pays.  If
 * all but one in n keys come again within a distance, a page with that reach
 * goes through n times as many keys as it sends.
 */
static void
end_measuring(Ahead *ahead)
{
	int64		again = 0;
	int			i;

	ahead->is_measuring = false;
	ahead->reach = 0;
	ahead->measured = ahead->end;
	for (i = 0; i < NDISTANCES && INT64CONST(2) << i <= MAX_LENGTH; i++)
	{
		int64		length = INT64CONST(2) << i;
		double		saved;

		again += ahead->distances[i];
		saved = (double) ROW_LENGTH * ahead->max_rows * again / Max(ahead->nkeys - again, 1);
		if (ahead->distances[i] > 0 && saved >= length)
			ahead->reach = length;
	}
}

void
ahead_save(Ahead *ahead, Place *place)
{
	place->reach = (int32) ahead->reach;
	place->measured = (int32) Max(ahead->measured - ahead->current->at, 0);
}

/* ---------- entries ---------- */

/* go to the next entry that is wanted; false: there is none */
static bool
find_entry(Ahead *ahead)
{
	while (ahead->found == NULL && !ahead->at_end)
	{
		ahead->found = log_scan_next(ahead->scan);
		ahead->at_end = (ahead->found == NULL);
		if (ahead->found && !ahead->want(ahead->found, ahead->arg))
			ahead->found = NULL;
	}
	return ahead->found != NULL;
}

static Size
size_of(const LogEntry *entry)
{
	return sizeof(AheadEntry) + sizeof(LogEntry) + VARSIZE(entry->packed) +
		entry->nkeys * (sizeof(char *) + sizeof(NewestOfKey));
}

static void
add_entry(Ahead *ahead, LogEntry *entry)
{
	AheadEntry *a = palloc(sizeof(AheadEntry));

	a->next = NULL;
	a->entry = entry;
	a->at = ahead->end;
	if (ahead->first)
		ahead->last->next = a;
	else
		ahead->first = a;
	ahead->last = a;
	ahead->end += ENTRY_LENGTH + entry->nkeys;
	ahead->nbytes += size_of(entry);
	if (ahead->is_measuring || ahead->reach > 0)
		note_keys(ahead, a);
}

/* read ahead up to this length, as far as memory and the scope allow */
static void
read_up_to(Ahead *ahead, int64 length)
{
	while ((ahead->end < length && ahead->nbytes < MAX_BYTES) || ahead->first == NULL)
	{
		if (!find_entry(ahead) ||
			(ahead->first && ahead->by_scope &&
			 strcmp(ahead->last->entry->scope, ahead->found->scope) != 0))
			break;
		add_entry(ahead, log_scan_keep(ahead->scan));
		ahead->found = NULL;
	}
}

/* read as far ahead of the first entry as "reach" says */
static void
fill(Ahead *ahead)
{
	const char *scope;
	int64		from;

	if (!find_entry(ahead) && ahead->first == NULL)
		return;
	scope = ahead->first ? ahead->first->entry->scope : ahead->found->scope;
	from = ahead->first ? ahead->first->at : ahead->end;
	if (ahead->by_scope && (ahead->scope == NULL || strcmp(ahead->scope, scope) != 0))
		forget_measured(ahead, scope);
	if (from >= ahead->measured)
	{
		ahead->is_measuring = true;
		read_up_to(ahead, from + MAX_LENGTH);
		end_measuring(ahead);
	}
	else
		read_up_to(ahead, from + ahead->reach);
}

const LogEntry *
ahead_next(Ahead *ahead)
{
	MemoryContext old = MemoryContextSwitchTo(ahead->context);

	if (ahead->current)
	{
		ahead->nbytes -= size_of(ahead->current->entry);
		forget_keys(ahead, ahead->current);
		log_entry_free(ahead->current->entry);
		pfree(ahead->current);
	}
	fill(ahead);
	ahead->current = ahead->first;
	if (ahead->current)
		ahead->first = ahead->current->next;
	MemoryContextSwitchTo(old);
	return ahead->current ? ahead->current->entry : NULL;
}
