/*-------------------------------------------------------------------------
 *
 * fuzz_ack.c
 *	  ack_decode with what clients may send for an ack: it is refused with its
 *	  SQLSTATE, or is the one text of its ack.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "cursor/ack.h"
#include "util/errors.h"
#include "fuzz.h"

static bool
decode(const char *text, Ack *ack)
{
	shim_sqlstate = 0;
	if (setjmp(shim_catch) != 0)
	{
		require(shim_sqlstate == ERRCODE_TIDE_MALFORMED_REQUEST);
		return false;
	}
	ack_decode(text, ack);
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = copy_input(data, size);
	Ack			ack;

	if (decode(text, &ack))
		require(strcmp(ack_encode(&ack), text) == 0);
	shim_reset();
	free(text);
	return 0;
}
