/*-------------------------------------------------------------------------
 *
 * underway.c
 *	  The requests that are under way, all together.
 *
 * A stop refuses new requests and waits until none is under way.
 *
 *-------------------------------------------------------------------------
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "http/underway.h"
#include "util/clock.h"

static atomic_bool leaving = false;
static atomic_bool refusing = false;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static int	count = 0;

static atomic_uint_fast64_t next_id;
static uint32_t id_prefix;

/* Before the first request comes. */
void
underway_start(void)
{
	clock_init_condition(&changed);
	id_prefix = (uint32_t) time(NULL);
}

/* After the last request has ended. */
void
underway_stop(void)
{
	pthread_cond_destroy(&changed);
}

/* A request has begun; underway_remove when it has ended. */
void
underway_add(void)
{
	pthread_mutex_lock(&lock);
	count++;
	pthread_mutex_unlock(&lock);
}

void
underway_remove(void)
{
	pthread_mutex_lock(&lock);
	count--;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

int
underway_count(void)
{
	int			result;

	pthread_mutex_lock(&lock);
	result = count;
	pthread_mutex_unlock(&lock);
	return result;
}

/* Wait until no request is under way; false: it took too long. */
bool
underway_wait_idle(int64_t until)
{
	struct timespec moment = clock_timespec(until);
	bool		idle;

	pthread_mutex_lock(&lock);
	while (count > 0 && clock_now() < until)
		pthread_cond_timedwait(&changed, &lock, &moment);
	idle = count == 0;
	pthread_mutex_unlock(&lock);
	return idle;
}

/* From now on no connection is kept open; requests are served as ever. */
void
underway_leave(void)
{
	leaving = true;
}

bool
underway_is_leaving(void)
{
	return leaving || refusing;
}

/* From now on new requests get 503, and no connection is kept open. */
void
underway_refuse_new(void)
{
	refusing = true;
}

bool
underway_refuses_new(void)
{
	return refusing;
}

/* An id for a request, which no other one of this process has. */
void
underway_make_id(char *id, size_t size)
{
	snprintf(id, size, "%08x-%llu", id_prefix, (unsigned long long) ++next_id);
}
