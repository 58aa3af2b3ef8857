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

#include <time.h>

#include "cursor/cursor.h"
#include "util/errors.h"

#define LARGE_TEXT (128 * 1024)

static int	ntests = 0;
static int	nfailed = 0;

static void
ok(bool good, const char *name)
{
	ntests++;
	if (!good)
		nfailed++;
	printf("%sok %d - %s\n", good ? "" : "not ", ntests, name);
}

/*
 * Randomness: xorshift, so that a seed gives the same test everywhere
 */

static uint64 state;

static uint64
rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * UINT64_C(0x2545F4914F6CDD1D);
}

static uint64
rnd_below(uint64 n)
{
	return rnd() % n;
}

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

	set->all = rnd_below(5) == 0;
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

static Cursor *
rnd_cursor(void)
{
	Cursor	   *c = palloc0(sizeof(Cursor));

	c->history = rnd();
	c->timeline = (uint32) rnd_wide();
	c->position = rnd_wide();
	c->generation = rnd_below(2) ? rnd_wide() : 0;
	rnd_snapshot(&c->seen);
	rnd_scopes(&c->scopes);
	rnd_types(&c->types);
	rnd_scopes(&c->held_scopes);
	c->held_scopes.all = false;
	c->phase = (CursorPhase) rnd_below(3);
	if (c->phase != CURSOR_AT_REST && rnd_below(3) == 0)
		rnd_types(&c->refreshed);
	if (c->phase == CURSOR_IN_LOG)
	{
		rnd_snapshot(&c->target);
		c->xid = rnd_wide();
		c->seq = (int64) (rnd_wide() >> 1);
		c->index = (int32) (rnd_wide() >> 33) - 1;
	}
	else if (c->phase == CURSOR_IN_TABLES)
	{
		rnd_scopes(&c->wanted_scopes);
		rnd_types(&c->wanted_types);
		rnd_types(&c->done_types);
		c->reg = (int32) (rnd_wide() >> 33);
		c->scope = rnd_below(2) ? rnd_string() : NULL;
		c->key = rnd_below(2) ? rnd_string() : NULL;
	}
	return c;
}

/*
 * Comparison
 */

static bool
same_string(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

static bool
same_snapshot(const TideSnapshot *a, const TideSnapshot *b)
{
	return a->xmin == b->xmin && a->xmax == b->xmax && a->nxip == b->nxip &&
		(a->nxip == 0 ||
		 memcmp(a->xip, b->xip, sizeof(uint64) * a->nxip) == 0);
}

static bool
same_cursor(const Cursor *a, const Cursor *b)
{
	return a->history == b->history && a->timeline == b->timeline &&
		a->position == b->position && a->generation == b->generation &&
		same_snapshot(&a->seen, &b->seen) &&
		scopes_equal(&a->scopes, &b->scopes) &&
		types_equal(&a->types, &b->types) &&
		scopes_equal(&a->held_scopes, &b->held_scopes) &&
		a->phase == b->phase &&
		types_equal(&a->refreshed, &b->refreshed) &&
		same_snapshot(&a->target, &b->target) &&
		a->xid == b->xid && a->seq == b->seq && a->index == b->index &&
		scopes_equal(&a->wanted_scopes, &b->wanted_scopes) &&
		types_equal(&a->wanted_types, &b->wanted_types) &&
		types_equal(&a->done_types, &b->done_types) &&
		a->reg == b->reg && same_string(a->scope, b->scope) &&
		same_string(a->key, b->key);
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
	int			i;

	for (i = 0; i < 13; i++)
		regs[i] = 117 + i;
	c->history = UINT64_C(0xfedcba9876543210);
	c->timeline = 3;
	c->position = UINT64_C(0x1a2b3c4d5e6f);
	c->seen.xmin = UINT64_C(0x300000007);
	c->seen.xmax = UINT64_C(0x300000007);
	c->seen.xip = xip;
	c->scopes.n = 1;
	c->scopes.scopes = scopes;
	c->types.n = 13;
	c->types.regs = regs;
	return c;
}

static void
test_size(void)
{
	Cursor	   *c = usual_cursor();
	char	   *text = cursor_encode(c);

	printf("# a usual cursor: %s (%zu bytes)\n", text, strlen(text));
	ok(strlen(text) < 100, "one uuid scope, 13 types: under 100 bytes");
	ok(cursor_is_cursor(text), "it is told from a time");
	ok(same_cursor(c, cursor_decode(text)), "it comes back the same");

	c->generation = PG_UINT64_MAX;
	ok(strlen(cursor_encode(c)) < 100, "under 100 bytes with a generation");

	c->phase = CURSOR_IN_TABLES;
	c->wanted_scopes = c->scopes;
	c->wanted_types = c->types;
	c->reg = 120;
	c->scope = c->scopes.scopes[0];
	c->key = c->scopes.scopes[0];
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
	uint8		bytes[8192];
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

#define SNAPSHOT "\005\000\000"
#define SCOPES "\000"
#define TYPES "\000"
#define UUID "\000ABCDEFGHIJKLMNOP"

static bool
scopes_are_refused(int n)
{
	char		tail[8000];
	size_t		len = sizeof(SNAPSHOT) - 1;
	int			i;

	memcpy(tail, SNAPSHOT, len);
	/* a count of two bytes */
	tail[len++] = (char) (0x80 | ((n + 1) & 0x7f));
	tail[len++] = (char) ((n + 1) >> 7);
	for (i = 0; i < n; i++)
	{
		tail[len++] = 3;
		tail[len++] = (char) ('A' + i / 60);
		tail[len++] = (char) ('A' + i % 60);
	}
	tail[len++] = 0;			/* types */
	return tail_is_refused(0, tail, len);
}

static void
test_strictness(void)
{
	ACCEPTED(0, SNAPSHOT SCOPES TYPES, "the shortest cursor");
	REFUSED(0, SNAPSHOT SCOPES TYPES "\000", "a byte too many");
	REFUSED(0, SNAPSHOT SCOPES, "a byte too few");
	REFUSED(3, SNAPSHOT SCOPES TYPES, "an unknown phase");
	REFUSED(8, SNAPSHOT SCOPES TYPES, "the reserved horizon");
	ACCEPTED(0x81, SNAPSHOT SCOPES TYPES "\001\001\000" SNAPSHOT "\000\000\000",
			 "a refreshed type in the log");
	REFUSED(0x80, SNAPSHOT SCOPES TYPES "\001\001\000", "a refreshed type at rest");
	REFUSED(0x81, SNAPSHOT SCOPES TYPES "\000" SNAPSHOT "\000\000\000",
			"refreshed types that are none");
	ACCEPTED(0x40, SNAPSHOT SCOPES TYPES "\002\002a", "a held scope");
	REFUSED(0x40, SNAPSHOT SCOPES TYPES "\001", "held scopes that are none");
	REFUSED(0x40, SNAPSHOT SCOPES TYPES "\000", "held scopes that are all");
	REFUSED(0x40, SNAPSHOT SCOPES TYPES, "held scopes that are not there");
	REFUSED(0x10, SNAPSHOT SCOPES TYPES UUID, "a scope outside of tables");
	REFUSED(4, "\0\0\0\0\0\0\0\0" SNAPSHOT SCOPES TYPES,
			"a generation of zero");
	ACCEPTED(4, "\0\0\0\0\0\0\0\1" SNAPSHOT SCOPES TYPES, "a generation");

	REFUSED(0, "\205\000\000\000" SCOPES TYPES, "an overlong number");
	ACCEPTED(0, "\377\377\377\377\377\377\377\377\377\001\000\000" SCOPES TYPES,
			 "the largest number");
	REFUSED(0, "\377\377\377\377\377\377\377\377\377\002\000\000" SCOPES TYPES,
			"a number that overflows");
	REFUSED(0, "\377\377\377\377\377\377\377\377\377\201\000\000\000" SCOPES TYPES,
			"a number of eleven bytes");
	REFUSED(0, "\377\377\377\377\377\377\377\377\377\001\001\000" SCOPES TYPES,
			"an xmax that overflows");
	ACCEPTED(0, "\005\002\002\000\000" SCOPES TYPES, "all below xmax running");
	REFUSED(0, "\005\002\003\000\000\000" SCOPES TYPES,
			"more running than there is room for");
	REFUSED(0, "\005\002\001\002" SCOPES TYPES, "running at xmax");
	REFUSED(0, "\005\377\377\177\377\377\177" SCOPES TYPES,
			"a count beyond what is there");

	ACCEPTED(0, SNAPSHOT "\003\002a\002b" TYPES, "two scopes");
	ACCEPTED(0, SNAPSHOT "\002\001" TYPES, "an empty scope");
	REFUSED(0, SNAPSHOT "\003\002b\002a" TYPES, "scopes out of order");
	REFUSED(0, SNAPSHOT "\003\002a\002a" TYPES, "a scope twice");
	REFUSED(0, SNAPSHOT "\002\002\000" TYPES, "a zero byte in a scope");
	REFUSED(0, SNAPSHOT "\002\002\377" TYPES, "a scope that is not UTF-8");
	REFUSED(0, SNAPSHOT "\002\003\303" TYPES, "a scope beyond the end");
	REFUSED(0, SNAPSHOT "\002\00041424344-4546" TYPES, "a cut uuid");
	REFUSED(0, SNAPSHOT "\002\04541424344-4546-4748-494a-4b4c4d4e4f50" TYPES,
			"a uuid spelt out");
	ACCEPTED(0, SNAPSHOT "\002\04541424344-4546-4748-494A-4b4c4d4e4f50" TYPES,
			 "one with an upper-case letter must be");
	ok(!scopes_are_refused(1000), "1,000 scopes");
	ok(scopes_are_refused(1001), "1,001 scopes");

	ACCEPTED(0, SNAPSHOT SCOPES "\002\001\000\000\000", "two runs of types");
	ACCEPTED(0, SNAPSHOT SCOPES "\001\001\217\116", "10,000 types");
	REFUSED(0, SNAPSHOT SCOPES "\001\001\220\116", "10,001 types");
	REFUSED(0, SNAPSHOT SCOPES "\002\001\217\116\000\000",
			"another one after 10,000");
	REFUSED(0, SNAPSHOT SCOPES "\001\377\377\377\377\007\001",
			"a type beyond the largest");
	ACCEPTED(0, SNAPSHOT SCOPES "\001\377\377\377\377\007\000",
			 "the largest type");
	REFUSED(0, SNAPSHOT SCOPES "\002\377\377\377\377\007\000\000\000",
			"a type after the largest");

	ACCEPTED(1, SNAPSHOT SCOPES TYPES SNAPSHOT "\001\001\000", "in the log");
	REFUSED(1, SNAPSHOT SCOPES TYPES SNAPSHOT "\001\377\377\377\377\377\377\377\377\377\001\000",
			"a negative seq");
	REFUSED(1, SNAPSHOT SCOPES TYPES SNAPSHOT "\001\001\201\200\200\200\010",
			"an index that overflows");
	ACCEPTED(0x32, SNAPSHOT SCOPES TYPES SCOPES TYPES TYPES "\001" UUID "\002k",
			 "in the tables");
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
	int			i;

	c->scopes.scopes = palloc(sizeof(char *) * 1001);
	for (i = 0; i < 1001; i++)
	{
		c->scopes.scopes[i] = palloc(400);
		memset(c->scopes.scopes[i], 'x', 399);
		c->scopes.scopes[i][399] = '\0';
		snprintf(c->scopes.scopes[i], 400, "%04d", i);
	}
	c->scopes.n = 1000;
	ok(same_cursor(c, cursor_decode(cursor_encode(c))), "1,000 scopes");
	c->scopes.n = 1001;
	ok(try_encode(c) == NULL &&
	   shim_sqlstate == ERRCODE_TIDE_TOO_MANY_SCOPES,
	   "1,001 scopes are refused when it is made");
	c->scopes.n = 1000;
	for (i = 0; i < 1000; i++)
		c->scopes.scopes[i][4] = 'x';
	ok(try_encode(c) == NULL &&
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
	uint64		seed = argc > 1 ? strtoull(argv[1], NULL, 0) : (uint64) time(NULL);
	int			rounds = argc > 2 ? atoi(argv[2]) : 20000;

	printf("# seed %llu, %d rounds\n", (unsigned long long) seed, rounds);
	/* never zero, and neighbouring seeds far apart */
	state = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15) | 1;

	test_size();
	test_times();
	test_garbage();
	test_strictness();
	test_base64_bits();
	test_limits();
	test_sets();
	test_round_trips(rounds);
	test_mutations(rounds);

	printf("1..%d\n", ntests);
	return nfailed == 0 ? 0 : 1;
}
