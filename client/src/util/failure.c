/*
 * failure.c
 *	  What went wrong.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/failure.h"

bool
failure_set(Failure *failure, int result, const char *code,
			const char *format,...)
{
	va_list		args;

	if (failure->result != TIDE_OK)
		return false;
	failure->result = result;
	snprintf(failure->code, sizeof(failure->code), "%s", code);
	va_start(args, format);
	vsnprintf(failure->message, sizeof(failure->message), format, args);
	va_end(args);
	failure->hint[0] = '\0';
	return false;
}

bool
failure_hint(Failure *failure, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(failure->hint, sizeof(failure->hint), format, args);
	va_end(args);
	return false;
}

void
failure_clear(Failure *failure)
{
	memset(failure, 0, sizeof(*failure));
}

bool
failure_memory(Failure *failure)
{
	/* what failed before may be for want of memory, too, and say otherwise */
	failure_clear(failure);
	return failure_set(failure, TIDE_LOCAL, "out_of_memory", "out of memory");
}
