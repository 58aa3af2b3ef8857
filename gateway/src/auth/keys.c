/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  The files that keys are read from, and the set of keys in force.
 *
 * A check of a token keeps the set it began with, whatever is published
 * meanwhile.  keys_tick looks every second whether a file was replaced or
 * written to, and then reads all of them again.  If one cannot be read, the
 * old set stays in force and the log has an error: whoever replaces a key by
 * a broken file must not lock everybody out.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "auth/keyfile.h"
#include "auth/keys.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/text.h"

#define TICK	CLOCK_SECOND

typedef bool (*TakeFile) (const KeyFile *file, KeySet *set,
						  char *problem, size_t problem_size);

/* What shows that a file has changed; all zero: there is no such file. */
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
	Stamp		stamp;			/* taken before the file was read */
} Source;

struct Keys
{
	KeySet	   *set;
	Source	   *sources;
	int			source_count;
};

static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;
static Keys *current = NULL;

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

static Keys *
create(void)
{
	Keys	   *keys = calloc(1, sizeof(Keys));

	if (keys == NULL)
		abort();
	keys->set = keyset_create();
	return keys;
}

static bool
add_source(Keys *keys, const char *path, TakeFile take)
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

/* The secret's file comes first. */
static bool
add_sources(Keys *keys, const KeyFiles *files)
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
read_source(Keys *keys, Source *source, char *problem, size_t problem_size)
{
	KeyFile		file;
	bool		good;

	take_stamp(source->path, &source->stamp);
	good = keyfile_load(&file, source->path, problem, problem_size) &&
		source->take(&file, keys->set, problem, problem_size);
	keyfile_free(&file);
	if (good && source->take == keyfile_take_secret)
		keyset_sign_with_last(keys->set);
	return good;
}

/* Read all files; false: "problem" says why the set cannot be used. */
static bool
read_sources(Keys *keys, char *problem, size_t problem_size)
{
	int			i;

	/* a list of files may be nothing but a comma */
	if (keys->source_count == 0)
	{
		snprintf(problem, problem_size, "no file of keys is named");
		return false;
	}
	for (i = 0; i < keys->source_count; i++)
	{
		if (!read_source(keys, &keys->sources[i], problem, problem_size))
			return false;
	}
	return true;
}

/* The keys of these files.  NULL: "problem" says what is wrong with them. */
Keys *
keys_read(const KeyFiles *files, char *problem, size_t problem_size)
{
	Keys	   *keys = create();

	if (!add_sources(keys, files))
		abort();
	if (read_sources(keys, problem, problem_size))
		return keys;
	keys_free(keys);
	return NULL;
}

/* The set lives as long as "keys" does. */
const KeySet *
keys_set(const Keys *keys)
{
	return keys->set;
}

void
keys_free(Keys *keys)
{
	int			i;

	keyset_release(keys->set);
	for (i = 0; i < keys->source_count; i++)
		free(keys->sources[i].path);
	free(keys->sources);
	free(keys);
}

/* ---------- the set in force ---------- */

/*
 * Use these keys in all checks that begin from now on.  "keys" belongs to
 * this file afterwards.
 */
void
keys_publish(Keys *keys)
{
	Keys	   *old;

	pthread_mutex_lock(&current_lock);
	old = current;
	current = keys;
	pthread_mutex_unlock(&current_lock);
	if (old != NULL)
		keys_free(old);
}

/* The set in force; it stays valid until keys_release. */
const KeySet *
keys_acquire(void)
{
	KeySet	   *set;

	pthread_mutex_lock(&current_lock);
	set = current->set;
	keyset_retain(set);
	pthread_mutex_unlock(&current_lock);
	return set;
}

void
keys_release(const KeySet *set)
{
	keyset_release((KeySet *) set);
}

/* ---------- files that change ---------- */

/*
 * Has a file changed since it was last looked at?  The new stamps are kept
 * also if the files turn out to be broken, so that the log has one error for
 * each broken file and not one a second.
 */
static bool
have_changed(Keys *keys)
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
read_again(const Keys *old)
{
	Keys	   *fresh = create();
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
	snprintf(count, sizeof(count), "%d", keyset_count(fresh->set));
	log_event(LOG_INFO, "keys-reloaded", "keys", count, NULL);
	keys_publish(fresh);
}

/*
 * Read the files again if they have changed.  Returns the moment at which
 * this is to be called next.  Only the thread that publishes may call it: no
 * other one looks at the files and their stamps.
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
