/*-------------------------------------------------------------------------
 *
 * lag_test.c
 *	  How far behind the primary is a replica?
 *
 *-------------------------------------------------------------------------
 */
#include "database/lag.h"
#include "tap.h"

#define SECOND	INT64_C(1000000)

static void
test_by_hand(void)
{
	static LagBook book;

	ok(lag_time(&book, 0, 5 * SECOND) == 0 && lag_bytes(&book, 7) == 0,
	   "nothing is known of the primary");
	lag_note(&book, 1 * SECOND, 100);
	lag_note(&book, 2 * SECOND, 200);
	lag_note(&book, 3 * SECOND, 200);
	lag_note(&book, 4 * SECOND, 300);
	ok(lag_time(&book, 300, 9 * SECOND) == 0, "it has all");
	ok(lag_time(&book, 299, 9 * SECOND) == 5 * SECOND &&
	   lag_time(&book, 200, 9 * SECOND) == 5 * SECOND, "it lacks the last");
	ok(lag_time(&book, 199, 9 * SECOND) == 7 * SECOND,
	   "behind since the primary was there first, not last");
	ok(lag_time(&book, 99, 9 * SECOND) == 8 * SECOND, "it lacks all");
	ok(lag_time(&book, 99, 0) == 0, "no time has gone");
	ok(lag_bytes(&book, 150) == 150 && lag_bytes(&book, 400) == 0, "bytes");
	lag_note(&book, 4 * SECOND + 10, 310);
	ok(lag_time(&book, 300, 9 * SECOND) == 0 && lag_bytes(&book, 300) == 10,
	   "between two samples only bytes are told");
	lag_note(&book, 10 * SECOND, 250);
	ok(lag_time(&book, 240, 11 * SECOND) == 1 * SECOND &&
	   lag_time(&book, 250, 11 * SECOND) == 0,
	   "after a failover with loss, what was there before means nothing");
}

/* The room is for what a primary writes, not for the time in which it rests. */
static void
test_rest(void)
{
	static LagBook book;
	int			i;

	for (i = 0; i < 1000; i++)
		lag_note(&book, i * SECOND, 100);
	ok(book.count == 1, "a primary that rests takes no room");
}

static int64_t at[20000];
static uint64_t position[20000];

/* Is the lag of a replica at sample i, as of sample n, told well enough? */
static bool
is_told(const LagBook *book, int i, int n)
{
	int64_t		lag = lag_time(book, position[i], at[n]);
	int64_t		most = i == n ? 0 : at[n] - at[i + 1];

	return lag <= most && lag >= most - most / 8 - 2 * LAG_INTERVAL;
}

/* However long it goes: never more than it is, and not much less. */
static void
test_long(void)
{
	static LagBook book;
	int			wrong = 0;
	int			n;

	for (n = 0; n < 20000; n++)
	{
		at[n] = (n == 0 ? 0 : at[n - 1]) + LAG_INTERVAL + (int64_t) rnd_below(1000);
		position[n] = (n == 0 ? 1 : position[n - 1]) + 1 + rnd_below(100);
		lag_note(&book, at[n], position[n]);
		if (!is_told(&book, (int) rnd_below((uint64_t) n + 1), n) || !is_told(&book, n, n))
			wrong++;
	}
	ok(wrong == 0, "a lag is told to within an eighth");
}

int
main(int argc, char **argv)
{
	seed_random(argc > 1 ? argv[1] : NULL);
	test_by_hand();
	test_rest();
	test_long();
	return done_testing();
}
