/*-------------------------------------------------------------------------
 *
 * collect.c
 *	  Gathering which rows changed, and writing them down.
 *
 * An entry of the change log holds the keys of one scope, packed.  So a change
 * of 100,000 rows in ten scopes writes some hundred entries.  It makes no
 * difference here whether one statement changed them (capture.c) or one row
 * came after the other (rows.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "capture/capture.h"
#include "capture/collect.h"
#include "log/changelog.h"
#include "log/packed.h"
#include "log/records.h"
#include "util/compat.h"
#include "util/keymap.h"
#include "util/settings.h"
#include "version/clocks.h"
#include "version/image.h"
#include "wire/wire.h"

/* rows of a huge DELETE that get a tombstone each, before packs begin */
#define UNPACKED_TOMBSTONES 1000

/* keys of one scope, of one origin */
typedef struct Bucket
{
	struct Bucket *next;		/* of the same scope */
	char	   *scope;
	LogOrigin  *origin;			/* NULL: not a push's own */
	int			nkeys;
	int			allocated;
	char	  **keys;
} Bucket;

static void
start(Collection *c)
{
	c->buckets = keymap_new(c->context, 64);
	c->everybody = NULL;
	c->order = NIL;
	c->tombstones = NULL;
	c->ntombstones = c->atombstones = 0;
	c->dead = c->full ? keymap_new(c->context, 16) : NULL;
	c->empty = true;
}

/*
 * full: called when a bucket is full, or before keys of another client come
 * in.  NULL if the caller writes soon anyway.
 */
void
collect_begin(Collection *c, TrackedTable *t, MemoryContext parent,
			  void (*full) (void))
{
	memset(c, 0, sizeof(*c));
	c->t = c->layout = t;
	c->context = AllocSetContextCreate(parent, "pg_tide capture", ALLOCSET_DEFAULT_SIZES);
	c->full = full;
	start(c);
}

void
collect_forget(Collection *c)
{
	MemoryContextReset(c->context);
	start(c);
}

bool
collect_is_large(Collection *c)
{
	return MemoryContextMemAllocated(c->context, false) > COLLECT_LIMIT;
}

/* write what was collected, and keep it */
void
collect_write(Collection *c)
{
	LogEntry   *entries = palloc0(sizeof(LogEntry) * (list_length(c->order) + 1));
	ListCell   *lc;
	int			n = 0;

	foreach(lc, c->order)
	{
		Bucket	   *bucket = lfirst(lc);

		if (bucket->nkeys == 0)
			continue;
		entries[n].scope = bucket->scope;
		entries[n].origin = bucket->origin;
		entries[n].keys = bucket->keys;
		entries[n].nkeys = bucket->nkeys;
		n++;
	}
	if (n == 1)
		changelog_append(c->t, entries[0].scope, entries[0].origin,
						 entries[0].keys, entries[0].nkeys);
	else if (n > 1)
		changelog_append_many(c->t, entries, n);
	pfree(entries);
	if (c->ntombstones > 0)
		tombstone_write(c->t, c->tombstones, c->ntombstones);
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool
same_origin(const LogOrigin *a, const LogOrigin *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a->push == b->push && same_text(a->subject, b->subject) &&
		same_text(a->client_id, b->client_id);
}

/* the collection may outlive the push */
static LogOrigin *
copy_origin(const LogOrigin *origin)
{
	LogOrigin  *copy = palloc(sizeof(LogOrigin));

	*copy = *origin;
	if (origin->subject)
		copy->subject = pstrdup(origin->subject);
	if (origin->client_id)
		copy->client_id = pstrdup(origin->client_id);
	return copy;
}

static Bucket *
bucket_of(Collection *c, char *scope, const LogOrigin *origin)
{
	Bucket	   *first = scope ? keymap_get(c->buckets, scope) : c->everybody;
	Bucket	   *bucket;

	for (bucket = first; bucket != NULL; bucket = bucket->next)
		if (same_origin(bucket->origin, origin))
			return bucket;

	bucket = palloc0(sizeof(Bucket));
	bucket->scope = scope ? pstrdup(scope) : NULL;
	bucket->origin = origin ? copy_origin(origin) : NULL;
	bucket->next = first;
	if (scope)
		keymap_put(c->buckets, bucket->scope, bucket);
	else
		c->everybody = bucket;
	c->order = lappend(c->order, bucket);
	return bucket;
}

static void
empty_bucket(Collection *c, Bucket *bucket)
{
	changelog_append(c->t, bucket->scope, bucket->origin,
					 bucket->keys, bucket->nkeys);
	for (; bucket->nkeys > 0; bucket->nkeys--)
		pfree(bucket->keys[bucket->nkeys - 1]);
}

static void
add_key(Collection *c, char *scope, const char *key, const LogOrigin *origin)
{
	MemoryContext old;
	Bucket	   *bucket;

	/* a row whose scope is NULL belongs to nobody */
	if (scope == NULL && !c->t->shared)
		return;

	/*
	 * Over several statements a key may come first from a client's push and
	 * then from something else.  The entries must keep this order.
	 */
	if (c->full && c->order != NIL &&
		!same_origin(((Bucket *) linitial(c->order))->origin, origin))
		c->full();

	old = MemoryContextSwitchTo(c->context);
	bucket = bucket_of(c, scope, origin);
	if (bucket->nkeys == bucket->allocated)
	{
		bucket->allocated = bucket->allocated ? bucket->allocated * 2 : 4;
		bucket->keys = bucket->keys ?
			repalloc(bucket->keys, sizeof(char *) * bucket->allocated) :
			palloc(sizeof(char *) * bucket->allocated);
	}
	bucket->keys[bucket->nkeys++] = pstrdup(key);
	c->empty = false;
	MemoryContextSwitchTo(old);
	if (bucket->nkeys == MAX_KEYS_PER_ENTRY)
	{
		if (c->full)
			c->full();
		else
			empty_bucket(c, bucket);
	}
}

/* the key of a row, as text in the current context */
static char *
row_key(TrackedTable *t, TupleTableSlot *slot)
{
	Datum		values[INDEX_MAX_KEYS];
	int			i;

	for (i = 0; i < t->nkeys; i++)
		values[i] = slot->tts_values[t->keys[i] - 1];
	return wire_key_text(t, values);
}

/* the scope of a row; NULL: nobody's or everybody's */
static char *
row_scope(TrackedTable *t, TupleTableSlot *slot)
{
	if (t->shared || slot->tts_isnull[t->scope - 1])
		return NULL;
	return wire_scope_text(t, slot->tts_values[t->scope - 1]);
}

/* the row as a push wrote it; NULL if the push did not write it */
static const PushedRow *
pushed_row(Collection *c, const char *key)
{
	return c->direct ? keymap_get(push_write->rows, key) : NULL;
}

/* the client to which this change is no news */
static const LogOrigin *
origin_of(const PushedRow *pushed)
{
	return pushed ? pushed->origin : NULL;
}

void
collect_insert(Collection *c, TupleTableSlot *new)
{
	char	   *key = row_key(c->layout, new);

	add_key(c, row_scope(c->layout, new), key, origin_of(pushed_row(c, key)));
}

/*
 * Under "merge" a tombstone keeps the row as it was, and the stamps of its
 * columns.
 */
static void
add_image(Collection *c, Tombstone *tombstone, TupleTableSlot *row)
{
	TrackedTable *t = c->layout;
	Stamp		stamp;
	Jsonb	   *clocks;

	if (t->policy != POLICY_MERGE)
		return;
	slot_getallattrs(row);
	stamp = stamp_of_row(t, row->tts_values, row->tts_isnull);
	clocks = row->tts_isnull[t->clocks - 1] ? NULL :
		DatumGetJsonbP(row->tts_values[t->clocks - 1]);
	tombstone->image = image_text(t, row->tts_values, row->tts_isnull);
	tombstone->clocks = clocks_text(t, clocks_read(t, clocks, &stamp), &tombstone->stamp);
}

static void
set_tombstone(Collection *c, Tombstone *tombstone, char *scope, const Stamp *stamp,
			  TupleTableSlot *row)
{
	tombstone->scope = scope ? pstrdup(scope) : NULL;
	tombstone->stamp = *stamp;
	if (stamp->client_id)
		tombstone->stamp.client_id = pstrdup(stamp->client_id);
	add_image(c, tombstone, row);
}

static void
add_tombstone(Collection *c, const char *key, char *scope, const Stamp *stamp,
			  TupleTableSlot *row)
{
	MemoryContext old = MemoryContextSwitchTo(c->context);
	Tombstone  *tombstone;
	intptr_t	nth = c->dead ? (intptr_t) keymap_get(c->dead, key) : 0;

	c->empty = false;
	if (nth > 0)
	{
		/*
		 * a key that was deleted, inserted and deleted again: one statement
		 * writes it once
		 */
		tombstone = &c->tombstones[nth - 1];
		if (stamp_compare(stamp, &tombstone->stamp) > 0)
			set_tombstone(c, tombstone, scope, stamp, row);
		MemoryContextSwitchTo(old);
		return;
	}
	if (c->ntombstones == c->atombstones)
	{
		c->atombstones = c->atombstones ? c->atombstones * 2 : 16;
		c->tombstones = c->tombstones ?
			repalloc_huge(c->tombstones, sizeof(Tombstone) * c->atombstones) :
			palloc(sizeof(Tombstone) * c->atombstones);
	}
	tombstone = &c->tombstones[c->ntombstones++];
	memset(tombstone, 0, sizeof(*tombstone));
	tombstone->key = pstrdup(key);
	set_tombstone(c, tombstone, scope, stamp, row);
	if (c->dead)
		keymap_put(c->dead, tombstone->key, (void *) (intptr_t) c->ntombstones);
	MemoryContextSwitchTo(old);
}

/*
 * the stamp of a delete by plain SQL: the server's time, greater than the
 * row's
 */
static Stamp
plain_delete_stamp(Collection *c, TupleTableSlot *old)
{
	Stamp		row = stamp_of_row(c->layout, old->tts_values, old->tts_isnull);
	Stamp		stamp = {0};

	stamp.has_time = true;
	stamp.time = stamp_server_time(c->layout, &row, false);
	if (tide_client_id && tide_client_id[0])
		stamp.client_id = tide_client_id;
	return stamp;
}

/*
 * From here on tombstones are packed.  Those of the first rows are not, since
 * packing pays for large deletes only.  Under "merge" none is packed, because
 * each keeps the image of its row.
 */
void
collect_pack(Collection *c)
{
	if (c->t->policy == POLICY_MERGE)
		return;
	c->packed_stamp.has_time = true;
	c->packed_stamp.time = stamp_server_time(c->t, NULL, false);
	if (tide_client_id && tide_client_id[0])
		c->packed_stamp.client_id = tide_client_id;
	c->packing = packed_begin(c->t, &c->packed_stamp, CurrentMemoryContext);
}

/* is the row's stamp below that of the pack? */
static bool
can_be_packed(Collection *c, TupleTableSlot *old)
{
	Stamp		stamp;

	if (c->packing == NULL || ++c->ndeleted <= UNPACKED_TOMBSTONES)
		return false;
	stamp = stamp_of_row(c->layout, old->tts_values, old->tts_isnull);
	return stamp_compare(&stamp, &c->packed_stamp) < 0;
}

void
collect_delete(Collection *c, TupleTableSlot *old)
{
	char	   *key = row_key(c->layout, old);
	char	   *scope = row_scope(c->layout, old);
	const PushedRow *pushed = pushed_row(c, key);
	Stamp		stamp = pushed ? pushed->stamp : plain_delete_stamp(c, old);

	add_key(c, scope, key, origin_of(pushed));
	if (can_be_packed(c, old))
		packed_add(c->packing, key, scope);
	else
		add_tombstone(c, key, scope, &stamp, old);
}

static bool
same_value(TrackedTable *t, AttrNumber attnum, TupleTableSlot *a, TupleTableSlot *b)
{
	Form_pg_attribute att = TupleDescAttr(t->tupdesc, attnum - 1);
	int			i = attnum - 1;

	if (a->tts_isnull[i] || b->tts_isnull[i])
		return a->tts_isnull[i] == b->tts_isnull[i];
	return tide_image_eq(a->tts_values[i], b->tts_values[i],
						 att->attbyval, att->attlen);
}

/*
 * Each change that counts has raised the stamp, so the stamp is compared
 * first.  The other columns are compared because a user's trigger may run
 * after ours.
 */
static bool
row_changed(TrackedTable *t, TupleTableSlot *old, TupleTableSlot *new)
{
	int			i;

	if (!same_value(t, t->modified_at, old, new) ||
		!same_value(t, t->client_id, old, new))
		return true;
	slot_getallattrs(old);
	slot_getallattrs(new);
	for (i = 0; i < t->ncolumns; i++)
		if (column_is_synced(&t->columns[i]) &&
			!same_value(t, t->columns[i].attnum, old, new))
			return true;
	return false;
}

static bool
key_or_scope_changed(TrackedTable *t, TupleTableSlot *old, TupleTableSlot *new)
{
	int			i;

	if (!t->shared && !same_value(t, t->scope, old, new))
		return true;
	for (i = 0; i < t->nkeys; i++)
		if (!same_value(t, t->keys[i], old, new))
			return true;
	return false;
}

void
collect_update(Collection *c, TupleTableSlot *old, TupleTableSlot *new)
{
	if (!row_changed(c->layout, old, new))
		return;
	collect_insert(c, new);
	if (key_or_scope_changed(c->layout, old, new))
	{
		char	   *old_key = row_key(c->layout, old);
		char	   *old_scope = row_scope(c->layout, old);
		char	   *new_key = row_key(c->layout, new);

		add_key(c, old_scope, old_key, origin_of(pushed_row(c, new_key)));
		if (strcmp(old_key, new_key) != 0)
		{
			Stamp		stamp = plain_delete_stamp(c, old);

			add_tombstone(c, old_key, old_scope, &stamp, old);
		}
	}
}

/*
 * How far rows have to be taken apart to tell where they changed, and, unless
 * they are only new, whether.
 */
int
collect_last_column(TrackedTable *t, bool only_new)
{
	int			result = only_new ? t->scope :
		Max(Max(t->modified_at, t->client_id), t->scope);
	int			i;

	for (i = 0; i < t->nkeys; i++)
		result = Max(result, t->keys[i]);
	return result;
}
