/*-------------------------------------------------------------------------
 *
 * keys.h
 *	  The keys that tokens are checked with: the set in force, and its files.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KEYS_H
#define KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "key.h"

#define KEYS_MOST		64		/* in a set: each may have to be tried */

/* Where keys come from; an empty string: from nowhere. */
typedef struct KeyFiles
{
	const char *secret;			/* one secret, as it is */
	const char *public_keys;	/* PEM files, separated by commas */
	const char *jwks;			/* a JSON Web Key Set */
} KeyFiles;

typedef struct KeySet KeySet;

extern KeySet *keys_create(void);
extern KeySet *keys_read(const KeyFiles *files, char *problem,
						 size_t problem_size);
extern bool keys_add(KeySet *keys, Key *key);
extern void keys_free(KeySet *keys);

extern int	keys_count(const KeySet *keys);
extern const Key *keys_get(const KeySet *keys, int index);
extern const Key *keys_secret(const KeySet *keys);

extern void keys_publish(KeySet *keys);
extern const KeySet *keys_acquire(void);
extern void keys_release(const KeySet *keys);
extern int64_t keys_tick(void);

#endif							/* KEYS_H */
