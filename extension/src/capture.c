/*-------------------------------------------------------------------------
 *
 * capture.c
 *	  The statement triggers that record which rows changed.
 *
 * An entry of the change log holds the keys of one scope, packed, so a
 * statement that changes 100,000 rows of ten scopes writes some hundred
 * entries.  Rows are read from the transition tables; where the statement
 * changed nothing that clients get, nothing is written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "capture.h"
#include "changelog.h"
#include "merge.h"
#include "records.h"
#include "pg_tide.h"
#include "wire.h"

/* collected keys are written once they take more than this */
#define COLLECT_LIMIT (16 * 1024 * 1024)

PG_FUNCTION_INFO_V1(tide_capture);

/* keys of one scope that one client pushed, or (NULL) nobody in particular */
typedef struct Bucket
{
	struct Bucket *next;		/* of the same scope */
	char	   *scope;
	const char *client_id;
	int			nkeys;
	int			allocated;
	char	  **keys;
} Bucket;

typedef struct Capture
{
	TrackedTable *t;
	bool		direct;			/* fired by a push's own statement */
	int			last_column;	/* of key, scope and stamp */
	MemoryContext context;		/* what is collected; reset by flush */
	KeyMap	   *buckets;		/* scope to its first Bucket */
	Bucket	   *everybody;		/* of a shared table */
	List	   *order;			/* all Buckets */
	Tombstone  *tombstones;
	int			ntombstones;
	int			atombstones;
} Capture;

static void
start_collecting(Capture *c)
{
	c->buckets = keymap_new(c->context, 64);
	c->everybody = NULL;
	c->order = NIL;
	c->tombstones = NULL;
	c->ntombstones = c->atombstones = 0;
}

/* write what was collected, and forget it */
static void
flush(Capture *c)
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
		entries[n].client_id = unconstify(char *, bucket->client_id);
		entries[n].keys = bucket->keys;
		entries[n].nkeys = bucket->nkeys;
		n++;
	}
	if (n == 1)
		changelog_append(c->t, entries[0].scope, entries[0].client_id,
						 entries[0].keys, entries[0].nkeys);
	else if (n > 1)
		changelog_append_many(c->t, entries, n);
	pfree(entries);
	if (c->ntombstones > 0)
		tombstone_write(c->t, c->tombstones, c->ntombstones);
	MemoryContextReset(c->context);
	start_collecting(c);
}

static Bucket *
bucket_of(Capture *c, char *scope, const char *client_id)
{
	Bucket	   *first = scope ? keymap_get(c->buckets, scope) : c->everybody;
	Bucket	   *bucket;

	for (bucket = first; bucket != NULL; bucket = bucket->next)
		if (bucket->client_id == client_id ||
			(bucket->client_id && client_id && strcmp(bucket->client_id, client_id) == 0))
			return bucket;

	bucket = palloc0(sizeof(Bucket));
	bucket->scope = scope ? pstrdup(scope) : NULL;
	bucket->client_id = client_id;
	bucket->next = first;
	if (scope)
		keymap_put(c->buckets, bucket->scope, bucket);
	else
		c->everybody = bucket;
	c->order = lappend(c->order, bucket);
	return bucket;
}

static void
add_key(Capture *c, char *scope, const char *key, const char *client_id)
{
	MemoryContext old;
	Bucket	   *bucket;

	/* a row whose scope is NULL belongs to nobody */
	if (scope == NULL && !c->t->shared)
		return;

	old = MemoryContextSwitchTo(c->context);
	bucket = bucket_of(c, scope, client_id);
	if (bucket->nkeys == bucket->allocated)
	{
		bucket->allocated = bucket->allocated ? bucket->allocated * 2 : 4;
		bucket->keys = bucket->keys ?
			repalloc(bucket->keys, sizeof(char *) * bucket->allocated) :
			palloc(sizeof(char *) * bucket->allocated);
	}
	bucket->keys[bucket->nkeys++] = pstrdup(key);
	if (bucket->nkeys == MAX_KEYS_PER_ENTRY)
	{
		changelog_append(c->t, bucket->scope, bucket->client_id,
						 bucket->keys, bucket->nkeys);
		for (; bucket->nkeys > 0; bucket->nkeys--)
			pfree(bucket->keys[bucket->nkeys - 1]);
	}
	MemoryContextSwitchTo(old);
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

/* the scope of a row, NULL: nobody's or everybody's */
static char *
row_scope(TrackedTable *t, TupleTableSlot *slot)
{
	if (t->shared || slot->tts_isnull[t->scope - 1])
		return NULL;
	return wire_scope_text(t, slot->tts_values[t->scope - 1]);
}

/* the stamp that a push gave this row, NULL if it is not one of the push's */
static const Stamp *
pushed_stamp(Capture *c, const char *key)
{
	return c->direct ? keymap_get(push_write->stamps, key) : NULL;
}

static void
capture_insert(Capture *c, TupleTableSlot *new)
{
	char	   *key = row_key(c->t, new);
	const Stamp *stamp = pushed_stamp(c, key);

	add_key(c, row_scope(c->t, new), key, stamp ? stamp->client_id : NULL);
}

/*
 * Under "merge" a tombstone keeps the row as it was, and the stamps of its
 * columns.
 */
static void
add_image(Capture *c, Tombstone *tombstone, TupleTableSlot *row)
{
	TrackedTable *t = c->t;
	Stamp		stamp;
	Jsonb	   *clocks;

	if (t->policy != POLICY_MERGE)
		return;
	slot_getallattrs(row);
	stamp = stamp_of_row(t, row->tts_values, row->tts_isnull);
	clocks = row->tts_isnull[t->clocks - 1] ? NULL :
		DatumGetJsonbP(row->tts_values[t->clocks - 1]);
	tombstone->image = merge_image(t, row->tts_values, row->tts_isnull);
	tombstone->clocks = clocks_text(t, clocks_read(t, clocks, &stamp), &tombstone->stamp);
}

static void
add_tombstone(Capture *c, const char *key, char *scope, const Stamp *stamp,
			  TupleTableSlot *row)
{
	MemoryContext old = MemoryContextSwitchTo(c->context);
	Tombstone  *tombstone;

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
	tombstone->scope = scope ? pstrdup(scope) : NULL;
	tombstone->stamp = *stamp;
	if (stamp->client_id)
		tombstone->stamp.client_id = pstrdup(stamp->client_id);
	add_image(c, tombstone, row);
	MemoryContextSwitchTo(old);
}

/* the stamp of a delete by plain SQL: the server's time, above the row's */
static Stamp
plain_delete_stamp(Capture *c, TupleTableSlot *old)
{
	Stamp		row = stamp_of_row(c->t, old->tts_values, old->tts_isnull);
	Stamp		stamp = {0};

	stamp.has_time = true;
	stamp.time = stamp_server_time(c->t, &row);
	if (tide_client_id && tide_client_id[0])
		stamp.client_id = tide_client_id;
	return stamp;
}

static void
capture_delete(Capture *c, TupleTableSlot *old)
{
	char	   *key = row_key(c->t, old);
	char	   *scope = row_scope(c->t, old);
	const Stamp *pushed = pushed_stamp(c, key);
	Stamp		stamp = pushed ? *pushed : plain_delete_stamp(c, old);

	add_key(c, scope, key, pushed ? stamp.client_id : NULL);
	add_tombstone(c, key, scope, &stamp, old);
}

static bool
same_value(TrackedTable *t, AttrNumber attnum, TupleTableSlot *a, TupleTableSlot *b)
{
	Form_pg_attribute att = TupleDescAttr(t->tupdesc, attnum - 1);
	int			i = attnum - 1;

	if (a->tts_isnull[i] || b->tts_isnull[i])
		return a->tts_isnull[i] == b->tts_isnull[i];
	return datum_image_eq(a->tts_values[i], b->tts_values[i],
						  att->attbyval, att->attlen);
}

/*
 * Each change that counts has raised the stamp, so that is compared first; a
 * user's trigger that runs after ours is the reason for the rest.
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

static void
capture_update(Capture *c, TupleTableSlot *old, TupleTableSlot *new)
{
	if (!row_changed(c->t, old, new))
		return;
	capture_insert(c, new);
	if (key_or_scope_changed(c->t, old, new))
	{
		char	   *old_key = row_key(c->t, old);
		char	   *old_scope = row_scope(c->t, old);
		char	   *new_key = row_key(c->t, new);
		const Stamp *pushed = pushed_stamp(c, new_key);

		add_key(c, old_scope, old_key, pushed ? pushed->client_id : NULL);
		if (strcmp(old_key, new_key) != 0)
		{
			Stamp		stamp = plain_delete_stamp(c, old);

			add_tombstone(c, old_key, old_scope, &stamp, old);
		}
	}
}

/* how far rows have to be deformed to tell whether and where they changed */
static int
last_column(TrackedTable *t)
{
	int			result = Max(Max(t->modified_at, t->client_id), t->scope);
	int			i;

	for (i = 0; i < t->nkeys; i++)
		result = Max(result, t->keys[i]);
	return result;
}

/* read a transition table from its start, whoever else reads it */
static TupleTableSlot *
open_transition_table(TrackedTable *t, Tuplestorestate *store, int *pointer)
{
	*pointer = tuplestore_alloc_read_pointer(store, EXEC_FLAG_REWIND);
	tuplestore_select_read_pointer(store, *pointer);
	tuplestore_rescan(store);
	return MakeSingleTupleTableSlot(t->tupdesc, &TTSOpsMinimalTuple);
}

static bool
next_row(Capture *c, Tuplestorestate *store, int pointer, TupleTableSlot *slot)
{
	tuplestore_select_read_pointer(store, pointer);
	if (!tuplestore_gettupleslot(store, true, false, slot))
		return false;
	slot_getsomeattrs(slot, c->last_column);
	return true;
}

static void
capture_transition_tables(Capture *c, TriggerData *trigdata)
{
	Tuplestorestate *old_store = trigdata->tg_oldtable;
	Tuplestorestate *new_store = trigdata->tg_newtable;
	TupleTableSlot *old_slot = NULL;
	TupleTableSlot *new_slot = NULL;
	int			old_pointer = 0;
	int			new_pointer = 0;
	MemoryContext row = AllocSetContextCreate(CurrentMemoryContext, "pg_tide row",
											  ALLOCSET_SMALL_SIZES);
	MemoryContext outer = MemoryContextSwitchTo(row);

	MemoryContextSwitchTo(outer);
	if (old_store)
		old_slot = open_transition_table(c->t, old_store, &old_pointer);
	if (new_store)
		new_slot = open_transition_table(c->t, new_store, &new_pointer);

	while ((old_slot == NULL || next_row(c, old_store, old_pointer, old_slot)) &&
		   (new_slot == NULL || next_row(c, new_store, new_pointer, new_slot)))
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(row);
		if (old_slot && new_slot)
			capture_update(c, old_slot, new_slot);
		else if (new_slot)
			capture_insert(c, new_slot);
		else
			capture_delete(c, old_slot);
		MemoryContextSwitchTo(outer);
		MemoryContextReset(row);
		if (MemoryContextMemAllocated(c->context, false) > COLLECT_LIMIT)
			flush(c);
	}
	if (old_slot)
		ExecDropSingleTupleTableSlot(old_slot);
	if (new_slot)
		ExecDropSingleTupleTableSlot(new_slot);
	MemoryContextDelete(row);
}

/*
 * TRUNCATE: no transition table.  The table is locked by now, so its latest
 * state is the one that goes; read it as it is, row security or not.
 */
static void
capture_whole_table(Capture *c, Relation rel)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	MemoryContext row = AllocSetContextCreate(CurrentMemoryContext, "pg_tide row",
											  ALLOCSET_SMALL_SIZES);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		MemoryContext outer;

		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(slot);
		outer = MemoryContextSwitchTo(row);
		capture_delete(c, slot);
		MemoryContextSwitchTo(outer);
		MemoryContextReset(row);
		if (MemoryContextMemAllocated(c->context, false) > COLLECT_LIMIT)
			flush(c);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	MemoryContextDelete(row);
}

static void
check_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (CALLED_AS_TRIGGER(fcinfo) &&
		TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event))
	{
		if (TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event) &&
			TRIGGER_FIRED_BEFORE(trigdata->tg_event))
			return;
		if (TRIGGER_FIRED_AFTER(trigdata->tg_event) &&
			(trigdata->tg_oldtable || trigdata->tg_newtable) &&
			(!TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ||
			 (trigdata->tg_oldtable && trigdata->tg_newtable)))
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("tide.capture() is a trigger of tracked tables, for each statement, with transition tables"),
			 errhint("tide.track() creates it.")));
}

Datum
tide_capture(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Capture		c = {0};
	int			level = 0;

	check_trigger(fcinfo);
	c.t = registry_lookup(RelationGetRelid(trigdata->tg_relation));
	if (c.t == NULL || !c.t->tracked)
		PG_RETURN_POINTER(NULL);
	if (c.t->broken)
		registry_require(c.t->relid);
	c.direct = push_write_is_direct(c.t->relid);
	c.last_column = last_column(c.t);
	c.context = AllocSetContextCreate(CurrentMemoryContext, "pg_tide capture",
									  ALLOCSET_DEFAULT_SIZES);
	start_collecting(&c);

	if (!c.t->plain_key)
		level = wire_begin();
	if (TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event))
		capture_whole_table(&c, trigdata->tg_relation);
	else
		capture_transition_tables(&c, trigdata);
	if (!c.t->plain_key)
		wire_end(level);
	flush(&c);
	MemoryContextDelete(c.context);
	PG_RETURN_POINTER(NULL);
}
