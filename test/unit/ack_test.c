/*-------------------------------------------------------------------------
 *
 * ack_test.c
 *	  Unit tests of ack.c: round trips, and that an ack has exactly one text.
 *
 * Prints TAP.  Usage: ack_test [seed]; without a seed the clock gives one,
 * which is printed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cursor/ack.h"
#include "util/errors.h"
#include "tap.h"

/* false: refused, with the SQLSTATE of a malformed request */
static bool
decode(const char *text, Ack *ack)
{
	shim_sqlstate = 0;
	if (setjmp(shim_catch) != 0)
	{
		if (shim_sqlstate != ERRCODE_TIDE_MALFORMED_REQUEST)
			ok(false, "another SQLSTATE");
		return false;
	}
	ack_decode(text, ack);
	return true;
}

static bool
equal(const Ack *a, const Ack *b)
{
	return a->generation == b->generation && a->xid == b->xid && a->number == b->number;
}

int
main(int argc, char **argv)
{
	bool		same = true;
	bool		strict = true;
	bool		refused = true;
	Ack			back;
	int			round;

	seed_random(argc > 1 ? argv[1] : NULL);
	for (round = 0; round < 20000; round++)
	{
		Ack			ack = {rnd() >> (rnd() & 63), rnd() >> (rnd() & 63), (uint32) rnd()};
		char	   *text = ack_encode(&ack);
		char		changed[32];

		same &= strlen(text) == 28 && text[0] == 'a' && decode(text, &back) && equal(&ack, &back);

		/* what differs in one character is another ack, or none */
		strcpy(changed, text);
		changed[rnd() % 28] = (char) (rnd() % 255 + 1);
		if (decode(changed, &back))
			strict &= strcmp(ack_encode(&back), changed) == 0;
		changed[rnd() % 28] = '\0';
		refused &= !decode(changed, &back);
		shim_reset();
	}
	ok(same, "an ack comes back as it was, in 28 characters");
	ok(strict, "what is taken has the text of its ack");
	ok(refused, "what is shorter is refused");
	ok(!decode("", &back) && !decode("aaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &back) &&
	   !decode("taaaaaaaaaaaaaaaaaaaaaaaaaaa", &back) &&
	   !decode("aQAAAAAAAAAAAAAAAAAAAAAAAAA=", &back) &&
	   !decode("aQAAAAAAAAAAAAAAAAAAAAAAAA+/", &back),
	   "other lengths, versions and alphabets are refused");
	return done_testing();
}
