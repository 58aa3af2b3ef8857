/*-------------------------------------------------------------------------
 *
 * keyfile.c
 *	  Keys from files: a secret, and PEM; jwks.c reads JSON Web Key Sets.
 *
 * A file must be of the kind that its setting names: with a public key in the
 * place of the secret, everybody who has that key could sign tokens.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "auth/keyfile.h"

#define MAX_FILE_LENGTH	((size_t) 1 << 20)
#define PEM_BEGIN		"-----BEGIN "
#define BYTE_ORDER_MARK	"\xEF\xBB\xBF"

/* Read a file.  False: "problem" says why not.  keyfile_free in any case. */
bool
keyfile_load(KeyFile *file, const char *path,
			 char *problem, size_t problem_size)
{
	FILE	   *stream = fopen(path, "rb");
	bool		good;

	file->path = path;
	file->bytes = NULL;
	file->length = 0;
	if (stream == NULL)
	{
		snprintf(problem, problem_size, "could not open the key file \"%s\": %s",
				 path, strerror(errno));
		return false;
	}
	/* unbuffered, so that no second copy of a secret stays in memory */
	setvbuf(stream, NULL, _IONBF, 0);
	file->bytes = calloc(1, MAX_FILE_LENGTH + 2);
	if (file->bytes != NULL)
		file->length = fread(file->bytes, 1, MAX_FILE_LENGTH + 1, stream);
	good = file->bytes != NULL && !ferror(stream);
	fclose(stream);
	if (!good)
		snprintf(problem, problem_size, "could not read the key file \"%s\"", path);
	else if (file->length > MAX_FILE_LENGTH)
	{
		snprintf(problem, problem_size,
				 "the key file \"%s\" is longer than a megabyte", path);
		good = false;
	}
	return good;
}

void
keyfile_free(KeyFile *file)
{
	if (file->bytes != NULL)
		OPENSSL_cleanse(file->bytes, file->length);
	free(file->bytes);
	file->bytes = NULL;
}

/*
 * Is this a file of public keys that was mistaken for a secret?  Text may stand
 * before PEM, and a mark of its encoding before any text.
 */
static bool
looks_public(const KeyFile *file)
{
	const char *text = (const char *) file->bytes;

	if (strncmp(text, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0)
		text += strlen(BYTE_ORDER_MARK);
	text += strspn(text, " \t\r\n");
	return *text == '{' ||
		memmem(file->bytes, file->length, PEM_BEGIN, strlen(PEM_BEGIN)) != NULL;
}

/* A file with a secret.  Newlines at its end do not belong to the secret. */
bool
keyfile_take_secret(const KeyFile *file, KeySet *keys,
					char *problem, size_t problem_size)
{
	size_t		length = file->length;
	const char *reason;
	Key			key;

	if (looks_public(file))
	{
		snprintf(problem, problem_size,
				 "\"%s\" is no secret but a PEM or JWKS file: "
				 "name it with jwt-public-key-file or jwks-file", file->path);
		return false;
	}
	while (length > 0 &&
		   (file->bytes[length - 1] == '\n' || file->bytes[length - 1] == '\r'))
		length--;
	if (length < KEY_MIN_SECRET_LENGTH)
	{
		snprintf(problem, problem_size,
				 "the secret in \"%s\" has %zu bytes; HS256 needs at least %d",
				 file->path, length, KEY_MIN_SECRET_LENGTH);
		return false;
	}
	reason = key_from_secret(&key, file->bytes, length);
	if (reason == NULL && keyset_add(keys, &key))
		return true;
	snprintf(problem, problem_size, "the secret in \"%s\": %s", file->path,
			 reason ? reason : "there are too many keys");
	return false;
}

/* ---------- PEM ---------- */

/* A number of a public key, to be freed. */
static KeyNumber
get_number(const EVP_PKEY *public_key, const char *name, int least_length)
{
	BIGNUM	   *number = NULL;
	KeyNumber	result = {NULL, 0};
	int			length;

	if (!EVP_PKEY_get_bn_param(public_key, name, &number))
		return result;
	length = BN_num_bytes(number);
	if (length < least_length)
		length = least_length;
	result.bytes = malloc((size_t) length + 1);
	if (result.bytes != NULL && BN_bn2binpad(number, result.bytes, length) == length)
		result.length = (size_t) length;
	BN_free(number);
	return result;
}

/* Make a key from one of OpenSSL's; returns why it is refused, or NULL. */
static const char *
take_public_key(Key *key, const EVP_PKEY *public_key)
{
	bool		is_rsa = EVP_PKEY_is_a(public_key, "RSA");
	char		group[64] = "";
	KeyNumber	first;
	KeyNumber	second;
	const char *reason;

	if (!is_rsa && !EVP_PKEY_is_a(public_key, "EC"))
		return "it is neither an RSA nor an EC key";
	if (is_rsa)
	{
		first = get_number(public_key, OSSL_PKEY_PARAM_RSA_N, 0);
		second = get_number(public_key, OSSL_PKEY_PARAM_RSA_E, 0);
		reason = key_from_rsa(key, first, second);
	}
	else
	{
		if (EVP_PKEY_get_group_name(public_key, group, sizeof(group), NULL) != 1 ||
			strcmp(group, "prime256v1") != 0)
			return "its curve is not P-256, which ES256 needs";
		first = get_number(public_key, OSSL_PKEY_PARAM_EC_PUB_X, KEY_EC_LENGTH);
		second = get_number(public_key, OSSL_PKEY_PARAM_EC_PUB_Y, KEY_EC_LENGTH);
		reason = key_from_ec(key, first, second);
	}
	free(first.bytes);
	free(second.bytes);
	return reason;
}

/* Make a key from one block of PEM; returns why it is refused, or NULL. */
static const char *
take_block(Key *key, const char *name, const unsigned char *data, long length)
{
	const unsigned char *end = data;
	EVP_PKEY   *public_key;
	const char *reason;

	if (strstr(name, "PRIVATE KEY") != NULL)
		return "it is a private key, which belongs only where tokens are made; "
			"openssl pkey -pubout gives the public one";
	if (strstr(name, "CERTIFICATE") != NULL)
		return "it is a certificate; openssl x509 -pubkey -noout gives its key";
	if (strcmp(name, "PUBLIC KEY") == 0)
		public_key = d2i_PUBKEY(NULL, &end, length);
	else if (strcmp(name, "RSA PUBLIC KEY") == 0)
		public_key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &end, length);
	else
		return "it is not a PUBLIC KEY";
	if (public_key == NULL || end != data + length)
		reason = "it cannot be decoded";
	else
		reason = take_public_key(key, public_key);
	EVP_PKEY_free(public_key);
	return reason;
}

/* A PEM file, which has at least one block; each must be an acceptable key. */
bool
keyfile_take_pem(const KeyFile *file, KeySet *keys,
				 char *problem, size_t problem_size)
{
	BIO		   *text = BIO_new_mem_buf(file->bytes, (int) file->length);
	const char *reason = NULL;
	int			count = 0;
	char	   *name;
	char	   *header;
	unsigned char *data;
	long		length;
	Key			key;

	while (reason == NULL && text != NULL &&
		   PEM_read_bio(text, &name, &header, &data, &length))
	{
		count++;
		reason = take_block(&key, name, data, length);
		if (reason == NULL && !keyset_add(keys, &key))
			reason = "there are too many keys";
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(data, (size_t) length);
	}
	/* did the blocks end, or is one damaged? */
	if (reason == NULL &&
		ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
	{
		count++;
		reason = "it is damaged";
	}
	ERR_clear_error();
	BIO_free(text);

	if (reason != NULL)
		snprintf(problem, problem_size, "key %d of \"%s\": %s", count,
				 file->path, reason);
	else if (count == 0)
		snprintf(problem, problem_size,
				 "\"%s\" has no key in PEM (-----BEGIN PUBLIC KEY-----)", file->path);
	return reason == NULL && count > 0;
}
