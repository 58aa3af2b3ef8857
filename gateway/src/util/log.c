/*-------------------------------------------------------------------------
 *
 * log.c
 *	  Structured log lines, key=value, on standard error.
 *
 * Callers never pass a token, a password or a row.
 *
 * A standard error that nobody reads must not stop requests.  So a thread of
 * its own writes the lines, and the others only hand them over.  When there is
 * no room, lines are lost, and a later line says how many.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/buffer.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/text.h"

const char *const log_level_names[] = {
	"debug", "info", "warning", "error", NULL
};

#define QUEUE_BYTES		(1 << 20)
#define CHUNK_BYTES		32768

/*
 * After it has written, the writer lets lines gather for so long.  To be woken for
 * each would cost who hands it over more than the line does.
 */
#define GATHER_NANOSECONDS	1000000

static atomic_int minimum_level = LOG_INFO;

typedef enum WriterState
{
	WRITER_ABSENT,				/* whoever has a line writes it */
	WRITER_RUNS,
	WRITER_ENDS,				/* it ends once all is written */
	WRITER_GONE					/* nothing is written any more */
} WriterState;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static WriterState writer = WRITER_ABSENT;

/* lines that are not written yet, in a ring */
static char queue[QUEUE_BYTES];
static size_t first = 0;
static size_t length = 0;
static unsigned long lost = 0;	/* lines that found no room */

void
log_set_level(LogLevel level)
{
	minimum_level = (int) level;
}

/* UTC with milliseconds. */
static void
append_time(Buffer *line)
{
	struct timespec now;
	struct tm	utc;
	char		day[32];
	char		text[48];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text, sizeof(text), "%s.%03ldZ", day, now.tv_nsec / 1000000);
	buffer_append_text(line, text);
}

/*
 * Can what is not ASCII in a value stand as it is?  U+0080 to U+009F, U+2028 and
 * U+2029 move or end the line for some readers, and journald shows nothing of a
 * line that is not UTF-8.
 */
static bool
is_readable(const char *value)
{
	const unsigned char *c;

	if (!text_is_utf8(value, strlen(value)))
		return false;
	for (c = (const unsigned char *) value; *c != '\0'; c++)
	{
		if ((c[0] == 0xC2 && c[1] < 0xA0) ||
			(c[0] == 0xE2 && c[1] == 0x80 && (c[2] == 0xA8 || c[2] == 0xA9)))
			return false;
	}
	return true;
}

/*
 * Control characters are escaped, too: a user name with a newline must not forge
 * a line.
 */
static bool
must_escape(unsigned char c, bool readable)
{
	return c < 0x20 || c == 0x7F || (c >= 0x80 && !readable);
}

/* Append a value, in quotes if it is not a plain word. */
static void
append_value(Buffer *line, const char *value)
{
	bool		readable = is_readable(value);
	const unsigned char *c;
	char		escape[8];

	if (*value != '\0' && strpbrk(value, " \"\\=\t\r\n") == NULL)
	{
		for (c = (const unsigned char *) value; *c != '\0' && !must_escape(*c, readable); c++)
			;
		if (*c == '\0')
		{
			buffer_append_text(line, value);
			return;
		}
	}

	buffer_append_char(line, '"');
	for (c = (const unsigned char *) value; *c != '\0'; c++)
	{
		if (*c == '"' || *c == '\\')
		{
			buffer_append_char(line, '\\');
			buffer_append_char(line, (char) *c);
		}
		else if (must_escape(*c, readable))
		{
			snprintf(escape, sizeof(escape), "\\x%02x", *c);
			buffer_append_text(line, escape);
		}
		else
			buffer_append_char(line, (char) *c);
	}
	buffer_append_char(line, '"');
}

/* ---------- writing ---------- */

/* A log that cannot be written is no reason to stop serving. */
static void
write_out(const char *data, size_t size)
{
	while (size > 0)
	{
		ssize_t		written = write(STDERR_FILENO, data, size);

		if (written >= 0)
		{
			data += written;
			size -= (size_t) written;
		}
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
		{
			struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};

			poll(&out, 1, 1000);
		}
		else if (errno != EINTR)
			return;
	}
}

/* Put the line into the ring, if there is room.  Under the lock. */
static bool
enqueue(const char *line, size_t size)
{
	size_t		end = (first + length) % QUEUE_BYTES;
	size_t		part = QUEUE_BYTES - end;

	if (size > QUEUE_BYTES - length)
		return false;
	if (part > size)
		part = size;
	memcpy(queue + end, line, part);
	memcpy(queue, line + part, size - part);
	length += size;
	return true;
}

static void begin_line(Buffer *line, LogLevel level, const char *event);

/* Say how many lines were lost, once there is room.  Under the lock. */
static void
tell_lost(void)
{
	Buffer		line = {0};
	char		number[32];

	snprintf(number, sizeof(number), " lines=%lu\n", lost);
	begin_line(&line, LOG_WARNING, "log-lost");
	buffer_append_text(&line, number);
	if (!line.failed && enqueue(line.data, line.length))
		lost = 0;
	buffer_free(&line);
}

static void *
write_lines(void *unused)
{
	static const struct timespec gather = {.tv_nsec = GATHER_NANOSECONDS};
	static char chunk[CHUNK_BYTES];
	size_t		size;
	bool		is_last;

	(void) unused;
	pthread_mutex_lock(&lock);
	for (;;)
	{
		while (length == 0 && writer == WRITER_RUNS)
			pthread_cond_wait(&changed, &lock);
		if (length == 0)
			break;
		size = length < CHUNK_BYTES ? length : CHUNK_BYTES;
		if (size > QUEUE_BYTES - first)
			size = QUEUE_BYTES - first;
		memcpy(chunk, queue + first, size);
		first = (first + size) % QUEUE_BYTES;
		length -= size;
		is_last = length == 0;
		pthread_mutex_unlock(&lock);
		write_out(chunk, size);
		if (is_last)
			nanosleep(&gather, NULL);
		pthread_mutex_lock(&lock);
		if (lost > 0)
			tell_lost();
	}
	writer = WRITER_GONE;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* From now on a thread writes the lines.  False: it could not be started. */
bool
log_start(void)
{
	pthread_t	thread;

	clock_init_condition(&changed);
	writer = WRITER_RUNS;
	if (pthread_create(&thread, NULL, write_lines, NULL) != 0)
	{
		writer = WRITER_ABSENT;
		return false;
	}
	pthread_detach(thread);
	return true;
}

/*
 * Write what is left, until the deadline at most.  Nothing can be logged after
 * this.
 */
void
log_stop(int64_t deadline)
{
	struct timespec moment = clock_timespec(deadline);

	pthread_mutex_lock(&lock);
	if (writer == WRITER_RUNS)
	{
		writer = WRITER_ENDS;
		pthread_cond_broadcast(&changed);
		while (writer == WRITER_ENDS && clock_now() < deadline)
			pthread_cond_timedwait(&changed, &lock, &moment);
	}
	pthread_mutex_unlock(&lock);
}

/* Hand a line over. */
static void
put_line(const char *line, size_t size)
{
	pthread_mutex_lock(&lock);
	if (writer == WRITER_RUNS || writer == WRITER_ENDS)
	{
		if (!enqueue(line, size))
			lost++;
		pthread_cond_signal(&changed);
	}
	else if (writer == WRITER_ABSENT)
		write_out(line, size);
	pthread_mutex_unlock(&lock);
}

static void
begin_line(Buffer *line, LogLevel level, const char *event)
{
	buffer_append_text(line, "time=");
	append_time(line);
	buffer_append_text(line, " level=");
	buffer_append_text(line, log_level_names[level == LOG_ALWAYS ? LOG_INFO : level]);
	buffer_append_text(line, " event=");
	buffer_append_text(line, event);
}

void
log_event(LogLevel level, const char *event,...)
{
	Buffer		line = {0};
	const char *key;
	const char *value;
	va_list		pairs;

	if ((int) level < minimum_level)
		return;

	begin_line(&line, level, event);
	va_start(pairs, event);
	while ((key = va_arg(pairs, const char *)) != NULL)
	{
		value = va_arg(pairs, const char *);
		if (value == NULL)
			continue;
		buffer_append_char(&line, ' ');
		buffer_append_text(&line, key);
		buffer_append_char(&line, '=');
		append_value(&line, value);
	}
	va_end(pairs);
	buffer_append_char(&line, '\n');

	if (!line.failed)
		put_line(line.data, line.length);
	buffer_free(&line);
}
