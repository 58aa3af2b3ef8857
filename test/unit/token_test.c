/*-------------------------------------------------------------------------
 *
 * token_test.c
 *	  Unit tests of the gateway's token.c and keys.c: times to the second, a
 *	  token with any one character changed, and what is left of a secret in
 *	  memory once its keys are gone.
 *
 * Prints TAP.  Usage: token_test.
 *
 *-------------------------------------------------------------------------
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "auth/keys.h"
#include "auth/token.h"
#include "util/log.h"
#include "util/text.h"
#include "tap.h"

#define NOW		((time_t) 1700000000)
#define MASK	0x5A

static const StringList nobody = {0};
static const TokenRules any = {.issuer = "",.audiences = &nobody};

/* The sanitizer must not overwrite what has been freed: that is our part. */
extern const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "max_free_fill_size=0";
}

static void *
allocate(size_t size)
{
	void	   *memory = calloc(1, size);

	if (memory == NULL)
		abort();
	return memory;
}

/* A set with this secret, by way of a file as in real life. */
static Keys *
read_set(const char *text, bool is_jwks)
{
	char		path[] = "/tmp/token_test.XXXXXX";
	int			file = mkstemp(path);
	KeyFiles	files = {.secret = is_jwks ? "" : path,.public_keys = "",
	.jwks = is_jwks ? path : ""};
	char		problem[256];
	Keys	   *keys;

	if (file < 0 || write(file, text, strlen(text)) != (ssize_t) strlen(text))
		abort();
	close(file);
	keys = keys_read(&files, problem, sizeof(problem));
	unlink(path);
	if (keys == NULL)
	{
		printf("# %s\n", problem);
		abort();
	}
	return keys;
}

/* What token_check says of such claims at NOW. */
static const char *
verdict(const KeySet *keys, const char *claims)
{
	char	   *token = token_sign(keys, claims);
	Identity	identity;
	const char *problem = token_check(token, keys, &any, NOW, &identity);

	identity_free(&identity);
	free(token);
	return problem;
}

static void
check_time(const KeySet *keys, const char *claims, const char *expected)
{
	char		text[256];
	char		name[320];
	const char *problem;

	snprintf(text, sizeof(text), "{\"sub\":\"u\",%s}", claims);
	problem = verdict(keys, text);
	snprintf(name, sizeof(name), "%s: %s", claims, expected ? expected : "good");
	ok(expected == NULL ? problem == NULL :
	   problem != NULL && strstr(problem, expected) != NULL, name);
}

static void
test_times(const KeySet *keys)
{
	check_time(keys, "\"exp\":1700000000", NULL);
	check_time(keys, "\"exp\":1699999971", NULL);
	check_time(keys, "\"exp\":1699999970.5", NULL);
	check_time(keys, "\"exp\":1699999970", "expired");
	check_time(keys, "\"exp\":-1", "expired");
	check_time(keys, "\"exp\":1e300", NULL);
	check_time(keys, "\"exp\":1e309", "not a number");
	check_time(keys, "\"exp\":-1e309", "not a number");
	check_time(keys, "\"exp\":1800000000,\"nbf\":1700000030", NULL);
	check_time(keys, "\"exp\":1800000000,\"nbf\":1700000031", "not valid yet");
	check_time(keys, "\"exp\":1800000000,\"nbf\":1e309", "not a number");
	check_time(keys, "\"exp\":1800000000,\"iat\":1700000030", NULL);
	check_time(keys, "\"exp\":1800000000,\"iat\":1700000031", "from the future");
	check_time(keys, "\"exp\":1800000000,\"iat\":0", NULL);
}

static bool
is_good(const char *token, const KeySet *keys, const TokenRules *rules,
		time_t now, const char *user)
{
	Identity	identity;
	bool		good = token_check(token, keys, rules, now, &identity) == NULL &&
		strcmp(identity.user, user) == 0 && identity.claims != NULL &&
		identity.role != NULL && strcmp(identity.role, "r") == 0;

	identity_free(&identity);
	return good;
}

/* Is it remembered that this token was good by these rules? */
static bool
is_known(const char *token, const KeySet *keys)
{
	/* the rules are an empty issuer */
	size_t		length = strlen(token) + 1;
	char	   *text = allocate(length + 1);
	unsigned char hash[REMEMBERED_HASH];
	Identity	identity = {0};
	bool		known;

	memcpy(text, token, length);
	EVP_Digest(text, length + 1, hash, NULL, EVP_sha256(), NULL);
	known = remembered_find(keyset_remembered(keys), hash, NOW, &identity);
	identity_free(&identity);
	free(text);
	return known;
}

/* A token that was good is not so for ever, nor by other keys and rules. */
static void
test_remembered(const KeySet *keys, const KeySet *others)
{
	static const char *const ours[] = {"us"};
	static const StringList audiences = {(char **) ours, 1};
	static const TokenRules for_us = {.issuer = "",.audiences = &audiences};
	static const TokenRules from_us = {.issuer = "us",.audiences = &nobody};
	const TokenClaims claims = {.user = "u",.role = "r",.issued_at = NOW,.ttl = 60};
	char	   *token = token_create(keys, &claims);
	char		user[32];
	char	   *more[2000];
	int			good = 0;
	int			i;

	ok(!is_known(token, keys), "a token that nobody has sent");
	ok(is_good(token, keys, &any, NOW, "u") && is_known(token, keys), "is known then");
	ok(is_good(token, keys, &any, NOW, "u") &&
	   is_good(token, keys, &any, NOW + 89, "u"), "a token that is remembered");
	ok(!is_good(token, keys, &any, NOW + 90, "u") &&
	   !is_good(token, keys, &any, NOW + 1000000, "u"), "until it expires");
	ok(is_good(token, keys, &any, NOW, "u") && is_good(token, keys, &any, NOW - 30, "u") &&
	   !is_good(token, keys, &any, NOW - 31, "u"),
	   "if the clock is set back, its iat counts again");
	ok(is_good(token, keys, &any, NOW, "u") && !is_good(token, others, &any, NOW, "u") &&
	   is_good(token, keys, &any, NOW, "u"), "other keys know nothing of it");
	ok(!is_good(token, keys, &for_us, NOW, "u") && !is_good(token, keys, &from_us, NOW, "u"),
	   "nor do other rules");
	free(token);

	/* more than there is room for in many places */
	for (i = 0; i < 2000; i++)
	{
		const TokenClaims one = {.user = user,.role = "r",.issued_at = NOW,.ttl = 60};

		snprintf(user, sizeof(user), "user %d", i);
		more[i] = token_create(keys, &one);
		good += is_good(more[i], keys, &any, NOW, user);
	}
	for (i = 0; i < 2000; i++)
	{
		snprintf(user, sizeof(user), "user %d", i);
		good += is_good(more[i], keys, &any, NOW + i % 60, user);
		good += is_good(more[i], keys, &any, NOW + i % 60, user);
		free(more[i]);
	}
	ok(good == 6000, "each of many is itself");
}

/* No other token is as good, however little it differs. */
static void
test_changes(const KeySet *keys)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	"abcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n";
	const TokenClaims claims = {.user = "u",.issued_at = NOW,.ttl = 60};
	char	   *token = token_create(keys, &claims);
	size_t		length = strlen(token);
	int			taken = 0;
	int			tried = 0;
	size_t		i;
	const char *c;
	Identity	identity;

	ok(token_check(token, keys, &any, NOW, &identity) == NULL, "a token of our own");
	identity_free(&identity);
	for (i = 0; i < length; i++)
	{
		/* in a block of its own, without a byte behind it */
		char	   *copy = allocate(length + 1);

		memcpy(copy, token, length);
		for (c = alphabet; *c != '\0'; c++)
		{
			if (*c == token[i])
				continue;
			copy[i] = *c;
			tried++;
			taken += token_check(copy, keys, &any, NOW, &identity) == NULL;
			identity_free(&identity);
		}
		/* and cut off there */
		copy[i] = '\0';
		taken += token_check(copy, keys, &any, NOW, &identity) == NULL;
		identity_free(&identity);
		free(copy);
	}
	free(token);
	printf("# %d changed tokens\n", tried);
	ok(tried > 5000 && taken == 0, "no changed token is taken");
}

/* How often is this, which is masked here, in our writable memory? */
static int
count_in_memory(const char *masked, size_t length)
{
	FILE	   *maps = fopen("/proc/self/maps", "r");
	FILE	   *memory = fopen("/proc/self/mem", "r");
	char	   *chunk = allocate(1 << 20);
	char	   *line = NULL;
	size_t		size = 0;
	int			count = 0;

	if (maps == NULL || memory == NULL)
		abort();
	setvbuf(memory, NULL, _IONBF, 0);
	while (getline(&line, &size, maps) > 0)
	{
		unsigned long begin;
		unsigned long end;
		unsigned long at;
		char		rights[8];

		if (sscanf(line, "%lx-%lx %7s", &begin, &end, rights) != 3 ||
			rights[0] != 'r' || rights[1] != 'w' || end - begin > (256UL << 20))
			continue;
		for (at = begin; at < end; at += (1 << 20) - length)
		{
			size_t		want = end - at < (1 << 20) ? end - at : (1 << 20);
			size_t		got;
			size_t		i;
			size_t		j;

			if (fseeko(memory, (off_t) at, SEEK_SET) != 0)
				break;
			got = fread(chunk, 1, want, memory);
			for (i = 0; i + length <= got; i++)
			{
				for (j = 0; j < length && (char) (chunk[i + j] ^ MASK) == masked[j]; j++)
					;
				/* what we have just read ourselves does not count */
				if (j == length && (at + i < (unsigned long) chunk ||
									at + i >= (unsigned long) chunk + (1 << 20)))
					count++;
			}
		}
	}
	OPENSSL_cleanse(chunk, 1 << 20);
	free(chunk);
	free(line);
	fclose(maps);
	fclose(memory);
	return count;
}

/* Unlike any constant: made while we run, and kept masked. */
static void
make_secret(char *masked, size_t length)
{
	size_t		i;

	for (i = 0; i < length; i++)
		masked[i] = (char) (('a' + (int) (i * i % 26)) ^ MASK);
}

static void
unmask(char *text, const char *masked, size_t length)
{
	size_t		i;

	for (i = 0; i < length; i++)
		text[i] = (char) (masked[i] ^ MASK);
	text[length] = '\0';
}

static void
test_memory(void)
{
	enum
	{
		LENGTH = 60,

		/* free() writes its own things over the beginning */
		TAIL = 30
	};
	char		masked[LENGTH];
	char	   *text = allocate(256);
	char	   *secret = allocate(LENGTH + 1);
	char	   *encoded;
	Keys	   *keys;
	int			round;

	make_secret(masked, LENGTH);
	for (round = 0; round < 2; round++)
	{
		unmask(secret, masked, LENGTH);
		encoded = base64url_encode((unsigned char *) secret, LENGTH);
		if (round == 0)
			snprintf(text, 256, "%s\n", secret);
		else
			snprintf(text, 256, "{\"keys\":[{\"kty\":\"oct\",\"k\":\"%s\"}]}", encoded);
		keys = read_set(text, round == 1);
		OPENSSL_cleanse(text, 256);
		OPENSSL_cleanse(secret, LENGTH);
		OPENSSL_cleanse(encoded, strlen(encoded));
		free(encoded);
		free(key_sign(keyset_get(keys_set(keys), 0), "{}"));
		ok(count_in_memory(masked + LENGTH - TAIL, TAIL) > 0, round == 0 ?
		   "a secret is in memory while it is used" : "one of a JWKS, too");
		keys_free(keys);
		ok(count_in_memory(masked + LENGTH - TAIL, TAIL) == 0, "and nowhere afterwards");
	}
	free(text);
	free(secret);
}

int
main(void)
{
	Keys	   *keys = read_set("a secret that is used in this test only", false);
	Keys	   *others;

	setvbuf(stdout, NULL, _IOLBF, 0);
	log_set_level(LOG_ALWAYS);
	test_times(keys_set(keys));
	test_changes(keys_set(keys));
	others = read_set("another secret that is used in this test only", false);
	test_remembered(keys_set(keys), keys_set(others));
	keys_free(others);
	keys_free(keys);
	test_memory();
	return done_testing();
}
