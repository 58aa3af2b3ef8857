/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  The keys that tokens are checked with: the set in force, and its files.
 *
 * A set never changes once it is published; a check keeps the one it began
 * with.  keys_tick looks every second whether a file is another one or was
 * written, and reads all of them again.  What cannot be read leaves the old
 * set in force, with an error in the log: whoever replaces a key by a broken
 * file must not lock everybody out.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "clock.h"
#include "keyfile.h"
#include "keys.h"
#include "log.h"
#include "text.h"

#define TICK	CLOCK_SECOND

typedef bool (*TakeFile) (const KeyFile *file, KeySet *keys,
						  char *problem, size_t problem_size);

/* What tells that a file has changed; all zero: it cannot be had. */
typedef struct Stamp
{
	dev_t		device;
	ino_t		inode;
	off_t		size;
	struct timespec modified;
	struct timespec changed;
} Stamp;

typedef struct Source
{
	char	   *path;
	TakeFile	take;
	Stamp		stamp;			/* from before it was read */
} Source;

struct KeySet
{
	Key			keys[KEYS_MOST];
	int			count;
	int			secret;			/* index of the secret file's key, or -1 */
	Source	   *sources;
	int			source_count;
	atomic_int	references;
};

static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static KeySet *current = NULL;

/* ---------- reading ---------- */

static void
take_stamp(const char *path, Stamp *stamp)
{
	struct stat status;

	memset(stamp, 0, sizeof(Stamp));
	if (stat(path, &status) != 0)
		return;
	stamp->device = status.st_dev;
	stamp->inode = status.st_ino;
	stamp->size = status.st_size;
	stamp->modified = status.st_mtim;
	stamp->changed = status.st_ctim;
}

static bool
is_same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool
is_same_stamp(const Stamp *a, const Stamp *b)
{
	return a->device == b->device && a->inode == b->inode &&
		a->size == b->size && is_same_time(&a->modified, &b->modified) &&
		is_same_time(&a->changed, &b->changed);
}

/* Takes the key over; false: there are too many, and it is freed. */
bool
keys_add(KeySet *keys, Key *key)
{
	if (keys->count == KEYS_MOST)
	{
		key_free(key);
		return false;
	}
	keys->keys[keys->count++] = *key;
	return true;
}

static bool
add_source(KeySet *keys, const char *path, TakeFile take)
{
	Source	   *sources = realloc(keys->sources, sizeof(Source) *
								  (size_t) (keys->source_count + 1));

	if (sources == NULL)
		return false;
	keys->sources = sources;
	memset(&sources[keys->source_count], 0, sizeof(Source));
	sources[keys->source_count].path = strdup(path);
	sources[keys->source_count].take = take;
	return sources[keys->source_count++].path != NULL;
}

/* The set's sources; the secret is the first. */
static bool
add_sources(KeySet *keys, const KeyFiles *files)
{
	StringList	paths = {0};
	bool		good = true;
	int			i;

	if (files->secret[0] != '\0')
		good = add_source(keys, files->secret, keyfile_take_secret);
	good = good && list_split(&paths, files->public_keys);
	for (i = 0; i < paths.count && good; i++)
		good = add_source(keys, paths.items[i], keyfile_take_pem);
	if (files->jwks[0] != '\0' && good)
		good = add_source(keys, files->jwks, keyfile_take_jwks);
	list_free(&paths);
	return good;
}

static bool
read_source(KeySet *keys, Source *source, char *problem, size_t problem_size)
{
	KeyFile		file;
	bool		good;

	take_stamp(source->path, &source->stamp);
	good = keyfile_load(&file, source->path, problem, problem_size) &&
		source->take(&file, keys, problem, problem_size);
	keyfile_free(&file);
	if (good && source->take == keyfile_take_secret)
		keys->secret = keys->count - 1;
	return good;
}

/* Read all files again; false: "problem" says why the set is of no use. */
static bool
read_sources(KeySet *keys, char *problem, size_t problem_size)
{
	int			i;

	for (i = 0; i < keys->source_count; i++)
	{
		if (!read_source(keys, &keys->sources[i], problem, problem_size))
			return false;
	}
	return true;
}

/* A set without keys. */
KeySet *
keys_create(void)
{
	KeySet	   *keys = calloc(1, sizeof(KeySet));

	if (keys == NULL)
		abort();
	keys->secret = -1;
	keys->references = 1;
	return keys;
}

/* The keys of these files.  NULL: "problem" says what is wrong with them. */
KeySet *
keys_read(const KeyFiles *files, char *problem, size_t problem_size)
{
	KeySet	   *keys = keys_create();

	if (!add_sources(keys, files))
		abort();
	if (read_sources(keys, problem, problem_size))
		return keys;
	keys_free(keys);
	return NULL;
}

void
keys_free(KeySet *keys)
{
	int			i;

	for (i = 0; i < keys->count; i++)
		key_free(&keys->keys[i]);
	for (i = 0; i < keys->source_count; i++)
		free(keys->sources[i].path);
	free(keys->sources);
	free(keys);
}

/* ---------- looking up ---------- */

int
keys_count(const KeySet *keys)
{
	return keys->count;
}

const Key  *
keys_get(const KeySet *keys, int index)
{
	return &keys->keys[index];
}

/* The key that tokens can be signed with; NULL: there is none. */
const Key  *
keys_secret(const KeySet *keys)
{
	return keys->secret < 0 ? NULL : &keys->keys[keys->secret];
}

/* ---------- the set in force ---------- */

/* Checks that begin from now on use these keys; takes them over. */
void
keys_publish(KeySet *keys)
{
	KeySet	   *old;

	pthread_mutex_lock(&current_lock);
	old = current;
	current = keys;
	pthread_mutex_unlock(&current_lock);
	if (old != NULL)
		keys_release(old);
}

/* The keys in force; stay valid until keys_release. */
const KeySet *
keys_acquire(void)
{
	KeySet	   *keys;

	pthread_mutex_lock(&current_lock);
	keys = current;
	keys->references++;
	pthread_mutex_unlock(&current_lock);
	return keys;
}

void
keys_release(const KeySet *keys)
{
	KeySet	   *own = (KeySet *) keys;

	if (atomic_fetch_sub(&own->references, 1) == 1)
		keys_free(own);
}

/* ---------- files that change ---------- */

/*
 * Has a file changed since it was read, or since we tried to?  Notes what is
 * there now, so that a broken file is complained of once.
 */
static bool
have_changed(KeySet *keys)
{
	bool		changed = false;
	Stamp		stamp;
	int			i;

	for (i = 0; i < keys->source_count; i++)
	{
		take_stamp(keys->sources[i].path, &stamp);
		if (is_same_stamp(&stamp, &keys->sources[i].stamp))
			continue;
		keys->sources[i].stamp = stamp;
		changed = true;
	}
	return changed;
}

static void
read_again(const KeySet *old)
{
	KeySet	   *fresh = keys_create();
	char		problem[512];
	char		count[16];
	int			i;

	for (i = 0; i < old->source_count; i++)
	{
		if (!add_source(fresh, old->sources[i].path, old->sources[i].take))
			abort();
	}
	if (!read_sources(fresh, problem, sizeof(problem)))
	{
		keys_free(fresh);
		log_event(LOG_ERROR, "keys-not-reloaded", "message", problem, NULL);
		return;
	}
	snprintf(count, sizeof(count), "%d", fresh->count);
	log_event(LOG_INFO, "keys-reloaded", "keys", count, NULL);
	keys_publish(fresh);
}

/*
 * Called by the one thread that also publishes: reads the files again if they
 * have changed, and returns when it wants to be called next.  Only that thread
 * looks at the stamps.
 */
int64_t
keys_tick(void)
{
	static int64_t next = 0;
	int64_t		now = clock_now();

	if (now >= next)
	{
		if (have_changed(current))
			read_again(current);
		next = now + TICK;
	}
	return next;
}
