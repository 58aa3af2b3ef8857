/*-------------------------------------------------------------------------
 *
 * decide_test.c
 *	  Unit tests of decide.c and order.c: which of two versions stands.
 *
 * Prints TAP.  Usage: decide_test [seed [rounds]]; without a seed the clock
 * gives one, which is printed.
 *
 * Seen to fail with: the content of a replay not asked about (known, same);
 * base looked at before what was stored, or after what lost; a raised version
 * compared by its stored stamp; the stamp of a twin left as it was; a stamp
 * beyond the limit compared; the millisecond left out of time_above(), or its
 * end; ties of time not decided by client; what has no time put last.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "version/decide.h"
#include "tap.h"

#define SECOND INT64CONST(1000000)
#define NOW (INT64CONST(800000000) * SECOND)
#define LIMIT (NOW + 60 * SECOND)

/* ---------- one decision ---------- */

static Stamp
at(TimestampTz time, const char *client)
{
	Stamp		stamp = {true, time, client};

	return stamp;
}

static Incoming
pushed(TimestampTz time, const char *client)
{
	Incoming	in = {0};

	in.has_stamp = true;
	in.stamp = at(time, client);
	in.base_unit = 1;
	return in;
}

static Current
row(TimestampTz time, const char *client)
{
	Current		current = {0};

	current.exists = current.is_row = true;
	current.stamp = at(time, client);
	current.unit = 1;
	current.now = NOW;
	current.server_time = Max(NOW, time_above(time, 1));
	current.limit = LIMIT;
	return current;
}

static bool
verdict_is(ConflictPolicy policy, const Incoming *in, const Current *current, Verdict verdict)
{
	return decide(policy, in, current).verdict == verdict;
}

/* it stands, with this stamp of its own */
static bool
stored_at(ConflictPolicy policy, const Incoming *in, const Current *current, TimestampTz time)
{
	Decision	d = decide(policy, in, current);

	return d.verdict == VERDICT_APPLIED && d.stored.time == time &&
		d.stored.client_id == in->stamp.client_id;
}

static void
test_stamps(void)
{
	Incoming	in = pushed(50, "b");
	Current		current = row(40, "z");

	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, 50), "the later stamp stands, as it was sent");
	current = row(60, "a");
	ok(verdict_is(POLICY_LAST_WRITE_WINS, &in, &current, VERDICT_SUPERSEDED), "the earlier one does not");
	current = row(50, "a");
	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, 50), "of equal times the greater client stands");
	current = row(50, "c");
	ok(verdict_is(POLICY_LAST_WRITE_WINS, &in, &current, VERDICT_SUPERSEDED), "and the lesser does not");
	current = row(50, NULL);
	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, 50), "the server is less than any client");
	current.stamp.has_time = false;
	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, 50), "a version without a stamp is older than all");
	current.exists = current.is_row = false;
	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, 50), "nothing is there: it stands");
	in.has_stamp = false;
	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, NOW), "without a stamp it gets the server's time");
	current = row(NOW + 500, "z");
	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, NOW + 1000), "and that is above what it replaces");
}

static void
test_policies(void)
{
	Incoming	in = pushed(50, "b");
	Current		current = row(60, "a");
	Decision	d;

	d = decide(POLICY_CLIENT_WINS, &in, &current);
	ok(d.verdict == VERDICT_APPLIED && d.overrules && d.stored.time == 1000,
	   "client_wins: an older change stands, raised, and overrules");
	ok(verdict_is(POLICY_SERVER_WINS, &in, &current, VERDICT_SUPERSEDED), "server_wins: the row stands");
	in = pushed(70, "b");
	ok(verdict_is(POLICY_SERVER_WINS, &in, &current, VERDICT_SUPERSEDED), "against a newer change, too");
	current.is_row = false;
	ok(stored_at(POLICY_SERVER_WINS, &in, &current, 70), "but a tombstone is no row");
	current.is_row = true;
	d = decide(POLICY_RESOLVER, &in, &current);
	ok(d.asks && !d.overrules, "a resolver is asked about a row");
	in = pushed(50, "b");
	ok(decide(POLICY_RESOLVER, &in, &current).overrules, "an older change that it lets stand overrules");
	in.is_delete = true;
	ok(!decide(POLICY_RESOLVER, &in, &current).asks, "it is not asked about a delete");
}

static void
test_base(void)
{
	Incoming	in = pushed(50, "b");
	Current		current = row(60123456, "a");
	RaisedStamp raised = {0, 6000};
	int			policy;
	bool		stands = true;

	in.has_base = true;
	in.base = 60123456;
	for (policy = POLICY_LAST_WRITE_WINS; policy <= POLICY_RESOLVER; policy++)
		stands &= stored_at(policy, &in, &current, 60124000);
	ok(stands, "base: what was made upon the current version stands under every policy, raised");
	in.base = 60123000;
	ok(verdict_is(POLICY_LAST_WRITE_WINS, &in, &current, VERDICT_SUPERSEDED), "in microseconds it must be the very stamp");
	in.base_unit = 1000;
	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, 60124000), "in milliseconds it matches their microseconds");
	in.base = 60122000;
	ok(verdict_is(POLICY_LAST_WRITE_WINS, &in, &current, VERDICT_SUPERSEDED), "and no other millisecond");
	current.stamp.has_time = false;
	current.stamp.client_id = NULL;
	in.has_stamp = false;
	in.base_is_null = true;
	ok(verdict_is(POLICY_SERVER_WINS, &in, &current, VERDICT_APPLIED), "base null names the version without a stamp");
	current = row(60, "a");
	ok(verdict_is(POLICY_SERVER_WINS, &in, &current, VERDICT_SUPERSEDED), "and no other");
	/* a version is named by its own stamp, not by what another one counts as */
	in = pushed(4000, "b");
	in.has_base = true;
	in.base = 5000;
	in.base_unit = 1000;
	raised.known_as = 5001;
	current = row(6000, "b");
	current.raised = &raised;
	current.nraised = 1;
	ok(verdict_is(POLICY_SERVER_WINS, &in, &current, VERDICT_SUPERSEDED), "nor the one that it was raised above");
	in = pushed(-1, "b");
	in.has_base = true;
	in.base = -1000;
	in.base_unit = 1000;
	current = row(-999, "z");
	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, -1), "before 2000 as well");
}

static void
test_replays(void)
{
	Incoming	in = pushed(50, "b");
	Current		current = row(50, "b");
	int			policy;
	bool		good = true;

	current.same = true;
	for (policy = POLICY_LAST_WRITE_WINS; policy <= POLICY_RESOLVER; policy++)
		good &= verdict_is(policy, &in, &current, VERDICT_UNCHANGED);
	ok(good, "what is stored with this stamp and these values is unchanged");

	current = row(90, "c");
	in.known = KNOWN_STORED;
	in.known_stored = at(70, "b");
	good = true;
	for (policy = POLICY_LAST_WRITE_WINS; policy <= POLICY_RESOLVER; policy++)
		good &= verdict_is(policy, &in, &current, VERDICT_SUPERSEDED);
	ok(good, "what was stored, and is no more, has no second effect");
	in.has_base = true;
	in.base = 90;
	ok(verdict_is(POLICY_LAST_WRITE_WINS, &in, &current, VERDICT_SUPERSEDED), "also where its base is what stands");
	in.known_stored = current.stamp;
	ok(verdict_is(POLICY_LAST_WRITE_WINS, &in, &current, VERDICT_UNCHANGED), "what stands, if raised, is unchanged");
	current.exists = current.is_row = false;
	ok(verdict_is(POLICY_LAST_WRITE_WINS, &in, &current, VERDICT_SUPERSEDED), "what is gone does not come back");

	current = row(90, "c");
	in = pushed(50, "b");
	in.known = KNOWN_LOST;
	good = true;
	for (policy = POLICY_LAST_WRITE_WINS; policy <= POLICY_RESOLVER; policy++)
		good &= verdict_is(policy, &in, &current, VERDICT_SUPERSEDED);
	ok(good, "what lost has lost");
	in.has_base = true;
	in.base = 90;
	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, 1000), "but stands once its base is what it lost to");
}

static void
test_twins(void)
{
	Incoming	in = pushed(5000, "b");
	Current		current = row(5000, "b");
	RaisedStamp raised = {5000, 6000};
	Decision	d = decide(POLICY_LAST_WRITE_WINS, &in, &current);

	ok(d.verdict == VERDICT_APPLIED && d.stored.time == 6000 && d.note != NULL && d.replaces_twin,
	   "the same stamp with other values stands, a millisecond later, with a note");
	current = row(6000, "b");
	ok(verdict_is(POLICY_LAST_WRITE_WINS, &in, &current, VERDICT_SUPERSEDED), "a version that others stamped later does not give way");
	current.raised = &raised;
	current.nraised = 1;
	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, 7000), "but one that was raised from the same stamp does");
	in = pushed(5500, "b");
	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, 7000), "and gives way to a later one of its client");
	in = pushed(4500, "b");
	ok(verdict_is(POLICY_LAST_WRITE_WINS, &in, &current, VERDICT_SUPERSEDED), "not to an earlier one");
	in = pushed(5500, "a");
	ok(verdict_is(POLICY_LAST_WRITE_WINS, &in, &current, VERDICT_SUPERSEDED), "nor to another client's");
	/* a clock that was set back: base lets the later edit stand, with the earlier stamp */
	in = pushed(4000, "b");
	in.has_base = true;
	in.base = 5000;
	current = row(5000, "b");
	d = decide(POLICY_LAST_WRITE_WINS, &in, &current);
	current = row(6000, "b");
	raised.known_as = d.known_as;
	current.raised = &raised;
	current.nraised = 1;
	in = pushed(5000, "b");
	ok(verdict_is(POLICY_LAST_WRITE_WINS, &in, &current, VERDICT_SUPERSEDED), "not to one that it has itself replaced");
	in = pushed(5001, "b");
	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, 7000), "but to one later than that");
	raised.known_as = 5000;
	in = pushed(5000, "b");
	current.same = true;
	ok(verdict_is(POLICY_LAST_WRITE_WINS, &in, &current, VERDICT_UNCHANGED), "with the values of the raised one it is unchanged");
	current.same = false;
	ok(verdict_is(POLICY_SERVER_WINS, &in, &current, VERDICT_SUPERSEDED), "server_wins: the row stands all the same");
	in.is_delete = true;
	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, 7000), "a delete with the stamp of its row deletes it");
	current.is_row = false;
	in.is_delete = false;
	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, 7000), "and a create with the stamp of the delete creates it");
}

static void
test_clocks_that_lie(void)
{
	Incoming	in = pushed(NOW + SECOND * 86400 * 365 * 100, "b");
	Current		current = row(NOW - SECOND, "z");
	Decision	d;

	in.is_ahead = true;
	d = decide(POLICY_LAST_WRITE_WINS, &in, &current);
	ok(d.verdict == VERDICT_APPLIED && d.stored.time == NOW && d.note != NULL,
	   "a stamp that is ahead is brought back to the server's time");
	current = row(NOW - 1, "z");
	current.server_time = NOW + 777;
	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, NOW + 777), "in a millisecond later than that of what it replaces");
	current = row(NOW + 30 * SECOND, "z");
	ok(verdict_is(POLICY_LAST_WRITE_WINS, &in, &current, VERDICT_SUPERSEDED), "what is later than that stands");

	in = pushed(NOW - SECOND, "b");
	current = row(LIMIT + 1, "z");
	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, NOW - SECOND), "a stored stamp of the far future refuses no edit");
	current = row(LIMIT, "z");
	ok(verdict_is(POLICY_LAST_WRITE_WINS, &in, &current, VERDICT_SUPERSEDED), "one within the skew does");
	current = row(DT_NOEND, "z");
	ok(stored_at(POLICY_CLIENT_WINS, &in, &current, NOW - SECOND), "nor does infinity");
	current = row(DT_NOBEGIN, "z");
	ok(stored_at(POLICY_LAST_WRITE_WINS, &in, &current, NOW - SECOND), "nor its opposite");
}

static void
test_time_above(uint64 rounds)
{
	static const int64 units[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
	bool		good = true;
	uint64		i;

	for (i = 0; i < rounds; i++)
	{
		int64		unit = units[rnd_below(7)];
		TimestampTz time = (TimestampTz) (rnd_below(UINT64_C(1) << 62)) * (rnd_below(2) ? 1 : -1);
		TimestampTz above;

		if (time < MIN_TIMESTAMP)
			time = MIN_TIMESTAMP + (TimestampTz) rnd_below(2 * SECOND);
		above = time_above(time, unit);
		good &= above > time && above - time <= Max(unit, 1000) && above % unit == 0 &&
			!time_same_unit(above, time, 1000);
	}
	ok(good, "time_above: above, the next of its unit, in another millisecond");
	ok(time_above(END_TIMESTAMP - 1, 1) < END_TIMESTAMP &&
	   time_above(DT_NOEND, 1000000) < END_TIMESTAMP &&
	   time_above(DT_NOBEGIN, 1) >= MIN_TIMESTAMP, "at the ends of time it wraps nowhere");
	ok(!time_same_unit(DT_NOEND, DT_NOBEGIN, 1000) && time_same_unit(DT_NOEND, DT_NOEND, 1000),
	   "infinity is the same as nothing else");
}

/* ---------- merge ---------- */

#define COLUMNS 3

static Bitmapset *
all_columns(void)
{
	Bitmapset  *columns = NULL;
	int			att;

	for (att = 1; att <= COLUMNS; att++)
		columns = bms_add_member(columns, att);
	return columns;
}

static void
test_merge(void)
{
	Stamp		clocks[COLUMNS];
	Incoming	in = pushed(5000, "b");
	Current		current = row(9000, "z");
	RaisedStamp raised = {5000, 8000};
	Decision	d;

	clocks[0] = at(4000, "z");
	clocks[1] = at(9000, "z");
	clocks[2] = at(5000, "b");
	in.columns = all_columns();
	current.clocks = clocks;
	d = decide(POLICY_MERGE, &in, &current);
	ok(d.verdict == VERDICT_MERGED && d.wins->word == 1 << 1 && d.stored.time == 9000 &&
	   d.column_stamp.time == 5000, "merge: an older change stands in columns written before it");
	current.differs = bms_add_member(NULL, 3);
	d = decide(POLICY_MERGE, &in, &current);
	ok(d.wins->word == (1 << 1 | 1 << 3) && d.column_stamp.time == 6000 && d.replaces_twin &&
	   d.stored.time == 9000, "and in those of its own stamp that hold another value, raised");
	clocks[2] = at(8000, "b");
	current.raised = &raised;
	current.nraised = 1;
	current.differs = NULL;
	in = pushed(5500, "b");
	in.columns = all_columns();
	d = decide(POLICY_MERGE, &in, &current);
	ok(d.wins->word == (1 << 1 | 1 << 3) && d.column_stamp.time == 9000 &&
	   stamp_compare(&d.stored, &d.column_stamp) >= 0,
	   "in those that its client was raised to, above them; no column is newer than its row");
	in.is_delete = true;
	ok(verdict_is(POLICY_MERGE, &in, &current, VERDICT_SUPERSEDED), "an older delete stands in none");
	in = pushed(5000, "b");
	in.columns = bms_add_member(NULL, 2);
	ok(verdict_is(POLICY_MERGE, &in, &current, VERDICT_SUPERSEDED), "nothing left to win: superseded");
	current = row(DT_NOEND, "z");
	clocks[1] = current.stamp;
	current.clocks = clocks;
	ok(stored_at(POLICY_MERGE, &in, &current, 5000), "a row whose stamp counts for nothing gives way");
}

/* ---------- any order, the same row ---------- */

#define DEVICES 4
#define CHANGES 12

typedef struct Replica
{
	bool		exists;
	Stamp		stamp;
	Stamp		clocks[COLUMNS];
	int			values[COLUMNS];
} Replica;

typedef struct Edit
{
	Stamp		stamp;
	Bitmapset  *columns;
	int			value;
} Edit;

static void
apply(Replica *replica, ConflictPolicy policy, const Edit *edit)
{
	Incoming	in = pushed(edit->stamp.time, edit->stamp.client_id);
	Current		current = row(replica->stamp.time, replica->stamp.client_id);
	Bitmapset  *written;
	Decision	d;
	int			att;

	in.columns = edit->columns;
	current.exists = current.is_row = replica->exists;
	current.clocks = replica->clocks;
	for (att = 1; att <= COLUMNS; att++)
		if (bms_is_member(att, edit->columns) && replica->values[att - 1] != edit->value)
			current.differs = bms_add_member(current.differs, att);
	current.same = bms_is_empty(current.differs);
	d = decide(policy, &in, &current);
	if (d.verdict != VERDICT_APPLIED && d.verdict != VERDICT_MERGED)
		return;
	written = d.verdict == VERDICT_MERGED ? d.wins : edit->columns;
	for (att = 1; att <= COLUMNS; att++)
		if (bms_is_member(att, written))
		{
			replica->values[att - 1] = edit->value;
			replica->clocks[att - 1] = d.column_stamp;
		}
	replica->exists = true;
	replica->stamp = d.stored;
}

static bool
same_replica(const Replica *a, const Replica *b)
{
	return stamp_compare(&a->stamp, &b->stamp) == 0 &&
		memcmp(a->values, b->values, sizeof(a->values)) == 0;
}

static void
test_orders(uint64 rounds)
{
	static const char *const clients[DEVICES] = {"B", "Z", "a", "\xc3\xa4"};
	bool		converges[2] = {true, true};
	uint64		i;

	for (i = 0; i < rounds; i++)
	{
		ConflictPolicy policy = i % 2 ? POLICY_MERGE : POLICY_LAST_WRITE_WINS;
		Edit		edits[CHANGES];
		Replica		replicas[2] = {{0}, {0}};
		int			n,
					k;

		for (n = 0; n < CHANGES; n++)
		{
			/* few times, so that many are equal; a client gives none twice */
			edits[n].stamp = at((n / DEVICES + (TimestampTz) rnd_below(2) * 100) * 1000,
								clients[n % DEVICES]);
			edits[n].columns = policy == POLICY_MERGE ?
				bms_add_member(NULL, 1 + (int) rnd_below(COLUMNS)) : all_columns();
			edits[n].value = n + 1;
		}
		for (k = 0; k < 2; k++)
		{
			for (n = CHANGES - 1; n > 0; n--)
			{
				int			m = (int) rnd_below(n + 1);
				Edit		swap = edits[n];

				edits[n] = edits[m];
				edits[m] = swap;
			}
			for (n = 0; n < CHANGES; n++)
				apply(&replicas[k], policy, &edits[n]);
			/* and some of it once more */
			for (n = 0; n < CHANGES; n += 3)
				apply(&replicas[k], policy, &edits[n]);
		}
		converges[i % 2] &= same_replica(&replicas[0], &replicas[1]);
		shim_reset();
	}
	ok(converges[0], "last_write_wins: every order of arrival gives the same row");
	ok(converges[1], "merge: every order of arrival gives the same row");
}

int
main(int argc, char **argv)
{
	uint64		rounds = argc > 2 ? strtoull(argv[2], NULL, 10) : 5000;

	seed_random(argc > 1 ? argv[1] : NULL);
	test_stamps();
	test_policies();
	test_base();
	test_replays();
	test_twins();
	test_clocks_that_lie();
	test_time_above(rounds);
	test_merge();
	test_orders(rounds);
	shim_reset();
	return done_testing();
}
