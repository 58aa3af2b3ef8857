/*-------------------------------------------------------------------------
 *
 * fuzz_token.c
 *	  token_check with any token, and with signed ones of any header and claims.
 *
 * The first byte says what the rest is: 't' a token, 's' a header and, after a
 * newline, claims, to be signed with the secret; 'p' likewise, to be signed
 * with the text of the public key as a secret.  Only those signed with the
 * secret are ever let in, and those only as somebody, until some time.
 *
 *-------------------------------------------------------------------------
 */
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "auth/keyfile.h"
#include "auth/token.h"
#include "fuzz.h"
#include "util/buffer.h"
#include "util/json.h"
#include "util/log.h"

#define NOW		1700000000

static const char secret[] = "the secret of the fuzzer, long enough";

/* made for this; nobody has the private key any more */
static const char public_key[] =
"-----BEGIN PUBLIC KEY-----\n"
"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEApm46tdHJrjHuSveZrsce\n"
"o2WJZlGDhHeobUXlAFjHc/tPmF//cHhIMUCOXA557SZ0qR6teg7lMrlE6YGcghml\n"
"8oWlt1aMlX48IIlkOpE34IuxMffUnNva1+ninAE4JkgQaBb13Xe7RpLGFnYn60na\n"
"PrHa5FbB+b+YT0Ij2wyni4kc6pBiw9W0VJVa2TuY28KL/lImozmZFd50FyVWPKbe\n"
"RbeNLIgk5lY/BmRRSMnHpA+6pvxTHiZR1OUZlsN27YPB8H7iRktlNTLOucb8lUGW\n"
"+i0MmSEh1Cc3fnOWdLerTRO2f0/k/FFAEcCnQ1vnj+A1kWwrvURUzUUZ7poXb8Z8\n"
"TQIDAQAB\n"
"-----END PUBLIC KEY-----\n";

static KeySet *keys;
static StringList audiences;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	KeyFile		file = {"pem", (unsigned char *) public_key, strlen(public_key)};
	char		problem[256];
	Key			key;

	(void) argc;
	(void) argv;
	log_set_level(LOG_ALWAYS);
	keys = keyset_create();
	require(key_from_secret(&key, (const unsigned char *) secret,
							strlen(secret)) == NULL);
	require(keyset_add(keys, &key));
	require(keyfile_take_pem(&file, keys, problem, sizeof(problem)));
	require(list_split(&audiences, "app, tablet"));
	return 0;
}

static void
append_part(Buffer *token, const void *data, size_t length)
{
	char	   *part = base64url_encode(data, length);

	require(part != NULL);
	buffer_append_text(token, part);
	free(part);
}

/* The token of header, newline and claims. */
static char *
sign(const uint8_t *data, size_t size, const char *with)
{
	const uint8_t *newline = size == 0 ? NULL : memchr(data, '\n', size);
	size_t		header = newline == NULL ? size : (size_t) (newline - data);
	unsigned char signature[EVP_MAX_MD_SIZE];
	unsigned int length;
	Buffer		token = {0};

	append_part(&token, data, header);
	buffer_append_char(&token, '.');
	if (newline != NULL)
		append_part(&token, newline + 1, size - header - 1);
	require(HMAC(EVP_sha256(), with, (int) strlen(with),
				 (unsigned char *) token.data, token.length,
				 signature, &length) != NULL);
	buffer_append_char(&token, '.');
	append_part(&token, signature, length);
	require(!token.failed);
	return token.data;
}

static void
require_good(const Identity *identity)
{
	JsonProblem problem;

	require(identity->user != NULL && identity->user[0] != '\0');
	require(text_is_utf8(identity->user, strlen(identity->user)));
	require(identity->role == NULL || identity->role[0] != '\0');
	require(json_check(identity->claims, strlen(identity->claims), 32,
					   &problem) == JSON_GOOD);
	require(identity->claims[strspn(identity->claims, " \t\r\n")] == '{');
}

static void
check(const char *token, bool may_be_good, const TokenRules *rules)
{
	Identity	identity;
	const char *problem = token_check(token, keys, rules, NOW, &identity);

	if (problem == NULL)
	{
		require(may_be_good);
		require_good(&identity);
	}
	identity_free(&identity);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const StringList none = {0};
	const TokenRules any = {.issuer = "",.audiences = &none};
	const TokenRules strict = {.issuer = "login",.audiences = &audiences};
	char	   *token;

	if (size == 0)
		return 0;
	if (*data == 's')
		token = sign(data + 1, size - 1, secret);
	else if (*data == 'p')
		token = sign(data + 1, size - 1, public_key);
	else
		token = copy_input(data + 1, size - 1);
	check(token, *data == 's', &any);
	check(token, *data == 's', &strict);
	free(token);
	return 0;
}
