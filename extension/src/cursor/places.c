/*-------------------------------------------------------------------------
 *
 * places.c
 *	  The places that a cursor keeps, and those that a pull is about.
 *
 * A place says how far the client is with some types of some scopes.  A pull,
 * too, asks for some types of some scopes.  So each place is split into the
 * part that is asked for and the rest, which stays as it is.  What belongs to
 * no place begins with reading the tables.  When a pull is complete, all that
 * it asked for has reached one snapshot, and becomes one place again.
 *
 * A client that is told to drop the rows of a type which do not come again
 * drops them whatever their scopes.  So all places of such a type go.  The
 * client drops these rows once the type is complete.  Until then it cannot be
 * told to begin the type anew, and only a reset of everything gives the right
 * result.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cursor/places.h"

typedef struct PlaceList
{
	int			n;
	int			room;
	Place	   *places;
} PlaceList;

static void
add_place(PlaceList *list, const Place *place)
{
	if (place->types.n == 0)
		return;
	if (list->n == list->room)
	{
		list->room = Max(8, list->room * 2);
		if (list->places == NULL)
			list->places = palloc(sizeof(Place) * list->room);
		else
			list->places = repalloc(list->places, sizeof(Place) * list->room);
	}
	list->places[list->n++] = *place;
}

/* the same place, of fewer types or scopes */
static Place
narrow(const Place *place, const ScopeSet *scopes, const TypeSet *types)
{
	Place		result = *place;

	result.scopes = *scopes;
	result.types = *types;
	result.resets = types_intersect(&place->resets, types);
	result.done_types = types_intersect(&place->done_types, types);
	if (place->phase == CURSOR_IN_TABLES &&
		(!types_contain(types, place->reg) ||
		 (place->scope == NULL && place->scopes.all && !scopes->all)))
	{
		/* not where this part of it is being read */
		result.reg = 0;
		result.scope = result.key = NULL;
	}
	return result;
}

static Place
without_types(const Place *place, const TypeSet *types)
{
	TypeSet		rest = types_subtract(&place->types, types);

	return narrow(place, &place->scopes, &rest);
}

static Place
in_tables(const ScopeSet *scopes, const TypeSet *types, const TideSnapshot *seen)
{
	Place		result;

	memset(&result, 0, sizeof(result));
	result.scopes = *scopes;
	result.types = *types;
	result.seen = *seen;
	result.phase = CURSOR_IN_TABLES;
	return result;
}

/* ---------- where a pull begins ---------- */

/*
 * A standby can know a commit before the primary shows it: who commits waits for
 * a synchronous standby, and is running until then.  With a cursor that came
 * from there, rows would be read as they were before, the log after them would
 * leave that commit out, as seen, and the rows would stay as they were.
 * Likewise with a snapshot that is older than the cursor.  So what is not visible
 * counts as not seen, and is sent again.
 */
void
places_hold_back(Cursor *cursor, const TideSnapshot *now)
{
	int			i;

	for (i = 0; i < cursor->nplaces; i++)
	{
		Place	   *place = &cursor->places[i];

		(void) snapshot_hold_back(&place->seen, now);
		if (place->phase == CURSOR_IN_LOG && snapshot_hold_back(&place->target, now))
		{
			/* keys were left to entries that are not visible here */
			place->target = *now;
			place->scope = NULL;
			place->xid = 0;
			place->seq = 0;
			place->index = -1;
			place->reach = place->measured = 0;
		}
	}
}

static bool
is_expired(const Place *place, uint64 horizon)
{
	return place->seen.xmin < horizon;
}

bool
places_are_expired(const Cursor *cursor, uint64 horizon)
{
	int			i;

	for (i = 0; i < cursor->nplaces; i++)
	{
		if (!is_expired(&cursor->places[i], horizon))
			return false;
	}
	return cursor->nplaces > 0;
}

bool
places_expired_for(const Cursor *cursor, int32 reg, uint64 horizon)
{
	int			i;

	for (i = 0; i < cursor->nplaces; i++)
	{
		if (types_contain(&cursor->places[i].types, reg) &&
			is_expired(&cursor->places[i], horizon))
			return true;
	}
	return types_contain(&cursor->lost_types, reg);
}

void
places_forget_scopes(Cursor *cursor, const ScopeSet *scopes)
{
	int			i;

	for (i = 0; i < cursor->nplaces; i++)
		cursor->places[i].scopes = scopes_subtract(&cursor->places[i].scopes, scopes);
	cursor->held_scopes = scopes_subtract(&cursor->held_scopes, scopes);
}

/* types that are no longer registered have no place */
static PlaceList
registered_places(const Cursor *cursor, const Asked *asked, Begin *begin)
{
	PlaceList	result = {0};
	int			i;

	begin->lost_types = types_intersect(&cursor->lost_types, &asked->registered);
	begin->gone = cursor->gone || begin->lost_types.n < cursor->lost_types.n;
	begin->refreshed = types_intersect(&cursor->refreshed, &asked->registered);
	for (i = 0; i < cursor->nplaces; i++)
	{
		const Place *place = &cursor->places[i];
		TypeSet		types = types_intersect(&place->types, &asked->registered);
		Place		known = narrow(place, &place->scopes, &types);

		begin->gone |= types.n < place->types.n;
		if (known.resets.n < place->resets.n)
			begin->starts_over = true;
		add_place(&result, &known);
	}
	return result;
}

/* the scopes asked for of which no place has this type */
static ScopeSet
uncovered_scopes(const PlaceList *places, const Asked *asked, int32 reg, bool *known)
{
	ScopeSet	rest = asked->scopes;
	int			i;

	*known = false;
	for (i = 0; i < places->n; i++)
	{
		if (!types_contain(&places->places[i].types, reg))
			continue;
		*known = true;
		if (types_contain(&asked->shared, reg))
		{
			rest.all = false;
			rest.n = 0;
		}
		else
			rest = scopes_subtract(&rest, &places->places[i].scopes);
	}
	return rest;
}

/*
 * Types of which the client may hold rows that the log cannot tell it to drop:
 * their place is from before the horizon, was not kept, or was one of a type
 * that is gone, which may have been the same table's.
 */
static TypeSet
types_to_reset(const PlaceList *places, const Asked *asked, const Begin *begin)
{
	TypeSet		result = {0};
	int			i;

	for (i = 0; i < places->n; i++)
	{
		if (is_expired(&places->places[i], asked->horizon))
			result = types_union(&result, &places->places[i].types);
	}
	result = types_intersect(&result, &asked->types);
	if (!begin->gone && begin->lost_types.n == 0)
		return result;
	for (i = 0; i < asked->types.n; i++)
	{
		int32		reg = asked->types.regs[i];
		bool		known;
		ScopeSet	rest = uncovered_scopes(places, asked, reg, &known);
		TypeSet		one = types_of(reg);

		if (known && scopes_are_none(&rest))
			continue;
		if ((begin->gone && !known) || types_contain(&begin->lost_types, reg))
			result = types_union(&result, &one);
	}
	return result;
}

/*
 * A place into what is asked for and up to two of what is not.  A type that is
 * shared is not taken apart by scopes.  Of one that the client has been told to
 * drop, both parts go on, but nothing says so any more: the client drops what
 * has not come so far, and gets what it should not have dropped.  Each part
 * saying it would have it drop what the other one has sent.
 */
static void
take_apart(const Place *place, const Asked *asked, PlaceList *inside, PlaceList *others)
{
	TypeSet		types = types_intersect(&place->types, &asked->types);
	TypeSet		left = types_subtract(&place->types, &asked->types);
	TypeSet		scoped = types_subtract(&types, &asked->shared);
	TypeSet		shared = types_intersect(&types, &asked->shared);
	ScopeSet	scopes = scopes_intersect(&place->scopes, &asked->scopes);
	ScopeSet	left_scopes = scopes_subtract(&place->scopes, &asked->scopes);
	Place		part;

	part = narrow(place, &place->scopes, &left);
	add_place(others, &part);
	if (scopes_are_none(&left_scopes))
	{
		part = narrow(place, &scopes, &types);
		add_place(inside, &part);
		return;
	}
	if (scopes_are_none(&scopes))
	{
		part = narrow(place, &scopes, &shared);
		add_place(inside, &part);
		part = narrow(place, &left_scopes, &scoped);
		add_place(others, &part);
		return;
	}
	part = narrow(place, &scopes, &types);
	part.resets = types_subtract(&part.resets, &scoped);
	add_place(inside, &part);
	part = narrow(place, &left_scopes, &scoped);
	part.resets.n = 0;
	add_place(others, &part);
}

/*
 * Types to be refreshed are read as if no place were of them.  "seen" stays, for
 * the log tells which of their rows are gone since then; it is read when the
 * tables have been.
 */
static PlaceList
refresh_places(const PlaceList *places, const TypeSet *refresh)
{
	PlaceList	result = {0};
	int			i;

	for (i = 0; i < places->n; i++)
	{
		const Place *place = &places->places[i];
		TypeSet		again = types_intersect(&place->types, refresh);
		Place		part = without_types(place, &again);

		add_place(&result, &part);
		part = in_tables(&place->scopes, &again, &place->seen);
		part.resets = types_intersect(&place->resets, &again);
		add_place(&result, &part);
	}
	return result;
}

/*
 * What no place is of: types that lack the same scopes together.  A shared type
 * goes with any of them.
 */
static void
add_uncovered(PlaceList *places, const Asked *asked, const TypeSet *resets)
{
	PlaceList	fresh = {0};
	TypeSet		shared = {0};
	int			i;
	int			j;

	for (i = 0; i < asked->types.n; i++)
	{
		int32		reg = asked->types.regs[i];
		TypeSet		one = types_of(reg);
		bool		known;
		ScopeSet	rest = uncovered_scopes(places, asked, reg, &known);
		Place		place;

		if (types_contain(&asked->shared, reg))
		{
			if (!known)
				shared = types_union(&shared, &one);
			continue;
		}
		if (scopes_are_none(&rest))
			continue;
		for (j = 0; j < fresh.n; j++)
			if (scopes_equal(&fresh.places[j].scopes, &rest))
				break;
		if (j < fresh.n)
		{
			fresh.places[j].types = types_union(&fresh.places[j].types, &one);
			continue;
		}
		place = in_tables(&rest, &one, &asked->now);
		add_place(&fresh, &place);
	}
	if (shared.n > 0 && fresh.n > 0)
		fresh.places[0].types = types_union(&fresh.places[0].types, &shared);
	else if (shared.n > 0)
	{
		Place		place = in_tables(&asked->scopes, &shared, &asked->now);

		add_place(&fresh, &place);
	}
	for (i = 0; i < fresh.n; i++)
	{
		fresh.places[i].resets = types_intersect(resets, &fresh.places[i].types);
		add_place(places, &fresh.places[i]);
	}
}

/*
 * Of the types that one of these places says are read again, those of which one
 * of all is complete, or at least says nothing.
 */
static TypeSet
types_said_in_part(const PlaceList *places, const PlaceList *all)
{
	TypeSet		result = {0};
	int			i;
	int			j;

	for (i = 0; i < places->n; i++)
		for (j = 0; places->places[i].resets.n > 0 && j < all->n; j++)
		{
			TypeSet		silent = types_subtract(&all->places[j].types, &all->places[j].resets);

			silent = types_intersect(&silent, &places->places[i].resets);
			result = types_union(&result, &silent);
		}
	return result;
}

/*
 * A client that is told to drop a type drops its rows of all scopes.  Once some
 * scopes of it have come in full, or come in a place of their own, they would be
 * lost; so nothing says so any more, as when a place is taken apart.
 */
static void
say_resets_of_all_or_none(PlaceList *inside, PlaceList *others)
{
	TypeSet		silent = types_said_in_part(inside, inside);
	TypeSet		also = types_said_in_part(inside, others);
	int			i;

	silent = types_union(&silent, &also);
	also = types_said_in_part(others, inside);
	silent = types_union(&silent, &also);
	also = types_said_in_part(others, others);
	silent = types_union(&silent, &also);
	for (i = 0; i < inside->n; i++)
		inside->places[i].resets = types_subtract(&inside->places[i].resets, &silent);
	for (i = 0; i < others->n; i++)
		others->places[i].resets = types_subtract(&others->places[i].resets, &silent);
}

void
places_begin(const Asked *asked, Begin *begin)
{
	PlaceList	places = {0};
	TypeSet		none = {0};

	memset(begin, 0, sizeof(*begin));
	add_uncovered(&places, asked, &none);
	begin->nasked = places.n;
	begin->asked = places.places;
}

void
places_continue(const Cursor *cursor, const Asked *asked, Begin *begin)
{
	PlaceList	places;
	PlaceList	inside = {0};
	PlaceList	others = {0};
	TypeSet		resets;
	int			i;

	memset(begin, 0, sizeof(*begin));
	places = registered_places(cursor, asked, begin);
	resets = types_to_reset(&places, asked, begin);
	begin->lost_types = types_subtract(&begin->lost_types, &resets);
	for (i = 0; i < places.n; i++)
	{
		Place		place = without_types(&places.places[i], &resets);

		if (place.resets.n < places.places[i].resets.n)
			begin->starts_over = true;
		if (place.types.n > 0)
			take_apart(&place, asked, &inside, &others);
	}
	if (begin->starts_over)
		return;
	if (asked->refresh.n > 0)
	{
		TypeSet		again = types_subtract(&asked->refresh, &begin->refreshed);

		inside = refresh_places(&inside, &again);
		begin->refreshed = types_union(&begin->refreshed, &again);
	}
	add_uncovered(&inside, asked, &resets);
	say_resets_of_all_or_none(&inside, &others);
	begin->nasked = inside.n;
	begin->asked = inside.places;
	begin->nothers = others.n;
	begin->others = others.places;
}

/* ---------- the places of a new cursor ---------- */

static int
compare_states(const void *a, const void *b)
{
	return place_compare_state(a, b);
}

static int
compare_places(const void *a, const void *b)
{
	return place_compare(a, b);
}

/*
 * Join places in the same state into as few as possible: first all scopes of
 * each type, then the types with the same scopes.  However the same whole was
 * split, the result is the same.
 */
static void
join_places(const Place *places, int n, const TypeSet *shared, PlaceList *result)
{
	TypeSet		types = {0};
	TypeSet		all_shared;
	int			first = result->n;
	int			i;
	int			j;

	if (n == 1 && !scopes_are_none(&places->scopes))
	{
		/* as it nearly always is */
		add_place(result, places);
		return;
	}
	for (i = 0; i < n; i++)
		types = types_union(&types, &places[i].types);
	all_shared = types_intersect(&types, shared);
	types = types_subtract(&types, shared);
	for (i = 0; i < types.n; i++)
	{
		TypeSet		one = types_of(types.regs[i]);
		ScopeSet	scopes = {0};
		Place		place;

		for (j = 0; j < n; j++)
			if (types_contain(&places[j].types, types.regs[i]))
				scopes = scopes_union(&scopes, &places[j].scopes);
		if (scopes_are_none(&scopes))
			continue;
		for (j = first; j < result->n; j++)
			if (scopes_equal(&result->places[j].scopes, &scopes))
				break;
		if (j < result->n)
			result->places[j].types = types_union(&result->places[j].types, &one);
		else
		{
			place = places[0];
			place.scopes = scopes;
			place.types = one;
			add_place(result, &place);
		}
	}
	if (all_shared.n > 0 && result->n > first)
		result->places[first].types = types_union(&result->places[first].types, &all_shared);
	else if (all_shared.n > 0)
	{
		Place		place = places[0];

		place.scopes.all = false;
		place.scopes.n = 0;
		place.types = all_shared;
		add_place(result, &place);
	}
}

/* a place with shared types only needs no scopes */
static Place
plain_place(const Place *place, const TypeSet *shared)
{
	Place		result = *place;
	TypeSet		scoped = types_subtract(&place->types, shared);

	if (scoped.n == 0)
	{
		result.scopes.all = false;
		result.scopes.n = 0;
	}
	if (result.phase == CURSOR_AT_REST)
		result.resets.n = 0;
	return result;
}

static bool
is_asked(const Place *place, const Begin *begin)
{
	int			i;

	for (i = 0; i < begin->nasked; i++)
	{
		if (place_compare_state(&begin->asked[i], place) == 0)
			return true;
	}
	return false;
}

/*
 * One place fewer: the last that is not asked for, which has seen least, else
 * the last.  Nobody misses one that nothing was sent for yet.
 */
static void
drop_place(Cursor *cursor, const Begin *begin)
{
	Place	   *place;
	int			i = cursor->nplaces - 1;

	while (i >= 0 && is_asked(&cursor->places[i], begin))
		i--;
	if (i < 0)
		i = cursor->nplaces - 1;
	place = &cursor->places[i];
	if (place->phase == CURSOR_IN_TABLES && place->reg == 0 && place->done_types.n == 0)
		cursor->lost_types = types_union(&cursor->lost_types, &place->resets);
	else
		cursor->lost_types = types_union(&cursor->lost_types, &place->types);
	if (!place->scopes.all)
		cursor->held_scopes = scopes_union(&cursor->held_scopes, &place->scopes);
	memmove(place, place + 1, sizeof(Place) * (cursor->nplaces - i - 1));
	cursor->nplaces--;
}

void
places_settle(Cursor *cursor, const Begin *begin, const TypeSet *shared)
{
	PlaceList	all = {0};
	PlaceList	joined = {0};
	ScopeSet	listed = {0};
	int			i;
	int			j;

	for (i = 0; i < begin->nasked + begin->nothers; i++)
	{
		Place		place = plain_place(i < begin->nasked ? &begin->asked[i] :
										&begin->others[i - begin->nasked], shared);

		add_place(&all, &place);
	}
	if (all.n > 1)
		qsort(all.places, all.n, sizeof(Place), compare_states);
	for (i = 0; i < all.n; i = j)
	{
		for (j = i + 1; j < all.n &&
			 place_compare_state(&all.places[i], &all.places[j]) == 0;)
			j++;
		join_places(&all.places[i], j - i, shared, &joined);
	}
	if (joined.n > 1)
		qsort(joined.places, joined.n, sizeof(Place), compare_places);

	cursor->nplaces = joined.n;
	cursor->places = joined.places;
	cursor->lost_types = begin->lost_types;
	cursor->gone = begin->gone;
	cursor->refreshed = begin->refreshed;

	/* scopes that a place lists need not be held */
	for (i = 0; i < cursor->nplaces && cursor->held_scopes.n > 0; i++)
		if (!cursor->places[i].scopes.all)
			listed = scopes_union(&listed, &cursor->places[i].scopes);
	if (listed.n > 0)
		cursor->held_scopes = scopes_subtract(&cursor->held_scopes, &listed);

	while (cursor->nplaces > 1 && !cursor_fits(cursor))
		drop_place(cursor, begin);
}
