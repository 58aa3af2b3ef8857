/*-------------------------------------------------------------------------
 *
 * remembered.c
 *	  Tokens that were found good, by a hash.
 *
 * A client sends the same token with each request until it expires, and checking
 * a signature takes longer than all else that is done with a head.  Only good
 * tokens are remembered, so whoever sends bad ones puts nobody out.
 *
 * Each set of keys remembers the tokens that were checked with it: once other
 * keys are in force, all are checked anew.  The hash is of the token and of the
 * rules that it was checked by.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "auth/remembered.h"
#include "auth/token.h"

/* a hash has its place in one group, where the one that was used last longest
 * ago makes room for it */
#define GROUPS		1024
#define PER_GROUP	4

/* longer claims are read each time: this bounds what is in memory */
#define MOST_CLAIMS	4096

typedef struct Entry
{
	unsigned char hash[REMEMBERED_HASH];
	Identity	identity;		/* user is NULL: none is here */
	time_t		checked_at;
	uint64_t	used;			/* when it was last, by the counter */
} Entry;

struct Remembered
{
	pthread_mutex_t lock;
	uint64_t	counter;
	Entry		entries[GROUPS][PER_GROUP];
};

Remembered *
remembered_create(void)
{
	Remembered *remembered = calloc(1, sizeof(Remembered));

	if (remembered != NULL)
		pthread_mutex_init(&remembered->lock, NULL);
	return remembered;
}

void
remembered_free(Remembered *remembered)
{
	int			i;

	if (remembered == NULL)
		return;
	for (i = 0; i < GROUPS * PER_GROUP; i++)
		identity_free(&remembered->entries[i / PER_GROUP][i % PER_GROUP].identity);
	pthread_mutex_destroy(&remembered->lock);
	free(remembered);
}

static Entry *
group_of(Remembered *remembered, const unsigned char *hash)
{
	return remembered->entries[(hash[0] | hash[1] << 8) % GROUPS];
}

/* False, and nothing is copied: no memory. */
static bool
copy_identity(Identity *target, const Identity *source)
{
	memset(target, 0, sizeof(Identity));
	target->expires = source->expires;
	target->user = strdup(source->user);
	target->claims = strdup(source->claims);
	if (source->role != NULL)
		target->role = strdup(source->role);
	if (target->user != NULL && target->claims != NULL &&
		(target->role != NULL || source->role == NULL))
		return true;
	identity_free(target);
	return false;
}

bool
remembered_find(Remembered *remembered, const unsigned char *hash, time_t now,
				Identity *identity)
{
	Entry	   *group;
	bool		found = false;
	int			i;

	if (remembered == NULL)
		return false;
	pthread_mutex_lock(&remembered->lock);
	group = group_of(remembered, hash);
	for (i = 0; i < PER_GROUP; i++)
	{
		Entry	   *entry = &group[i];

		if (entry->identity.user == NULL ||
			memcmp(entry->hash, hash, REMEMBERED_HASH) != 0)
			continue;
		/* if the clock was set back, nbf and iat must be looked at again */
		if ((double) now >= entry->identity.expires || now < entry->checked_at)
			identity_free(&entry->identity);
		else
		{
			entry->used = ++remembered->counter;
			found = copy_identity(identity, &entry->identity);
		}
		break;
	}
	pthread_mutex_unlock(&remembered->lock);
	return found;
}

void
remembered_add(Remembered *remembered, const unsigned char *hash, time_t now,
			   const Identity *identity)
{
	Entry	   *group;
	Entry	   *entry;
	int			i;

	if (remembered == NULL || strlen(identity->claims) > MOST_CLAIMS)
		return;
	pthread_mutex_lock(&remembered->lock);
	group = group_of(remembered, hash);
	entry = &group[0];
	for (i = 1; i < PER_GROUP; i++)
	{
		if (entry->identity.user == NULL)
			break;
		if (group[i].identity.user == NULL || group[i].used < entry->used)
			entry = &group[i];
	}
	identity_free(&entry->identity);
	if (copy_identity(&entry->identity, identity))
	{
		memcpy(entry->hash, hash, REMEMBERED_HASH);
		entry->checked_at = now;
		entry->used = ++remembered->counter;
	}
	pthread_mutex_unlock(&remembered->lock);
}
