/*-------------------------------------------------------------------------
 *
 * cursor.c
 *	  A cursor and its text form.
 *
 * A cursor is opaque to clients: base64url without padding over
 *
 *	  version		1 byte, such that the text begins with a letter: that is
 *					what tells a cursor from a time
 *	  flags			1 byte: which optional fields follow
 *	  history		8 bytes
 *	  timeline, position
 *	  generation	8 bytes, if the flag says so
 *	  scopes		each that is spoken of, once
 *	  held scopes, lost types, refreshed types
 *					each if its flag says so
 *	  places		their number, and of each:
 *		  flags			1 byte: the phase, and which optional fields follow
 *		  scopes, types
 *		  seen			the first one's in full, another's as the difference
 *						to the one before, if it differs at all
 *		  resets		if the flag says so
 *		  in the log:	target (as seen), xid, seq, index + 1
 *		  in the tables: done types, reg, scope?, key?
 *
 * Numbers and texts are as bytes.c has them.  There is exactly one encoding of
 * each cursor, and decoding accepts no other: clients may compare cursors as text,
 * and a cursor that was tampered with is likelier to be noticed.
 *
 * Nothing here knows of tables, SPI or the clock, so that all of it can be
 * tested alone; see test/unit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cursor/base64url.h"
#include "cursor/bytes.h"
#include "cursor/cursor.h"
#include "util/errors.h"

/* "t" in base64 is 45; the two low bits are free for later versions */
#define CURSOR_VERSION		((45 << 2) | 1)

#define FLAG_GENERATION		0x01
#define FLAG_HELD			0x02
#define FLAG_LOST			0x04
#define FLAG_GONE			0x08
#define FLAG_REFRESHED		0x10
#define FLAGS_KNOWN			0x1f

#define PLACE_PHASE			0x03
#define PLACE_ALL			0x04	/* all scopes but those */
#define PLACE_SCOPE			0x08
#define PLACE_KEY			0x10
#define PLACE_RESETS		0x20
#define PLACE_SAME_SEEN		0x40	/* as the place before */
#define PLACE_SAME_TARGET	0x80

/* so that a forged cursor cannot make us allocate without bounds */
#define MAX_TYPES			10000

void
cursor_malformed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_TIDE_MALFORMED_CURSOR),
			 errmsg("malformed cursor"),
			 errhint("Pass a cursor exactly as the last pull returned it, or none to start over.")));
}

/*
 * Writing
 */

/* the ids between xmin and xmax */
static void
put_running(Writer *w, const TideSnapshot *snapshot)
{
	uint64		next = snapshot->xmin;
	int			i;

	put_varint(w, (uint64) snapshot->nxip);
	for (i = 0; i < snapshot->nxip; i++)
	{
		Assert(snapshot->xip[i] >= next && snapshot->xip[i] < snapshot->xmax);
		put_varint(w, snapshot->xip[i] - next);
		next = snapshot->xip[i] + 1;
	}
}

static void
put_snapshot(Writer *w, const TideSnapshot *snapshot)
{
	Assert(snapshot->xmin <= snapshot->xmax);
	put_varint(w, snapshot->xmin);
	put_varint(w, snapshot->xmax - snapshot->xmin);
	put_running(w, snapshot);
}

/* likewise, of one that has seen no more than the place before */
static void
put_snapshot_below(Writer *w, const TideSnapshot *snapshot, const TideSnapshot *above)
{
	Assert(snapshot->xmax <= above->xmax);
	put_varint(w, above->xmax - snapshot->xmax);
	put_varint(w, snapshot->xmax - snapshot->xmin);
	put_running(w, snapshot);
}

static void
put_scopes(Writer *w, const ScopeSet *set)
{
	int			i;

	put_varint(w, (uint64) set->n);
	for (i = 0; i < set->n; i++)
	{
		Assert(i == 0 || strcmp(set->scopes[i - 1], set->scopes[i]) < 0);
		put_string(w, set->scopes[i]);
	}
}

static void
put_types(Writer *w, const TypeSet *set)
{
	if (set->n > MAX_TYPES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many entity types for a cursor"),
				 errdetail("There are %d, and a cursor holds at most %d.",
						   set->n, MAX_TYPES)));
	if (set->n > 0 && set->regs[0] < 0)
		elog(ERROR, "registration %d is negative", set->regs[0]);
	put_numbers(w, set->regs, set->n);
}

/* scopes by their place among those that the cursor lists */
static void
put_scopes_of(Writer *w, const ScopeSet *set, const ScopeSet *listed)
{
	int32	   *numbers = palloc(sizeof(int32) * (set->n + 1));
	int			i;
	int			j = 0;

	for (i = 0; i < set->n; i++)
	{
		while (strcmp(listed->scopes[j], set->scopes[i]) != 0)
			j++;
		numbers[i] = j;
	}
	put_numbers(w, numbers, set->n);
	pfree(numbers);
}

static uint8
cursor_flags(const Cursor *cursor)
{
	return (cursor->generation != 0 ? FLAG_GENERATION : 0) |
		(cursor->held_scopes.n > 0 ? FLAG_HELD : 0) |
		(cursor->lost_types.n > 0 ? FLAG_LOST : 0) |
		(cursor->gone ? FLAG_GONE : 0) |
		(cursor->refreshed.n > 0 ? FLAG_REFRESHED : 0);
}

/* before: NULL for the first place */
static uint8
place_flags(const Place *place, const Place *before)
{
	uint8		flags = (uint8) place->phase;

	if (place->scopes.all)
		flags |= PLACE_ALL;
	if (before && snapshot_equal(&before->seen, &place->seen))
		flags |= PLACE_SAME_SEEN;
	if (place->phase != CURSOR_AT_REST && place->resets.n > 0)
		flags |= PLACE_RESETS;
	if (place->phase == CURSOR_IN_LOG && before && before->phase == CURSOR_IN_LOG &&
		snapshot_equal(&before->target, &place->target))
		flags |= PLACE_SAME_TARGET;
	if (place->phase != CURSOR_AT_REST && place->scope != NULL)
		flags |= PLACE_SCOPE;
	if (place->phase == CURSOR_IN_TABLES && place->key != NULL)
		flags |= PLACE_KEY;
	return flags;
}

/* The fields of other phases than the place's own are not looked at. */
static void
put_place(Writer *w, const Place *place, const Place *before, const ScopeSet *listed)
{
	uint8		flags = place_flags(place, before);

	Assert(before == NULL || place_compare(before, place) < 0);
	put_byte(w, flags);
	put_scopes_of(w, &place->scopes, listed);
	put_types(w, &place->types);
	if (before == NULL)
		put_snapshot(w, &place->seen);
	else if (!(flags & PLACE_SAME_SEEN))
		put_snapshot_below(w, &place->seen, &before->seen);
	if (flags & PLACE_RESETS)
		put_types(w, &place->resets);

	if (place->phase == CURSOR_IN_LOG)
	{
		Assert(place->seq >= 0 && place->index >= -1);
		if (!(flags & PLACE_SAME_TARGET))
			put_snapshot(w, &place->target);
		if (flags & PLACE_SCOPE)
			put_string(w, place->scope);
		put_varint(w, place->xid);
		put_varint(w, (uint64) place->seq);
		put_varint(w, (uint64) ((int64) place->index + 1));
		put_varint(w, (uint64) place->reach);
		put_varint(w, (uint64) place->measured);
	}
	else if (place->phase == CURSOR_IN_TABLES)
	{
		Assert(place->reg >= 0);
		put_types(w, &place->done_types);
		put_varint(w, (uint64) place->reg);
		if (flags & PLACE_SCOPE)
			put_string(w, place->scope);
		if (flags & PLACE_KEY)
			put_string(w, place->key);
	}
}

/* each scope that the cursor speaks of */
static ScopeSet
list_scopes(const Cursor *cursor)
{
	ScopeSet	listed = cursor->held_scopes;
	int			i;

	for (i = 0; i < cursor->nplaces; i++)
	{
		/* most often they are in the list already */
		if (i == 0 && listed.n == 0)
			listed = cursor->places[i].scopes;
		else if (cursor->places[i].scopes.n > 0)
			listed = scopes_listed(&listed, &cursor->places[i].scopes);
	}
	listed.all = false;
	return listed;
}

static void
put_cursor(Writer *w, const Cursor *cursor, const ScopeSet *listed)
{
	uint8		flags = cursor_flags(cursor);
	int			i;

	w->room = 128;
	w->used = 0;
	w->data = palloc(w->room);

	put_byte(w, CURSOR_VERSION);
	put_byte(w, flags);
	put_fixed64(w, cursor->history);
	put_varint(w, cursor->timeline);
	put_varint(w, cursor->position);
	if (flags & FLAG_GENERATION)
		put_fixed64(w, cursor->generation);
	put_scopes(w, listed);
	if (flags & FLAG_HELD)
		put_scopes_of(w, &cursor->held_scopes, listed);
	if (flags & FLAG_LOST)
		put_types(w, &cursor->lost_types);
	if (flags & FLAG_REFRESHED)
		put_types(w, &cursor->refreshed);
	put_varint(w, (uint64) cursor->nplaces);
	for (i = 0; i < cursor->nplaces; i++)
		put_place(w, &cursor->places[i], i > 0 ? &cursor->places[i - 1] : NULL, listed);
}

/* may the cursor be encoded, or does it list too much? */
bool
cursor_fits(const Cursor *cursor)
{
	ScopeSet	listed;
	Writer		w;
	bool		fits;

	if (cursor->nplaces > CURSOR_MAX_PLACES)
		return false;
	listed = list_scopes(cursor);
	if (listed.n > CURSOR_MAX_LISTED)
		return false;
	put_cursor(&w, cursor, &listed);
	fits = w.used <= CURSOR_MAX_TEXT / 4 * 3;
	pfree(w.data);
	return fits;
}

char *
cursor_encode(const Cursor *cursor)
{
	ScopeSet	listed = list_scopes(cursor);
	Writer		w;
	char	   *text;

	Assert(cursor->nplaces <= CURSOR_MAX_PLACES);
	if (listed.n > CURSOR_MAX_LISTED)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_TOO_MANY_SCOPES),
				 errmsg("too many scopes for a cursor"),
				 errdetail("There are %d, and a cursor holds at most %d.",
						   listed.n, CURSOR_MAX_LISTED),
				 errhint("Pull fewer scopes at a time, and keep a cursor for each set of them.")));
	put_cursor(&w, cursor, &listed);
	text = base64url_encode(w.data, w.used);
	pfree(w.data);
	/* refuse it now rather than when it comes back */
	if (strlen(text) > CURSOR_MAX_TEXT)
		ereport(ERROR,
				(errcode(ERRCODE_TIDE_TOO_MANY_SCOPES),
				 errmsg("cursor would be longer than %d bytes", CURSOR_MAX_TEXT),
				 errhint("Pull fewer scopes at a time.")));
	return text;
}

/*
 * Reading.  Each get_ function raises the error itself.
 */

/* the ids between xmin and xmax */
static void
get_running(Reader *r, TideSnapshot *snapshot)
{
	uint64		next = snapshot->xmin;
	int			i;

	snapshot->nxip = get_count(r, PG_INT32_MAX);
	snapshot->xip = palloc(sizeof(uint64) * Max(snapshot->nxip, 1));
	for (i = 0; i < snapshot->nxip; i++)
	{
		/* next <= xmax always, and the remaining ids must fit between */
		if (next == snapshot->xmax)
			cursor_malformed();
		next += get_varint(r, snapshot->xmax - next - 1);
		snapshot->xip[i] = next++;
	}
}

static void
get_snapshot(Reader *r, TideSnapshot *snapshot)
{
	snapshot->xmin = get_varint(r, PG_UINT64_MAX);
	snapshot->xmax = snapshot->xmin +
		get_varint(r, PG_UINT64_MAX - snapshot->xmin);
	get_running(r, snapshot);
}

static void
get_snapshot_below(Reader *r, TideSnapshot *snapshot, const TideSnapshot *above)
{
	snapshot->xmax = above->xmax - get_varint(r, above->xmax);
	snapshot->xmin = snapshot->xmax - get_varint(r, snapshot->xmax);
	get_running(r, snapshot);
}

static void
get_scopes(Reader *r, ScopeSet *set)
{
	int			i;

	set->all = false;
	set->n = get_count(r, CURSOR_MAX_LISTED);
	set->scopes = palloc(sizeof(char *) * Max(set->n, 1));
	for (i = 0; i < set->n; i++)
	{
		set->scopes[i] = get_string(r);
		if (i > 0 && strcmp(set->scopes[i - 1], set->scopes[i]) >= 0)
			cursor_malformed();
	}
}

static void
get_types(Reader *r, TypeSet *set)
{
	set->regs = get_numbers(r, MAX_TYPES, PG_INT32_MAX, &set->n);
}

/* an optional field that is there is not empty */
static void
get_some_types(Reader *r, TypeSet *set)
{
	get_types(r, set);
	if (set->n == 0)
		cursor_malformed();
}

/* used: which of the listed scopes have come */
static void
get_scopes_of(Reader *r, ScopeSet *set, const ScopeSet *listed, bool *used)
{
	int32	   *numbers;
	int			i;

	set->n = 0;
	numbers = get_numbers(r, listed->n, listed->n - 1, &set->n);
	set->scopes = palloc(sizeof(char *) * (set->n + 1));
	for (i = 0; i < set->n; i++)
	{
		set->scopes[i] = listed->scopes[numbers[i]];
		used[numbers[i]] = true;
	}
	pfree(numbers);
}

static void
get_place(Reader *r, Place *place, const Place *before, const ScopeSet *listed, bool *used)
{
	uint8		flags = get_byte(r);

	if ((flags & PLACE_PHASE) > CURSOR_IN_TABLES)
		cursor_malformed();
	place->phase = (CursorPhase) (flags & PLACE_PHASE);
	place->scopes.all = (flags & PLACE_ALL) != 0;
	get_scopes_of(r, &place->scopes, listed, used);
	get_some_types(r, &place->types);
	if (flags & PLACE_SAME_SEEN)
	{
		if (before == NULL)
			cursor_malformed();
		place->seen = before->seen;
	}
	else if (before == NULL)
		get_snapshot(r, &place->seen);
	else
		get_snapshot_below(r, &place->seen, &before->seen);
	if (flags & PLACE_RESETS)
		get_some_types(r, &place->resets);

	if (place->phase == CURSOR_IN_LOG)
	{
		if (!(flags & PLACE_SAME_TARGET))
			get_snapshot(r, &place->target);
		else if (before)
			place->target = before->target;
		if (flags & PLACE_SCOPE)
			place->scope = get_string(r);
		place->xid = get_varint(r, PG_UINT64_MAX);
		place->seq = (int64) get_varint(r, PG_INT64_MAX);
		place->index = (int32) ((int64) get_varint(r, (uint64) PG_INT32_MAX + 1) - 1);
		place->reach = (int32) get_varint(r, PG_INT32_MAX);
		place->measured = (int32) get_varint(r, PG_INT32_MAX);
	}
	else if (place->phase == CURSOR_IN_TABLES)
	{
		get_types(r, &place->done_types);
		place->reg = (int32) get_varint(r, PG_INT32_MAX);
		if (flags & PLACE_SCOPE)
			place->scope = get_string(r);
		if (flags & PLACE_KEY)
			place->key = get_string(r);
	}

	/* flags that contradict the fields, and places out of order */
	if (flags != place_flags(place, before) ||
		(before && place_compare(before, place) >= 0))
		cursor_malformed();
}

static void
get_places(Reader *r, Cursor *cursor, const ScopeSet *listed, bool *used)
{
	int			i;

	cursor->nplaces = get_count(r, CURSOR_MAX_PLACES);
	cursor->places = palloc0(sizeof(Place) * Max(cursor->nplaces, 1));
	for (i = 0; i < cursor->nplaces; i++)
		get_place(r, &cursor->places[i], i > 0 ? &cursor->places[i - 1] : NULL,
				  listed, used);
}

/* The result and all it points to is palloc'd in the current context. */
Cursor *
cursor_decode(const char *text)
{
	Cursor	   *cursor = palloc0(sizeof(Cursor));
	ScopeSet	listed;
	bool	   *used;
	Reader		r;
	uint8	   *data;
	size_t		len;
	size_t		n;
	uint8		flags;
	int			i;

	len = strnlen(text, CURSOR_MAX_TEXT + 1);
	if (len > CURSOR_MAX_TEXT)
		cursor_malformed();
	data = base64url_decode(text, len, &n);
	if (data == NULL)
		cursor_malformed();
	r.at = data;
	r.end = data + n;

	if (get_byte(&r) != CURSOR_VERSION)
		cursor_malformed();
	flags = get_byte(&r);
	if ((flags & ~FLAGS_KNOWN) != 0)
		cursor_malformed();
	cursor->gone = (flags & FLAG_GONE) != 0;

	cursor->history = get_fixed64(&r);
	cursor->timeline = (uint32) get_varint(&r, PG_UINT32_MAX);
	cursor->position = get_varint(&r, PG_UINT64_MAX);
	if (flags & FLAG_GENERATION)
	{
		cursor->generation = get_fixed64(&r);
		if (cursor->generation == 0)
			cursor_malformed();
	}
	get_scopes(&r, &listed);
	used = palloc0(listed.n + 1);
	if (flags & FLAG_HELD)
	{
		get_scopes_of(&r, &cursor->held_scopes, &listed, used);
		if (cursor->held_scopes.n == 0)
			cursor_malformed();
	}
	if (flags & FLAG_LOST)
		get_some_types(&r, &cursor->lost_types);
	if (flags & FLAG_REFRESHED)
		get_some_types(&r, &cursor->refreshed);
	get_places(&r, cursor, &listed, used);
	for (i = 0; i < listed.n; i++)
		if (!used[i])
			cursor_malformed();

	if (r.at != r.end)
		cursor_malformed();
	pfree(data);
	return cursor;
}

/*
 * Times begin with a digit or a sign.  A text that begins with a letter counts
 * as a cursor, so that a truncated or mistyped cursor gets the error about
 * cursors.
 */
bool
cursor_is_cursor(const char *text)
{
	return (text[0] >= 'A' && text[0] <= 'Z') ||
		(text[0] >= 'a' && text[0] <= 'z');
}
