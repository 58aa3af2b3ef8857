/*-------------------------------------------------------------------------
 *
 * keyfile.h
 *	  Keys from files: a secret, PEM, JSON Web Key Sets.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KEYFILE_H
#define KEYFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/keyset.h"

/* The bytes of a file; a NUL follows them. */
typedef struct KeyFile
{
	const char *path;
	unsigned char *bytes;
	size_t		length;
} KeyFile;

extern bool keyfile_load(KeyFile *file, const char *path,
						 char *problem, size_t problem_size);
extern void keyfile_free(KeyFile *file);

extern bool keyfile_take_secret(const KeyFile *file, KeySet *keys,
								char *problem, size_t problem_size);
extern bool keyfile_take_pem(const KeyFile *file, KeySet *keys,
							 char *problem, size_t problem_size);
extern bool keyfile_take_jwks(const KeyFile *file, KeySet *keys,
							  char *problem, size_t problem_size);

#endif							/* KEYFILE_H */
