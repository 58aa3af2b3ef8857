/*-------------------------------------------------------------------------
 *
 * log.h
 *	  Structured log lines, key=value, on standard error.
 *
 *-------------------------------------------------------------------------
 */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stdint.h>

typedef enum LogLevel
{
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARNING,
	LOG_ERROR,
	LOG_ALWAYS					/* always written, whatever the minimum level;
								 * shown as info */
} LogLevel;

extern const char *const log_level_names[];

extern bool log_start(void);
extern void log_stop(int64_t deadline);
extern void log_set_level(LogLevel level);

/*
 * Pairs of key and value (both char *), ended by NULL.  A pair whose value is
 * NULL is left out.
 */
extern void log_event(LogLevel level, const char *event,...)
__attribute__ ((sentinel));

#endif							/* LOG_H */
