/*-------------------------------------------------------------------------
 *
 * keys.h
 *	  The files that keys are read from, and the set of keys in force.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KEYS_H
#define KEYS_H

#include <stddef.h>
#include <stdint.h>

#include "auth/keyset.h"

/* Where keys come from; an empty string: from nowhere. */
typedef struct KeyFiles
{
	const char *secret;			/* one secret, as it is */
	const char *public_keys;	/* PEM files, separated by commas */
	const char *jwks;			/* a JSON Web Key Set */
} KeyFiles;

/* A set of keys, together with the files that it was read from. */
typedef struct Keys Keys;

extern Keys *keys_read(const KeyFiles *files, char *problem,
					   size_t problem_size);
extern const KeySet *keys_set(const Keys *keys);
extern void keys_free(Keys *keys);

extern void keys_publish(Keys *keys);
extern const KeySet *keys_acquire(void);
extern void keys_release(const KeySet *set);
extern int64_t keys_tick(void);

#endif							/* KEYS_H */
