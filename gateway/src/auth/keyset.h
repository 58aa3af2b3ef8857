/*-------------------------------------------------------------------------
 *
 * keyset.h
 *	  A set of keys that tokens are checked with.
 *
 * A set is filled by one thread before others see it; after that it never
 * changes.  It lives until the last reference to it is released.
 *
 *-------------------------------------------------------------------------
 */
#ifndef KEYSET_H
#define KEYSET_H

#include <stdbool.h>

#include "auth/key.h"
#include "auth/remembered.h"

/* The most keys in a set: a token may have to be tried with each. */
#define KEYSET_MOST		64

typedef struct KeySet KeySet;

extern KeySet *keyset_create(void);
extern bool keyset_add(KeySet *keys, Key *key);
extern void keyset_sign_with_last(KeySet *keys);
extern void keyset_retain(KeySet *keys);
extern void keyset_release(KeySet *keys);

extern int	keyset_count(const KeySet *keys);
extern const Key *keyset_get(const KeySet *keys, int index);
extern const Key *keyset_secret(const KeySet *keys);

/* tokens that were found good with these keys */
extern Remembered *keyset_remembered(const KeySet *keys);

#endif							/* KEYSET_H */
