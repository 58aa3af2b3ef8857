/*-------------------------------------------------------------------------
 *
 * places_test.c
 *	  Unit tests of places.c: random pulls of some types and scopes, against a
 *	  model that keeps for each type and scope by itself how far the client is.
 *
 * Prints TAP.  Usage: places_test [seed [rounds]]; without a seed the clock
 * gives one, which is printed.
 *
 * Seen to fail with: either part of what is left out not kept in take_apart(),
 * a shared type taken apart by scopes there, the types of the reset not taken
 * from all places, places joined whose states differ, drop_place() without the
 * lost types.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cursor/places.h"
#include "util/errors.h"
#include "tap.h"

#define NTYPES 6				/* the last two are shared */
#define NSCOPES 5				/* the last one is never listed */
#define FIRST_REG 10
#define IS_SHARED(type) ((type) >= NTYPES - 2)

static uint64 now = 100;
static const char *why;

/*
 * The model: how far the client is, of each type and scope; of a shared type
 * only the first scope counts.
 */
typedef struct Cell
{
	bool		known;			/* a place is of it */
	uint64		seen;
	bool		mid;			/* and is being read: with this it is compared */
	uint64		mark;			/* where: the xid or the key of it */
} Cell;

typedef struct Model
{
	Cell		cells[NTYPES][NSCOPES];
	int32		regs[NTYPES];	/* as they are registered now */
	bool		rows[NTYPES];	/* may the client hold rows of it? */
} Model;

static const char *const scope_names[NSCOPES] = {"a", "b", "c", "d", "other"};
static int32 next_reg = FIRST_REG;

static int
ncells(int type)
{
	return IS_SHARED(type) ? 1 : NSCOPES;
}

static TideSnapshot
snapshot_of(uint64 xid)
{
	TideSnapshot result = {xid, xid, 0, NULL};

	result.xip = palloc(sizeof(uint64));
	return result;
}

static bool
covers(const Place *place, const Model *model, int type, int scope)
{
	return types_contain(&place->types, model->regs[type]) &&
		(IS_SHARED(type) || scopes_contain(&place->scopes, scope_names[scope]));
}

/* does exactly one of these places, or none of them, cover the cell? */
static const Place *
find_place(const Place *places, int n, const Model *model, int type, int scope, int *found)
{
	const Place *result = NULL;
	int			i;

	for (i = 0; i < n; i++)
	{
		if (covers(&places[i], model, type, scope))
		{
			result = &places[i];
			++*found;
		}
	}
	return result;
}

static uint64
mark_of(const Place *place)
{
	return place->phase == CURSOR_IN_LOG ? place->xid :
		place->phase == CURSOR_IN_TABLES && place->key ? strtoull(place->key, NULL, 10) : 0;
}

static void
rnd_asked(const Model *model, Asked *asked, bool everything)
{
	int			i;

	memset(asked, 0, sizeof(*asked));
	asked->types.regs = palloc(sizeof(int32) * NTYPES);
	asked->shared.regs = palloc(sizeof(int32) * NTYPES);
	asked->registered.regs = palloc(sizeof(int32) * NTYPES);
	asked->scopes.scopes = palloc(sizeof(char *) * NSCOPES);
	for (i = 0; i < NTYPES; i++)
	{
		asked->registered.regs[asked->registered.n++] = model->regs[i];
		if (IS_SHARED(i))
			asked->shared.regs[asked->shared.n++] = model->regs[i];
		if (everything || rnd_below(2))
			asked->types.regs[asked->types.n++] = model->regs[i];
	}
	asked->scopes.all = everything || rnd_below(5) == 0;
	for (i = 0; i < NSCOPES - 1 && !asked->scopes.all; i++)
		if (rnd_below(2))
			asked->scopes.scopes[asked->scopes.n++] = (char *) scope_names[i];
	types_normalise(&asked->types);
	types_normalise(&asked->shared);
	types_normalise(&asked->registered);
	asked->now = snapshot_of(now);
}

static bool
is_asked_for(const Asked *asked, const Model *model, int type, int scope)
{
	return types_contain(&asked->types, model->regs[type]) &&
		(IS_SHARED(type) || scopes_contain(&asked->scopes, scope_names[scope]));
}

/* a type comes again: then nothing of it is known */
static void
forget_type(Model *model, int type)
{
	memset(model->cells[type], 0, sizeof(model->cells[type]));
}

static bool
is_named(const Begin *begin, int32 reg)
{
	int			i;

	for (i = 0; i < begin->nasked; i++)
		if (types_contain(&begin->asked[i].resets, reg))
			return true;
	return false;
}

/* what the cells of a type say, before a pull: is some of it new, or all? */
static bool
check_cells(Model *model, const Asked *asked, const Begin *begin, int type)
{
	int			s;

	for (s = 0; s < ncells(type); s++)
	{
		Cell	   *cell = &model->cells[type][s];
		bool		wanted = is_asked_for(asked, model, type, s);
		int			inside = 0;
		int			outside = 0;
		const Place *place = find_place(begin->asked, begin->nasked, model, type, s, &inside);
		const Place *other = find_place(begin->others, begin->nothers, model, type, s, &outside);

		if (inside != (wanted ? 1 : 0))
			why = "what is asked for has just one place, and nothing else has";
		else if (outside > (wanted || !cell->known ? 0 : 1))
			why = "what is left out has one place, if it had one";
		else if (!wanted && cell->known && outside == 0)
			why = "what is left out keeps its place";
		else if (wanted && !cell->known &&
				 (place->phase != CURSOR_IN_TABLES || place->seen.xmax != now || place->reg != 0))
			why = "what is new begins with the tables";
		if (why)
			return false;

		if (!wanted)
			place = other;
		if (!cell->known || place == NULL)
			continue;
		if (place->seen.xmax != cell->seen || (place->phase != CURSOR_AT_REST) != cell->mid)
			why = "what is known goes on where it was";

		/*
		 * a part of a reading that is not where it is begins anew, which is
		 * safe
		 */
		else if (mark_of(place) != cell->mark && mark_of(place) != 0)
			why = "the position is its own";
		if (why)
			return false;
	}
	return true;
}

/* each place gets as far as it happens to, and the model with it */
static void
carry_on(Model *model, const Asked *asked, Begin *begin, bool to_the_end)
{
	int			i,
				t,
				s;

	for (i = 0; i < begin->nasked; i++)
	{
		Place	   *place = &begin->asked[i];
		uint64		how_far = to_the_end ? 0 : rnd_below(3);

		if (how_far == 0)
		{
			place->phase = CURSOR_AT_REST;
			place->seen = asked->now;
		}
		else if (how_far == 1 && place->phase != CURSOR_IN_TABLES)
		{
			place->phase = CURSOR_IN_LOG;
			place->target = asked->now;
			place->xid = now;
			place->seq = 1;
			place->index = -1;
		}
		else if (how_far == 1)
		{
			place->reg = place->types.regs[rnd_below(place->types.n)];
			place->scope = NULL;
			place->key = palloc(32);
			snprintf(place->key, 32, "%d", (int) now);
		}
		for (t = 0; t < NTYPES; t++)
			for (s = 0; s < ncells(t); s++)
			{
				Cell	   *cell = &model->cells[t][s];

				if (!covers(place, model, t, s) || !is_asked_for(asked, model, t, s))
					continue;
				cell->known = true;
				cell->seen = place->seen.xmax;
				cell->mid = place->phase != CURSOR_AT_REST;
				cell->mark = mark_of(place);
				model->rows[t] = true;
			}
	}
}

/* what the cursor did not keep is gone from the model, and must be lost */
static bool
check_kept(Model *model, const Cursor *cursor)
{
	int			t,
				s;

	for (t = 0; t < NTYPES; t++)
		for (s = 0; s < ncells(t); s++)
		{
			int			found = 0;

			(void) find_place(cursor->places, cursor->nplaces, model, t, s, &found);
			if (found > 1)
				why = "no two places are of the same";
			else if (model->cells[t][s].known && found == 0)
				why = "so few places are all kept";
			if (why)
				return false;
		}
	return true;
}

/* a pull that starts over does so only if something was coming again already */
static bool
start_over(Model *model, const Cursor *cursor, const Asked *asked, Begin *begin)
{
	bool		again = false;
	int			i;

	for (i = 0; i < cursor->nplaces; i++)
		again |= cursor->places[i].resets.n > 0;
	if (!again)
	{
		why = "nothing starts over without a reason";
		return false;
	}
	for (i = 0; i < NTYPES; i++)
		forget_type(model, i);
	places_begin(asked, begin);
	why = NULL;
	return true;
}

/* what is from before the horizon is read again, and named */
static bool
check_type(Model *model, const Cursor *cursor, const Asked *asked, Begin *begin, int t)
{
	int32		reg = model->regs[t];
	bool		expired = false;
	bool		fresh = true;
	bool		some = false;
	int			s;

	for (s = 0; s < ncells(t); s++)
	{
		expired |= model->cells[t][s].known && model->cells[t][s].seen < asked->horizon;
		fresh &= !model->cells[t][s].known;
		some |= is_asked_for(asked, model, t, s);
	}
	expired = expired && types_contain(&asked->types, reg);
	if (expired || (is_named(begin, reg) && cursor->gone && fresh))
		forget_type(model, t);
	if (expired && !is_named(begin, reg) && some)
	{
		why = "what is from before the horizon is named";
		return false;
	}
	return check_cells(model, asked, begin, t);
}

static bool
one_pull(Model *model, Cursor **cursor, bool everything)
{
	Asked		asked;
	Begin		begin;
	Cursor		next;
	char	   *text;
	uint64		horizon = rnd_below(20) == 0 ? now - rnd_below(10) : 0;
	int			t;

	now += 1 + rnd_below(3);
	rnd_asked(model, &asked, everything);
	if (!everything && *cursor && !places_are_expired(*cursor, horizon))
		asked.horizon = horizon;
	if (*cursor)
		places_continue(*cursor, &asked, &begin);
	else
		places_begin(&asked, &begin);
	if (begin.starts_over && !start_over(model, *cursor, &asked, &begin))
		return false;
	for (t = 0; t < NTYPES; t++)
	{
		if (!check_type(model, *cursor, &asked, &begin, t))
			return false;
	}
	carry_on(model, &asked, &begin, everything);

	memset(&next, 0, sizeof(next));
	next.history = 7;
	places_settle(&next, &begin, &asked.shared);
	if (!check_kept(model, &next))
		return false;
	text = cursor_encode(&next);
	*cursor = cursor_decode(text);
	if (strcmp(cursor_encode(*cursor), text) != 0)
		why = "it comes back the same";
	else if (everything && (*cursor)->nplaces != 1)
		why = "once all is asked for and complete, there is one place";
	return why == NULL;
}

/* a table goes, and another comes, perhaps of the same name */
static void
track_anew(Model *model)
{
	int			t = (int) rnd_below(NTYPES);

	model->regs[t] = next_reg++;
	forget_type(model, t);
}

static void
test_pulls(int rounds)
{
	int			i;
	int			j;

	for (i = 0; i < rounds && why == NULL; i++)
	{
		Model		model;
		Cursor	   *cursor = NULL;

		memset(&model, 0, sizeof(model));
		for (j = 0; j < NTYPES; j++)
			model.regs[j] = next_reg++;
		for (j = 0; j < 12 && why == NULL; j++)
		{
			if (rnd_below(15) == 0)
				track_anew(&model);
			(void) one_pull(&model, &cursor, rnd_below(8) == 0);
		}
		if (why == NULL)
			(void) one_pull(&model, &cursor, true);
		if (why)
			printf("# round %d, pull %d: not so: %s\n", i, j, why);
		next_reg = next_reg > 1000000 ? FIRST_REG : next_reg;
		shim_reset();
	}
	ok(why == NULL, "each type of each scope goes on where it was, whatever is asked for");
}

/* more of them than a cursor keeps: the oldest are lost, and the newest stay */
static void
test_many(void)
{
	Begin		begin = {0};
	Cursor		cursor = {0};
	TypeSet		none = {0};
	int			n = CURSOR_MAX_PLACES + 5;
	int			i;
	bool		good = true;

	begin.nasked = 1;
	begin.asked = palloc0(sizeof(Place));
	begin.asked[0].types = types_of(1);
	begin.asked[0].scopes.all = true;
	begin.asked[0].seen = snapshot_of(3);	/* older than any */
	begin.nothers = n;
	begin.others = palloc0(sizeof(Place) * n);
	for (i = 0; i < n; i++)
	{
		begin.others[i].types = types_of(100 + 2 * i);
		begin.others[i].scopes.all = true;
		begin.others[i].seen = snapshot_of(10 + i);
	}
	places_settle(&cursor, &begin, &none);
	ok(cursor.nplaces == CURSOR_MAX_PLACES && cursor.lost_types.n == 6, "no more places than that");
	for (i = 0; i < 6; i++)
		good &= types_contain(&cursor.lost_types, 100 + 2 * i);
	ok(good, "those that have seen least are lost");
	ok(types_contain(&cursor.places[cursor.nplaces - 1].types, 1), "but none that is asked for");
	ok(!places_expired_for(&cursor, 1, 3) && places_expired_for(&cursor, 1, 4) &&
	   places_expired_for(&cursor, 100, 3) && !places_expired_for(&cursor, 160, 4),
	   "a push is late by the place of its type");
	shim_reset();
}

static TideSnapshot
rnd_snapshot(void)
{
	TideSnapshot result = {0};
	uint64		xid;

	result.xmin = 100 + rnd_below(10);
	result.xmax = result.xmin + rnd_below(10);
	result.xip = palloc(sizeof(uint64) * 10);
	for (xid = result.xmin; xid < result.xmax; xid++)
		if (rnd_below(3) == 0)
			result.xip[result.nxip++] = xid;
	return result;
}

/* against each transaction by itself */
static void
test_hold_back(int rounds)
{
	bool		good = true;
	int			i;

	for (i = 0; i < rounds && good; i++)
	{
		TideSnapshot now = rnd_snapshot();
		TideSnapshot seen = rnd_snapshot();
		TideSnapshot target = rnd_snapshot();
		Place		place = {0};
		Cursor		cursor = {0};
		bool		more = false;
		uint64		xid;

		place.types = types_of(1);
		place.scopes.all = true;
		place.phase = CURSOR_IN_LOG;
		place.seen = seen;
		place.target = target;
		place.xid = 105;
		place.seq = 7;
		cursor.nplaces = 1;
		cursor.places = &place;
		places_hold_back(&cursor, &now);
		for (xid = 90; xid < 130; xid++)
		{
			good &= snapshot_shows(&place.seen, xid) ==
				(snapshot_shows(&seen, xid) && snapshot_shows(&now, xid));
			good &= !snapshot_shows(&place.target, xid) || snapshot_shows(&now, xid);
			more |= snapshot_shows(&target, xid) && !snapshot_shows(&now, xid);
		}
		if (more)
			good &= place.xid == 0 && place.seq == 0 && snapshot_equal(&place.target, &now);
		else if (target.xmax <= now.xmax)
			good &= place.xid == 105 && place.seq == 7 && snapshot_equal(&place.target, &target);
		good &= snapshot_shows(&place.seen, place.seen.xmin - 1);
		/* the form that a cursor has */
		good &= strcmp(cursor_encode(&cursor), cursor_encode(cursor_decode(cursor_encode(&cursor)))) == 0;
		shim_reset();
	}
	ok(good, "nothing counts as seen that is not visible, and pages begin anew only then");
}

/* sets, against membership */
static void
test_sets(int rounds)
{
	bool		good = true;
	int			i,
				s;

	for (i = 0; i < rounds && good; i++)
	{
		ScopeSet	sets[2];
		ScopeSet	both,
					either,
					minus;

		for (s = 0; s < 2; s++)
		{
			int			k;

			sets[s].all = rnd_below(2);
			sets[s].n = 0;
			sets[s].scopes = palloc(sizeof(char *) * NSCOPES);
			for (k = 0; k < NSCOPES; k++)
				if (rnd_below(2))
					sets[s].scopes[sets[s].n++] = (char *) scope_names[k];
		}
		both = scopes_intersect(&sets[0], &sets[1]);
		either = scopes_union(&sets[0], &sets[1]);
		minus = scopes_subtract(&sets[0], &sets[1]);
		for (s = 0; s <= NSCOPES; s++)
		{
			const char *name = s < NSCOPES ? scope_names[s] : "zz";
			bool		a = scopes_contain(&sets[0], name);
			bool		b = scopes_contain(&sets[1], name);

			good &= scopes_contain(&both, name) == (a && b) &&
				scopes_contain(&either, name) == (a || b) &&
				scopes_contain(&minus, name) == (a && !b);
		}
		shim_reset();
	}
	ok(good, "what two sets of scopes make has the members that it should");
}

int
main(int argc, char **argv)
{
	int			rounds = argc > 2 ? atoi(argv[2]) : 3000;

	seed_random(argc > 1 ? argv[1] : NULL);

	test_hold_back(rounds);
	test_sets(rounds);
	test_many();
	test_pulls(rounds);

	return done_testing();
}
