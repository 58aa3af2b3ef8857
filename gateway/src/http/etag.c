/*-------------------------------------------------------------------------
 *
 * etag.c
 *	  Names of replies, by which a client asks for what it does not have yet.
 *
 * The name is a hash of the text: the database knows of no version, and grants
 * alone change what a caller is told.  It is a weak one, for the same text may
 * be sent packed.  Pure.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <string.h>

#include <openssl/evp.h>

#include "http/etag.h"

#define HASH_BYTES	16			/* so many bytes of the hash are in the name */

/* "etag" has room for ETAG_SIZE bytes; empty when memory ran out. */
void
etag_make(char *etag, const char *text, size_t length)
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned int hash_length;
	int			i;

	etag[0] = '\0';
	if (EVP_Digest(text, length, hash, &hash_length, EVP_sha256(), NULL) != 1)
		return;
	strcpy(etag, "W/\"");
	for (i = 0; i < HASH_BYTES; i++)
		sprintf(etag + 3 + 2 * i, "%02x", hash[i]);
	strcat(etag, "\"");
}

/*
 * Is this name among those of the header?  Names are compared without W/, as
 * GET wants it.  The header may be NULL.
 */
bool
etag_matches(const char *etag, const char *if_none_match)
{
	const char *name = strchr(etag, '"');
	const char *at = if_none_match;

	if (at == NULL || name == NULL)
		return false;
	at += strspn(at, " \t");
	if (strcmp(at, "*") == 0)
		return true;
	while (*at != '\0')
	{
		at += strspn(at, " \t,");
		if (strncmp(at, "W/", 2) == 0)
			at += 2;
		if (strncmp(at, name, strlen(name)) == 0)
			return true;
		/* up to the end of this name, which may contain a comma */
		if (*at == '"')
			at += 1 + strcspn(at + 1, "\"");
		at += strcspn(at, ",");
	}
	return false;
}
