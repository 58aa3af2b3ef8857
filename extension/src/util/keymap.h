/*-------------------------------------------------------------------------
 *
 * keymap.h
 *	  A hash table from strings (keys, scopes) to pointers.
 *
 * Strings are not copied: they must live as long as the map.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_KEYMAP_H
#define TIDE_KEYMAP_H

#include "common/hashfn.h"

typedef struct KeyMapEntry
{
	const char *key;
	void	   *value;
	uint32		hash;
	char		status;
} KeyMapEntry;

#define SH_PREFIX keymap
#define SH_ELEMENT_TYPE KeyMapEntry
#define SH_KEY_TYPE const char *
#define SH_KEY key
#define SH_HASH_KEY(tb, key) \
	hash_bytes((const unsigned char *) (key), strlen(key))
#define SH_EQUAL(tb, a, b) (strcmp(a, b) == 0)
#define SH_STORE_HASH
#define SH_GET_HASH(tb, entry) ((entry)->hash)
#define SH_SCOPE static inline pg_attribute_unused()
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef keymap_hash KeyMap;

static inline KeyMap *
keymap_new(MemoryContext context, uint32 size)
{
	return keymap_create(context, size, NULL);
}

/* NULL if it is not there, or if there is no map */
static inline void *
keymap_get(KeyMap *map, const char *key)
{
	KeyMapEntry *entry = map ? keymap_lookup(map, key) : NULL;

	return entry ? entry->value : NULL;
}

static inline void
keymap_put(KeyMap *map, const char *key, void *value)
{
	bool		found;
	KeyMapEntry *entry = keymap_insert(map, key, &found);

	entry->value = value;
}

#endif							/* TIDE_KEYMAP_H */
