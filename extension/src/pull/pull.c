/*-------------------------------------------------------------------------
 *
 * pull.c
 *	  One page of what changed for a caller: where it begins and ends.
 *
 * A page goes through up to three parts: what the cursor covers is brought up
 * to now from the change log; what it does not cover is read from the tables,
 * over as many pages as that takes; and then the log again, from the snapshot
 * at which that reading began.  Everything in a page is read with one
 * snapshot.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lockdefs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "capture/capture.h"
#include "cursor/generation.h"
#include "cursor/history.h"
#include "cursor/timeline.h"
#include "log/records.h"
#include "log/retention.h"
#include "pull/parts.h"
#include "pull/pull.h"
#include "read/rows.h"
#include "table/catalog.h"
#include "table/registry.h"
#include "util/compat.h"
#include "util/errors.h"
#include "util/keymap.h"
#include "wire/wire.h"

/* ---------- what is asked for ---------- */

static bool
array_has(ArrayType *array, const char *wanted)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n,
				i;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (i = 0; i < n; i++)
		if (!nulls[i] && strcmp(TextDatumGetCString(elements[i]), wanted) == 0)
			return true;
	return false;
}

/* each type that is asked for exists, and no two tables have it */
static void
check_entity_types(ArrayType *entity_types)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n,
				i;

	deconstruct_array(entity_types, TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, &nulls, &n);
	for (i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
					 errmsg("an entity type must not be null"),
					 errhint("Leave entity types out to ask for all of them.")));
		registry_find(TextDatumGetCString(elements[i]), false);
	}
}

/*
 * The tables: those asked for, else all that the caller has any right to read.
 */
static void
choose_tables(Pull *pull, ArrayType *entity_types)
{
	ListCell   *lc;

	if (entity_types)
		check_entity_types(entity_types);
	foreach(lc, registry_all())
	{
		TrackedTable *t = lfirst(lc);
		PullTable  *table;

		if (entity_types ? !array_has(entity_types, t->entity_type) :
			!access_may_select(t->relid))
			continue;
		t = registry_lock(t->relid, AccessShareLock);
		table = palloc0(sizeof(PullTable));
		table->t = t;
		table->relids = t->partitioned ?
			find_all_inheritors(t->relid, AccessShareLock, NULL) : list_make1_oid(t->relid);
		table->seen = keymap_new(CurrentMemoryContext, 64);
		access_table_scopes(&pull->access, t, &table->scopes);
		pull->tables = lappend(pull->tables, table);
	}

	pull->types.regs = palloc(sizeof(int32) * (list_length(pull->tables) + 1));
	foreach(lc, pull->tables)
		pull->types.regs[pull->types.n++] = ((PullTable *) lfirst(lc))->t->reg;
	types_normalise(&pull->types);
}

/* a type that is not would not be sent, and nobody notice */
static void
check_refresh_is_asked_for(Pull *pull, ArrayType *refresh)
{
	Datum	   *elements;
	int			n,
				i;

	deconstruct_array(refresh, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
	for (i = 0; i < n; i++)
	{
		char	   *name = TextDatumGetCString(elements[i]);
		ListCell   *lc;
		bool		found = false;

		foreach(lc, pull->tables)
			found |= strcmp(((PullTable *) lfirst(lc))->t->entity_type, name) == 0;
		if (!found)
			ereport(ERROR,
					(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
					 errmsg("entity type \"%s\" cannot be refreshed, for it is not asked for", name),
					 errhint("Name it in the entity types, too, or leave these out.")));
	}
}

/*
 * The tables to be read again although the cursor covers them.
 */
static void
choose_refresh(Pull *pull, ArrayType *refresh)
{
	ListCell   *lc;

	if (refresh == NULL)
		return;
	check_entity_types(refresh);
	pull->refresh.regs = palloc(sizeof(int32) * (list_length(pull->tables) + 1));
	foreach(lc, pull->tables)
	{
		TrackedTable *t = ((PullTable *) lfirst(lc))->t;

		if (array_has(refresh, t->entity_type))
			pull->refresh.regs[pull->refresh.n++] = t->reg;
	}
	types_normalise(&pull->refresh);
	check_refresh_is_asked_for(pull, refresh);
}

/*
 * A caller's scopes in the spelling of the tables' types, so that cursors
 * speak of the same scopes as the log.
 */
static void
settle_scopes(Pull *pull)
{
	ScopeSet	all = {0};
	ListCell   *lc;
	int			n = pull->access.scopes.n;
	int			i;

	if (pull->access.scopes.all)
	{
		pull->log_scopes.all = true;
		return;
	}
	foreach(lc, pull->tables)
		n += ((PullTable *) lfirst(lc))->scopes.n;
	all.scopes = palloc(sizeof(char *) * (n + 1));
	for (i = 0; i < pull->access.scopes.n; i++)
		all.scopes[all.n++] = pull->access.scopes.scopes[i];
	foreach(lc, pull->tables)
	{
		PullTable  *table = lfirst(lc);

		for (i = 0; i < table->scopes.n; i++)
			all.scopes[all.n++] = table->scopes.texts[i];
	}
	scopes_normalise(&all);
	pull->log_scopes = all;
}

/* ---------- one snapshot ---------- */

/*
 * The tables are locked by now, so nobody rewrites them while we read; in READ
 * COMMITTED the snapshot comes after the locks, else it has to be checked.
 */
static void
take_snapshot(Pull *pull)
{
	ListCell   *lc;

	PushActiveSnapshot(GetTransactionSnapshot());
	pull->snapshot = GetActiveSnapshot();
	foreach(lc, pull->tables)
	{
		PullTable  *table = lfirst(lc);

		rows_check_snapshot(table->t, table->relids, pull->snapshot);
	}
	history_snapshot(pull->snapshot, &pull->now);
}

/* ---------- where to begin ---------- */

static ScopeSet
intersect_scopes(const ScopeSet *covered, const ScopeSet *wanted)
{
	ScopeSet	result = {0};
	int			i;

	if (covered->all)
		return *wanted;
	result.scopes = palloc(sizeof(char *) * (wanted->n + 1));
	for (i = 0; i < wanted->n; i++)
		if (scopes_contain(covered, wanted->scopes[i]))
			result.scopes[result.n++] = wanted->scopes[i];
	return result;				/* wanted->all: nothing listed, so nothing */
}

static TypeSet
intersect_types(const TypeSet *covered, const TypeSet *wanted)
{
	TypeSet		result = {0};
	int			i;

	result.regs = palloc(sizeof(int32) * (wanted->n + 1));
	for (i = 0; i < wanted->n; i++)
		if (types_contain(covered, wanted->regs[i]))
			result.regs[result.n++] = wanted->regs[i];
	return result;
}

static TypeSet
subtract_types(const TypeSet *from, const TypeSet *these)
{
	TypeSet		result = {0};
	int			i;

	result.regs = palloc(sizeof(int32) * (from->n + 1));
	for (i = 0; i < from->n; i++)
		if (!types_contain(these, from->regs[i]))
			result.regs[result.n++] = from->regs[i];
	return result;
}

/*
 * The state is a client's cursor.  What it covers beyond what is asked for is
 * dropped.  A reading of tables that was for less begins anew, but "seen" stays:
 * of the rows that were sent, those deleted since then have to be named, and only
 * the log from there on does.
 */
static void
continue_from(Pull *pull)
{
	Cursor	   *state = &pull->state;

	state->scopes = intersect_scopes(&state->scopes, &pull->log_scopes);
	state->types = intersect_types(&state->types, &pull->types);
	if (state->phase != CURSOR_IN_TABLES && state->types.n == 0)
	{
		ScopeSet	known = pull->known;

		pull_start_over(pull);
		pull->known = known;
	}
	else if (state->phase == CURSOR_IN_TABLES &&
			 (!scopes_equal(&state->wanted_scopes, &pull->log_scopes) ||
			  !types_equal(&state->wanted_types, &pull->types)))
		pull_read_from_start(pull);
}

static TypeSet
add_types(const TypeSet *to, const TypeSet *these)
{
	TypeSet		result = {0};

	result.regs = palloc(sizeof(int32) * (to->n + these->n + 1));
	if (to->n > 0)
		memcpy(result.regs, to->regs, sizeof(int32) * to->n);
	if (these->n > 0)
		memcpy(result.regs + to->n, these->regs, sizeof(int32) * these->n);
	result.n = to->n + these->n;
	types_normalise(&result);
	return result;
}

/*
 * Have the tables to be refreshed read as if the cursor did not cover them.
 * "seen" stays, for the log tells which of their rows are gone since then; it is
 * read when the tables have been.  A client that names them with every page is
 * not kept busy for ever: until the cursor is at rest, once is enough.
 */
static void
read_again(Pull *pull)
{
	Cursor	   *state = &pull->state;
	TypeSet		again = subtract_types(&pull->refresh, &state->refreshed);

	if (again.n == 0)
		return;
	state->refreshed = add_types(&state->refreshed, &again);
	state->types = subtract_types(&state->types, &again);
	if (state->phase != CURSOR_IN_TABLES)
	{
		pull_read_from_start(pull);
		return;
	}
	state->done_types = subtract_types(&state->done_types, &again);
	if (types_contain(&again, state->reg))
	{
		state->reg = 0;
		state->scope = state->key = NULL;
	}
}

/*
 * Was a table, it seems, untracked and tracked again since?  Then it will be
 * read in full, but nobody has recorded what went away meanwhile: only a client
 * that starts over and drops what does not come again ends right.  A type that
 * is gone and one that is new tell; that they are of one table is not known.
 */
static bool
is_tracked_anew(Pull *pull, const Cursor *cursor)
{
	TypeSet		all = pull_registered_types();
	bool		gone = false;
	bool		fresh = false;
	int			i;

	for (i = 0; i < cursor->types.n; i++)
		gone |= !types_contain(&all, cursor->types.regs[i]);
	for (i = 0; i < pull->types.n; i++)
		fresh |= !types_contain(&cursor->types, pull->types.regs[i]);
	return gone && fresh;
}

/*
 * Is the cursor in the middle of reading tables for something that is not
 * asked for now?  What its pages have sent is covered by no cursor then: if a
 * row of it goes, only a client that starts over gets to know.
 */
static bool
is_reading_something_else(Pull *pull, const Cursor *cursor)
{
	const ScopeSet *wanted = &cursor->wanted_scopes;
	int			i;

	if (cursor->phase != CURSOR_IN_TABLES)
		return false;
	for (i = 0; i < cursor->wanted_types.n; i++)
		if (!types_contain(&pull->types, cursor->wanted_types.regs[i]))
			return true;

	/* a scope that was lost is told to be, and its rows go by that */
	for (i = 0; i < wanted->n; i++)
		if (!scopes_contain(&pull->log_scopes, wanted->scopes[i]) &&
			scopes_contain(&pull->known, wanted->scopes[i]))
			return true;
	return wanted->all && !pull->log_scopes.all;
}

/*
 * Why a cursor is of no use here: NULL if it is.
 */
static const char *
reason_to_start_over(Pull *pull, const Cursor *cursor)
{
	Horizon		horizon;

	if (history_is_other(cursor))
		return "other_database";
	/* before the history: generations, too, are forgotten */
	if (horizon_read(pull->snapshot, &horizon) &&
		snapshot_is_expired(&cursor->seen, &horizon))
		return "expired";
	if (history_is_lost(cursor))
		return "history_lost";
	if (is_tracked_anew(pull, cursor))
		return "tracked_anew";
	if (is_reading_something_else(pull, cursor))
		return "asked_anew";
	return NULL;
}

/* ---------- the page ---------- */

/*
 * What every reply begins with: who asks, for what, and one snapshot.  Must be
 * followed by pull_finish.
 */
void
pull_open(Pull *pull, ArrayType *scopes, ArrayType *entity_types)
{
	timeline_require_primary();
	SPI_connect();
	pull->context = CurrentMemoryContext;
	access_resolve(scopes, &pull->access);
	choose_tables(pull, entity_types);
	settle_scopes(pull);
	capture_write_rows();		/* what this transaction itself has changed */
	take_snapshot(pull);
}

static void
set_place(Cursor *cursor, const Cursor *place)
{
	cursor->history = place->history;
	cursor->timeline = place->timeline;
	cursor->position = place->position;
	cursor->generation = place->generation;
}

/* a time without zone means the earliest instant that it can */
#define EARLIEST_ZONE (-14 * INT64CONST(3600000000))

/*
 * Read a page: afterwards pull->items and pull->state.  Must be followed by
 * pull_finish, once the rows were used: they live in the SPI connection that
 * this opens, and are detoasted with the snapshot that it leaves active.
 */
void
pull_page(Pull *pull, const char *since, ArrayType *scopes, ArrayType *entity_types,
		  int max_rows, ArrayType *refresh)
{
	Cursor	   *cursor = NULL;
	TimestampTz time = 0;
	bool		by_time = false;
	Cursor		place;
	ListCell   *lc;

	if (max_rows < 1)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_MALFORMED_REQUEST),
				 errmsg("max_rows must be at least 1")));
	if (since && cursor_is_cursor(since))
		cursor = cursor_decode(since);
	else if (since && since[0])
	{
		time = wire_parse_time(since, EARLIEST_ZONE, "since",
							   ERRCODE_TIDE_MALFORMED_REQUEST);
		by_time = true;
	}

	generation_register();
	pull_open(pull, scopes, entity_types);
	pull_take_acks(pull);
	choose_refresh(pull, refresh);
	foreach(lc, pull->tables)
		access_check_columns(((PullTable *) lfirst(lc))->t);
	pull->limit = max_rows;
	pull_check_scopes(pull);
	memset(&place, 0, sizeof(place));
	history_stamp_cursor(&place);	/* a position after the snapshot */

	if (by_time)
	{
		pull->nacked = 0;
		pull_since_time(pull, time);
	}
	else
	{
		if (cursor)
		{
			pull_note_revoked(pull, cursor);
			pull->reset_reason = reason_to_start_over(pull, cursor);
		}
		if (cursor == NULL || pull->reset_reason)
		{
			pull->nacked = 0;	/* the client drops what does not come again */
			pull_start_over(pull);
		}
		else
		{
			pull->state = *cursor;
			continue_from(pull);
			if (pull->refresh.n > 0)
				read_again(pull);
		}
		set_place(&pull->state, &place);
		pull->has_more = !pull_read_parts(pull);
	}
	set_place(&pull->state, &place);
	rows_fetch(pull->tables, pull->items);
}

/*
 * No items, and a state that says "from now on".  Must be followed by
 * pull_finish.
 */
void
pull_at_rest(Pull *pull)
{
	generation_register();
	pull_open(pull, NULL, NULL);
	pull_check_scopes(pull);
	pull->state.seen = pull->now;
	pull->state.scopes = pull->log_scopes;
	pull->state.types = pull->types;
	history_stamp_cursor(&pull->state);
}

void
pull_finish(Pull *pull)
{
	PopActiveSnapshot();
	SPI_finish();
}
