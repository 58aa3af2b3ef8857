/*-------------------------------------------------------------------------
 *
 * group.c
 *	  Which pushes may share a transaction, as far as the gateway can tell.
 *
 * The extension decides, each time (tide.push_grouped).  What is here spares
 * others the cost of a group that is rolled back: pushes that the extension has
 * refused are remembered by their entity types, and users whose push failed in a
 * group by name, both for a while.  Two that share a place in the memory are
 * taken for each other, and are pushed alone more often than they need be.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <string.h>

#include "database/group.h"
#include "util/clock.h"

#define PLACES			1024
#define MOST_BYTES		(256 * 1024)	/* of a group */
#define MOST_OF_ONE		(64 * 1024) /* of a push in it */
#define LEAST_TIME		CLOCK_SECOND	/* that it has left */
#define REFUSED_FOR		(10 * CLOCK_SECOND)
#define FAILED_FOR		(2 * CLOCK_SECOND)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t refused[PLACES]; /* until when, by types */
static int64_t failed[PLACES];	/* likewise, by user */

/* ---------- the entity types of a push ---------- */

/* FNV-1a */
static uint64_t
hash(const char *text, size_t length)
{
	uint64_t	result = 14695981039346656037u;
	size_t		i;

	for (i = 0; i < length; i++)
		result = (result ^ (unsigned char) text[i]) * 1099511628211u;
	return result ^ result >> 32;
}

/* The end of a string that begins at its quote: the other quote. */
static const char *
string_end(const char *text)
{
	for (text++; *text != '"' && *text != '\0'; text++)
	{
		if (*text == '\\' && text[1] != '\0')
			text++;
	}
	return text;
}

static bool
is_text(const char *start, const char *end, const char *text)
{
	return (size_t) (end - start) == strlen(text) &&
		memcmp(start, text, (size_t) (end - start)) == 0;
}

/* where a walk through a body is */
typedef struct Walk
{
	int			depth;
	bool		in_changes;		/* in this member of the body */
	bool		by_type;		/* which is an object */
	bool		names_type;		/* the next string does */
	uint64_t	types;
} Walk;

static void
take_string(Walk *walk, const char *start, const char *end, bool is_key)
{
	if (walk->names_type || (is_key && walk->in_changes && walk->by_type && walk->depth == 2))
		walk->types |= (uint64_t) 1 << hash(start, (size_t) (end - start)) % 64;
	walk->names_type = is_key && walk->in_changes && !walk->by_type && walk->depth == 3 &&
		is_text(start, end, "entityType");
	if (is_key && walk->depth == 1)
		walk->in_changes = is_text(start, end, "changes");
}

/*
 * The body is JSON, which was checked.  A name that is escaped in one body and
 * not in the other counts as two.
 */
uint64_t
group_types(const char *body)
{
	Walk		walk = {0};

	for (; *body != '\0'; body++)
	{
		if (*body == '{' || *body == '[')
		{
			if (++walk.depth == 2)
				walk.by_type = *body == '{';
		}
		else if (*body == '}' || *body == ']')
			walk.depth--;
		else if (*body == '"')
		{
			const char *end = string_end(body);

			if (*end == '\0')
				break;
			take_string(&walk, body + 1, end,
						end[1 + strspn(end + 1, " \t\r\n")] == ':');
			body = end;
		}
	}
	return walk.types;
}

/* ---------- what is remembered ---------- */

static int64_t *
place_of_types(const Job *job)
{
	return &refused[hash((const char *) &job->types, sizeof(job->types)) % PLACES];
}

static int64_t *
place_of_user(const Job *job)
{
	return &failed[hash(job->user, strlen(job->user)) % PLACES];
}

static void
remember(int64_t *place, int64_t until)
{
	pthread_mutex_lock(&lock);
	*place = until;
	pthread_mutex_unlock(&lock);
}

bool
group_may_have(const Job *job, size_t bytes, int64_t now)
{
	bool		remembered;

	if (job->kind != JOB_PUSH || job->push_group <= 1 || job->is_alone || job->user == NULL ||
		job->prepare != NULL ||
		job->deadline - now < LEAST_TIME ||
		job->body_length > MOST_OF_ONE || bytes + job->body_length > MOST_BYTES)
		return false;
	pthread_mutex_lock(&lock);
	remembered = *place_of_types(job) > now || *place_of_user(job) > now;
	pthread_mutex_unlock(&lock);
	return !remembered;
}

void
group_refused(const Job *job, int64_t now)
{
	remember(place_of_types(job), now + REFUSED_FOR);
}

void
group_failed(const Job *job, int64_t now)
{
	remember(place_of_user(job), now + FAILED_FOR);
}
