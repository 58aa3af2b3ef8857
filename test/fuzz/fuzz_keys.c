/*-------------------------------------------------------------------------
 *
 * fuzz_keys.c
 *	  Files of keys with any content.
 *
 * The first byte says what kind of file the rest is: 's' a secret, 'p' PEM, else
 * a JSON Web Key Set.  A file that is refused has a reason; a key that is taken
 * is a strong one, and has the length of signature that its algorithm has.
 *
 *-------------------------------------------------------------------------
 */
#include "auth/keyfile.h"
#include "fuzz.h"
#include "util/log.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void) argc;
	(void) argv;
	log_set_level(LOG_ALWAYS);
	return 0;
}

static void
require_strong(const Key *key)
{
	require(key->jwk != NULL);
	switch (key->algorithm)
	{
		case KEY_HS256:
			require(key->signature_length == 32);
			break;
		case KEY_RS256:
			require(key->signature_length >= KEY_MIN_RSA_BITS / 8);
			require(key->signature_length <= KEY_MAX_RSA_BITS / 8);
			break;
		case KEY_ES256:
			require(key->signature_length == 64);
			break;
		default:
			require(!"an algorithm that there is");
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	KeyFile		file = {.path = "fuzz"};
	KeySet	   *keys = keyset_create();
	char		problem[512] = "";
	bool		good;
	int			i;

	if (size > 0)
	{
		file.bytes = (unsigned char *) copy_input(data + 1, size - 1);
		file.length = size - 1;
		if (*data == 's')
			good = keyfile_take_secret(&file, keys, problem, sizeof(problem));
		else if (*data == 'p')
			good = keyfile_take_pem(&file, keys, problem, sizeof(problem));
		else
			good = keyfile_take_jwks(&file, keys, problem, sizeof(problem));
		require(good ? keyset_count(keys) > 0 : problem[0] != '\0');
		for (i = 0; i < keyset_count(keys); i++)
			require_strong(keyset_get(keys, i));
		keyfile_free(&file);
	}
	keyset_release(keys);
	return 0;
}
