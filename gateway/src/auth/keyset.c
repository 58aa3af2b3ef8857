/*-------------------------------------------------------------------------
 *
 * keyset.c
 *	  A set of keys that tokens are checked with.
 *
 *-------------------------------------------------------------------------
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "auth/keyset.h"

struct KeySet
{
	Key			keys[KEYSET_MOST];
	int			count;
	int			secret;			/* index of the key that signs, or -1 */
	Remembered *remembered;		/* the only part that changes */
	atomic_int	references;
};

/* An empty set with one reference, the caller's. */
KeySet *
keyset_create(void)
{
	KeySet	   *keys = calloc(1, sizeof(KeySet));

	if (keys == NULL)
		abort();
	keys->secret = -1;
	keys->remembered = remembered_create();
	keys->references = 1;
	return keys;
}

/*
 * Add a key, which belongs to the set from now on.  False: the set is full,
 * and the key has been freed.
 */
bool
keyset_add(KeySet *keys, Key *key)
{
	if (keys->count == KEYSET_MOST)
	{
		key_free(key);
		return false;
	}
	keys->keys[keys->count++] = *key;
	return true;
}

/* The key that was added last signs our own tokens. */
void
keyset_sign_with_last(KeySet *keys)
{
	keys->secret = keys->count - 1;
}

/* Take one more reference. */
void
keyset_retain(KeySet *keys)
{
	keys->references++;
}

/* Give a reference back; the last one frees the set. */
void
keyset_release(KeySet *keys)
{
	int			i;

	if (atomic_fetch_sub(&keys->references, 1) > 1)
		return;
	for (i = 0; i < keys->count; i++)
		key_free(&keys->keys[i]);
	remembered_free(keys->remembered);
	free(keys);
}

int
keyset_count(const KeySet *keys)
{
	return keys->count;
}

const Key  *
keyset_get(const KeySet *keys, int index)
{
	return &keys->keys[index];
}

/* The key that tokens can be signed with; NULL: the set has none. */
const Key  *
keyset_secret(const KeySet *keys)
{
	return keys->secret < 0 ? NULL : &keys->keys[keys->secret];
}

Remembered *
keyset_remembered(const KeySet *keys)
{
	return keys->remembered;
}
