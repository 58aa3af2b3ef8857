/*-------------------------------------------------------------------------
 *
 * log.c
 *	  Structured log lines, key=value, on standard error.
 *
 * Each line is one write, so that the lines of threads do not mix.  Callers
 * never pass a token, a password or a row.
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/buffer.h"
#include "util/log.h"

const char *const log_level_names[] = {
	"debug", "info", "warning", "error", NULL
};

static atomic_int minimum_level = LOG_INFO;

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
 * Append a value, in quotes if it is not a plain word.  Control characters are
 * escaped: a user name with a newline must not forge a line.
 */
static void
append_value(Buffer *line, const char *value)
{
	const unsigned char *c;
	char		escape[8];

	if (*value != '\0' && strpbrk(value, " \"\\=\t\r\n") == NULL)
	{
		for (c = (const unsigned char *) value; *c > 0x20 && *c != 0x7F; c++)
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
		else if (*c < 0x20 || *c == 0x7F)
		{
			snprintf(escape, sizeof(escape), "\\x%02x", *c);
			buffer_append_text(line, escape);
		}
		else
			buffer_append_char(line, (char) *c);
	}
	buffer_append_char(line, '"');
}

void
log_event(LogLevel level, const char *event,...)
{
	Buffer		line = {0};
	const char *key;
	const char *value;
	va_list		pairs;
	ssize_t		written;

	if ((int) level < minimum_level)
		return;

	buffer_append_text(&line, "time=");
	append_time(&line);
	buffer_append_text(&line, " level=");
	buffer_append_text(&line, log_level_names[level == LOG_ALWAYS ? LOG_INFO : level]);
	buffer_append_text(&line, " event=");
	buffer_append_text(&line, event);

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
	{
		/* a log that cannot be written is no reason to stop serving */
		written = write(STDERR_FILENO, line.data, line.length);
		(void) written;
	}
	buffer_free(&line);
}
