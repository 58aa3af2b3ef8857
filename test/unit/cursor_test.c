/*-------------------------------------------------------------------------
 *
 * cursor_test.c
 *	  Unit tests of cursor.c: its bounds, round trips of random cursors, and
 *	  what it does with cursors that somebody tampered with.
 *
 * Prints TAP.  Usage: cursor_test [seed [rounds]]; without a seed the clock
 * gives one, which is printed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cursor/cursor.h"
#include "util/errors.h"
#include "tap.h"

#define LARGE_TEXT (128 * 1024)

/* as often small as large */
static uint64
rnd_wide(void)
{
	return rnd() >> rnd_below(64);
}

static char *
rnd_string(void)
{
	static const char *const pieces[] = {
		"a", "Z", "0", "-", " ", "\"", "\\", "\n", "\xc3\xa9",
		"\xe2\x82\xac", "\xf0\x9f\x98\x80", "user:", "{1,2}"
	};
	char	   *s = palloc(128);
	int			n = (int) rnd_below(20);

	if (rnd_below(2) == 0)
	{
		snprintf(s, 128, "%08x-%04x-%04x-%04x-%012llx",
				 (unsigned) (uint32) rnd(), (unsigned) rnd_below(0x10000),
				 (unsigned) rnd_below(0x10000), (unsigned) rnd_below(0x10000),
				 (unsigned long long) (rnd() >> 16));
		/* upper case must stay upper case */
		if (rnd_below(8) == 0)
			s[0] = 'A';
		return s;
	}
	s[0] = '\0';
	while (n-- > 0)
		strcat(s, pieces[rnd_below(sizeof(pieces) / sizeof(pieces[0]))]);
	return s;
}

static void
rnd_snapshot(TideSnapshot *snapshot)
{
	uint64		span = rnd_below(4) == 0 ? rnd_wide() : rnd_below(40);
	uint64		xid;

	snapshot->xmin = rnd_wide();
	if (span > PG_UINT64_MAX - snapshot->xmin)
		span = PG_UINT64_MAX - snapshot->xmin;
	snapshot->xmax = snapshot->xmin + span;
	snapshot->nxip = 0;
	snapshot->xip = palloc(sizeof(uint64) * 64);
	for (xid = snapshot->xmin; xid < snapshot->xmax && snapshot->nxip < 64;)
	{
		uint64		step = rnd_below(3);

		if (snapshot->xmax - xid <= step)
			break;
		xid += step;
		snapshot->xip[snapshot->nxip++] = xid++;
	}
}

static void
rnd_scopes(ScopeSet *set)
{
	int			i;

	set->all = false;
	set->n = (int) rnd_below(6);
	set->scopes = palloc(sizeof(char *) * 6);
	for (i = 0; i < set->n; i++)
		set->scopes[i] = rnd_string();
	scopes_normalise(set);
}

static void
rnd_types(TypeSet *set)
{
	int			i;

	set->n = (int) rnd_below(20);
	set->regs = palloc(sizeof(int32) * 20);
	for (i = 0; i < set->n; i++)
		set->regs[i] = (int32) (rnd_below(4) == 0 ? rnd() >> 33 : rnd_below(40));
	types_normalise(set);
}

static void
rnd_place(Place *p, const Place *like)
{
	rnd_scopes(&p->scopes);
	p->scopes.all = rnd_below(5) == 0;
	do
		rnd_types(&p->types);
	while (p->types.n == 0);
	if (like && rnd_below(2))
		p->seen = like->seen;
	else
		rnd_snapshot(&p->seen);
	p->phase = (CursorPhase) rnd_below(3);
	if (p->phase != CURSOR_AT_REST && rnd_below(3) == 0)
		rnd_types(&p->resets);
	if (p->phase == CURSOR_IN_LOG)
	{
		if (like && like->phase == CURSOR_IN_LOG && rnd_below(2))
			p->target = like->target;
		else
			rnd_snapshot(&p->target);
		p->xid = rnd_wide();
		p->seq = (int64) (rnd_wide() >> 1);
		p->index = (int32) (rnd_wide() >> 33) - 1;
		p->scope = rnd_below(2) ? rnd_string() : NULL;
		p->reach = (int32) (rnd_wide() >> 33);
		p->measured = (int32) (rnd_wide() >> 33);
	}
	else if (p->phase == CURSOR_IN_TABLES)
	{
		rnd_types(&p->done_types);
		p->reg = (int32) (rnd_wide() >> 33);
		p->scope = rnd_below(2) ? rnd_string() : NULL;
		p->key = rnd_below(2) ? rnd_string() : NULL;
	}
}

static int
compare_places(const void *a, const void *b)
{
	return place_compare(a, b);
}

static Cursor *
rnd_cursor(void)
{
	Cursor	   *c = palloc0(sizeof(Cursor));
	int			i;

	c->history = rnd();
	c->timeline = (uint32) rnd_wide();
	c->position = rnd_wide();
	c->generation = rnd_below(2) ? rnd_wide() : 0;
	if (rnd_below(3) == 0)
		rnd_scopes(&c->held_scopes);
	if (rnd_below(3) == 0)
		rnd_types(&c->lost_types);
	if (rnd_below(3) == 0)
		rnd_types(&c->refreshed);
	c->gone = rnd_below(3) == 0;
	c->nplaces = (int) rnd_below(rnd_below(8) == 0 ? CURSOR_MAX_PLACES + 1 : 4);
	c->places = palloc0(sizeof(Place) * (c->nplaces + 1));
	for (i = 0; i < c->nplaces; i++)
		rnd_place(&c->places[i], i > 0 ? &c->places[i - 1] : NULL);
	qsort(c->places, c->nplaces, sizeof(Place), compare_places);
	for (i = 1; i < c->nplaces; i++)
		if (place_compare(&c->places[i - 1], &c->places[i]) == 0)
			c->nplaces = i;
	return c;
}

/*
 * Comparison
 */

static bool
same_cursor(const Cursor *a, const Cursor *b)
{
	int			i;

	for (i = 0; i < a->nplaces && i < b->nplaces; i++)
		if (place_compare(&a->places[i], &b->places[i]) != 0)
			return false;
	return a->history == b->history && a->timeline == b->timeline &&
		a->position == b->position && a->generation == b->generation &&
		scopes_equal(&a->held_scopes, &b->held_scopes) &&
		types_equal(&a->lost_types, &b->lost_types) &&
		types_equal(&a->refreshed, &b->refreshed) &&
		a->gone == b->gone && a->nplaces == b->nplaces;
}

/* NULL if it is refused, with the SQLSTATE in shim_sqlstate */
static Cursor *
try_decode(const char *text)
{
	shim_sqlstate = 0;
	if (setjmp(shim_catch) != 0)
		return NULL;
	return cursor_decode(text);
}

static char *
try_encode(const Cursor *cursor)
{
	shim_sqlstate = 0;
	if (setjmp(shim_catch) != 0)
		return NULL;
	return cursor_encode(cursor);
}

static bool
is_refused(const char *text)
{
	return try_decode(text) == NULL &&
		shim_sqlstate == ERRCODE_TIDE_MALFORMED_CURSOR;
}

/*
 * Bytes to text, independent of cursor.c's own
 */

static const char digits[] =
"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static char *
bytes_to_text(const uint8 *bytes, size_t n)
{
	char	   *text = palloc(n * 2 + 3);
	size_t		len = 0;
	uint32		bits = 0;
	int			nbits = 0;
	size_t		i;

	for (i = 0; i < n; i++)
	{
		bits = (bits << 8 | bytes[i]) & 0xffff;
		for (nbits += 8; nbits >= 6; nbits -= 6)
			text[len++] = digits[bits >> (nbits - 6) & 63];
	}
	if (nbits > 0)
		text[len++] = digits[bits << (6 - nbits) & 63];
	text[len] = '\0';
	return text;
}

static size_t
text_to_bytes(const char *text, uint8 *bytes)
{
	size_t		n = 0;
	uint32		bits = 0;
	int			nbits = 0;

	for (; *text != '\0'; text++)
	{
		bits = (bits << 6 | (uint32) (strchr(digits, *text) - digits)) & 0xffff;
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			bytes[n++] = (uint8) (bits >> nbits);
		}
	}
	return n;
}

/*
 * Tests
 */

/* SPEC: under 100 bytes for one scope with nothing else running */
static Cursor *
usual_cursor(void)
{
	static uint64 xip[1];
	static char *scopes[] = {"0b39f6f0-6c1f-4d54-9a4e-5e8d3a1c2b7f"};
	static int32 regs[13];
	Cursor	   *c = palloc0(sizeof(Cursor));
	Place	   *p = palloc0(sizeof(Place));
	int			i;

	for (i = 0; i < 13; i++)
		regs[i] = 987654321 + i;
	c->history = UINT64_C(0xfedcba9876543210);
	c->timeline = 3;
	c->position = UINT64_C(0x1a2b3c4d5e6f);
	c->nplaces = 1;
	c->places = p;
	p->seen.xmin = UINT64_C(0x300000007);
	p->seen.xmax = UINT64_C(0x300000007);
	p->seen.xip = xip;
	p->scopes.n = 1;
	p->scopes.scopes = scopes;
	p->types.n = 13;
	p->types.regs = regs;
	return c;
}

static void
test_size(void)
{
	Cursor	   *c = usual_cursor();
	Place	   *p = &c->places[0];
	char	   *text = cursor_encode(c);

	printf("# a usual cursor: %s (%zu bytes)\n", text, strlen(text));
	ok(strlen(text) < 100, "one uuid scope, 13 types: under 100 bytes");
	ok(cursor_is_cursor(text), "it is told from a time");
	ok(same_cursor(c, cursor_decode(text)), "it comes back the same");

	c->generation = PG_UINT64_MAX;
	ok(strlen(cursor_encode(c)) < 100, "under 100 bytes with a generation");

	p->phase = CURSOR_IN_TABLES;
	p->reg = p->types.regs[3];
	p->scope = p->scopes.scopes[0];
	p->key = p->scopes.scopes[0];
	ok(strlen(cursor_encode(c)) < 170, "under 170 bytes amid the tables");
	shim_reset();
}

static void
test_times(void)
{
	ok(!cursor_is_cursor("2026-11-21T20:39:11Z"), "an ISO time is no cursor");
	ok(!cursor_is_cursor("-5"), "a signed number is no cursor");
	ok(!cursor_is_cursor("+002026-11-21"), "a long year is no cursor");
	ok(!cursor_is_cursor(""), "nothing is no cursor");
	ok(cursor_is_cursor("garbage"), "garbage gets the error about cursors");
}

static void
test_garbage(void)
{
	static const char *const garbage[] = {
		"", "t", "tA", "tQA", "garbage", "AAAA", "tQA=", "tQA ", " tQA",
		"tQ\xc3\xa9", "tQA+", "tQA/", "tQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
	};
	char	   *text = palloc(LARGE_TEXT + 5);
	size_t		i;

	for (i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++)
	{
		char		name[100];

		snprintf(name, sizeof(name), "garbage %zu is refused", i);
		ok(is_refused(garbage[i]), name);
	}
	memset(text, 'A', LARGE_TEXT + 4);
	text[LARGE_TEXT + 4] = '\0';
	ok(is_refused(text), "text of more than 128 kB is refused");
	shim_reset();
}

/* the bytes of a cursor: a head, then what the test is about */
static bool
tail_is_refused(uint8 flags, const char *tail, size_t n)
{
	uint8		bytes[32768];
	size_t		len = 0;

	bytes[len++] = 45 << 2 | 1;
	bytes[len++] = flags;
	memset(bytes + len, 7, 8);	/* history */
	len += 8;
	bytes[len++] = 1;			/* timeline */
	bytes[len++] = 9;			/* position */
	memcpy(bytes + len, tail, n);
	return is_refused(bytes_to_text(bytes, len + n));
}

#define REFUSED(flags, tail, name) \
	ok(tail_is_refused(flags, tail, sizeof(tail) - 1), name)
#define ACCEPTED(flags, tail, name) \
	ok(!tail_is_refused(flags, tail, sizeof(tail) - 1), name)

/* a place of type 1 and all scopes, at rest */
#define SNAPSHOT "\005\000\000"
#define NO_SCOPES "\000"
#define TYPE "\001\001\000"
#define PLACE "\004" NO_SCOPES TYPE SNAPSHOT
#define UUID "\000ABCDEFGHIJKLMNOP"
/* no scope listed, one place with these flags, of type 1 */
#define ONE(flags) NO_SCOPES "\001" flags NO_SCOPES TYPE SNAPSHOT

static bool
scopes_are_refused(int n)
{
	char		tail[20000];
	size_t		len = 0;
	int			i;

	tail[len++] = (char) (0x80 | (n & 0x7f));
	tail[len++] = (char) (n >> 7);
	for (i = 0; i < n; i++)
	{
		tail[len++] = 3;
		tail[len++] = (char) ('0' + i / 60);
		tail[len++] = (char) ('0' + i % 60);
	}
	tail[len++] = 1;			/* held: a run of all of them */
	tail[len++] = 0;
	tail[len++] = (char) (0x80 | ((n - 1) & 0x7f));
	tail[len++] = (char) ((n - 1) >> 7);
	tail[len++] = 0;			/* places */
	return tail_is_refused(2, tail, len);
}

static void
test_strictness(void)
{
	ACCEPTED(0, NO_SCOPES "\000", "no place at all");
	ACCEPTED(0, NO_SCOPES "\001" PLACE, "the shortest place");
	REFUSED(0, NO_SCOPES "\001" PLACE "\000", "a byte too many");
	REFUSED(0, NO_SCOPES "\001\004" NO_SCOPES TYPE "\005\000", "a byte too few");
	REFUSED(0x20, NO_SCOPES "\000", "an unknown flag");
	REFUSED(0, ONE("\007"), "an unknown phase");
	ACCEPTED(8, NO_SCOPES "\000", "a type is gone");
	ACCEPTED(4, NO_SCOPES TYPE "\000", "a lost type");
	REFUSED(4, NO_SCOPES "\000\000", "lost types that are none");
	ACCEPTED(0x10, NO_SCOPES TYPE "\000", "a refreshed type");
	REFUSED(0x10, NO_SCOPES "\000\000", "refreshed types that are none");
	ACCEPTED(2, "\001\002a" "\001\000\000" "\000", "a held scope");
	REFUSED(2, "\001\002a" "\000" "\000", "held scopes that are none");
	REFUSED(2, "\001\002a" "\001\001\000" "\000", "a held scope that is not listed");
	REFUSED(2, "\001\002a" "\001\000\001" "\000", "more of them than are listed");
	REFUSED(0, "\001\002a" "\000", "a scope that is listed for nothing");
	REFUSED(1, "\0\0\0\0\0\0\0\0" NO_SCOPES "\000", "a generation of zero");
	ACCEPTED(1, "\0\0\0\0\0\0\0\1" NO_SCOPES "\000", "a generation");

	REFUSED(0, NO_SCOPES "\001\004" NO_SCOPES "\000" SNAPSHOT, "a place of no type");
	REFUSED(0, NO_SCOPES "\002" PLACE "\104" NO_SCOPES TYPE, "a place twice");
	ACCEPTED(0, NO_SCOPES "\002" PLACE "\004" NO_SCOPES TYPE "\001\000\000",
			 "a place that has seen less");
	REFUSED(0, NO_SCOPES "\002" PLACE "\004" NO_SCOPES TYPE "\006\000\000",
			"one that has seen less than nothing");
	ACCEPTED(0, NO_SCOPES "\002" PLACE "\104" NO_SCOPES "\001\002\000",
			 "a place that has seen the same");
	REFUSED(0, NO_SCOPES "\002" PLACE "\004" NO_SCOPES "\001\002\000" "\000\000\000",
			"and spells it out");
	REFUSED(0, NO_SCOPES "\002\004" NO_SCOPES "\001\002\000" SNAPSHOT "\104" NO_SCOPES TYPE,
			"places out of order");
	REFUSED(0, NO_SCOPES "\001\104" NO_SCOPES TYPE, "the first is like one before");
	REFUSED(0, NO_SCOPES "\041" PLACE, "more places than there may be");
	REFUSED(0, ONE("\044") TYPE, "a type to drop at rest");
	ACCEPTED(0, ONE("\045") TYPE SNAPSHOT "\000\000\000\000\000", "a type to drop in the log");
	REFUSED(0, ONE("\045") "\000" SNAPSHOT "\000\000\000", "types to drop that are none");
	REFUSED(0, ONE("\014") UUID, "a scope outside of tables");
	REFUSED(0, ONE("\205") "\000\000\000", "the first has a target like one before");

	shim_reset();
}

static void
test_strict_numbers(void)
{
	REFUSED(0, NO_SCOPES "\001\004" NO_SCOPES TYPE "\205\000\000\000", "an overlong number");
	ACCEPTED(0, NO_SCOPES "\001\004" NO_SCOPES TYPE "\377\377\377\377\377\377\377\377\377\001\000\000",
			 "the largest number");
	REFUSED(0, NO_SCOPES "\001\004" NO_SCOPES TYPE "\377\377\377\377\377\377\377\377\377\002\000\000",
			"a number that overflows");
	REFUSED(0, NO_SCOPES "\001\004" NO_SCOPES TYPE "\377\377\377\377\377\377\377\377\377\201\000\000\000",
			"a number of eleven bytes");
	REFUSED(0, NO_SCOPES "\001\004" NO_SCOPES TYPE "\377\377\377\377\377\377\377\377\377\001\001\000",
			"an xmax that overflows");
	ACCEPTED(0, NO_SCOPES "\001\004" NO_SCOPES TYPE "\005\002\002\000\000", "all below xmax running");
	REFUSED(0, NO_SCOPES "\001\004" NO_SCOPES TYPE "\005\002\003\000\000\000",
			"more running than there is room for");
	REFUSED(0, NO_SCOPES "\001\004" NO_SCOPES TYPE "\005\002\001\002", "running at xmax");
	REFUSED(0, NO_SCOPES "\001\004" NO_SCOPES TYPE "\005\377\377\177\377\377\177",
			"a count beyond what is there");
	shim_reset();
}

static void
test_strict_lists(void)
{
#define HELD(scopes, n) scopes "\001\000" n "\000"
	ACCEPTED(2, HELD("\002\002a\002b", "\001"), "two scopes");
	ACCEPTED(2, HELD("\001\001", "\000"), "an empty scope");
	REFUSED(2, HELD("\002\002b\002a", "\001"), "scopes out of order");
	REFUSED(2, HELD("\002\002a\002a", "\001"), "a scope twice");
	REFUSED(2, HELD("\001\002\000", "\000"), "a zero byte in a scope");
	REFUSED(2, HELD("\001\002\377", "\000"), "a scope that is not UTF-8");
	REFUSED(2, HELD("\001\003\303", "\000"), "a scope beyond the end");
	REFUSED(2, HELD("\001\00041424344-4546", "\000"), "a cut uuid");
	REFUSED(2, HELD("\001\04541424344-4546-4748-494a-4b4c4d4e4f50", "\000"),
			"a uuid spelt out");
	ACCEPTED(2, HELD("\001\04541424344-4546-4748-494A-4b4c4d4e4f50", "\000"),
			 "one with an upper-case letter must be");
	ok(!scopes_are_refused(CURSOR_MAX_LISTED), "4,000 scopes");
	ok(scopes_are_refused(CURSOR_MAX_LISTED + 1), "4,001 scopes");

#define LOST(types) NO_SCOPES types "\000"
	ACCEPTED(4, LOST("\002\001\000\000\000"), "two runs of types");
	ACCEPTED(4, LOST("\001\001\217\116"), "10,000 types");
	REFUSED(4, LOST("\001\001\220\116"), "10,001 types");
	REFUSED(4, LOST("\002\001\217\116\000\000"), "another one after 10,000");
	REFUSED(4, LOST("\001\377\377\377\377\007\001"), "a type beyond the largest");
	ACCEPTED(4, LOST("\001\377\377\377\377\007\000"), "the largest type");
	REFUSED(4, LOST("\002\377\377\377\377\007\000\000\000"),
			"a type after the largest");
	shim_reset();
}

static void
test_strict_positions(void)
{
	ACCEPTED(0, ONE("\005") SNAPSHOT "\001\001\000\000\000", "in the log");
	ACCEPTED(0, ONE("\015") SNAPSHOT "\002k\001\001\000\000\000", "in the log of a scope");
	REFUSED(0, ONE("\005") SNAPSHOT "\001\377\377\377\377\377\377\377\377\377\001\000\000\000",
			"a negative seq");
	REFUSED(0, ONE("\005") SNAPSHOT "\001\001\201\200\200\200\010\000\000",
			"an index that overflows");
	ACCEPTED(0, ONE("\005") SNAPSHOT "\001\001\000\377\377\377\377\007\377\377\377\377\007",
			 "the farthest reach");
	REFUSED(0, ONE("\005") SNAPSHOT "\001\001\000\200\200\200\200\010\000",
			"a reach that overflows");
	REFUSED(0, ONE("\005") SNAPSHOT "\001\001\000\000\200\200\200\200\010",
			"a length that overflows");
	ACCEPTED(0, ONE("\036") "\000" "\001" UUID "\002k", "in the tables");
	shim_reset();
}

static void
test_base64_bits(void)
{
	char	   *text = cursor_encode(usual_cursor());
	size_t		len = strlen(text);
	bool		refused = true;
	const char *d;

	/* another last digit is either another byte or bits left over */
	ok(len % 4 != 0, "the last digit has bits to spare");
	for (d = digits; *d != '\0'; d++)
	{
		Cursor	   *c;

		text[len - 1] = *d;
		c = try_decode(text);
		if (c != NULL && strcmp(cursor_encode(c), text) != 0)
			refused = false;
	}
	ok(refused, "left-over bits are refused");
	shim_reset();
}

static void
test_limits(void)
{
	Cursor	   *c = usual_cursor();
	ScopeSet   *scopes = &c->places[0].scopes;
	int			i;

	scopes->scopes = palloc(sizeof(char *) * (CURSOR_MAX_LISTED + 1));
	for (i = 0; i < CURSOR_MAX_LISTED + 1; i++)
	{
		scopes->scopes[i] = palloc(400);
		snprintf(scopes->scopes[i], 400, "%04d", i);
	}
	scopes->n = CURSOR_MAX_LISTED;
	ok(cursor_fits(c) && same_cursor(c, cursor_decode(cursor_encode(c))), "4,000 scopes");
	scopes->n = CURSOR_MAX_LISTED + 1;
	ok(!cursor_fits(c) && try_encode(c) == NULL &&
	   shim_sqlstate == ERRCODE_TIDE_TOO_MANY_SCOPES,
	   "4,001 scopes are refused when it is made");
	scopes->n = 1000;
	for (i = 0; i < 1000; i++)
	{
		memset(scopes->scopes[i] + 4, 'x', 395);
		scopes->scopes[i][399] = '\0';
	}
	ok(!cursor_fits(c) && try_encode(c) == NULL &&
	   shim_sqlstate == ERRCODE_TIDE_TOO_MANY_SCOPES,
	   "more than 128 kB is refused when it is made");
	shim_reset();
}

static void
test_sets(void)
{
	uint64		xip[] = {12, 15};
	TideSnapshot snapshot = {10, 20, 2, xip};
	char	   *names[] = {"b", "a", "b", "c", "a"};
	ScopeSet	scopes = {false, 5, names};
	ScopeSet	all = {true, 0, NULL};
	ScopeSet	none = {false, 0, NULL};
	int32		numbers[] = {7, 3, 7, 5, 3};
	TypeSet		types = {5, numbers};
	TypeSet		no_types = {0, NULL};

	ok(snapshot_shows(&snapshot, 9) && snapshot_shows(&snapshot, 10) &&
	   snapshot_shows(&snapshot, 19), "a snapshot shows what was finished");
	ok(!snapshot_shows(&snapshot, 12) && !snapshot_shows(&snapshot, 15) &&
	   !snapshot_shows(&snapshot, 20) && !snapshot_shows(&snapshot, 99),
	   "and neither what was running nor what came later");

	scopes_normalise(&scopes);
	ok(scopes.n == 3 && strcmp(names[0], "a") == 0 &&
	   strcmp(names[1], "b") == 0 && strcmp(names[2], "c") == 0,
	   "scopes are sorted, each once");
	ok(scopes_contain(&scopes, "b") && !scopes_contain(&scopes, "bb") &&
	   !scopes_contain(&none, "b") && scopes_contain(&all, "b"),
	   "scopes_contain");
	ok(scopes_equal(&scopes, &scopes) && !scopes_equal(&scopes, &all) &&
	   !scopes_equal(&none, &all) && !scopes_equal(&scopes, &none),
	   "scopes_equal");

	types_normalise(&types);
	ok(types.n == 3 && numbers[0] == 3 && numbers[1] == 5 && numbers[2] == 7,
	   "types are sorted, each once");
	ok(types_contain(&types, 5) && !types_contain(&types, 4) &&
	   !types_contain(&no_types, 5), "types_contain");
	ok(types_equal(&types, &types) && !types_equal(&types, &no_types),
	   "types_equal");
}

static void
test_round_trips(int rounds)
{
	int			i;

	for (i = 0; i < rounds; i++)
	{
		Cursor	   *c = rnd_cursor();
		char	   *text = cursor_encode(c);
		Cursor	   *back = try_decode(text);

		if (back == NULL || !same_cursor(c, back) ||
			strcmp(cursor_encode(back), text) != 0)
		{
			printf("# round %d: %s\n", i, text);
			break;
		}
		shim_reset();
	}
	ok(i == rounds, "random cursors come back the same");
	shim_reset();
}

static void
mutate(uint8 *bytes, size_t *n)
{
	size_t		at = rnd_below(*n);

	switch (rnd_below(5))
	{
		case 0:
			bytes[at] ^= (uint8) (1 << rnd_below(8));
			break;
		case 1:
			bytes[at] = (uint8) rnd();
			break;
		case 2:
			*n = at;
			break;
		case 3:
			memmove(bytes + at, bytes + at + 1, *n - at - 1);
			--*n;
			break;
		default:
			memmove(bytes + at + 1, bytes + at, *n - at);
			bytes[at] = (uint8) (rnd_below(2) ? 0xff : rnd());
			++*n;
			break;
	}
}

/*
 * Whatever is done to a cursor, it is refused with the one error, or it is
 * the one encoding of the cursor that it is then.
 */
static void
test_mutations(int rounds)
{
	int			accepted = 0;
	int			i;

	for (i = 0; i < rounds; i++)
	{
		char	   *text = cursor_encode(rnd_cursor());
		uint8	   *bytes = palloc(strlen(text) + 16);
		size_t		n = text_to_bytes(text, bytes);
		int			times = 1 + (int) rnd_below(3);
		Cursor	   *c;

		while (times-- > 0 && n > 0)
			mutate(bytes, &n);
		text = bytes_to_text(bytes, n);
		if (n > 0 && rnd_below(8) == 0)
			text[rnd_below(strlen(text))] = (char) (1 + rnd_below(255));

		c = try_decode(text);
		if (c == NULL ? shim_sqlstate != ERRCODE_TIDE_MALFORMED_CURSOR :
			strcmp(cursor_encode(c), text) != 0)
		{
			printf("# round %d: %s\n", i, text);
			break;
		}
		if (c != NULL)
			accepted++;
		shim_reset();
	}
	ok(i == rounds, "mutations are refused, or are canonical");
	printf("# %d of %d mutations are cursors\n", accepted, rounds);
	ok(accepted > 0 && accepted < rounds, "there were some of either kind");
	shim_reset();
}

int
main(int argc, char **argv)
{
	int			rounds = argc > 2 ? atoi(argv[2]) : 20000;

	seed_random(argc > 1 ? argv[1] : NULL);

	test_size();
	test_times();
	test_garbage();
	test_strictness();
	test_strict_numbers();
	test_strict_lists();
	test_strict_positions();
	test_base64_bits();
	test_limits();
	test_sets();
	test_round_trips(rounds);
	test_mutations(rounds);

	return done_testing();
}
